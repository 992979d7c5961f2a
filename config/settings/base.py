"""Settings that every environment shares, and the only place that reads the environment.

Each environment variable is named once, here; local.py, test.py and production.py only choose.
"""

from pathlib import Path
from typing import Any

import django_stubs_ext
import environ
from corsheaders.defaults import default_headers
from kombu import Queue

from moon_vision_challenge import __version__
from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.postgresql.options import connection_options

# Classes that are generic only in Django's stubs, such as ModelAdmin, also accept type arguments at run time.
django_stubs_ext.monkeypatch()

ROOT_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

# General
# https://docs.djangoproject.com/en/5.2/ref/settings/
DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY")
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "moon_vision_challenge.accounts",
    "moon_vision_challenge.classification",
    "moon_vision_challenge.webhooks",
    *env.list("DJANGO_EXTRA_APPS", default=[]),  # your own apps with a classificators.py
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "moon_vision_challenge.web.size_limit.RequestSizeLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "moon_vision_challenge.web.hosts.HostCheckMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "moon_vision_challenge.accounts.middleware.AccessMiddleware",
    "moon_vision_challenge.web.throttling.middleware.LimitsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# PostgreSQL, in every environment. Requests run without a transaction, because v0 does not use the database.
# https://docs.djangoproject.com/en/5.2/ref/databases/#persistent-database-connections
# The limits are in seconds. 0 turns one off. Options in the query of DATABASE_URL, such as ?sslmode=require, win.
_database = env.db("DATABASE_URL")
_database_options = connection_options(
    _database.pop("OPTIONS", {}),
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
        **_database,
        "ENGINE": "moon_vision_challenge.postgresql",
        "ATOMIC_REQUESTS": False,
        "OPTIONS": _database_options,
    }
}

# Redis: Celery's broker, and the cache in which all processes count requests.
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "moon_vision",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},  # seconds
    }
}

# Files
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the packages, without collectstatic
WHITENOISE_AUTOREFRESH = False
MEDIA_URL = "/media/"
# Uploads: in a folder that web and workers share, or on S3.
MEDIA_BACKEND = env.str("DJANGO_MEDIA_BACKEND", default="local", choices=("local", "s3"))
MEDIA_ROOT = env.path("DJANGO_MEDIA_ROOT", default=ROOT_DIR / ".run" / "media")
# An upload that would leave less than this on the disk is answered with 503.
MEDIA_MIN_FREE_BYTES = env.int("MEDIA_MIN_FREE_BYTES", default=100 * 1024 * 1024)
# The address of an image is signed. It is valid for at least this time, and at most for twice as long.
MEDIA_URL_VALID_S = env.int("MEDIA_URL_VALID_S", default=3600)
# Images are stored without EXIF, XMP and the like. TIFF, AVIF and HEIC are then refused.
STRIP_IMAGE_METADATA = env.bool("STRIP_IMAGE_METADATA", default=False)
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "moon_vision_challenge.classification.folder_storage.MediaFolderStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if MEDIA_BACKEND == "s3":
    from botocore.config import Config  # imported only here: boto3 takes 20 MB and 0.2 s in each process

    # https://django-storages.readthedocs.io/en/latest/backends/amazon-S3.html
    # boto3 finds the keys: in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine's role.
    STORAGES["default"] = {
        "BACKEND": "moon_vision_challenge.classification.storage.S3MediaStorage",
        "OPTIONS": {
            "bucket_name": env.str("DJANGO_MEDIA_S3_BUCKET"),
            "location": env.str("DJANGO_MEDIA_S3_PREFIX", default="media"),  # nothing outside it is served
            "region_name": env.str("DJANGO_MEDIA_S3_REGION", default="us-east-1"),
            # For a server other than Amazon's. Clients are redirected there: they and the service must reach it.
            "endpoint_url": env.str("DJANGO_MEDIA_S3_ENDPOINT_URL", default="") or None,
            "querystring_expire": env.int("DJANGO_MEDIA_S3_URL_EXPIRES_S", default=300),
            "client_config": Config(
                signature_version="s3v4",
                connect_timeout=1,  # seconds
                read_timeout=5,  # seconds
                retries={"mode": "standard", "total_max_attempts": 2},
                request_checksum_calculation="when_required",  # many other servers do not support more
                response_checksum_validation="when_required",
            ),
        },
    }

