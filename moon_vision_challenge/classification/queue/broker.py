"""Checks whether Redis accepts messages. It may be down, or at its memory limit, where it refuses every write."""

from django.conf import settings
from redis.exceptions import RedisError

from moon_vision_challenge.redis_clients import connect

_TIMEOUT_S = 1.0
_KEY = "moon_vision:seen:takes_messages"  # beat may also write there: compose/production/redis/start


def takes_messages() -> bool:
    """Return whether Redis accepts a write. This takes at most a second if its name resolves."""
    try:
        with connect(settings.BROKER_URL, timeout_s=_TIMEOUT_S) as client:
            client.set(_KEY, 1, ex=60)
    except RedisError:
        return False
    return True
