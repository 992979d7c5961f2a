from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, URLField
from django.db.models.functions import Now
from django.http import HttpRequest

from moon_vision_challenge.accounts.admin import SecretOnceMixin, actor_of
from moon_vision_challenge.webhooks import signing
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery, WebhookSecret


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(admin.ModelAdmin[WebhookDelivery]):
    list_display = ["id", "owner", "subject_id", "event", "url", "status", "attempts", "created_at", "next_attempt_at"]
    list_filter = ["status", "event", "created_at"]
    search_fields = ["=subject_id", "url"]
    list_select_related = ["owner"]
    readonly_fields = ["owner", "subject_id", "url", "event", "body", "attempts", "log", "created_at"]
    ordering = ["-created_at"]
    show_full_result_count = False
    actions = ["send_again"]

    @admin.action(description="Send again")
    def send_again(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """Send the same event with the same id, so that a receiver can recognise it."""
        count = deliveries.update(status=WebhookDelivery.Status.PENDING, attempts=0, next_attempt_at=Now())
        self.message_user(request, f"The next sweep sends {count} deliveries.")


@admin.register(DisabledWebhook)
class DisabledWebhookAdmin(admin.ModelAdmin[DisabledWebhook]):
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    list_display = ["url", "owner", "disabled_at"]
    list_select_related = ["owner"]
    search_fields = ["url"]


@admin.register(WebhookSecret)
class WebhookSecretAdmin(SecretOnceMixin, admin.ModelAdmin[WebhookSecret]):
    """Adding a secret rotates: the owner's earlier secret stays valid for a day."""

    explanation = "The secret that signs webhooks from now on. The earlier one is valid for another day."
    fields = ["owner"]
    list_display = ["id", "owner", "created_at", "expires_at"]
    list_select_related = ["owner"]

    def has_change_permission(self, request: HttpRequest, obj: WebhookSecret | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: WebhookSecret | None = None) -> bool:  # noqa: ARG002
        return False

    def save_model(self, request: HttpRequest, obj: WebhookSecret, form: Any, change: bool) -> None:  # noqa: ARG002
        new = signing.rotate_secret(obj.owner, actor=actor_of(request))
        obj.pk = new.pk
        request.__dict__["new_secret"] = new.secret
