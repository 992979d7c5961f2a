"""The fields of requests and responses."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from django.conf import settings
from django.utils.datastructures import MultiValueDict
from rest_framework import serializers

from moon_vision_challenge.accounts.caller import caller_of
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import InvalidImageError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.remote_image import fetch_image
from moon_vision_challenge.web.base64_text import decode_base64
from moon_vision_challenge.web.errors import RequestTooLargeError, echo
from moon_vision_challenge.web.throttling.middleware import charge_fetch
from moon_vision_challenge.webhooks.target import UnacceptableWebhookURLError, check_url

_MAX_CHOICES = 20
_MAX_NAMES = 5
_MAX_NAME_BYTES = 400  # of a model_type, in any encoding
_DATA_URI = re.compile(r"data:.{0,1000}?;\s*base64\s*,", re.IGNORECASE | re.DOTALL)  # RFC 2397
_NOT_AN_OBJECT: dict[str, Any] = {
    "invalid": "Send a JSON object with the fields of this request. This is a {datatype}."
}


class _Missing(NamedTuple):
    """A placeholder for the value of a field that is missing from the request."""

    request_fields: Any


class SingleField(serializers.Field[Any, Any, Any, Any]):
    """A field that must not be repeated in a request."""

    def get_value(self, dictionary: Any) -> Any:
        name = self.field_name or ""
        if isinstance(dictionary, MultiValueDict) and len(values := dictionary.getlist(name)) > 1:
            sentence = f"Send this field once. The request has it {len(values)} times."
            raise serializers.ValidationError({name: [sentence]}, code="repeated")
        value = super().get_value(dictionary)
        return _Missing(dictionary) if value is serializers.empty else value

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """If this field is missing, list the request's unknown fields, because one may be a misspelling of it."""
        if not isinstance(data, _Missing):
            return super().run_validation(data)
        if self.required and (others := self._unknown_names(data.request_fields)):
            detail = f"{self.error_messages['required']} Fields of the request that are not known: {others}."
            raise serializers.ValidationError(detail, code="required")
        return super().run_validation()

    def _unknown_names(self, request_fields: Any) -> str:
        known = getattr(self.parent, "fields", ())
        names = [echo(name) for name in request_fields if name not in known]
        return ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")


class ImageUploadField(SingleField, serializers.FileField):
    """A file in a multipart request, or base64 text or a data URI in JSON."""

    default_error_messages = {
        "not_base64": "Send a file, base64 text, or a data URI with base64 text.",
        "invalid": "Send a file, base64 text, or a data URI with base64 text.",
        "null": "Send a file, base64 text, or a data URI with base64 text.",
    }

    def to_internal_value(self, data: Any) -> images.EncodedImage:
        match data:
            case bytes():
                content = data
            case str():
                content = self._decode_base64(data)
            case _:
                self.fail("invalid")
        if not content:
            self.fail("empty")
        if len(content) > settings.INFERENCE_MAX_IMAGE_BYTES:
            raise RequestTooLargeError
        try:
            return images.open_image(content)
        except InvalidImageError as error:
            raise serializers.ValidationError(error.detail, code=error.code) from error

    def _decode_base64(self, text: str) -> bytes:
        text = text.lstrip()
        header = _DATA_URI.match(text) if text[:5].lower() == "data:" else None
        try:
            return decode_base64(text[header.end() :] if header else text)
        except ValueError as error:
            raise serializers.ValidationError(self.error_messages["not_base64"], code="not_base64") from error


