"""The listing of past and present inferences."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from moon_vision_challenge.accounts.caller import Scope, caller_of
from moon_vision_challenge.classification.api import schema
from moon_vision_challenge.classification.api.serializers import HistoryQuerySerializer, InferenceSerializer
from moon_vision_challenge.classification.models import Inference

_TIME = DateTimeField()  # rejects dates outside the UTC calendar


class HistoryPagination(CursorPagination):
    """Continues after the last row seen instead of counting rows: page 10,000 costs the same as page 1."""

    ordering = ("-created_at", "-id")  # rows with equal timestamps have an order, too
    page_size = 50
    page_size_query_param = "page_size"

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
            if cursor and cursor.position is not None:
                cursor = cursor._replace(position=_TIME.run_validation(str(cursor.position)).isoformat())
        except (NotFound, ValidationError) as error:
            raise ValidationError(
                {"cursor": ["This is not a cursor. Take one from the `next` or `previous` URL of a page."]}
            ) from error
        return cursor


class HistoryViewSet(mixins.ListModelMixin, GenericViewSet[Inference]):
    """Past and present inferences, newest first."""

    access: ClassVar = {"list": Scope.READ}
    serializer_class = InferenceSerializer
    pagination_class = HistoryPagination

    def get_queryset(self) -> QuerySet[Inference]:
        query = HistoryQuerySerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return Inference.objects.filter(owner_id=caller_of(self.request).owner_id, **query.filters())

    @extend_schema(
        operation_id="list_inferences",
        summary="List inferences",
        parameters=[HistoryQuerySerializer],
        responses={200: InferenceSerializer(many=True), **schema.BAD_QUERY, **schema.DATABASE_ERRORS},
    )
    def list(self, request: Request) -> Response:
        return super().list(request)
