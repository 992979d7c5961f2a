"""Makes the caller available to DRF's views."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from moon_vision_challenge.accounts.caller import Caller, caller_of


class CallerAuthentication(BaseAuthentication):
    """Passes the caller that AccessMiddleware found to DRF views, as `request.auth`."""

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        return None, caller_of(request)
