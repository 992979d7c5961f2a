from django.contrib import admin
from django.db.models import QuerySet, URLField
from django.db.models.functions import Now
from django.http import HttpRequest

from moon_vision_challenge.webhooks.models import DisabledWebhook, WebhookDelivery


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(admin.ModelAdmin[WebhookDelivery]):
    list_display = ["id", "subject_id", "event", "url", "status", "attempts", "created_at", "next_attempt_at"]
    list_filter = ["status", "event", "created_at"]
    search_fields = ["=subject_id", "url"]
    readonly_fields = ["subject_id", "url", "event", "body", "attempts", "log", "created_at"]
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
    list_display = ["url", "disabled_at"]
    search_fields = ["url"]
