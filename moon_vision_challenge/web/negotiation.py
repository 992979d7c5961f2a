from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class ContentNegotiation(DefaultContentNegotiation):
    """A view with one response format sends it to all clients, whatever they accept. RFC 9110, 12.5.1, allows that.

    For every request, DRF would parse Accept, and parse Content-Type once per parser.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        media_type = request.content_type.partition(";")[0].strip().lower()
        any_subtype = media_type.partition("/")[0] + "/*"
        return next((parser for parser in parsers if parser.media_type in (media_type, any_subtype)), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        only, *others = renderers
        return super().select_renderer(request, renderers, format_suffix) if others else (only, only.media_type)
