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

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.web.errors import error_body

if TYPE_CHECKING:  # DRF imports this module while it imports these two
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


@functools.cache
def _redis(url: str) -> Redis:
    # Created on first use, which is after a worker forks. It pools its connections, and threads may share it.
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)  # seconds


# It probes with a write: a Redis at its memory limit refuses those.
_redis_breaker = CircuitBreaker(open_s=5, probe=lambda: _redis(settings.REDIS_URL).set("throttle_probe", 1, ex=60))


class AnonThrottle(AnonRateThrottle):
    """Limits the requests per period from one address, counted in Redis for all processes together.

    There is one counter per clock period, and one command raises it. DRF's algorithm reads a list of times and writes
    it back: two round trips, and it loses what another process wrote in between.

    While Redis is unavailable, all requests are allowed: a limit is not a reason to be down. Redis is then not called
    for a while, because each request would wait for the timeout if Redis hangs.
    """

    num_requests: int
    duration: int  # seconds

    def allow_request(self, request: "Request", view: "APIView") -> bool:
        if self.rate is None:
            return True
        now = self.timer()
        self._wait_s: float = self.duration - now % self.duration
        key = f"{self.get_cache_key(request, view)}_{now // self.duration:.0f}"
        try:
            with _redis_breaker.call(RedisError):
                return self._count(key) <= self.num_requests
        except CircuitOpenError:
            return True
        except RedisError as error:
            logger.warning("requests are not limited, because Redis is not available: %s", error)
            return True

    def _count(self, key: str) -> int:
        count: int = _redis(settings.REDIS_URL).incr(key)
        if count == 1:  # a process that dies before the next line leaves a hundred bytes for ever
            _redis(settings.REDIS_URL).expire(key, self.duration)
        return count

    def wait(self) -> float:
        """Seconds until the next period begins."""
        return self._wait_s


class AddressThrottle(AnonThrottle):
    """The same limit for views outside the API, with a separate counter. Does not identify the user."""

    scope = "address"

    def get_cache_key(self, request: "HttpRequest", view: object) -> str:  # noqa: ARG002  # DRF's signature
        return f"throttle_{self.scope}_{self.get_ident(request)}"  # type: ignore[arg-type]  # it reads META only


def limited(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Make a Django view answer 429 above API_ANON_RATE."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        throttle = AddressThrottle()
        if throttle.allow_request(request, None):  # type: ignore[arg-type]  # it reads META only
            return view(request, *args, **kwargs)
        retry_after_s = math.ceil(throttle.wait())
        body = error_body(f"Too many requests. Try again in {retry_after_s} s.", "throttled")
        return JsonResponse(body, status=429, headers={"Retry-After": str(retry_after_s)})

    return answer
