from typing import Any

from django import forms
from django.contrib import admin

from moon_vision_challenge.classification.dispatchers import dispatcher
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
    list_display = ["id", "model_type", "status", "label", "attempts", "created_at", "finished_at"]
    list_filter = ["status", "model_type", "created_at"]
    search_fields = ["=id", "label", "image"]
    readonly_fields = ["model_version", "predictions", "attempts", "created_at", "started_at", "finished_at"]
    date_hierarchy = "created_at"
    ordering = ["-id"]
    show_full_result_count = False  # counting a million rows would take most of each page's time
