import io
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from moon_vision_challenge.accounts import secret
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.rates import Rate
from moon_vision_challenge.accounts.token_cache import TokenCache
from moon_vision_challenge.webhooks.models import WebhookSecret

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """Run a management command, and return its standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def actions(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]


def test_a_new_token_is_alone_on_standard_output_and_works() -> None:
    out, err = run(
        "create_api_token", "ci", "--owner", "alice", "--scopes", "read", "--expires", "90d", "--rate", "5/s"
    )
    assert secret.is_well_formed(out.strip())
    assert out.count("\n") == 1
    assert "alice" in err
    caller = TokenCache().find_caller(out.strip())
    assert (caller.token_name, list(caller.scopes), caller.rates.token) == ("ci", ["read"], (Rate(5, 1),))
    token = ApiToken.objects.get()
    assert token.owner.name == "alice"
    assert token.expires_at
    assert abs(token.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=5)


def test_a_token_without_options_classifies_and_reads_for_an_owner_of_its_name() -> None:
    run("create_api_token", "phone")
    token = ApiToken.objects.get()
    assert (token.owner.name, token.scopes, token.expires_at) == ("phone", ["classify", "read"], None)


def test_an_owner_has_several_tokens_and_a_name_is_free_again_after_a_revocation() -> None:
    for name in ("a", "b"):
        run("create_api_token", name, "--owner", "alice")
    run("revoke_api_token", "a")
    run("create_api_token", "a", "--owner", "alice")
    assert Owner.objects.get(name="alice").tokens.count() == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["twice", "--owner", "alice"], "already has a token with this name"),
        (["x", "--scopes", "all"], "Unknown scopes: 'all'"),
        (["x", "--scopes", ""], "Unknown scopes"),
        (["x", "--expires", "soon"], "is not a time"),
        (["x", "--rate", "fast"], "is not a rate"),
        (["x" * 101], "at most 100 characters"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], sentence: str) -> None:
    run("create_api_token", "twice", "--owner", "alice")
    with pytest.raises(CommandError, match=sentence):
        run("create_api_token", *arguments)
    assert ApiToken.objects.count() == 1
    assert not Owner.objects.filter(name__startswith="x").exists()


def test_the_list_shows_each_token_but_no_secret() -> None:
    text = run("create_api_token", "ci", "--owner", "alice")[0].strip()
    run("create_api_token", "old", "--owner", "bob")
    run("revoke_api_token", "old")
    out, _ = run("list_api_tokens")
    assert text not in out
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [(row[1], row[2], row[5]) for row in rows] == [("alice", "ci", "valid"), ("bob", "old", "revoked")]
    assert "bob" not in run("list_api_tokens", "--owner", "alice")[0]


def test_a_name_that_two_owners_use_needs_the_owner() -> None:
    for owner in ("alice", "bob"):
        run("create_api_token", "ci", "--owner", owner)
    with pytest.raises(CommandError, match="More than one"):
        run("revoke_api_token", "ci")
    run("revoke_api_token", "ci", "--owner", "bob")
    assert [token.owner.name for token in ApiToken.objects.filter(revoked_at=None)] == ["alice"]
    run("revoke_api_token", str(ApiToken.objects.get(revoked_at=None).pk))
    with pytest.raises(CommandError, match="no valid token"):
        run("revoke_api_token", "ci")


def test_a_webhook_secret_is_alone_on_standard_output() -> None:
    Owner.objects.create(name="alice")
    out, _ = run("rotate_webhook_secret", "alice")
    assert out.strip() == WebhookSecret.objects.get().secret
    with pytest.raises(CommandError, match=r"no owner 'nobody'. Known owners: alice, anonymous"):
        run("rotate_webhook_secret", "nobody")


def test_the_audit_log_has_a_line_for_each_action_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    name = 'ci"\n2026-01-01 INFO audit forged'
    secrets = [run("create_api_token", name, "--owner", "alice")[0], run("rotate_webhook_secret", "alice")[0]]
    run("revoke_api_token", name)
    assert [each["action"] for each in actions(caplog)] == ["token.create", "webhook_secret.rotate", "token.revoke"]
    assert all(each["actor"].startswith("command") and each["owner"] == "alice" for each in actions(caplog))
    assert not [text for text in secrets if text.strip() in caplog.text]
    assert all("\n" not in record.getMessage() for record in caplog.records)