# Classification
TF_SERVING_URL = env.str("TF_SERVING_URL", default="http://tensorflow-serving:8501")
TF_SERVING_CONNECT_TIMEOUT_S = env.float("TF_SERVING_CONNECT_TIMEOUT_S", default=1.0)
TF_SERVING_TIMEOUT_S = env.float("TF_SERVING_TIMEOUT_S", default=10.0)
# The model server's configuration file. The API reads version labels from it, and `manage.py check` the list of models.
# Predictions do not need it: leave it empty where the gateway has no copy.
MODELS_CONFIG = env.str("MODELS_CONFIG", default=str(ROOT_DIR / "models.config"))
CLASSIFICATION_DISPATCHER = env.str(
    "CLASSIFICATION_DISPATCHER", default="moon_vision_challenge.classification.dispatchers.Dispatcher"
)

# Limits on what a client may send
INFERENCE_MAX_IMAGE_BYTES = env.int("INFERENCE_MAX_IMAGE_BYTES", default=20 * 1024 * 1024)
INFERENCE_MAX_IMAGE_PIXELS = env.int("INFERENCE_MAX_IMAGE_PIXELS", default=50_000_000)  # width x height of one frame
# The error for any other format names it. TIFF, AVIF and HEIC are decoded in a separate process.
INFERENCE_IMAGE_FORMATS = env.list(
    "INFERENCE_IMAGE_FORMATS", default=["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"]
)
# What decoding one image may cost, estimated from its structure: CPU seconds of the machine in docs/images.md, memory,
# and the number of segments, chunks, blocks or strips
INFERENCE_MAX_DECODE_CPU_S = env.float("INFERENCE_MAX_DECODE_CPU_S", default=3.0)
INFERENCE_MAX_DECODE_BYTES = env.int("INFERENCE_MAX_DECODE_BYTES", default=400 * 1024 * 1024)
INFERENCE_MAX_IMAGE_PARTS = env.int("INFERENCE_MAX_IMAGE_PARTS", default=100_000)
# What all images of one process may take at once, and how long an image waits for its share or for a decoder process
# before the answer is 503
INFERENCE_DECODE_MEMORY_BYTES = env.int("INFERENCE_DECODE_MEMORY_BYTES", default=400 * 1024 * 1024)
INFERENCE_DECODE_WAIT_S = env.float("INFERENCE_DECODE_WAIT_S", default=10.0)
INFERENCE_DECODER_PROCESSES = env.int("INFERENCE_DECODER_PROCESSES", default=1)  # of each web process and worker
# `image_url`: the service fetches the image itself, from public addresses. A fetch holds a thread of the web server.
ALLOW_IMAGE_URLS = env.bool("ALLOW_IMAGE_URLS", default=False)
IMAGE_URL_TIMEOUT_S = env.float("IMAGE_URL_TIMEOUT_S", default=10.0)  # with all redirects
IMAGE_URL_MAX_REQUESTS = env.int("IMAGE_URL_MAX_REQUESTS", default=2)  # of a web process; the rest get 503
IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = env.bool("IMAGE_URL_ALLOW_PRIVATE_ADDRESSES", default=False)
# base64 turns three bytes into four. 64 KiB are for the other fields and the multipart headers.
MAX_REQUEST_BODY_BYTES = INFERENCE_MAX_IMAGE_BYTES * 4 // 3 + 64 * 1024

# What clients may use of a web process: docs/decisions/0008-http-server.md
WEB_MAX_CONNECTIONS = env.int("WEB_MAX_CONNECTIONS", default=2000)
WEB_MAX_BODY_MEMORY_BYTES = env.int("WEB_MAX_BODY_MEMORY_BYTES", default=128 * 1024 * 1024)  # all bodies together
WEB_HEAD_TIMEOUT_S = env.float("WEB_HEAD_TIMEOUT_S", default=10)
WEB_BODY_TIMEOUT_S = env.float("WEB_BODY_TIMEOUT_S", default=180)
WEB_MIN_BODY_BYTES_PER_S = env.int("WEB_MIN_BODY_BYTES_PER_S", default=4096)  # over each WEB_RATE_WINDOW_S
WEB_RATE_WINDOW_S = env.float("WEB_RATE_WINDOW_S", default=10)
WEB_IDLE_TIMEOUT_S = env.float("WEB_IDLE_TIMEOUT_S", default=120)  # above Traefik's 90, so that Traefik closes first
WEB_WRITE_TIMEOUT_S = env.float("WEB_WRITE_TIMEOUT_S", default=30)  # for the client to read the next 64 KiB
WEB_STOP_TIMEOUT_S = env.float("WEB_STOP_TIMEOUT_S", default=25)

