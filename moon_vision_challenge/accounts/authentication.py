"""Tells DRF's views who the caller is."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from moon_vision_challenge.accounts.caller import Caller, caller_of


class CallerAuthentication(BaseAuthentication):
    """Gives DRF views the caller that AccessMiddleware has found, as `request.auth`."""

    def authenticate(self, request: Request) -> tuple[None, Caller]:
        return None, caller_of(request)
