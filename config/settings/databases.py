"""PostgreSQL and Redis."""

from config.settings.environment import env
from moon_vision_challenge.postgresql.options import connection_options
from moon_vision_challenge.postgresql.url import read_url
from moon_vision_challenge.redis_url import checked_redis_url

# PostgreSQL, in every environment. Requests run without a transaction, because v0 does not use the database.
# https://docs.djangoproject.com/en/5.2/ref/databases/#persistent-database-connections
# The limits are in seconds, and 0 turns a limit off. Options in the query of DATABASE_URL, such as ?sslmode=require,
# take precedence.
_database = read_url(env.str("DATABASE_URL"))
# Whether DATABASE_URL points to PgBouncer, which gives each transaction another session: docs/several-machines.md.
DATABASE_IS_POOLED = env.bool("DATABASE_IS_POOLED", default=False)
_database_options = connection_options(
    _database.pop("OPTIONS", {}),
    is_pooled=DATABASE_IS_POOLED,
    connect_timeout_s=env.float("DATABASE_CONNECT_TIMEOUT_S", default=3),
    tcp_timeout_s=env.float("DATABASE_TCP_TIMEOUT_S", default=10),
    statement_timeout_s=env.float("DATABASE_STATEMENT_TIMEOUT_S", default=10),
    lock_timeout_s=env.float("DATABASE_LOCK_TIMEOUT_S", default=5),
    idle_in_transaction_timeout_s=env.float("DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_S", default=60),
)
DATABASES = {
    "default": {
        "CONN_MAX_AGE": 60,  # seconds
        "CONN_HEALTH_CHECKS": True,  # a PostgreSQL restart fails no request
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_IS_POOLED,  # they last longer than a transaction
        **_database,
        "ENGINE": "moon_vision_challenge.postgresql",
        "ATOMIC_REQUESTS": False,
        "OPTIONS": _database_options,
    }
}

# Redis: the cache in which all processes count requests, and, unless CELERY_BROKER_URL is set, Celery's broker.
# rediss:// verifies the server's certificate. ?ssl_ca_certs=FILE in the URL names an authority other than the system's.
# sentinel://HOST:PORT,HOST:PORT/0?master_name=NAME asks Sentinels for the server: docs/several-machines.md.
REDIS_URL = checked_redis_url("REDIS_URL", env.str("REDIS_URL", default="redis://127.0.0.1:6379/0"))
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [REDIS_URL],  # as a list, because Django splits a string at commas
        "KEY_PREFIX": "moon_vision",
        "OPTIONS": {
            "pool_class": "moon_vision_challenge.redis_clients.CachePool",
            "socket_connect_timeout": 1,  # seconds
            "socket_timeout": 1,
        },
    }
}
