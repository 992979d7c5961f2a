"""Shapes of requests and responses."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.reverse import reverse

from moon_vision_challenge.classification.api.query import VersionQuerySerializer
from moon_vision_challenge.classification.api.serializers import (
    InferenceErrorSerializer,
    ModelTypeField,
    PredictionSerializer,
    WebhookURLField,
)
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.results import STORED_PREDICTIONS
from moon_vision_challenge.jobs import progress
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.services import Options


class JobOptionsSerializer(VersionQuerySerializer):
    """How to classify all images of a job."""

    model_type = ModelTypeField()
    top_k = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=STORED_PREDICTIONS,
        default=1,
        help_text="The number of most probable classes in the results.",
    )
    webhook_url = WebhookURLField()

    def options(self) -> Options:
        given = self.validated_data
        version = VersionChoice(given.get("version"), given.get("version_label", ""))
        return Options(given["model_type"], version, given["top_k"], given.get("webhook_url", ""))


class JobUploadSerializer(JobOptionsSerializer):
    """The form: images, or one archive."""

    image = serializers.ListField(child=serializers.FileField(), required=False, help_text="Repeat it for each image.")
    archive = serializers.FileField(required=False, help_text="One zip, tar, or tar.gz file instead of `image`.")


class CountsSerializer(serializers.Serializer[Any]):
    pending = serializers.IntegerField()
    processing = serializers.IntegerField()
    done = serializers.IntegerField()
    fail = serializers.IntegerField()  # type: ignore[assignment]  # DRF moves it out of the class
    canceled = serializers.IntegerField()


class ItemErrorSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    name = serializers.CharField()
    error = InferenceErrorSerializer(allow_null=True)


class JobSerializer(serializers.Serializer[Any]):
    """A job without its progress, as lists show it."""

    id = serializers.IntegerField()
    model_type = serializers.CharField()
    status = serializers.ChoiceField(choices=Job.STATUS.choices)
    error = InferenceErrorSerializer(allow_null=True)
    total = serializers.IntegerField(help_text="The number of files in the request.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobProgressSerializer(JobSerializer):
    """A job and its progress."""

    counts = CountsSerializer()
    images_per_s = serializers.FloatField(
        allow_null=True, help_text="The mean rate since the first image was unpacked."
    )
    expected_end = serializers.DateTimeField(allow_null=True, help_text="When the job ends at this rate.")
    first_errors = ItemErrorSerializer(many=True)
    results = serializers.URLField(help_text="Pages of results, in JSON.")
    results_jsonl = serializers.URLField()
    results_csv = serializers.URLField()

    def to_representation(self, instance: Job) -> dict[str, Any]:
        request: Request = self.context["request"]
        seen = progress.progress_of(instance)
        time = serializers.DateTimeField()
        links = {
            f"results{suffix}": reverse(f"job-results{suffix.replace('_', '-')}", [instance.pk], request=request)
            for suffix in ("", "_jsonl", "_csv")
        }
        return {
            **JobSerializer(instance).data,
            "counts": seen.counts,
            "images_per_s": seen.images_per_s,
            "expected_end": seen.expected_end and time.to_representation(seen.expected_end),
            "first_errors": seen.first_errors,
            **links,
        }


class ResultSerializer(serializers.Serializer[Any]):
    """One image of a job."""

    index = serializers.IntegerField(source="position", help_text="Its position in the request, from 0.")
    name = serializers.CharField(help_text="Its name in the request.")
    id = serializers.IntegerField(help_text="Its inference.")
    status = serializers.ChoiceField(choices=Inference.STATUS.choices)
    label: Any = serializers.CharField()
    score = serializers.FloatField(allow_null=True)
    predictions = PredictionSerializer(many=True, help_text="The `top_k` most probable classes, best first.")
    error = InferenceErrorSerializer(allow_null=True)


class ResultPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    results = ResultSerializer(many=True)


class ResultQuerySerializer(serializers.Serializer[Any]):
    """Filters of the results, and the page size."""

    default_page_size: ClassVar[int] = 100

    status = serializers.ChoiceField(choices=Inference.STATUS.choices, required=False)
    after = serializers.IntegerField(
        min_value=-1, max_value=2**31 - 1, required=False, default=-1, help_text="Continue after this `index`."
    )
    page_size = serializers.IntegerField(
        min_value=1, max_value=1000, required=False, default=default_page_size, help_text="Default: 100."
    )


class JobListQuerySerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=Job.STATUS.choices, required=False)
    before = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, required=False, help_text="Continue with the jobs before this `id`."
    )
    page_size = serializers.IntegerField(
        min_value=1, max_value=200, required=False, default=50, help_text="Default: 50."
    )


class JobPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    results = JobSerializer(many=True)
