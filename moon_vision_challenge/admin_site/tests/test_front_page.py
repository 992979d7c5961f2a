"""The admin's front page."""

import re
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.health import sightings
from moon_vision_challenge.health.views import status_of_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(admin_client: Client) -> Client:
    status_of_all.forget()
    return admin_client


def page(admin: Client) -> str:
    response = admin.get("/admin/")
    assert response.status_code == 200
    return response.content.decode()


def rows(html: str, table_id: str) -> list[list[str]]:
    """Return the cells of a table as text."""
    _, _, rest = html.partition(f'id="{table_id}"')
    body = rest.partition("<tbody>")[2].partition("</tbody>")[0]
    cell = re.compile(r"<td[^>]*>(.*?)</td>", re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", text).strip() for text in cell.findall(row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def test_it_shows_the_queue_by_queue_and_model(admin: Client) -> None:
    assert rows(page(admin), "queue-state") == [["Nothing waits."]]
    hour_ago = timezone.now() - timedelta(hours=1)
    for model_type, status in (("resnet", "pending"), ("resnet", "processing"), ("inception", "pending")):
        Inference.objects.create(
            model_type=model_type, status=status, created_at=hour_ago, lease_expires_at=timezone.now()
        )
    found = rows(page(admin), "queue-state")
    assert found == [
        ["inferences", "inception", "1", "1 h", "0", "0"],
        ["inferences", "resnet", "1", "1 h", "1", "1"],
    ]


def test_it_shows_why_a_model_is_not_served(admin: Client, start_fake: StartFake) -> None:
    start_fake(fake.has_versions(3, state="END", error_message="model.onnx is damaged"))
    found = {row[0]: row[1:] for row in rows(page(admin), "model-state")}
    assert found["resnet"][0] == "unavailable"
    assert "model.onnx is damaged" in found["resnet"][2]


def test_without_a_model_server_the_page_says_so(admin: Client, settings: Settings) -> None:
    settings.TF_SERVING_URL = "http://127.0.0.1:9"
    assert {row[1] for row in rows(page(admin), "model-state")} == {"unknown"}


def test_it_shows_workers_and_beat(admin: Client) -> None:
    found = {row[0]: row[1:] for row in rows(page(admin), "check-state")}
    assert found["database"] == ["ok", ""]
    assert found["workers"][0] == found["beat"][0] == "problem"
    assert "inferences" in found["workers"][1]


def test_without_redis_the_page_says_so(admin: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    found = {row[0]: row[1:] for row in rows(page(admin), "check-state")}
    assert "Redis accepts no writes" in found["redis"][1]


def test_it_says_when_retention_lags(admin: Client) -> None:
    assert "retention lags" not in page(admin)
    old = timezone.now() - timedelta(days=32)
    Inference.objects.create(model_type="resnet", status="done", finished_at=old)
    assert "retention lags" in page(admin)


@pytest.mark.parametrize(("setting", "label"), [("FLOWER_URL", "Flower"), ("METRICS_URL", "Metrics")])
def test_a_link_is_there_only_if_its_address_is_configured(
    admin: Client, settings: Settings, setting: str, label: str
) -> None:
    setattr(settings, setting, "")
    assert f">{label}" not in page(admin)
    setattr(settings, setting, "https://example.com/?a=1&b=2")
    assert f'<a href="https://example.com/?a=1&amp;b=2">{label}' in page(admin)
    assert '<a href="/api/docs/">' in page(admin)


def test_it_needs_no_more_queries_for_more_rows(admin: Client) -> None:
    def count_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin)
        return len(queries)

    page(admin)
    of_none = count_queries()
    Inference.objects.bulk_create(Inference(model_type="resnet", status="pending") for _ in range(50))
    assert count_queries() == of_none


@pytest.mark.parametrize("address", ["/admin/", "/admin/classification/inference/", "/admin/webhooks/webhookdelivery/"])
def test_the_pages_need_no_exception_from_the_content_security_policy(admin: Client, address: str) -> None:
    Inference.objects.create(model_type="resnet", status="fail", error={"code": "x", "detail": "y"})
    response = admin.get(address)
    html = response.content.decode()
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
    assert not re.findall(r"<style|\bstyle=|\bon\w+=", html)
    sources = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]+)"', html)
    assert all(source.startswith(("/static/", "/admin/")) for source in sources), sources


def test_it_is_for_staff_only(client: Client, admin_user: User) -> None:
    browser = Client()
    assert browser.get("/admin/").status_code == 302
    admin_user.is_staff = False
    admin_user.save()
    browser.force_login(admin_user)
    with patch.object(sightings, "find_unseen", side_effect=AssertionError("nothing is read for a stranger")):
        assert browser.get("/admin/").status_code == 302
