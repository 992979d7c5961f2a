from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Value
from django.db.models.functions import Now
from django.utils import timezone

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID, Scope
from moon_vision_challenge.accounts.rates import CallerRates, parse_rates


def check_rates(text: str) -> None:
    """Validate the text of a rate."""
    try:
        parse_rates(text)
    except ValueError as error:
        raise ValidationError(f"{error}") from error


def rate_field(help_text: str) -> "models.CharField[str, str]":
    return models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        validators=[check_rates],
        help_text=f"{help_text} Such as 32/s or 100/10s,5000/h. Empty: as in the settings.",
    )


class Owner(models.Model):
    """A person or program that owns rows. All callers without a token share one owner."""

    name = models.CharField(max_length=100, unique=True)
    # Null for a program
    user = models.OneToOneField(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    # Tokens of an inactive owner are refused
    is_active = models.BooleanField(default=True)
    rate = rate_field("Requests of all tokens together.")
    images_rate = rate_field("Images that are stored.")
    bytes_rate = rate_field("Bytes that are stored.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name

    @property
    def is_anonymous(self) -> bool:
        return self.pk == ANONYMOUS_OWNER_ID


OWNER_OPTIONS: dict[str, Any] = {
    # Each INSERT would lock the owner's row, and adding the constraint would read the whole table.
    "db_constraint": False,
    "default": ANONYMOUS_OWNER_ID,
    # Old rows, and rows that an older release writes, get the anonymous owner without a rewrite of the table.
    "db_default": Value(ANONYMOUS_OWNER_ID),
    "related_name": "+",
}
"""The options of a row's owner: `owner = models.ForeignKey(Owner, on_delete=..., **OWNER_OPTIONS)`."""


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> "ApiTokenQuerySet":
        """Return the tokens that currently identify their owner."""
        return self.filter(
            models.Q(owner__user__isnull=True) | models.Q(owner__user__is_active=True),
            models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=Now()),
            revoked_at__isnull=True,
            owner__is_active=True,
        )


def check_scopes(scopes: object) -> None:
    """Validate the scopes of a token."""
    known = [scope.value for scope in Scope]
    if not isinstance(scopes, list) or not scopes or not set(scopes) <= set(known):
        raise ValidationError(f"Choose at least one of these scopes: {', '.join(known)}.")


class ApiToken(models.Model):
    """A secret that identifies its owner. Only its SHA-256 is stored, which is enough for 256 random bits.

    https://pages.nist.gov/800-63-3/sp800-63b.html#lookupsecretverifiers requires a slow hash only below 112 bits.
    """

    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)  # the secret's first characters, to recognize it
    scopes = models.JSONField(validators=[check_scopes])
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    rate = rate_field("Requests of this token, v0 and v1 each.")
    # Approximate: written at most every five minutes
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=models.Q(revoked_at__isnull=True),
                name="token_name_is_unique",
                violation_error_message="This owner already has a token with this name.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def rates(self) -> CallerRates:
        owner = self.owner
        return CallerRates(*map(parse_rates, (self.rate, owner.rate, owner.images_rate, owner.bytes_rate)))

    @property
    def state(self) -> str:
        """`valid`, `revoked`, or `expired`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "valid"