# The queue of v1
INFERENCE_MAX_ATTEMPTS = env.int("INFERENCE_MAX_ATTEMPTS", default=5)
# While a model server or the media store is unavailable, no attempts are used up. Rows wait this long, then they fail.
INFERENCE_MAX_OUTAGE_S = env.int("INFERENCE_MAX_OUTAGE_S", default=24 * 3600)
INFERENCE_LEASE_S = env.int("INFERENCE_LEASE_S", default=120)
INFERENCE_SWEEP_S = env.int("INFERENCE_SWEEP_S", default=15)  # beat looks for lost messages and workers
INFERENCE_QUEUE = "inferences"
INFERENCE_MAX_PENDING = env.int("INFERENCE_MAX_PENDING", default=10_000)  # rows; above it, POST v1 answers 503
INFERENCE_RETENTION_DAYS = env.int("INFERENCE_RETENTION_DAYS", default=30)
# `Prefer: wait=N` holds a web server thread: how long, and how many per process. The rest are answered immediately.
INFERENCE_MAX_WAIT_S = env.int("INFERENCE_MAX_WAIT_S", default=30)
INFERENCE_MAX_WAITING_REQUESTS = env.int("INFERENCE_MAX_WAITING_REQUESTS", default=2)

# Webhooks: https://www.standardwebhooks.com. Off without a secret (whsec_ and 24 to 64 bytes in base64).
WEBHOOK_SECRET = env.str("WEBHOOK_SECRET", default="")
WEBHOOK_RETENTION_DAYS = env.int("WEBHOOK_RETENTION_DAYS", default=30)
WEBHOOK_ALLOW_PRIVATE_ADDRESSES = env.bool("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", default=False)
INFERENCE_BATCH_SIZE = env.int("INFERENCE_BATCH_SIZE", default=8)

# Celery
# https://docs.celeryq.dev/en/stable/userguide/configuration.html
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True  # the row holds the result
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = TIME_ZONE
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# A worker without --queues serves these queues and those that classificators name. Inferences have a separate queue:
# its length shows whether a worker will wake. Webhook receivers may be slow, so webhooks have a separate worker.
CELERY_TASK_QUEUES = [Queue("celery"), Queue(INFERENCE_QUEUE), Queue("webhooks")]
CELERY_TASK_ROUTES = {"moon_vision_challenge.webhooks.tasks.*": {"queue": "webhooks"}}
# Below the lease, so that a worker that hangs is stopped before its rows go to another one. There is no soft limit: its
# exception would look like a failure of the current image, although the rows only need another attempt.
CELERY_TASK_TIME_LIMIT = INFERENCE_LEASE_S * 0.75
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,  # seconds; above the time limit, or Redis redelivers a running task
    "socket_connect_timeout": 1,
    "socket_timeout": 2,
    "max_retries": 0,  # the longest that sending a message takes; workers keep retrying regardless
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a Redis at its memory limit refuses commands, which would end a worker
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # unlimited, not 100: a worker waits until Redis is back
CELERY_TASK_PUBLISH_RETRY = False  # beat's sweep resends what could not be sent
CELERY_WORKER_SEND_TASK_EVENTS = True  # for Flower
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# By default, Celery closes the connection after every task, and reconnecting takes a seventh of a worker's time. What
# Django does between requests (CONN_MAX_AGE, CONN_HEALTH_CHECKS), tasks.py does between tasks.
CELERY_DB_REUSE_MAX = 10_000
CELERY_WORKER_CONCURRENCY = env.int("CELERY_WORKER_CONCURRENCY", default=2)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "sweep-inferences": {
        "task": "moon_vision_challenge.classification.tasks.sweep_inferences",
        "schedule": float(INFERENCE_SWEEP_S),
        "options": {"expires": INFERENCE_SWEEP_S},  # sweeps do not pile up while no worker runs
    },
    "sweep-webhooks": {
        "task": "moon_vision_challenge.webhooks.tasks.sweep",
        "schedule": float(INFERENCE_SWEEP_S),
        "options": {"expires": INFERENCE_SWEEP_S},
    },
    "delete-old-inferences": {
        "task": "moon_vision_challenge.classification.tasks.delete_old",
        "schedule": 600.0,  # seconds
        "options": {"expires": 600},
    },
    "delete-old-webhooks": {
        "task": "moon_vision_challenge.webhooks.tasks.delete_old",
        "schedule": 600.0,  # seconds
        "options": {"expires": 600},
    },
}

