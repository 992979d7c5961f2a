"""What a caller may use, has used, and has left."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from moon_vision_challenge.accounts.access import ANY_CALLER
from moon_vision_challenge.accounts.caller import caller_of
from moon_vision_challenge.web.client_address import client_address
from moon_vision_challenge.web.throttling import store
from moon_vision_challenge.web.throttling.policies import Scope, buckets_of, concurrency_of, fetch_buckets
from moon_vision_challenge.web.throttling.store import BucketState, LimitsUnavailableError


class LimitSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(
        help_text="The name in the RateLimit header: what is counted, for whom, and the window in seconds."
    )
    unit = serializers.CharField(help_text="`requests`, `images`, or `content-bytes`.")
    quota = serializers.IntegerField(help_text="The maximum at once, and in each window.")
    window_s = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    full_in_s = serializers.IntegerField(help_text="When all of the quota is available again.")


class ConcurrencySerializer(serializers.Serializer[Any]):
    quota = serializers.IntegerField()
    used = serializers.IntegerField()


class UsageSerializer(serializers.Serializer[Any]):
    limits = LimitSerializer(many=True)
    concurrent_requests = ConcurrencySerializer(allow_null=True, help_text="Null if they are not limited.")


class UnknownUsageError(APIException):
    """Redis does not answer."""

    status_code = 503
    default_code = "limits_unavailable"
    default_detail = "The service cannot count requests now. Try again later."
    wait = 5


class UsageView(APIView):
    """What the caller may use, has used, and has left."""

    access = ANY_CALLER

    @extend_schema(operation_id="get_usage", summary="Get the usage", responses={200: UsageSerializer})
    def get(self, request: Request) -> Response:
        caller, address = caller_of(request), client_address(request.META)
        buckets = [
            bucket
            for scope in (Scope.V0, Scope.CREATE, Scope.READ)
            for bucket in buckets_of(scope, caller, address, images=0, stored_bytes=0, cost=0)
        ]
        if settings.ALLOW_IMAGE_URLS:
            buckets += fetch_buckets(caller, address, cost=0)
        try:
            seen = store.take(buckets, concurrency_of(caller, address, looks_only=True))
        except LimitsUnavailableError:
            raise UnknownUsageError from None
        concurrency = seen.concurrency and {"quota": seen.concurrency.limit, "used": seen.in_progress}
        return Response({"limits": [_show(state) for state in seen.states], "concurrent_requests": concurrency})


def _show(state: BucketState) -> dict[str, Any]:
    bucket, remaining, full_in_s = state
    return {
        "name": bucket.name,
        "unit": bucket.unit,
        "quota": bucket.quota,
        "window_s": bucket.window_s,
        "used": bucket.quota - remaining,
        "remaining": remaining,
        "full_in_s": full_in_s,
    }
