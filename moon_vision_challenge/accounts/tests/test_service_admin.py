"""What all pages of the admin have in common."""

import itertools
import json
import logging
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client

from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.accounts.service_admin import ServiceModelAdmin
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.webhooks.models import DisabledWebhook

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery"


@pytest.fixture
def audited(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "audit")

    def take() -> list[dict[str, Any]]:
        lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
        caplog.clear()
        return lines

    return take


def test_every_page_of_the_admin_is_a_services_one() -> None:
    assert [str(each) for each in admin.site._registry.values() if not isinstance(each, ServiceModelAdmin)] == []


def test_accounts_of_the_admin_are_in_the_audit_log(admin_client: Client, audited: Any) -> None:
    new = {"username": "eve", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin_client.post("/admin/auth/user/add/", new).status_code == 302
    eve = User.objects.get(username="eve")
    (line,) = audited()
    assert line["actor"].startswith("user:")
    assert {**line, "actor": ""} == {
        "action": "admin.create",
        "actor": "",
        "model": "auth.user",
        "ids": [eve.pk],
        "names": ["eve"],
    }

    form = {
        "username": "eve",
        "is_superuser": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
    }
    assert admin_client.post(f"/admin/auth/user/{eve.pk}/change/", form).status_code == 302
    (line,) = audited()
    assert (line["action"], line["ids"]) == ("admin.change", [eve.pk])
    assert "Superuser status" in line["fields"]

    again = {"usable_password": "true", "password1": PASSWORD[::-1], "password2": PASSWORD[::-1]}
    assert admin_client.post(f"/admin/auth/user/{eve.pk}/password/", again).status_code == 302
    (line,) = audited()
    assert (line["action"], line["fields"]) == ("admin.change", ["password"])
    assert PASSWORD[::-1] not in str(line)

    assert admin_client.post(f"/admin/auth/user/{eve.pk}/delete/", {"post": "yes"}).status_code == 302
    (line,) = audited()
    assert (line["action"], line["names"]) == ("admin.delete", ["eve"])


def test_rows_that_are_chosen_and_deleted_are_in_the_audit_log(admin_client: Client, audited: Any) -> None:
    groups = [Group.objects.create(name=name) for name in ("a", "b")]
    chosen = {"action": "delete_selected", "_selected_action": [each.pk for each in groups], "post": "yes"}
    assert admin_client.post("/admin/auth/group/", chosen).status_code == 302
    (line,) = audited()
    assert (line["action"], sorted(line["names"])) == ("admin.delete", ["a", "b"])


def test_a_webhook_that_is_enabled_again_is_in_the_audit_log_without_its_url(
    admin_client: Client, audited: Any
) -> None:
    url = "https://example.com/hook?key=secret"
    disabled = DisabledWebhook.objects.create(url=url, owner=Owner.objects.get_or_create(name="alice")[0])
    admin_client.post(f"/admin/webhooks/disabledwebhook/{disabled.pk}/delete/", {"post": "yes"})
    (line,) = audited()
    assert (line["action"], line["model"], line["ids"]) == ("admin.delete", "webhooks.disabledwebhook", [disabled.pk])
    assert "secret" not in str(line)


def test_what_an_action_records_itself_is_recorded_once(admin_client: Client, audited: Any) -> None:
    owner, _ = Owner.objects.get_or_create(name="alice")
    admin_client.post("/admin/accounts/owner/add/", {"name": "bob", "is_active": "on"})
    admin_client.post("/admin/accounts/apitoken/add/", {"owner": owner.pk, "name": "ci", "scopes": ["read"]})
    admin_client.post("/admin/webhooks/webhooksecret/add/", {"owner": owner.pk})
    row = Inference.objects.create(owner=owner, model_type="resnet", image="inferences/a.jpg")
    admin_client.post(f"/admin/classification/inference/{row.pk}/delete/", {"post": "yes"})
    actions = [line["action"] for line in audited()]
    assert actions == ["owner.create", "token.create", "webhook_secret.rotate", "inference.delete"]


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_a_made_up_choice_of_rows_is_no_error_of_the_service(admin_client: Client, model: Any) -> None:
    page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    admin_client.raise_request_exception = False
    actions = ("delete_selected", *map(str, admin.site._registry[model].actions or ()))
    for action, key in itertools.product(actions, ("x", "", "1\0", "9" * 30, "-1")):
        response = admin_client.post(page, {"action": action, "_selected_action": [key]})
        assert response.status_code in {200, 302, 400}, (action, key)


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_a_made_up_filter_is_no_error_of_the_service(admin_client: Client, model: Any) -> None:
    page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    admin_client.raise_request_exception = False
    filters = [each for each in admin.site._registry[model].list_filter if isinstance(each, str)]
    for name in (
        "q",
        "o",
        "p",
        "id",
        "id__in",
        "created_at__year",
        "model_type",
        *filters,
        *(f"{each}__exact" for each in filters),
    ):
        for value in ("\0", "9" * 30, "-1", "x", ""):
            assert admin_client.get(page, {name: value}).status_code in {200, 302, 400}, (name, value)
