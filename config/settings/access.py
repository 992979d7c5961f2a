"""Who may call the API and log in to the admin: docs/accounts.md."""

from config.settings.environment import env

# Callers without a token share one owner. They may classify images, and see and delete what that owner has.
API_ALLOW_ANONYMOUS = env.bool("DJANGO_API_ALLOW_ANONYMOUS", default=False)
# How often a process looks up a token. After this time, a revoked token is refused.
API_TOKEN_CACHE_S = env.float("API_TOKEN_CACHE_S", default=30)
# How long a token is accepted after its last lookup while PostgreSQL is unavailable.
API_TOKEN_OUTAGE_S = env.float("API_TOKEN_OUTAGE_S", default=3600)

# An admin session ends after this time, even if it is in use, and when the browser closes.
SESSION_COOKIE_AGE = env.int("DJANGO_SESSION_COOKIE_AGE", default=8 * 3600)
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
