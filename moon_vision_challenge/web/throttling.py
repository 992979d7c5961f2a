import functools
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from redis import Redis
from redis.exceptions import RedisError
from rest_framework.throttling import AnonRateThrottle

from moon_vision_challenge.circuit_breaker import CircuitBreaker
from moon_vision_challenge.web.errors import error_body

if TYPE_CHECKING:  # DRF imports this module while it imports these two
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

_redis_breaker = CircuitBreaker(open_s=5)


class AnonThrottle(AnonRateThrottle):
    """So many requests a second from one address, counted in Redis for all processes together.

    One counter for each period of the clock, and one command to raise it. DRF's own algorithm reads a list of times
    and writes it back: two round trips, and what another process wrote in between is lost.

    Without Redis nobody can be counted, and everybody is let in: a limit is no reason to be down. Then it is not asked
    for a while either, for if it hangs, each request would wait until the timeout.
    """

    num_requests: int
    duration: int  # seconds

    def allow_request(self, request: "Request", view: "APIView") -> bool:
        if self.rate is None or _redis_breaker.is_open:
            return True
        now = self.timer()
        self._wait_s: float = self.duration - now % self.duration
        key = f"{self.get_cache_key(request, view)}_{now // self.duration:.0f}"
        try:
            count: int = _redis(settings.REDIS_URL).incr(key)
            if count == 1:  # else it has been said: a process that dies right here leaves a hundred bytes for ever
                _redis(settings.REDIS_URL).expire(key, self.duration)
        except RedisError as error:
            logger.warning("requests are not limited now, Redis is not available: %s", error)
            _redis_breaker.trip()
            return True
        return count <= self.num_requests

    def wait(self) -> float:
        """Seconds until the next period begins."""
        return self._wait_s


class AddressThrottle(AnonThrottle):
    """The same limit for what is not a view of the API, counted apart from it. Does not ask who the user is."""

    scope = "address"

    def get_cache_key(self, request: "HttpRequest", view: object) -> str:  # noqa: ARG002
        return f"throttle_{self.scope}_{self.get_ident(request)}"  # type: ignore[arg-type]  # it reads META only


def limited(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view of Django's that answers 429 above API_ANON_RATE."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        throttle = AddressThrottle()
        if throttle.allow_request(request, None):  # type: ignore[arg-type]
            return view(request, *args, **kwargs)
        retry_after_s = math.ceil(throttle.wait())
        body = error_body(f"Too many requests. Try again in {retry_after_s} s.", "throttled")
        return JsonResponse(body, status=429, headers={"Retry-After": str(retry_after_s)})

    return answer


@functools.cache
def _redis(url: str) -> Redis:
    # Made at first use, which is after a worker forks. It pools its connections and may be shared by threads.
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)  # seconds
