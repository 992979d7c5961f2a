import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.rates import Rate
from moon_vision_challenge.accounts.tests.conftest import ClientOf, NewToken
from moon_vision_challenge.webhooks.models import WebhookSecret

pytestmark = pytest.mark.django_db

TOKENS = "/admin/accounts/apitoken/"


def add(admin_client: Client, **fields: Any) -> Any:
    owner, _ = Owner.objects.get_or_create(name="alice")
    return admin_client.post(f"{TOKENS}add/", {"owner": owner.pk, "name": "ci", "scopes": ["read"], **fields})


def test_a_new_token_is_shown_once_and_works(admin_client: Client, client_of: ClientOf) -> None:
    response = add(admin_client)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    (text,) = re.findall(r'<code id="secret">(\w+)</code>', response.content.decode())
    assert client_of(text).get("/api/v1/history/").status_code == 200
    token = ApiToken.objects.get()
    for page in (TOKENS, f"{TOKENS}{token.pk}/change/", f"{TOKENS}{token.pk}/history/"):
        response = admin_client.get(page)
        assert response.status_code == 200
        assert text not in response.content.decode()
    assert text not in str(admin_client.cookies)


def test_a_new_token_keeps_its_rate(admin_client: Client) -> None:
    add(admin_client, rate="5/s")
    assert ApiToken.objects.get().rates.token == (Rate(5, 1),)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"rate": "fast"}, "rate"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["all"]}, "scopes"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}, "expires_at"),
        ({"name": "twice"}, "name"),
    ],
)
def test_a_wrong_field_is_told(admin_client: Client, new_token: NewToken, fields: dict[str, Any], wrong: str) -> None:
    new_token("alice", "twice")
    response = add(admin_client, **fields)
    assert list(response.context["adminform"].form.errors) == [wrong]
    assert ApiToken.objects.count() == 1


def test_revoke_takes_effect(admin_client: Client, new_token: NewToken, client_of: ClientOf) -> None:
    token, text = new_token()
    assert client_of(text).get("/api/v1/history/").status_code == 200
    admin_client.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})
    assert client_of(text).get("/api/v1/history/").status_code == 401


def test_an_inactive_owner_is_refused_at_once(admin_client: Client, new_token: NewToken, client_of: ClientOf) -> None:
    token, text = new_token()
    assert client_of(text).get("/api/v1/history/").status_code == 200
    page = f"/admin/accounts/owner/{token.owner_id}/change/"
    assert admin_client.post(page, {"name": "alice"}).status_code == 302
    assert client_of(text).get("/api/v1/history/").status_code == 401


def test_tokens_are_neither_changed_nor_deleted(admin_client: Client, new_token: NewToken) -> None:
    token, _ = new_token()
    assert admin_client.post(f"{TOKENS}{token.pk}/change/", {"name": "other"}).status_code == 403
    assert admin_client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"/admin/accounts/owner/{token.owner_id}/delete/", {"post": "yes"}).status_code == 403


def test_staff_without_the_permission_make_no_token(client: Client) -> None:
    staff = Client()
    staff.force_login(User.objects.create(username="staff", is_staff=True))
    assert add(staff).status_code == 403
    assert not ApiToken.objects.exists()


def test_a_webhook_secret_is_added_for_an_owner_and_shown_once(admin_client: Client) -> None:
    response = admin_client.post("/admin/webhooks/webhooksecret/add/", {"owner": ANONYMOUS_OWNER_ID})
    secret = WebhookSecret.objects.get().secret
    assert secret in response.content.decode()
    assert secret not in admin_client.get("/admin/webhooks/webhooksecret/").content.decode()


@pytest.mark.parametrize(
    "page", ["accounts/owner/", "accounts/apitoken/", "webhooks/webhooksecret/", "webhooks/disabledwebhook/"]
)
def test_the_lists_are_shown(admin_client: Client, new_token: NewToken, page: str) -> None:
    new_token()
    assert admin_client.get(f"/admin/{page}").status_code == 200
