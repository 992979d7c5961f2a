"""Which names the service answers to, and where that is not asked."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

# Load balancers and container engines ask by address, whatever the names of the service are.
PROBES = frozenset({"/livez", "/readyz", "/status"})


class HostCheckMiddleware(CommonMiddleware):
    """Django's own, which checks the Host header; except for the probes."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in PROBES else super().process_request(request)
