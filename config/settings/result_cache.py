"""Cached answers for images that were classified before: docs/result-cache.md."""

from config.settings.environment import env

RESULT_CACHE_TTL_S = env.int("RESULT_CACHE_TTL_S", default=0)  # 0: off
RESULT_CACHE_MAX_BYTES = env.int("RESULT_CACHE_MAX_BYTES", default=64 * 1024 * 1024)  # in Redis
RESULT_CACHE_SHARED = env.bool("RESULT_CACHE_SHARED", default=False)  # among owners, and anonymous callers