class ModelTypeField(SingleField, serializers.ChoiceField):
    """The registered model types, read on each use, so that types registered later are included."""

    default_error_messages = {
        "invalid_choice": '"{input}" is not a valid choice. Choose one of: {choices}. /api/v1/models/ lists them.',
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("choices", None)
        super().__init__(choices=[(model_type, model_type) for model_type in dispatcher], **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, bytes):  # `curl -F model_type=@file`, and parts without a text Content-Type
            data = data[:_MAX_NAME_BYTES].decode(errors="replace")
        # Text editors add a line break at the end, and some add a byte order mark at the start.
        model_type = str(data).strip().strip("\ufeff\u200b") if isinstance(data, str | int) else ""
        if model_type not in dispatcher:
            self._refuse(data)
        return model_type

    def _refuse(self, data: Any) -> NoReturn:
        named = list(dispatcher)
        choices = ", ".join(named[:_MAX_CHOICES]) + (", ..." if len(named) > _MAX_CHOICES else "")
        self.fail("invalid_choice", input=echo(data), choices=choices)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ModelTypeField":
        return type(self)(**self._kwargs)  # type: ignore[attr-defined]  # the stubs leave it out


class WebhookURLField(serializers.URLField):
    """A URL for the caller's webhooks. Empty means none, because forms also send their empty fields."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 2000, "required": False, "allow_blank": True, **kwargs})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        url = super().run_validation(data)
        if not url:
            return url
        try:
            check_url(url, owner_id=caller_of(self.context["request"]).owner_id)
        except UnacceptableWebhookURLError as error:
            raise serializers.ValidationError(str(error)) from error
        return url


IMAGE_URL = "image_url"


def image_source(data: Any) -> str:
    """Return the name of the field that holds the request's image."""
    return IMAGE_URL if isinstance(data, Mapping) and IMAGE_URL in data else "image"


class ImageSerializer(serializers.Serializer[Any]):
    """Takes an image, or its URL. `image_url` is not declared: a field that most requests lack costs all of them."""

    def to_internal_value(self, data: Any) -> Any:
        if image_source(data) == IMAGE_URL:
            return self._read_with_url(data)
        return super().to_internal_value(data)

    def _read_with_url(self, data: Mapping[str, Any]) -> Any:
        """Validate the other fields first, so that a request that is refused anyway fetches nothing."""
        url = data[IMAGE_URL]
        if not settings.ALLOW_IMAGE_URLS:
            self._refuse_url("This service does not fetch images from URLs. Send the image itself.")
        if data.get("image") not in (None, ""):
            self._refuse_url("Send either image or image_url, not both.")
        if not isinstance(url, str) or not url.strip():
            self._refuse_url("Send a URL that begins with https:// or http://.")
        self.fields["image"].required = False
        values = super().to_internal_value({name: data[name] for name in data if name != "image"})
        charge_fetch(self.context["request"])
        try:
            values["image"] = self.fields["image"].run_validation(fetch_image(url.strip()))
        except RequestTooLargeError as error:
            self._refuse_url(str(error.detail))
        except serializers.ValidationError as error:
            raise serializers.ValidationError({IMAGE_URL: error.detail}) from error
        return values

    def _refuse_url(self, sentence: str) -> NoReturn:
        raise serializers.ValidationError({IMAGE_URL: [sentence]})


class ClassificationSerializer(ImageSerializer):
    """An image, and the model that classifies it."""

    default_error_messages = _NOT_AN_OBJECT

    model_type = ModelTypeField()
    image = ImageUploadField()
    label: Any = serializers.CharField(read_only=True)  # Any, because a serializer itself has a label, which is text


class PredictionSerializer(serializers.Serializer[Any]):
    label: Any = serializers.CharField()
    score = serializers.FloatField(allow_null=True, help_text="Null if this model type does not return scores.")
    class_id = serializers.IntegerField(allow_null=True, help_text="Index of the label in the model's class list.")


class LabelSerializer(serializers.Serializer[Any]):
    """The label of an image."""

    label: Any = serializers.CharField()
    predictions = PredictionSerializer(many=True, required=False, help_text="Only with `top_k`. Best first.")


class InferenceErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class InferenceSerializer(ImageSerializer):
    """An image that a worker classifies, and the label once it has one."""

    # Not a ModelSerializer, which derives the fields from the model for each request. That costs as much as decoding.
    default_error_messages = _NOT_AN_OBJECT

    id = serializers.IntegerField(read_only=True)
    model_type = ModelTypeField()
    image = ImageUploadField()
    label: Any = serializers.CharField(read_only=True)
    status = serializers.ChoiceField(choices=Inference.STATUS.choices, read_only=True)
    error = InferenceErrorSerializer(read_only=True, allow_null=True)
    attempts = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    started_at = serializers.DateTimeField(read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)
    webhook_url = WebhookURLField(write_only=True)
    model_version = serializers.IntegerField(read_only=True, allow_null=True)
    predictions = PredictionSerializer(many=True, read_only=True)


class HistoryQuerySerializer(serializers.Serializer[Any]):
    """Filters of the history, and the page size."""

    status = serializers.ChoiceField(choices=Inference.STATUS.choices, required=False)
    model_type = serializers.CharField(max_length=100, required=False)
    created_after = serializers.DateTimeField(required=False, help_text="Inclusive.")
    created_before = serializers.DateTimeField(required=False, help_text="Exclusive.")
    page_size = serializers.IntegerField(min_value=1, max_value=200, required=False, help_text="Default: 50.")

    def filters(self) -> dict[str, Any]:
        """Return the validated filters as query set lookups."""
        lookups = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
        given = self.validated_data.items()
        return {lookups.get(name, name): value for name, value in given if name != "page_size"}
