"""The queue of v1, webhooks, and the Celery application that processes both."""

from kombu import Queue

from config.settings.databases import REDIS_URL
from config.settings.environment import env
from moon_vision_challenge.redis_broker import celery_broker

# The queue of v1
INFERENCE_MAX_ATTEMPTS = env.int("INFERENCE_MAX_ATTEMPTS", default=5)
# While a model server or the media store is unavailable, no attempts are used up. Rows wait this long, and then fail.
INFERENCE_MAX_OUTAGE_S = env.int("INFERENCE_MAX_OUTAGE_S", default=24 * 3600)
INFERENCE_BATCH_SIZE = env.int("INFERENCE_BATCH_SIZE", default=8)
INFERENCE_LEASE_S = env.int("INFERENCE_LEASE_S", default=120)
INFERENCE_SWEEP_S = env.int("INFERENCE_SWEEP_S", default=15)  # how often beat looks for lost messages and workers
INFERENCE_QUEUE = "inferences"
INFERENCE_MAX_PENDING = env.int("INFERENCE_MAX_PENDING", default=10_000)  # rows; above it, POST to v1 gets 503
INFERENCE_RETENTION_DAYS = env.int("INFERENCE_RETENTION_DAYS", default=30)
# `Prefer: wait=N` holds a thread of the web server. These limit how long, and how many threads per process. Further
# requests are answered immediately.
INFERENCE_MAX_WAIT_S = env.int("INFERENCE_MAX_WAIT_S", default=30)
INFERENCE_MAX_WAITING_REQUESTS = env.int("INFERENCE_MAX_WAITING_REQUESTS", default=2)

# Webhooks: https://www.standardwebhooks.com. Off without a secret (whsec_ followed by 24 to 64 bytes in base64).
WEBHOOK_SECRET = env.str("WEBHOOK_SECRET", default="")
WEBHOOK_RETENTION_DAYS = env.int("WEBHOOK_RETENTION_DAYS", default=30)
WEBHOOK_ALLOW_PRIVATE_ADDRESSES = env.bool("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", default=False)

# Celery
# https://docs.celeryq.dev/en/stable/userguide/configuration.html
# The URL may name another Redis user, with other rights.
BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL)
_broker = celery_broker("CELERY_BROKER_URL", BROKER_URL)
CELERY_BROKER_URL = _broker.url
if _broker.use_ssl:
    CELERY_BROKER_USE_SSL = _broker.use_ssl
CELERY_TASK_IGNORE_RESULT = True  # the row holds the result
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# A worker without --queues serves these queues and those that classificators name. Inferences have a separate queue,
# whose length shows whether a worker will wake. Webhook receivers may be slow, so webhooks have a separate worker.
CELERY_TASK_QUEUES = [Queue("celery"), Queue(INFERENCE_QUEUE), Queue("webhooks")]
CELERY_TASK_ROUTES = {"moon_vision_challenge.webhooks.tasks.*": {"queue": "webhooks"}}
# Shorter than the lease, so that a hanging worker is stopped before another worker gets its rows. There is no soft
# limit, because its exception would look like a failure of the current image, although the rows only need another
# attempt.
CELERY_TASK_TIME_LIMIT = INFERENCE_LEASE_S * 0.75
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,  # seconds; longer than the time limit, or Redis redelivers a running task
    "socket_connect_timeout": 1,
    "socket_timeout": 2,
    # A worker waits for messages without a timeout. If Redis hangs, or its machine is down, the worker notices
    # after one to two of these intervals, and reconnects. With Sentinels, it connects to the next master.
    "health_check_interval": 3,
    "max_retries": 0,  # limits how long sending a message takes; workers keep retrying regardless
    **_broker.transport_options,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a Redis at its memory limit refuses commands, which would end a worker
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # unlimited, not 100: a worker waits until Redis is back
CELERY_TASK_PUBLISH_RETRY = False  # beat's sweep resends what could not be sent
CELERY_WORKER_SEND_TASK_EVENTS = True  # for Flower
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# By default, Celery closes the database connection after every task, and reconnecting takes a seventh of a worker's
# time. Between tasks, tasks.py does what Django does between requests (CONN_MAX_AGE, CONN_HEALTH_CHECKS).
CELERY_DB_REUSE_MAX = 10_000
CELERY_WORKER_CONCURRENCY = env.int("CELERY_WORKER_CONCURRENCY", default=2)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
WORKER_HEARTBEAT_FILE = env.str("WORKER_HEARTBEAT_FILE", default="")  # touched every two seconds, for health checks
# Workers and beat touch it every ten seconds while a restart would not help them, with or without Redis.
LIVENESS_FILE = env.str("LIVENESS_FILE", default="")
# Beat sets the expiry of a message by its own clock, and a worker checks it by the worker's clock. If the two differ by
# more than this, workers drop all periodic tasks. It is not longer, because tasks pile up while no worker runs.
_EXPIRES_S = 15 * 60
CELERY_BEAT_SYNC_EVERY = 1  # beat writes its file with each task, for the health check of its container
CELERY_BEAT_SCHEDULE = {
    "sweep-inferences": {
        "task": "moon_vision_challenge.classification.tasks.sweep_inferences",
        "schedule": float(INFERENCE_SWEEP_S),
        "options": {"expires": _EXPIRES_S},
    },
    "sweep-webhooks": {
        "task": "moon_vision_challenge.webhooks.tasks.sweep",
        "schedule": float(INFERENCE_SWEEP_S),
        "options": {"expires": _EXPIRES_S},
    },
    "delete-old-inferences": {
        "task": "moon_vision_challenge.classification.tasks.delete_old",
        "schedule": 600.0,  # seconds
        "options": {"expires": _EXPIRES_S},
    },
    "sweep-jobs": {
        "task": "moon_vision_challenge.jobs.tasks.sweep",
        "schedule": float(INFERENCE_SWEEP_S),
        "options": {"expires": _EXPIRES_S},
    },
    "delete-old-jobs": {
        "task": "moon_vision_challenge.jobs.tasks.delete_old",
        "schedule": 600.0,  # seconds
        "options": {"expires": _EXPIRES_S},
    },
    "delete-old-webhooks": {
        "task": "moon_vision_challenge.webhooks.tasks.delete_old",
        "schedule": 600.0,  # seconds
        "options": {"expires": _EXPIRES_S},
    },
    "delete-expired-sessions": {
        "task": "moon_vision_challenge.admin_site.tasks.delete_expired_sessions",
        "schedule": 600.0,  # seconds
        "options": {"expires": _EXPIRES_S},
    },
}

# Flower, which config/flower_server.py starts
FLOWER_BASIC_AUTH = env.str("FLOWER_BASIC_AUTH", default="")  # USER:PASSWORD
FLOWER_URL = env.str("FLOWER_URL", default="")  # a link on the admin's front page; empty: none
FLOWER_READ_ONLY = env.bool("FLOWER_READ_ONLY", default=True)  # false lets users who log in stop workers and tasks
