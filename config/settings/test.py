"""Settings for tests, which use a real PostgreSQL and Redis."""

import os

# mypy and `makemigrations --check` import these settings without any server or environment variable.
os.environ.setdefault("DJANGO_SECRET_KEY", "only for tests")
os.environ.setdefault("DATABASE_URL", "postgres://moon_vision@127.0.0.1:5432/moon_vision")
os.environ.setdefault("DJANGO_API_ALLOW_ANONYMOUS", "1")  # tests of tokens turn it off

# On a loaded machine, answers take longer. A test of a time limit sets its own limit.
os.environ.setdefault("DATABASE_CONNECT_TIMEOUT_S", "60")
os.environ.setdefault("DATABASE_LOCK_TIMEOUT_S", "60")
os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT_S", "60")
os.environ.setdefault("INFERENCE_DECODE_WAIT_S", "60")
os.environ.setdefault("TF_SERVING_CONNECT_TIMEOUT_S", "60")
os.environ.setdefault("TF_SERVING_TIMEOUT_S", "60")
os.environ.setdefault("WEB_MAX_WAIT_S", "60")

from config.settings.base import *
from config.settings.base import MIDDLEWARE as _MIDDLEWARE

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; tests have no secrets

# Each response that a test gets must match docs/openapi.yaml.
MIDDLEWARE = ["moon_vision_challenge.tests.contract.ContractMiddleware", *_MIDDLEWARE]
