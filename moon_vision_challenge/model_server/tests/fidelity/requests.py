"""What TensorFlow Serving answers to requests that it does not serve."""

from typing import NamedTuple

from moon_vision_challenge.model_server.tests.fidelity.predict import DOC


class Request(NamedTuple):
    source: str
    method: str
    path: str
    status: int
    error: str  # part of the message


HANDLER = "model_servers/http_rest_api_handler.cc"
HANDLER_TEST = "model_servers/http_rest_api_handler_test.cc"
UTIL = "model_servers/http_rest_api_util.cc"
SERVER = "model_servers/http_server.cc"

REQUESTS = [
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models", 400, "Missing model name"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models", 400, "Malformed request"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models/foo:predict", 400, "Malformed request"),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models/foo/version/50:predict", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models/foo/version/50:regress", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models/foo/versions/HELLO:regress", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls",
        "POST",
        f"/v1/models/foo/versions/{2**64 - 1}:predict",
        400,
        f"Failed to convert version: {2**64 - 1} to numeric.",
    ),
    Request(
        f"{HANDLER} ProcessModelStatusRequest",
        "GET",
        f"/v1/models/foo/versions/{2**63}",
        400,
        "Failed to convert version",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/foo:predict",
        404,
        "Servable not found for request: Latest(foo)",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/foo/versions/50:predict",
        404,
        "Servable not found for request: Specific(foo, 50)",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/echo_int32/versions/99:predict",
        404,
        "Specific(echo_int32, 99)",
    ),
    Request(f"{UTIL} kPredictionApiGegex, labels", "POST", "/v1/models/echo_int32/labels/no:predict", 400, "label: no"),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
    Request(
        f"{UTIL} kModelStatusApiRegex",
        "GET",
        "/v1/models/echo_int32/versions/99",
        404,
        "Could not find version 99 of model echo_int32",
    ),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/foo/metadata", 404, "foo"),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/echo_int32/other", 400, "Malformed request"),
    Request(f"{SERVER} Dispatch", "GET", "/statuspage", 404, ""),
    Request(f"{SERVER} Dispatch", "GET", "/", 404, ""),
    # Here the servers differ: TensorFlow Serving classifies and regresses, with inputs as tf.Example.
    Request(
        f"{DOC} Classify and Regress API", "POST", "/v1/models/echo_int32:classify", 501, "classify is not implemented"
    ),
    Request(
        f"{DOC} Classify and Regress API",
        "POST",
        "/v1/models/echo_int32/versions/1:regress",
        501,
        "regress is not implemented",
    ),
]
