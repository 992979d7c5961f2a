"""Creates and revokes tokens."""

from collections.abc import Collection
from datetime import datetime

from django.db.models.functions import Now

from moon_vision_challenge.accounts import audit, secret
from moon_vision_challenge.accounts.caller import Caller, Scope
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.token_cache import tokens

DEFAULT_SCOPES = (Scope.CLASSIFY, Scope.READ)


def create_token(
    *,
    owner: Owner,
    name: str,
    actor: str | Caller,
    scopes: Collection[str] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    rate: str = "",
) -> tuple[ApiToken, str]:
    """Create a token for an owner. Its `rate` replaces API_TOKEN_RATE.

    Returns:
        The row, and the secret, which cannot be read again.

    Raises:
        ValidationError: the owner has a token with this name, a scope is unknown, the time has passed, or the rate
            cannot be read.
    """
    text = secret.new_token()
    token = ApiToken(
        owner=owner,
        name=name,
        scopes=[scope.value for scope in Scope if scope in set(scopes)],
        expires_at=expires_at,
        rate=rate,
        digest=secret.digest(text),
        prefix=text[: secret.SHOWN_CHARS],
    )
    token.full_clean()
    token.save(force_insert=True)
    audit.record(
        "token.create",
        actor=actor,
        token_id=token.pk,
        token_name=name,
        owner=owner.name,
        scopes=token.scopes,
        expires_at=expires_at,
        rate=rate,
    )
    return token, text


def revoke_token(token: ApiToken, *, actor: str | Caller) -> bool:
    """Revoke a token. Other processes refuse it after API_TOKEN_CACHE_S. Returns False if it was revoked before."""
    is_revoked = bool(ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=Now()))
    tokens.forget(token.digest)
    if is_revoked:
        audit.record("token.revoke", actor=actor, token_id=token.pk, token_name=token.name, owner=token.owner.name)
    return is_revoked
