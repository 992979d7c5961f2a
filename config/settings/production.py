"""Settings for production, behind Traefik, which terminates TLS."""

from config.settings.base import *
from config.settings.environment import env
from config.settings.logs import LOG_FORMAT, LOGGING

if not LOG_FORMAT:
    LOGGING["handlers"]["stderr"]["formatter"] = "json"

# https://docs.djangoproject.com/en/5.2/topics/security/
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("DJANGO_SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^status$"]  # the container engine probes these over HTTP
# Browsers remember these rules, so the defaults are low. docs/deploy.md says when to raise them.
# https://docs.djangoproject.com/en/5.2/ref/middleware/#http-strict-transport-security
SECURE_HSTS_SECONDS = env.int("DJANGO_SECURE_HSTS_SECONDS", default=3600)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("DJANGO_SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("DJANGO_SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # both ask for rules about other hosts of the domain
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])
