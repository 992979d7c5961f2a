"""Function views that only show something."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from moon_vision_challenge.web.errors import error_body

Response = TypeVar("Response", bound=HttpResponseBase)

_ALLOWED = ("GET", "HEAD")


def read_only(view: Callable[..., Response]) -> Callable[..., Response | JsonResponse]:
    """Answer 405 to other methods, in JSON as DRF does. Without `csrf_exempt`, Django's CSRF page would come first."""

    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Response | JsonResponse:
        if request.method in _ALLOWED:
            return view(request, *args, **kwargs)
        body = error_body(f'Method "{request.method}" not allowed.', "method_not_allowed")
        return JsonResponse(body, status=405, headers={"Allow": ", ".join(_ALLOWED)})

    return checked
