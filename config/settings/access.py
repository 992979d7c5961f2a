"""Who may call the API, and log in to the admin: docs/accounts.md."""

from config.settings.environment import env

# Callers without a token are one owner together. They may classify, and see and delete what that owner has.
API_ALLOW_ANONYMOUS = env.bool("DJANGO_API_ALLOW_ANONYMOUS", default=False)
# A process looks a token up this often. After this time, a revoked token is refused.
API_TOKEN_CACHE_S = env.float("API_TOKEN_CACHE_S", default=30)
# While PostgreSQL is unavailable, a token is accepted for this long after it was last looked up.
API_TOKEN_OUTAGE_S = env.float("API_TOKEN_OUTAGE_S", default=3600)

# A session of the admin ends after this time, whatever its user does, and when the browser closes.
SESSION_COOKIE_AGE = env.int("DJANGO_SESSION_COOKIE_AGE", default=8 * 3600)
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
