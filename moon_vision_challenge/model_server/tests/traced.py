"""`python -m` this to run the model server so that coverage sees the threads that Granian starts outside Python."""

import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING
from unittest.mock import patch

from moon_vision_challenge.model_server import __main__ as server
from moon_vision_challenge.model_server.rest import RestApi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class TracedRestApi(RestApi):
    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        sys.settrace(
            threading.gettrace()
        )  # what coverage set for threads made by Python; None when it does not measure
        return super().__call__(environ, start_response)


if __name__ == "__main__":
    with patch.object(server, "RestApi", TracedRestApi):
        sys.exit(server.main())
