from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from moon_vision_challenge.accounts.admin import actor_of
from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.classification.models import Inference


class InferenceForm(forms.ModelForm[Inference]):
    model_type = forms.ChoiceField()
    webhook_url = forms.URLField(assume_scheme="https", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The registered types, and the row's type in case its app was removed.
        model_types = dict.fromkeys([*dispatcher, *filter(None, [self.instance.model_type])])
        self.fields["model_type"].choices = [(name, name) for name in model_types]  # type: ignore[attr-defined]  # it is a ChoiceField


@admin.register(Inference)
class InferenceAdmin(admin.ModelAdmin[Inference]):
    form = InferenceForm
    list_display = ["id", "owner", "model_type", "status", "label", "attempts", "created_at", "finished_at"]
    list_filter = ["status", "owner", "model_type", "created_at"]
    list_select_related = ["owner"]
    search_fields = ["=id", "label", "image"]
    readonly_fields = ["model_version", "predictions", "attempts", "created_at", "started_at", "finished_at"]
    ordering = ["-id"]
    show_full_result_count = False  # counting a million rows would take most of each page's time

    def has_delete_permission(self, request: HttpRequest, obj: Inference | None = None) -> bool:
        is_in_progress = obj is not None and obj.status == Inference.STATUS.PROCESSING
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
        """Delete what can be deleted, and say what cannot."""
        for inference in queryset:
            try:
                self.delete_model(request, inference)
            except ClassificationError as error:
                self.message_user(request, f"{inference}: {error.detail}", messages.ERROR)
