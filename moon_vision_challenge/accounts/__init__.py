"""Callers: owners, their API tokens, and what each route requires.

AccessMiddleware (`web/access.py`) handles each request before its view. It finds the caller (`caller.py`), and refuses
the request if the caller may not use the route (`access.py`). A route without a rule is refused.

For other apps:

- `request.auth` in a DRF view, and `caller_of(request)` anywhere else, is a `Caller`: frozen and hashable, with
  `owner_id`, `token_id` (None for anonymous callers), `token_name`, and `scopes`. It is never None.
- All callers without a token share one owner, `ANONYMOUS_OWNER_ID`, if API_ALLOW_ANONYMOUS is set. Otherwise a request
  without a token is answered with 401 before its view runs.
- A view declares its rule: a viewset with `access = {"create": Scope.CLASSIFY}`, by action, and a function with
  `@access(PUBLIC)`.
- A row that belongs to an owner has `owner = ForeignKey(Owner, on_delete=PROTECT, **OWNER_OPTIONS)`. Filter by
  `owner_id`, so that a request for another owner's row gets 404.
- `audit.record(...)` writes one line to the audit log.

`token_cache.py` keeps its results for API_TOKEN_CACHE_S, so that v0 needs the database only for the first request with
a token, and for one request whenever a result expires.
"""
