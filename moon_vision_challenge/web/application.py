"""Django's WSGI application, without the work that is the same for every request or has no effect."""

import functools
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import reset_queries
from django.http import HttpRequest
from django.urls import ResolverMatch, get_resolver

_KNOWN_PATHS = 64


class _Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Run Django's mail parser only if the header has a charset. The parsers here read the header themselves."""
        header = meta.get("CONTENT_TYPE", "")
        if "charset" in header.lower():
            super()._set_content_type_params(meta)  # type: ignore[misc]  # the stubs leave it out
        else:
            self.content_type, self.content_params = header.partition(";")[0].strip().lower(), {}


class Application(WSGIHandler):
    """Call django.setup() first. Create one per process: it changes how Django starts and ends a request."""

    request_class = _Request

    def __init__(self) -> None:
        super().__init__()
        if not settings.DEBUG:
            request_started.disconnect(reset_queries)  # only DEBUG records queries
        request_finished.disconnect(close_caches)  # Redis caches have nothing to close

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        request.resolver_match = match = _resolve(request.path_info)
        return match


@functools.lru_cache(_KNOWN_PATHS)
def _resolve(path: str) -> ResolverMatch:
    """Raises Resolver404, which is not cached."""
    return get_resolver().resolve(path)
