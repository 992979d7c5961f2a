"""/livez: this process answers. /readyz: everything it needs is there. For load balancers and container engines."""

from django.http import HttpRequest, JsonResponse

from moon_vision_challenge import __version__
from moon_vision_challenge.health.checks import CHECKS


def livez(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok", "version": __version__})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 or 503; the names of what is missing, and with ?verbose a sentence for every check."""
    results = {name: check() for name, check in CHECKS.items()}
    missing = [name for name, problem in results.items() if problem]
    body: dict[str, object] = {"status": "unavailable" if missing else "ok", "missing": missing}
    if "verbose" in request.GET:
        body["checks"] = {name: problem or "ok" for name, problem in results.items()}
    return JsonResponse(body, status=503 if missing else 200)
