"""Serves the OpenAPI schema."""

from functools import cache
from typing import Any

from django.http import HttpResponse
from django.utils.encoding import force_bytes
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_RENDERERS = {"yaml": OpenApiYamlRenderer, "json": OpenApiJsonRenderer}


class SchemaView(SpectacularAPIView):
    """Generates the schema once in each process and format, because that costs as much as ten requests to v0."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *_: Any, **__: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        charset = f"; charset={renderer.charset}" if renderer.charset else ""
        response = HttpResponse(_rendered(renderer.format), content_type=f"{renderer.media_type}{charset}")
        response["Content-Disposition"] = f'inline; filename="openapi.{renderer.format}"'
        return response


@cache
def _rendered(file_format: str) -> bytes:
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return force_bytes(_RENDERERS[file_format]().render(schema, renderer_context={}))
