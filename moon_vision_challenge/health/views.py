"""Health checks for load balancers, container engines, and operators.

/livez: this process answers. /readyz: it can serve requests. /status: the state of every dependency.
"""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from moon_vision_challenge import __version__
from moon_vision_challenge.accounts.access import PUBLIC, access
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.errors import AccessRefusedError
from moon_vision_challenge.health.checks import PENDING, READINESS, STATUS
from moon_vision_challenge.health.prober import Prober, Report
from moon_vision_challenge.web.access import authenticate
from moon_vision_challenge.web.read_only import read_only

readiness = Prober(READINESS)
status_of_all = Prober(STATUS)


@access(PUBLIC)
@never_cache
@read_only
def livez(_: HttpRequest) -> JsonResponse:
    """Answer 200, without using any dependency."""
    return JsonResponse({"status": "ok", "version": __version__})


@access(PUBLIC)
@never_cache
@read_only
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 503, with the names of what is missing, only if this process can serve neither v0 nor v1."""
    report = readiness.report()
    missing = _blocking(report)
    return _answer(request, report, "unavailable" if missing else "ok", missing)


@access(PUBLIC)
@never_cache
@read_only
def status(request: HttpRequest) -> JsonResponse:
    """Answer 200 for "ok" and "degraded", 503 for "unavailable", with the names of what is missing.

    For a token with admin:read, `?verbose` adds a sentence for each check, the states of the models, and the free bytes
    of the media store.
    """
    report = status_of_all.report()
    degraded_or_ok = "degraded" if report.missing else "ok"
    return _answer(request, report, "unavailable" if _blocking(report) else degraded_or_ok, report.missing)


def _blocking(report: Report) -> list[str]:
    """Return what keeps this process from serving either v0, which needs a model, or v1, which needs the database."""
    if PENDING in report.facts:
        return ["migrations"]
    models = [name for name in report.problems if name == "models" or name.startswith("model:")]
    needed = ["database", *models]
    return needed if all(report.problems.get(name) for name in needed) else []


def _may_see_checks(request: HttpRequest) -> bool:
    """Return whether the request has a token with admin:read. Without one, a probe still gets its status."""
    try:
        return Scope.ADMIN_READ in authenticate(request).scopes
    except AccessRefusedError:
        return False


def _answer(request: HttpRequest, report: Report, word: str, missing: list[str]) -> JsonResponse:
    body: dict[str, object] = {"status": word, "missing": missing}
    if "verbose" in request.GET and _may_see_checks(request):
        body["checks"] = {name: problem or "ok" for name, problem in report.problems.items()}
        body.update(report.facts)
    return JsonResponse(body, status=503 if word == "unavailable" else 200)
