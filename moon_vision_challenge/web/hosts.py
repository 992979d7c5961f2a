"""The check of the Host header, and the paths that skip it."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

# Load balancers and container engines use the address of the service, not its name.
PROBES = frozenset({"/livez", "/readyz", "/status"})


class HostCheckMiddleware(CommonMiddleware):
    """Django's CommonMiddleware, which checks the Host header, except for the probes."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in PROBES else super().process_request(request)
