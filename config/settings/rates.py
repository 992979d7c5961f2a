"""How much callers may use, counted in Redis across all processes: docs/api.md, "Rate limits".

A rate is COUNT/PERIOD. All rates of a list apply, as in 32/s,5000/h. Empty: not limited. Requests to v0 and requests
that create rows are counted separately, each with the whole rate.
"""

from config.settings.environment import env
from moon_vision_challenge.accounts.rates import parse_rates

API_ANON_RATE = parse_rates(env.str("API_ANON_RATE", default="32/s"))  # without a token, from one address
API_ANON_READ_RATE = parse_rates(env.str("API_ANON_READ_RATE", default="200/s"))
API_TOKEN_RATE = parse_rates(env.str("API_TOKEN_RATE", default="100/s"))
API_TOKEN_READ_RATE = parse_rates(env.str("API_TOKEN_READ_RATE", default="500/s"))
API_OWNER_RATE = parse_rates(env.str("API_OWNER_RATE", default="200/s"))  # all tokens of an owner together
API_OWNER_IMAGES = parse_rates(env.str("API_OWNER_IMAGES", default=""))  # images that an owner stores
API_OWNER_BYTES = parse_rates(env.str("API_OWNER_BYTES", default=""))  # their bytes
API_FETCH_RATE = parse_rates(env.str("API_FETCH_RATE", default="5/s"))  # `image_url`: per owner, or per address
API_LOGIN_RATE = parse_rates(env.str("API_LOGIN_RATE", default="10/m"))  # login attempts in the admin
# Failed attempts, from one address with one user name
API_LOGIN_NAME_RATE = parse_rates(env.str("API_LOGIN_NAME_RATE", default="10/m,30/h,100/d"))
API_MAX_CONCURRENT_REQUESTS = env.int("API_MAX_CONCURRENT_REQUESTS", default=0)  # per owner, or per address; 0: any
API_LIMITS_FAIL_CLOSED = env.bool("API_LIMITS_FAIL_CLOSED", default=False)  # while Redis is unavailable
# Which entries of X-Forwarded-For are trusted: the last NUM_PROXIES ones, and those of proxies in these networks
NUM_PROXIES = env.int("DJANGO_NUM_PROXIES", default=0)
TRUSTED_PROXIES = env.list("DJANGO_TRUSTED_PROXIES", default=[])
if NUM_PROXIES or TRUSTED_PROXIES:  # the proxies also report whether the client used HTTPS
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
