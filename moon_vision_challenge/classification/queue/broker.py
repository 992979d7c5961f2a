"""Whether Redis takes messages. It may be away, or at its memory limit, where it answers and refuses every write."""

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

_TIMEOUT_S = 1.0
_KEY = "moon_vision:broker_takes_messages"


def takes_messages() -> bool:
    """Ask Redis to write. It takes a second at most where its name is known."""
    url = settings.CELERY_BROKER_URL
    try:
        with Redis.from_url(url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S) as client:
            client.set(_KEY, 1, ex=60)
    except RedisError:
        return False
    return True
