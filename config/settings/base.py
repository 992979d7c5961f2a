"""Settings that all environments share. local.py, test.py, and production.py add to them.

Only the modules of this package read environment variables, each of them once. This module configures Django itself.
Every other subject has its own module.
"""

import django_stubs_ext
from corsheaders.defaults import default_headers

from config.settings.access import *
from config.settings.api import *
from config.settings.databases import *
from config.settings.environment import ROOT_DIR as ROOT_DIR
from config.settings.environment import env
from config.settings.jobs import *
from config.settings.limits import *
from config.settings.logs import *
from config.settings.media import *
from config.settings.metrics import *
from config.settings.model_server import *
from config.settings.queue import *
from config.settings.rates import *
from config.settings.result_cache import *

# Makes classes that are generic only in Django's stubs, such as ModelAdmin, accept type arguments at run time.
django_stubs_ext.monkeypatch()

# https://docs.djangoproject.com/en/5.2/ref/settings/
DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("DJANGO_SECRET_KEY_FALLBACKS", default=[])  # earlier keys, still accepted
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "moon_vision_challenge.admin_site.apps.AdminWithFrontPageConfig",  # django.contrib.admin with another front page
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "moon_vision_challenge.admin_site",
    "moon_vision_challenge.accounts",
    "moon_vision_challenge.classification",
    "moon_vision_challenge.jobs",
    "moon_vision_challenge.playground",
    "moon_vision_challenge.webhooks",
    *env.list("DJANGO_EXTRA_APPS", default=[]),  # your own apps with a classificators.py
]

MIDDLEWARE = [
    "moon_vision_challenge.observability.middleware.ObservabilityMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "moon_vision_challenge.web.content_security_policy.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "moon_vision_challenge.web.size_limit.RequestSizeLimitMiddleware",
    "moon_vision_challenge.web.sessions.SessionMiddleware",
    "moon_vision_challenge.web.hosts.HostCheckMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "moon_vision_challenge.web.sessions.AuthenticationMiddleware",
    "moon_vision_challenge.web.sessions.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "moon_vision_challenge.web.access.AccessMiddleware",
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

# CORS: the origins of web pages that may call the API from a browser. If it is empty, the middleware is not installed.
# https://github.com/adamchainz/django-cors-headers
CORS_ALLOWED_ORIGINS = env.list("DJANGO_CORS_ALLOWED_ORIGINS", default=[])
if CORS_ALLOWED_ORIGINS:
    INSTALLED_APPS.append("corsheaders")
    MIDDLEWARE.insert(0, "corsheaders.middleware.CorsMiddleware")
    CORS_URLS_REGEX = r"^/api/"
    CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key", "prefer", "if-none-match")
    CORS_EXPOSE_HEADERS = (
        *("Location", "Retry-After", "ETag", "Preference-Applied", "WWW-Authenticate"),
        *("RateLimit", "RateLimit-Policy", "X-Request-ID"),
    )
