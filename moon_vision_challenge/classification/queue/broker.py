"""Whether Redis accepts messages. It may be unavailable, or at its memory limit, where it refuses every write."""

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

_TIMEOUT_S = 1.0
_KEY = "moon_vision:seen:takes_messages"  # beat may write there, too: compose/production/redis/start


def takes_messages() -> bool:
    """Ask Redis to write. This takes a second at most if its name resolves."""
    url = settings.CELERY_BROKER_URL
    try:
        with Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S) as client:
            client.set(_KEY, 1, ex=60)
    except RedisError:
        return False
    return True
