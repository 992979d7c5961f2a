"""Lists past and present inferences."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from moon_vision_challenge.accounts.caller import Scope, caller_of
from moon_vision_challenge.classification.api import examples, schema
from moon_vision_challenge.classification.api.serializers import HistoryQuerySerializer, InferenceSerializer
from moon_vision_challenge.classification.models import Inference

_TIME = DateTimeField()  # rejects dates outside the UTC calendar


class HistoryPagination(CursorPagination):
    """Continues after the last row seen instead of counting rows, so page 10,000 costs the same as page 1."""

    ordering = ("-created_at", "-id")  # the id orders rows with equal timestamps
    page_size = 50
    page_size_query_param = "page_size"

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a page. DRF's schema is for OpenAPI 3.0, where `next` cannot be null."""
        example = "http://127.0.0.1:8000/api/v1/history/?cursor=cD0yMDI2LTAxLTMx"
        url = {"type": ["string", "null"], "format": "uri", "example": example}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**url, "description": "The next page. Null on the last one."},
                "previous": {**url, "description": "The previous page. Null on the first one."},
                "results": schema,
            },
        }

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


class RowsOfOwner(QuerySet[Inference]):
    """The rows of one owner, in an order that only an index that begins with the owner provides.

    If the planner sees a constant owner, it may choose an index on time alone, and read all newer rows of other owners
    until the page is full. It does not notice that a range holds only one owner. The same applies to a status or a
    model type, and the owner's other rows.
    """

    _leading: tuple[str, ...] = ("owner_id",)

    def of(self, owner_id: int, filters: Mapping[str, Any]) -> "RowsOfOwner":
        indexed = next(({name} for name in ("status", "model_type") if name in filters), set[str]())
        fixed = {"owner_id": owner_id, **{name: filters[name] for name in indexed}}
        rows = self.filter(
            **{f"{name}__{end}": value for name, value in fixed.items() for end in ("gte", "lte")},
            **{name: value for name, value in filters.items() if name not in indexed},
        )
        rows._leading = tuple(fixed)
        return rows

    def order_by(self, *fields: Any) -> "RowsOfOwner":
        sign = "-" if fields[0].startswith("-") else ""
        return super().order_by(*(sign + name for name in self._leading), *fields)

    def _clone(self) -> "RowsOfOwner":
        copy: RowsOfOwner = super()._clone()  # type: ignore[misc]  # the stubs leave it out
        copy._leading = self._leading
        return copy


class HistoryViewSet(mixins.ListModelMixin, GenericViewSet[Inference]):
    """Past and present inferences, newest first."""

    access: ClassVar = {"list": Scope.READ}
    serializer_class = InferenceSerializer
    pagination_class = HistoryPagination

    def get_queryset(self) -> QuerySet[Inference]:
        # As a dict, because in a form DRF would ignore an empty filter and show all rows.
        query = HistoryQuerySerializer(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        return RowsOfOwner(Inference).of(caller_of(self.request).owner_id, query.filters())

    @extend_schema(
        operation_id="list_inferences",
        summary="List inferences",
        parameters=[HistoryQuerySerializer],
        responses={
            200: OpenApiResponse(InferenceSerializer(many=True), "A page.", examples.DONE),
            **schema.LIST_ERRORS,
        },
    )
    def list(self, request: Request) -> Response:
        return super().list(request)
