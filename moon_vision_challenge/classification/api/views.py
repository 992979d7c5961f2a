"""The views of inferences. v0 answers at once, and v1 goes through the queue."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from django.db.models import QuerySet
from django.http.response import HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from moon_vision_challenge.accounts.caller import Scope, caller_of
from moon_vision_challenge.classification import journal, reuse, services, tasks
from moon_vision_challenge.classification.api import examples, headers, schema
from moon_vision_challenge.classification.api.query import (
    ClassificationQuerySerializer,
    VersionQuerySerializer,
    read_query,
)
from moon_vision_challenge.classification.api.serializers import (
    ClassificationSerializer,
    InferenceSerializer,
    LabelSerializer,
    image_source,
)
from moon_vision_challenge.classification.media_store import signed_urls
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.web.image_body import BinaryBodyParser, ImageBodyParser, read_fields
from moon_vision_challenge.web.light_view import LightView
from moon_vision_challenge.web.parsers import FormDataParser, ORJSONParser
from moon_vision_challenge.web.throttling.middleware import charge
from moon_vision_challenge.web.throttling.policies import Scope as RateScope

_shared_serializer = ClassificationSerializer()
"""Shared by all requests, because validating an image does not change it. Validating an `image_url` does."""
_PARSERS = (FormDataParser, ORJSONParser, ImageBodyParser, BinaryBodyParser)


class InferenceV0ViewSet(LightView, GenericViewSet[Inference]):
    """Classifies an image and stores nothing."""

    access: ClassVar = {"create": Scope.CLASSIFY}
    serializer_class = ClassificationSerializer
    rate_scope = RateScope.V0
    parser_classes = _PARSERS

    @extend_schema(
        operation_id="classify",
        summary="Classify an image",
        request=schema.image_request(ClassificationSerializer),
        parameters=[
            schema.MODEL_TYPE_OF_BODY,
            ClassificationQuerySerializer,
            schema.CACHE_CONTROL,
            *schema.headers_of_reuse(200),
        ],
        responses={200: OpenApiResponse(LabelSerializer, "The label.", examples.LABEL), **schema.CLASSIFY_ERRORS},
    )
    def create(self, request: Request) -> HttpResponse:
        fields = self._read_fields(request)
        query = read_query(request, ClassificationQuerySerializer)
        found = services.classify_image(
            model_type=fields["model_type"],
            image=fields["image"],
            version=query.version,
            top_k=query.top_k,
            reuse=headers.read_reuse(request),
        )
        body: dict[str, Any] = {"label": found.label}
        if query.top_k:
            body["predictions"] = [one._asdict() for one in found.predictions]
        # DRF's Response would look for a renderer, and keep the request and its image until a garbage collection.
        response = HttpResponse(orjson.dumps(body), content_type="application/json")
        headers.tell_reuse(response, found)
        return response

    def _read_fields(self, request: Request) -> Any:
        """Return the validated fields. A new serializer for each request would cost a twentieth of the request."""
        data = read_fields(request)
        if isinstance(data, Mapping) and image_source(data) == "image":
            return _shared_serializer.to_internal_value(data)
        serializer = self.get_serializer(data=data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


class InferenceV1ViewSet(LightView, GenericViewSet[Inference]):
    """Creates an inference, which a worker fills in, and shows its state."""

    access: ClassVar = {
        "create": Scope.CLASSIFY,
        "retrieve": Scope.READ,
        "cancel": Scope.CLASSIFY,
        "destroy": Scope.CLASSIFY,
    }
    serializer_class = InferenceSerializer
    rate_scope = RateScope.CREATE
    parser_classes = _PARSERS
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[Inference]:
        """Return the rows of the caller's owner. Other rows do not exist for the caller."""
        return Inference.objects.filter(owner_id=caller_of(self.request).owner_id)

    @extend_schema(
        operation_id="create_inference",
        summary="Create an inference",
        request=schema.image_request(InferenceSerializer),
        parameters=[
            schema.MODEL_TYPE_OF_BODY,
            schema.WEBHOOK_URL_OF_BODY,
            VersionQuerySerializer,
            schema.IDEMPOTENCY_KEY,
            schema.PREFER,
            schema.CACHE_CONTROL,
            schema.location(200, 201),
            *schema.headers_of_row(200, 201),
            *schema.headers_of_reuse(201),
        ],
        responses={
            200: OpenApiResponse(
                InferenceSerializer,
                "The inference that an earlier request with this Idempotency-Key created.",
                examples.DONE,
            ),
            201: OpenApiResponse(InferenceSerializer, "The inference was created.", examples.PENDING),
            **schema.CREATE_ERRORS,
        },
    )
    def create(self, request: Request) -> Response:
        idempotency = headers.read_idempotency_key(request)
        serializer = self.get_serializer(data=read_fields(request))
        serializer.is_valid(raise_exception=True)
        query = read_query(request, VersionQuerySerializer)
        charge(request, stored_bytes=len(serializer.validated_data["image"].data))
        inference, is_new = services.create_inference(
            model_type=serializer.validated_data["model_type"],
            image=serializer.validated_data["image"],
            version=query.version,
            idempotency=idempotency,
            webhook_url=serializer.validated_data.get("webhook_url", ""),
            owner_id=caller_of(request).owner_id,
        )
        known = None
        if is_new:
            image = serializer.validated_data["image"]
            journal.accepted(inference, caller_of(request), size=len(image.data))
            known = reuse.answer_row(inference, image, headers.read_reuse(request))
            if known is None:
                tasks.enqueue_inference(inference)
        response = self._show(
            request, inference, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK, serializer=serializer
        )
        response["Location"] = reverse("inference-v1-detail", [inference.pk], request=request)
        if known:
            headers.tell_reuse(response, known)
        return response

    @extend_schema(
        operation_id="get_inference",
        summary="Get an inference",
        parameters=[
            schema.INFERENCE_ID,
            schema.PREFER,
            schema.IF_NONE_MATCH,
            *schema.headers_of_row(200),
            schema.etag(304),
        ],
        responses={
            200: OpenApiResponse(InferenceSerializer, "The inference.", [*examples.PENDING, *examples.DONE]),
            304: OpenApiResponse(description="The inference is final and matches the request's If-None-Match."),
            **schema.ROW_ERRORS,
        },
    )
    def retrieve(self, request: Request, **_: str) -> HttpResponseBase:
        response = self._show(request, self.get_object(), status.HTTP_200_OK)
        # Django handles If-None-Match. A row that is not final has no ETag.
        return get_conditional_response(request._request, response.get("ETag"), response=response) or response

    @extend_schema(
        operation_id="cancel_inference",
        summary="Cancel an inference",
        request=None,
        parameters=[schema.INFERENCE_ID, schema.etag(200)],
        responses={
            200: OpenApiResponse(InferenceSerializer, "The inference was canceled.", examples.CANCELED),
            **schema.CANCEL_ERRORS,
        },
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: str) -> Response:
        inference = services.cancel_inference(inference_id=self.get_object().pk, actor=caller_of(request))
        return self._show(request, inference, status.HTTP_200_OK)

    @extend_schema(
        operation_id="delete_inference",
        summary="Delete an inference",
        parameters=[schema.INFERENCE_ID],
        responses={
            204: OpenApiResponse(description="The inference, its image, and its webhooks were deleted."),
            **schema.DELETE_ERRORS,
        },
    )
    def destroy(self, request: Request, **_: str) -> Response:
        services.delete_inference(inference_id=self.get_object().pk, actor=caller_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _show(
        self,
        request: Request,
        inference: Inference,
        status_code: int,
        *,
        serializer: BaseSerializer[Inference] | None = None,
    ) -> Response:
        """Return the current state of the row, after the wait that the client prefers. Reuses a given `serializer`."""
        wait_s = headers.read_wait_s(request)
        is_granted = False
        if wait_s and not inference.is_final:
            is_granted = services.wait_until_final(inference_id=inference.pk, timeout_s=wait_s)
            inference.refresh_from_db()
        serializer = serializer or self.get_serializer()
        serializer.instance = inference
        response = Response(serializer.data, status=status_code)
        if is_granted:
            response["Preference-Applied"] = f"wait={wait_s}"
        if inference.finished_at:
            # The URL of the image changes with its window.
            version = f"{inference.finished_at.timestamp():.6f}-{signed_urls.window_of(inference.created_at)}"
            response["ETag"] = f'"{inference.pk}-{version}"'
        else:
            response["Retry-After"] = "1"
        return response
