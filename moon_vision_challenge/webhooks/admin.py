from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, URLField
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.accounts.admin import SecretOnceMixin
from moon_vision_challenge.accounts.service_admin import ServiceModelAdmin, actor_of
from moon_vision_challenge.web.admin_cells import state
from moon_vision_challenge.web.large_tables import LargeTableAdmin
from moon_vision_challenge.webhooks import outbox, signing
from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery, WebhookSecret

_COLORS = {
    WebhookDelivery.Status.PENDING: "waiting",
    WebhookDelivery.Status.DELIVERED: "good",
    WebhookDelivery.Status.FAIL: "bad",
}


_LOG = "<table><thead><tr><th>At</th><th>Status</th><th>Took</th><th>Error</th></tr></thead><tbody>{}</tbody></table>"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LargeTableAdmin):
    list_display = [
        *("id", "owner", "subject_id", "event", "url", "state", "attempts", "last_answer"),
        *("created_at", "next_attempt_at"),
    ]
    list_filter = ["status", "owner"]
    list_select_related = ["owner"]
    key_fields = ("subject_id",)
    text_fields = ("url", "event")
    search_help_text = (
        "The id of an inference, or a part of a URL or an event, in the newest 100,000 rows of this list."
    )
    fields = [
        *("owner", "subject_id", "url", "event", "status", "attempts"),
        *("attempts_made", "body", "created_at", "next_attempt_at"),
    ]
    readonly_fields = ["owner", "subject_id", "url", "event", "body", "attempts", "attempts_made", "created_at"]
    actions = ["send_again"]

    class Media:
        css = {"all": ["admin_site/operations.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Forbid it, because only an event creates a delivery."""
        return False

    @admin.display(description="status", ordering="status")
    def state(self, delivery: WebhookDelivery) -> SafeString:
        return state(delivery.status, _COLORS.get(WebhookDelivery.Status(delivery.status), "idle"))

    @admin.display(description="last answer")
    def last_answer(self, delivery: WebhookDelivery) -> str:
        """Return the status of the last response, or why there was none."""
        if not delivery.log:
            return "-"
        return str(delivery.log[-1].get("status") or delivery.log[-1].get("error") or "-")

    @admin.display(description="log")
    def attempts_made(self, delivery: WebhookDelivery) -> SafeString | str:
        if not delivery.log:
            return "No attempt yet."
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{} ms</td><td>{}</td></tr>",
            ((each.get("at"), each.get("status") or "-", each.get("ms"), each.get("error")) for each in delivery.log),
        )
        return format_html(_LOG, rows)

    @admin.action(description="Send again", permissions=["change"])
    def send_again(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """Send the same event with the same id, so that a receiver can recognize it."""
        ids = list(deliveries.values_list("pk", flat=True))
        count = outbox.send_again(ids)
        audit.record("webhook.send_again", actor=actor_of(request), deliveries=ids)
        self.message_user(request, f"{count} deliveries are sent again.")


@admin.register(DisabledWebhook)
class DisabledWebhookAdmin(ServiceModelAdmin):
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    list_display = ["url", "owner", "disabled_at"]
    list_select_related = ["owner"]
    search_fields = ["url"]


@admin.register(WebhookSecret)
class WebhookSecretAdmin(SecretOnceMixin, ServiceModelAdmin):
    """Adding a secret is a rotation: the owner's earlier secret stays valid for a day."""

    audited_elsewhere = ("create",)
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
