"""The address `/`: a page for people, and the entry points of the API for programs."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_headers

from moon_vision_challenge.accounts.access import PUBLIC, access
from moon_vision_challenge.playground.assets import FOLDER, PREFIX
from moon_vision_challenge.web.content_security_policy import HEADER
from moon_vision_challenge.web.errors import RequestTooLargeError, error_body

ENTRY_POINTS = {
    "classify": "inference-v0-list",
    "inferences": "inference-v1-list",
    "jobs": "job-list",
    "history": "history-list",
    "models": "model-list",
    "usage": "usage",
    "schema": "schema",
    "docs": "docs",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # thumbnails
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text becomes HTML or code
        "trusted-types 'none'",
    )
)
_METHODS = ("GET", "HEAD", "OPTIONS")
_MODULES = sorted(path.name for path in FOLDER.glob("*.js"))


@access(PUBLIC)
@csrf_exempt
@vary_on_headers("Accept")
@cache_control(no_cache=True)
def index(request: HttpRequest) -> HttpResponse:
    """Return the page if the client prefers HTML to JSON, as browsers do. Otherwise, return the entry points."""
    if request.method not in _METHODS:
        body = error_body(f'Method "{request.method}" not allowed.', "method_not_allowed")
        return JsonResponse(body, status=405, headers={"Allow": ", ".join(_METHODS)})
    # Without a preference, as with curl, the first type is chosen.
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        return _page()
    return JsonResponse({name: request.build_absolute_uri(reverse(view)) for name, view in ENTRY_POINTS.items()})


def _page() -> HttpResponse:
    context = {
        "assets": static(PREFIX),
        "modules": _MODULES,
        "max_image_bytes": settings.INFERENCE_MAX_IMAGE_BYTES,
        "too_large": RequestTooLargeError().detail,
    }
    return HttpResponse(render_to_string("playground/index.html", context), headers={HEADER: POLICY})