# CORS: the origins of web pages that may call the API from a browser. If it is empty, the middleware is not installed.
# https://github.com/adamchainz/django-cors-headers
CORS_ALLOWED_ORIGINS = env.list("DJANGO_CORS_ALLOWED_ORIGINS", default=[])
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
    CORS_URLS_REGEX = r"^/api/"
    CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key", "prefer", "if-none-match")
    CORS_EXPOSE_HEADERS = ("Location", "Retry-After", "ETag", "Preference-Applied", "RateLimit", "RateLimit-Policy")

# Who may call the API
# Callers without a token are one owner together. They may classify, and see and delete what that owner has.
API_ALLOW_ANONYMOUS = env.bool("DJANGO_API_ALLOW_ANONYMOUS", default=False)
# A process looks a token up this often. After this time, a revoked token is refused.
API_TOKEN_CACHE_S = env.float("API_TOKEN_CACHE_S", default=30)
# While PostgreSQL is unavailable, a token is accepted for this long after it was last looked up.
API_TOKEN_OUTAGE_S = env.float("API_TOKEN_OUTAGE_S", default=3600)

# How much they may use, counted in Redis for all processes together. Rates are COUNT/PERIOD, and a list of them applies
# together: 32/s,5000/h. Empty: not limited. v0 and creating rows are counted apart, each with the whole rate.
API_ANON_RATE = parse_rates(env.str("API_ANON_RATE", default="32/s"))  # without a token: from one address
API_ANON_READ_RATE = parse_rates(env.str("API_ANON_READ_RATE", default="200/s"))
API_TOKEN_RATE = parse_rates(env.str("API_TOKEN_RATE", default="100/s"))
API_TOKEN_READ_RATE = parse_rates(env.str("API_TOKEN_READ_RATE", default="500/s"))
API_OWNER_RATE = parse_rates(env.str("API_OWNER_RATE", default="200/s"))  # with all tokens of an owner together
API_OWNER_IMAGES = parse_rates(env.str("API_OWNER_IMAGES", default=""))  # images that an owner stores
API_OWNER_BYTES = parse_rates(env.str("API_OWNER_BYTES", default=""))  # their bytes
API_LOGIN_RATE = parse_rates(env.str("API_LOGIN_RATE", default="10/m"))  # attempts to log in to the admin
API_MAX_CONCURRENT_REQUESTS = env.int("API_MAX_CONCURRENT_REQUESTS", default=0)  # of an owner, or an address; 0: any
API_LIMITS_FAIL_CLOSED = env.bool("API_LIMITS_FAIL_CLOSED", default=False)  # while Redis is unavailable
# Whose X-Forwarded-For is believed: the last NUM_PROXIES entries, and those of proxies in these networks
NUM_PROXIES = env.int("DJANGO_NUM_PROXIES", default=0)
TRUSTED_PROXIES = env.list("DJANGO_TRUSTED_PROXIES", default=[])

# Django REST framework
# https://www.django-rest-framework.org/api-guide/settings/
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["moon_vision_challenge.accounts.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],  # AccessMiddleware has checked the rule of the view
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_PARSER_CLASSES": [
        "moon_vision_challenge.web.parsers.FormDataParser",
        "moon_vision_challenge.web.parsers.ORJSONParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "moon_vision_challenge.web.negotiation.ContentNegotiation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "moon_vision_challenge.classification.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "multipart",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Moon Vision Challenge",
    "DESCRIPTION": "Image classification: immediately (v0) or through a queue (v1).",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]",
    "COMPONENT_SPLIT_REQUEST": True,
    "AUTHENTICATION_WHITELIST": [],  # the same for all operations:
    "APPEND_COMPONENTS": {"securitySchemes": {"apiToken": {"type": "http", "scheme": "bearer"}}},
    "SECURITY": [{"apiToken": []}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "moon_vision_challenge.accounts.openapi.add_refusals",
        "moon_vision_challenge.web.throttling.openapi.add_limits",
    ],
}

# Logs: one line per event, to standard error, with the id of the inference that it concerns
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "inference": {"()": "moon_vision_challenge.classification.log_context.InferenceIdFilter"},
        "client_faults": {"()": "moon_vision_challenge.web.log_limits.ClientFaultFilter"},
    },
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)s %(name)s [inference=%(inference_id)s] %(message).2000s",
            "datefmt": "%Y-%m-%dT%H:%M:%S%z",
        }
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["client_faults", "inference"]}
    },
    "loggers": {"audit": {"level": "INFO"}},  # whatever DJANGO_LOG_LEVEL is
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
}
