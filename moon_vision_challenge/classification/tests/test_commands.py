"""manage.py inferences and manage.py queue."""

import io
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification import tasks
from moon_vision_challenge.classification.management.commands import inferences as command
from moon_vision_challenge.classification.models import Inference

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the inferences for which a worker is woken."""
    ids: list[int] = []
    monkeypatch.setattr(tasks, "enqueue_inference", lambda inference: ids.append(inference.pk))
    return ids


def run(*arguments: object) -> tuple[str, str]:
    """Run a management command, and return its standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*(f"{each}" for each in arguments), stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def make(status: str, **fields: Any) -> Inference:
    return Inference.objects.create(**{"model_type": "resnet", "status": status, **fields})


def statuses() -> list[str]:
    return list(Inference.objects.order_by("pk").values_list("status", flat=True))


def test_retry_takes_what_failed(woken: list[int]) -> None:
    rows = [make(status) for status in ("fail", "done", "fail")]
    assert run("inferences", "retry", "--status=fail") == ("2 are pending again.", "")
    assert statuses() == ["pending", "done", "pending"]
    assert woken == [rows[0].pk, rows[2].pk]


def test_the_filters_apply_together() -> None:
    anna = Owner.objects.create(name="anna")
    old = timezone.now() - timedelta(days=2)
    wanted = {"model_type": "resnet", "owner": anna, "created_at": old}
    for name, value in {"": "", "model_type": "inception", "owner": Owner(pk=0), "created_at": timezone.now()}.items():
        make("fail", **{**wanted, **({name: value} if name else {})})
    filters = ("--model=resnet", "--owner=anna", "--older-than=1d")
    assert run("inferences", "retry", *filters)[0] == "1 are pending again."
    assert statuses() == ["pending", "fail", "fail", "fail"]


def test_cancel_takes_what_is_pending() -> None:
    make("pending")
    make("processing")
    assert run("inferences", "cancel", "--all")[0] == "1 are canceled."
    assert statuses() == ["canceled", "processing"]


def test_ids_that_cannot_be_changed_are_told() -> None:
    row = make("done")
    out, err = run("inferences", "retry", row.pk, row.pk + 1)
    assert out == "0 are pending again."
    assert err == "2 of these do not exist, or are not fail."


def test_purge_deletes_final_rows_with_their_files(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    file = Path(django_settings.MEDIA_ROOT) / "inferences/2026/01/01/a.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    row = make("done", image="inferences/2026/01/01/a.jpg")
    make("pending")
    assert run("inferences", "purge", "--all", "--dry-run")[0] == "1 would be deleted."
    assert (statuses(), file.exists()) == (["done", "pending"], True)
    assert run("inferences", "purge", "--all")[0] == "1 are deleted."
    assert (statuses(), file.exists()) == (["pending"], False)
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
    assert (line["action"], line["inference_id"]) == ("inference.delete", row.pk)
    assert line["actor"].startswith("command")


def test_more_than_one_batch_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_BATCH", 2)
    for _ in range(5):
        make("fail")
    assert run("inferences", "purge", "--status=fail")[0] == "5 are deleted."


@pytest.mark.parametrize("action", ["retry", "cancel", "purge"])
def test_nothing_is_done_to_all_rows_by_mistake(action: str) -> None:
    make("fail")
    with pytest.raises(CommandError, match="Give ids or filters, or --all"):
        run("inferences", action)
    with pytest.raises(CommandError, match="There is no owner 'nobody'"):
        run("inferences", action, "--owner=nobody")
    with pytest.raises(CommandError, match="is for inferences with the status"):
        run("inferences", action, "--status=processing")
    assert statuses() == ["fail"]


def test_show_lists_the_newest_first() -> None:
    rows = [make("done", label=f"label {number}") for number in range(3)]
    out, _ = run("inferences", "show", "--limit=2")
    head, *lines = out.splitlines()
    assert head.split() == ["ID", "OWNER", "MODEL", "TYPE", "STATUS", "ATTEMPTS", "CREATED", "LABEL", "OR", "ERROR"]
    assert [line.split()[0] for line in lines] == [f"{rows[2].pk}", f"{rows[1].pk}"]


def test_show_says_what_to_do_about_an_error() -> None:
    row = make("fail", error={"code": "storage_unavailable", "detail": "The image store is not available."})
    out, _ = run("inferences", "show", row.pk)
    assert "The image store is not available." in out
    assert "Check the image store" in out


def test_show_prints_json_lines() -> None:
    row = make("done", label="espresso")
    out, _ = run("inferences", "show", "--json", row.pk)
    shown = json.loads(out)
    assert (shown["id"], shown["label"], shown["owner"]) == (row.pk, "espresso", "anonymous")


def test_the_queue_is_a_table_or_json() -> None:
    assert run("queue", "status")[0] == "Nothing waits."
    assert run("queue", "status", "--json")[0] == "[]"
    make("pending", created_at=timezone.now() - timedelta(seconds=90))
    make("processing", lease_expires_at=timezone.now() - timedelta(seconds=1))
    (state,) = json.loads(run("queue", "status", "--json")[0])
    assert (state["queue"], state["model_type"]) == ("inferences", "resnet")
    assert (state["pending"], state["processing"], state["expired_leases"]) == (1, 1, 1)
    assert state["oldest_s"] >= 90
    head, row = run("queue", "status")[0].splitlines()
    assert head.split()[0] == "QUEUE"
    assert row.split()[:3] == ["inferences", "resnet", "1"]
