"""Lists the registered models and their state."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import ViewSet

from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.api import examples, schema
from moon_vision_challenge.classification.catalogue import CatalogueEntry, ModelState
from moon_vision_challenge.classification.exceptions import UnknownModelTypeError


class ModelVersionSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    state = serializers.CharField(help_text="As the model server reports it: AVAILABLE, LOADING, UNLOADING, END, ...")


class CatalogueEntrySerializer(serializers.Serializer[Any]):
    model_type = serializers.CharField()
    url = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=[state.value for state in ModelState])
    is_ready = serializers.BooleanField(help_text="Whether the model can answer requests now.")
    versions = ModelVersionSerializer(many=True, help_text="Newest first.")
    version_labels = serializers.DictField(child=serializers.IntegerField(), help_text="Label: version.")
    input_size = serializers.IntegerField(allow_null=True, help_text="Height and width, in pixels.")
    classes_count = serializers.IntegerField(allow_null=True)
    classes = serializers.SerializerMethodField(help_text="The URL of the class labels.")
    reason = serializers.CharField(
        help_text="For the operator: why the model is not ready, or what is wrong with its files. Often empty."
    )

    def get_url(self, entry: CatalogueEntry) -> str:
        return str(reverse("model-detail", [entry.model_type], request=self.context["request"]))

    def get_classes(self, entry: CatalogueEntry) -> str | None:
        if entry.labels is None:
            return None
        return str(reverse("model-classes", [entry.model_type], request=self.context["request"]))


class ClassListSerializer(serializers.Serializer[Any]):
    model_type = serializers.CharField()
    classes = serializers.ListField(
        child=serializers.CharField(), help_text="The label of `class_id` n is at index n. Indexes start at 0."
    )


MODEL_TYPE = OpenApiParameter("model_type", str, "path")


Action = TypeVar("Action", bound=Callable[..., Response])
_NOT_CHANGED = OpenApiResponse(description="The response matches the request's If-None-Match.")
_STATE_MAX_AGE_S = 5
"""The service itself queries the model server's state every few seconds."""
_LABELS_MAX_AGE_S = 300


def _kept(max_age_s: int) -> Callable[[Action], Action]:
    """Let the client reuse the response, and handle If-None-Match."""
    keep = cache_control(private=True, max_age=max_age_s)
    decorate: Callable[[Action], Action] = method_decorator([conditional_page, vary_on_headers("Authorization"), keep])
    return decorate


class ModelCatalogueViewSet(ViewSet):
    """The registered models, and whether they are served."""

    access: ClassVar = {"list": Scope.READ, "retrieve": Scope.READ, "classes": Scope.READ}
    lookup_field = "model_type"
    lookup_value_regex = "[^/]+"

    @extend_schema(
        operation_id="list_models",
        summary="List the models",
        parameters=schema.headers_of_catalogue(),
        responses={
            200: OpenApiResponse(CatalogueEntrySerializer(many=True), "All registered models.", examples.MODEL),
            304: _NOT_CHANGED,
        },
    )
    @_kept(_STATE_MAX_AGE_S)
    def list(self, request: Request) -> Response:
        return Response(CatalogueEntrySerializer(catalogue.list_models(), many=True, context={"request": request}).data)

    @extend_schema(
        operation_id="get_model",
        summary="Get a model",
        parameters=[MODEL_TYPE, *schema.headers_of_catalogue()],
        responses={
            200: OpenApiResponse(CatalogueEntrySerializer, "The model.", examples.MODEL),
            304: _NOT_CHANGED,
            **schema.MODEL_ERRORS,
        },
    )
    @_kept(_STATE_MAX_AGE_S)
    def retrieve(self, request: Request, model_type: str) -> Response:
        try:
            entry = catalogue.get_model(model_type)
        except UnknownModelTypeError:
            raise NotFound from None
        return Response(CatalogueEntrySerializer(entry, context={"request": request}).data)

    @extend_schema(
        operation_id="list_classes",
        summary="List a model's classes",
        parameters=[MODEL_TYPE, *schema.headers_of_catalogue()],
        responses={
            200: OpenApiResponse(ClassListSerializer, "The labels of the model.", examples.CLASSES),
            304: _NOT_CHANGED,
            **schema.MODEL_ERRORS,
        },
    )
    @action(detail=True)
    @_kept(_LABELS_MAX_AGE_S)
    def classes(self, request: Request, model_type: str) -> Response:  # noqa: ARG002  # DRF's signature
        try:
            labels = catalogue.get_class_labels(model_type)
        except UnknownModelTypeError:
            raise NotFound from None
        if labels is None:
            raise NotFound
        return Response({"model_type": model_type, "classes": labels})
