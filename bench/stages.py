"""`python -m bench.stages`: measures the CPU time of the stages of a v0 request, in one process.

Whole requests go through the WSGI application, as from the web server. A clock measures the thread's CPU time in the
functions of each stage. A stage that is repeated alone looks cheaper than it is, because its code and data never leave
the processor's caches.

Needs the environment of a web process. Prints JSON: the milliseconds per request of each stage. "whole" is the total.
"""

import io
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import django
import orjson

django.setup()

from bench import load
from bench.photo import photo
from config.wsgi import application
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.classificators import EfficientNetLite0Classificator
from moon_vision_challenge.web.parsers import FormDataParser
from moon_vision_challenge.web.throttling import middleware as throttling

REQUESTS = 50
ROUNDS = 6
PATH = "/api/v0/inferences/"

spent_s: dict[str, float] = defaultdict(float)


def clock(owner: Any, function: str, stage: str) -> None:
    """Add the CPU time of each call of `owner`.`function` to `stage`."""
    original = getattr(owner, function)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.thread_time()
        try:
            return original(*args, **kwargs)
        finally:
            spent_s[stage] += time.thread_time() - start

    setattr(owner, function, timed)


def main() -> None:
    clock(throttling, "_take", "throttle")  # not process_view, which Django has already bound
    clock(FormDataParser, "parse", "multipart parser")
    clock(images, "open_image", "decode JPEG")
    clock(images.pixels, "decode", "decode JPEG")
    clock(EfficientNetLite0Classificator, "preprocess_input", "crop and resize")
    clock(EfficientNetLite0Classificator, "process_prediction", "base64, JSON, HTTP to the model server")
    clock(orjson, "loads", "parse the reply")
    clock(EfficientNetLite0Classificator, "decode_predictions", "find the label")
    request = load.multipart(PATH, "127.0.0.1", {"image": photo()}, {"model_type": "efficientnet_lite0"})
    body = request.partition(b"\r\n\r\n")[2]
    rounds = []
    for number in range(ROUNDS + 1):
        spent_s.clear()
        start = time.thread_time()
        for _ in range(REQUESTS):
            classify(body)
        spent_s["whole"] = time.thread_time() - start
        spent_s["base64, JSON, HTTP to the model server"] -= spent_s["parse the reply"]  # this stage includes it
        if number:  # the first round fills caches and pools
            rounds.append({stage: seconds / REQUESTS * 1e3 for stage, seconds in spent_s.items()})
    print(json.dumps({stage: statistics.median(each[stage] for each in rounds) for stage in rounds[0]}))


def _start_response(*_: Any) -> Callable[[bytes], object]:
    return bytes  # the write() of WSGI, which Django does not call


def classify(body: bytes) -> None:
    """Make one whole request, as a WSGI server does."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_TYPE": f"multipart/form-data; boundary={load.BOUNDARY}",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    response = application(environ, _start_response)
    answer = b"".join(response)
    response.close()
    if b'"label"' not in answer:
        raise RuntimeError(f"the service answered {answer!r}")


if __name__ == "__main__":
    main()
