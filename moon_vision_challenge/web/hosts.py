"""The host names that the service answers to, and the paths that do not check them."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

# Load balancers and container engines use the address, not a name of the service.
PROBES = frozenset({"/livez", "/readyz", "/status"})


class HostCheckMiddleware(CommonMiddleware):
    """Django's CommonMiddleware, which checks the Host header, but not for the probes."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info in PROBES else super().process_request(request)
