from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from moon_vision_challenge.accounts.service_admin import actor_of
from moon_vision_challenge.classification import operations, services, thumbnails
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.classification.hints import hint_for
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.web.admin_cells import seconds, state
from moon_vision_challenge.web.large_tables import LargeTableAdmin

STATUS = Inference.STATUS

_COLORS = {
    STATUS.PENDING: "waiting",
    STATUS.PROCESSING: "active",
    STATUS.DONE: "good",
    STATUS.FAIL: "bad",
    STATUS.CANCELED: "idle",
}
_THUMBNAIL_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class InferenceForm(forms.ModelForm[Inference]):
    model_type = forms.ChoiceField()
    webhook_url = forms.URLField(assume_scheme="https", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The registered types, and the row's own type in case its app was removed.
        model_types = dict.fromkeys([*dispatcher, *filter(None, [self.instance.model_type])])
        self.fields["model_type"].choices = [(name, name) for name in model_types]  # type: ignore[attr-defined]  # it is a ChoiceField


class ModelTypeFilter(admin.SimpleListFilter):
    """Offers the registered types. To find the types in use, Django would read all rows."""

    title = "model type"
    parameter_name = "model_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        return [(name, name) for name in dispatcher]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Inference]) -> QuerySet[Inference]:  # noqa: ARG002
        return queryset.filter(model_type=self.value()) if self.value() else queryset


@admin.register(Inference)
class InferenceAdmin(LargeTableAdmin):
    audited_elsewhere = ("delete",)
    form = InferenceForm
    list_display = [
        *("preview", "id", "state", "result", "answered_by", "wait", "duration"),
        *("owner", "attempts", "created_at"),
    ]
    list_display_links = ["preview", "id"]
    list_filter = ["status", ModelTypeFilter, "owner"]
    list_select_related = ["owner"]
    text_fields = ("label", "image")
    search_help_text = "An id, or a part of a label or of an image's name, in the newest 100,000 rows of this list."
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *("preview", "state", "problem_and_hint", "label", "predictions", "model_version", "wait"),
                    *("duration", "attempts", "created_at", "started_at", "finished_at"),
                ]
            },
        ),
        (
            "Stored values",
            {
                "fields": [
                    *("owner", "model_type", "image", "version", "version_label", "status", "error"),
                    *("available_at", "webhook_url"),
                ]
            },
        ),
    ]
    readonly_fields = [
        *("preview", "state", "problem_and_hint", "wait", "duration", "model_version", "predictions"),
        *("attempts", "created_at", "started_at", "finished_at"),
    ]
    actions = ["retry", "cancel"]

    class Media:
        css = {"all": ["admin_site/operations.css"]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.thumbnail, cacheable=True)
        return [
            path("<int:inference_id>/thumbnail/", view, name="classification_inference_thumbnail"),
            *super().get_urls(),
        ]

    def thumbnail(self, request: HttpRequest, inference_id: int) -> HttpResponse:
        """Return a small re-encoded JPEG, so that no byte of the upload itself reaches the browser."""
        inference = get_object_or_404(Inference, pk=inference_id)
        if not self.has_view_permission(request, inference):
            raise PermissionDenied
        try:
            jpeg = thumbnails.thumbnail(inference)
        except ClassificationError:
            return HttpResponse(status=503, headers={"Retry-After": "5", "Cache-Control": "no-store"})
        if jpeg is None:
            return HttpResponseRedirect(static("admin_site/no-preview.svg"))
        return HttpResponse(jpeg, content_type="image/jpeg", headers=_THUMBNAIL_HEADERS)

    @admin.display(description="image")
    def preview(self, inference: Inference) -> SafeString:
        address = reverse("admin:classification_inference_thumbnail", args=[inference.pk])
        return format_html('<img class="preview" src="{}" alt="" width="48" height="48" loading="lazy">', address)

    @admin.display(description="status", ordering="status")
    def state(self, inference: Inference) -> SafeString:
        return state(inference.status, _COLORS.get(STATUS(inference.status), "idle"))

    @admin.display(description="model", ordering="model_type")
    def answered_by(self, inference: Inference) -> str:
        """Return the model type, and the version that answered, or else the requested version."""
        version = inference.model_version or inference.version or inference.version_label
        return f"{inference.model_type} {version or ''}".rstrip()

    @admin.display(description="wait")
    def wait(self, inference: Inference) -> str:
        """Return the time from the creation of the row to the start of its last attempt."""
        end = inference.started_at or inference.finished_at or timezone.now()
        return seconds(inference.created_at, end)

    @admin.display(description="duration")
    def duration(self, inference: Inference) -> str:
        """Return the duration of the last attempt."""
        if inference.started_at is None:
            return "-"
        return seconds(inference.started_at, inference.finished_at or timezone.now())

    @admin.display(description="label or error")
    def result(self, inference: Inference) -> SafeString | str:
        if not inference.error:
            return inference.label
        return format_html('<span title="{}">{}</span>', hint_for(inference.error), inference.error.get("code", "?"))

    @admin.display(description="error, and what to do")
    def problem_and_hint(self, inference: Inference) -> SafeString | str:
        if not inference.error:
            return "-"
        detail = inference.error.get("detail", "")
        return format_html(
            "{}: {}<br><strong>{}</strong>", inference.error.get("code", "?"), detail, hint_for(inference.error)
        )

    @admin.action(description="Retry those that failed", permissions=["change"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Inference]) -> None:
        self._apply(request, chosen, operations.retry, "Retried")

    @admin.action(description="Cancel pending inferences", permissions=["change"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Inference]) -> None:
        self._apply(request, chosen, operations.cancel, "Canceled")

    def _apply(
        self, request: HttpRequest, chosen: QuerySet[Inference], operation: operations.Operation, result: str = ""
    ) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        outcome = operations.apply(operation, ids, actor=actor_of(request))
        if result:
            self.message_user(request, f"{result} {outcome.done} of {len(ids)} inferences.")
        for reason, count in outcome.refused.items():
            self.message_user(request, f"{count} unchanged: {reason}", messages.ERROR)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse to add inferences, because images arrive through the API, which checks them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Inference | None = None) -> bool:
        is_in_progress = obj is not None and obj.status == STATUS.PROCESSING
        return not is_in_progress and super().has_delete_permission(request, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except ClassificationError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(request.path)

    def delete_model(self, request: HttpRequest, obj: Inference) -> None:
        services.delete_inference(inference_id=obj.pk, actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Inference]) -> None:
        """Delete rows with their files, and report any that cannot be deleted. Django reports how many were chosen."""
        self._apply(request, queryset, operations.delete)
