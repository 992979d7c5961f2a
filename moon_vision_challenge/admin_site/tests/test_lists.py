"""The admin's lists: what they show, how many queries they need, and what their actions do."""

import json
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.classification import tasks
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.web import large_tables
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery

pytestmark = pytest.mark.django_db

INFERENCES = "/admin/classification/inference/"
DELIVERIES = "/admin/webhooks/webhookdelivery/"
STATUS = Inference.STATUS


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the inferences for which a worker is woken."""
    ids: list[int] = []
    monkeypatch.setattr(tasks, "enqueue_inference", lambda inference: ids.append(inference.pk))
    return ids


def make_inferences(count: int, **fields: Any) -> list[Inference]:
    owners = Owner.objects.bulk_create(Owner(name=f"owner {Owner.objects.count()} {number}") for number in range(count))
    return Inference.objects.bulk_create(
        Inference(**{"model_type": "resnet", "image": "inferences/a.jpg", "status": "done", "owner": owner, **fields})
        for owner in owners
    )


def make_deliveries(count: int) -> None:
    for inference in make_inferences(count):
        WebhookDelivery.objects.create(
            subject_id=inference.pk,
            owner=inference.owner,
            url="https://example.com/",
            event="inference.done",
            body="{}",
            log=[{"at": "2026-01-01T00:00:00Z", "status": 500, "error": "", "ms": 12}],
        )


def make_disabled(count: int) -> None:
    for inference in make_inferences(count):
        DisabledWebhook.objects.create(owner=inference.owner, url="https://example.com/")


def make_tokens(count: int) -> None:
    for inference in make_inferences(count):
        name = f"{inference.owner.name}"
        ApiToken.objects.create(owner=inference.owner, name=name, digest=name, prefix="mvc_", scopes=["read"])


@pytest.mark.parametrize(
    ("url", "make"),
    [
        (INFERENCES, make_inferences),
        (DELIVERIES, make_deliveries),
        ("/admin/webhooks/disabledwebhook/", make_disabled),
        ("/admin/accounts/apitoken/", make_tokens),
    ],
)
def test_fifty_rows_need_as_many_queries_as_one(admin_client: Client, url: str, make: Callable[[int], object]) -> None:
    def count_queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = admin_client.get(url)
        assert response.status_code == 200
        assert len(response.context["cl"].result_list) == expected
        return len(queries)

    expected = 1
    make(1)
    admin_client.get(url)  # caches the content types
    of_one = count_queries()
    expected = 50
    make(49)
    assert count_queries() == of_one


def cells(admin_client: Client, query: str = "") -> list[dict[str, str]]:
    """For each row, return a mapping of column → text without tags."""
    page = admin_client.get(INFERENCES + query).content.decode()
    rows = re.findall(r"<tr>(<td class=\"action-checkbox\">.*?)</tr>", page, re.DOTALL)
    cell = re.compile(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', re.DOTALL)
    return [{name: re.sub(r"<[^>]+>", "", text).strip() for name, text in cell.findall(row)} for row in rows]


def test_a_row_shows_state_model_wait_duration_and_the_error(admin_client: Client) -> None:
    now = timezone.now()
    (row,) = make_inferences(
        1,
        status="fail",
        model_version=3,
        created_at=now - timedelta(seconds=125),
        started_at=now - timedelta(seconds=5),
        finished_at=now - timedelta(seconds=4.5),
        error={"code": "model_not_available", "detail": "The model server does not serve this model now."},
    )
    (shown,) = cells(admin_client)
    assert (shown["state"], shown["answered_by"], shown["result"]) == ("fail", "resnet 3", "model_not_available")
    assert (shown["wait"], shown["duration"]) == ("2 min", "0.50 s")
    page = admin_client.get(f"{INFERENCES}{row.pk}/change/").content.decode()
    assert "The model server does not serve this model now." in page
    assert "See the state of the model on the front page." in page


def test_what_comes_from_clients_is_escaped(admin_client: Client) -> None:
    script = "<script>alert(1)</script>"
    (row,) = make_inferences(1, status="fail", label=script, error={"code": script, "detail": script})
    for page in (INFERENCES, f"{INFERENCES}{row.pk}/change/"):
        assert script not in admin_client.get(page).content.decode()


@pytest.mark.parametrize("error", [{}, {"code": None}, {"code": "of an older release"}])
def test_an_unknown_error_is_shown_too(admin_client: Client, error: dict[str, Any]) -> None:
    (row,) = make_inferences(1, status="fail", error=error)
    assert admin_client.get(INFERENCES).status_code == 200
    assert admin_client.get(f"{INFERENCES}{row.pk}/change/").status_code == 200


def ids(admin_client: Client, query: str) -> list[int]:
    response = admin_client.get(INFERENCES + query)
    assert response.status_code == 200, response
    return [row.pk for row in response.context["cl"].result_list]


def test_text_is_searched_in_the_newest_rows_of_the_list(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    old, *_, new = rows = make_inferences(5, label="espresso")
    for age, row in enumerate(reversed(rows)):
        Inference.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(hours=age))
    monkeypatch.setattr(large_tables, "SEARCHED", 2)
    assert ids(admin_client, "?q=SPRESS") == [new.pk, new.pk - 1]
    assert ids(admin_client, f"?q={old.pk}") == [old.pk]
    assert ids(admin_client, f"?q=espresso&owner__id__exact={old.owner_id}") == [old.pk]
    assert ids(admin_client, "?q=a.jpg") == [new.pk, new.pk - 1]
    assert ids(admin_client, "?q=%25") == ids(admin_client, "?q=nothing") == []
    assert ids(admin_client, f"?q={'9' * 30}") == []


def test_more_rows_than_are_counted_are_estimated(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_inferences(60)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE classification_inference")
    monkeypatch.setattr(large_tables, "COUNTED", 20)
    assert admin_client.get(INFERENCES).context["cl"].result_count >= 21
    assert len(ids(admin_client, "?p=2")) == 10
    monkeypatch.setattr(large_tables, "MAX_PAGES", 1)
    assert admin_client.get(INFERENCES).context["cl"].paginator.num_pages == 1


def test_a_list_of_few_rows_is_counted(admin_client: Client) -> None:
    make_inferences(3)
    make_inferences(2, status="fail")
    assert admin_client.get(INFERENCES).context["cl"].result_count == 5
    assert admin_client.get(f"{INFERENCES}?status__exact=fail").context["cl"].result_count == 2


def test_no_page_counts_or_groups_all_rows(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_inferences(3)
    with CaptureQueriesContext(connection) as queries:
        for query in ("", "?status__exact=done", "?model_type=resnet", "?q=a", "?created_at__year=2026"):
            admin_client.get(INFERENCES + query)
    about = [each["sql"] for each in queries if '"classification_inference"' in each["sql"]]
    assert about
    assert not [sql for sql in about if "DISTINCT" in sql or "GROUP BY" in sql]
    assert not [sql for sql in about if "COUNT(" in sql and "LIMIT" not in sql]


def test_the_dates_lead_to_every_day_between_the_first_row_and_the_last(admin_client: Client) -> None:
    make_inferences(1, created_at="2026-01-30T12:00:00Z")
    make_inferences(1, created_at="2026-03-02T12:00:00Z")
    assert ids(admin_client, "") != []
    page = admin_client.get(f"{INFERENCES}?created_at__year=2026").content.decode()
    assert re.findall(r"\?created_at__month=(\d+)&amp;created_at__year=2026", page) == ["1", "2", "3"]
    page = admin_client.get(f"{INFERENCES}?created_at__year=2026&created_at__month=1").content.decode()
    assert re.findall(r"created_at__day=(\d+)", page) == ["30"]
    assert len(ids(admin_client, "?created_at__year=2026&created_at__month=3&created_at__day=2")) == 1


def act(admin_client: Client, action: str, rows: list[Inference], **more: Any) -> list[str]:
    """Run an action on the rows, and return the messages."""
    form = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    response = admin_client.post(INFERENCES, form, follow=True)
    return [str(message) for message in response.context["messages"]]


def test_retry_makes_failed_rows_pending_and_wakes_a_worker(
    admin_client: Client, woken: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    error = {"code": "storage_unavailable", "detail": "away"}
    failed = make_inferences(2, status="fail", attempts=5, error=error, finished_at=timezone.now())
    done = make_inferences(1)
    told = act(admin_client, "retry", failed + done)
    assert told == [
        "Retried 2 of 3 inferences.",
        "1 unchanged: This inference has not failed, so it cannot be retried.",
    ]
    for row in failed:
        row.refresh_from_db()
        assert (row.status, row.attempts, row.error, row.finished_at) == (STATUS.PENDING, 0, None, None)
    assert sorted(woken) == [row.pk for row in failed]
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
    assert [(line["action"], line["inference_id"]) for line in lines] == [
        ("inference.retry", row.pk) for row in reversed(failed)
    ]
    assert all(line["actor"].endswith(":admin") for line in lines)


def test_cancel_takes_pending_rows_out_of_the_queue(admin_client: Client) -> None:
    rows = make_inferences(1, status="pending") + make_inferences(1, status="processing")
    told = act(admin_client, "cancel", rows)
    assert told == ["Canceled 1 of 2 inferences.", "1 unchanged: This inference is no longer pending."]
    assert [each.status for each in Inference.objects.order_by("pk")] == ["canceled", "processing"]


def test_an_action_on_more_rows_than_a_request_can_change_is_refused(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tables, "MAX_CHOSEN", 2)
    rows = make_inferences(3, status="pending")
    (told,) = act(admin_client, "cancel", rows[:1], select_across="1")
    assert "at most 2 rows" in told
    assert not Inference.objects.exclude(status="pending").exists()
    assert act(admin_client, "cancel", rows[:2]) == ["Canceled 2 of 2 inferences."]


@pytest.mark.parametrize("action", ["retry", "cancel", "delete_selected"])
def test_who_may_only_view_changes_nothing(action: str) -> None:
    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_inference"))
    browser = Client()
    browser.force_login(viewer)
    rows = make_inferences(1, status="pending") + make_inferences(1, status="fail")
    assert browser.get(INFERENCES).status_code == 200
    browser.post(INFERENCES, {"action": action, "_selected_action": [row.pk for row in rows], "post": "yes"})
    assert [each.status for each in Inference.objects.order_by("pk")] == ["pending", "fail"]


def test_a_delivery_shows_its_log_and_is_sent_again(admin_client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    make_deliveries(1)
    WebhookDelivery.objects.update(status="fail", attempts=10)
    delivery = WebhookDelivery.objects.get()
    page = admin_client.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()
    assert "<td>500</td><td>12 ms</td>" in page
    admin_client.post(DELIVERIES, {"action": "send_again", "_selected_action": [str(delivery.pk)]})
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, len(delivery.log)) == ("pending", 0, 1)
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
    assert (line["action"], line["deliveries"]) == ("webhook.send_again", [str(delivery.pk)])
