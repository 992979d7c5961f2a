from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet, URLField
from django.db.models.functions import Now
from django.http import HttpRequest

from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.models import DisabledWebhook, Inference, WebhookDelivery


class InferenceForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    model_type = forms.ChoiceField()
    webhook_url = forms.URLField(assume_scheme="https", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What is registered now; and the row's own type, should its app be gone.
        model_types = dict.fromkeys([*dispatcher, *filter(None, [self.instance.model_type])])
        self.fields["model_type"].choices = [(name, name) for name in model_types]  # type: ignore[attr-defined]


@admin.register(Inference)
class InferenceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    form = InferenceForm
    list_display = ["id", "model_type", "status", "label", "attempts", "created_at", "finished_at"]
    list_filter = ["status", "model_type", "created_at"]
    search_fields = ["=id", "label", "image"]
    readonly_fields = ["model_version", "predictions", "attempts", "created_at", "started_at", "finished_at"]
    date_hierarchy = "created_at"
    ordering = ["-id"]
    show_full_result_count = False  # counting a million rows at each page would be most of its time


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["id", "inference_id", "event", "url", "status", "attempts", "created_at", "next_attempt_at"]
    list_filter = ["status", "event", "created_at"]
    search_fields = ["=inference__id", "url"]
    readonly_fields = ["inference", "url", "event", "body", "attempts", "log", "created_at"]
    ordering = ["-created_at"]
    show_full_result_count = False
    actions = ["send_again"]

    @admin.action(description="Send again")
    def send_again(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        """The same event under the same id: a receiver that has seen it can tell."""
        count = deliveries.update(status=WebhookDelivery.STATUS.PENDING, attempts=0, next_attempt_at=Now())
        self.message_user(request, f"{count} deliveries will be sent with the next sweep.")


@admin.register(DisabledWebhook)
class DisabledWebhookAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    list_display = ["url", "disabled_at"]
    search_fields = ["url"]
