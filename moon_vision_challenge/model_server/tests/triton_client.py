"""Calls the model server with Triton's own client, in that client's environment: HOST:PORT. Prints answers as JSON."""

import json
import sys

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(sys.argv[1], network_timeout=600, connection_timeout=600)
PIXELS = np.arange(84, dtype=np.uint8).reshape(7, 2, 2, 3)


def tensor(name, array, datatype, *, binary=True):
    found = http.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def pixels(*, binary_in, binary_out, compression):
    result = client.infer(
        "pixels",
        [tensor("pixels", PIXELS, "UINT8", binary=binary_in)],
        outputs=[http.InferRequestedOutput("values", binary_data=binary_out)],
        request_compression_algorithm=compression,
    )
    return bool((result.as_numpy("values") == PIXELS).all())


def texts(*, binary):
    text = np.array(["é".encode(), b"", b"abc"], object)
    outputs = [http.InferRequestedOutput("same", binary_data=binary)]
    found = client.infer("text", [tensor("text", text, "BYTES", binary=binary)], outputs=outputs).as_numpy("same")
    return [item.decode() if isinstance(item, bytes) else item for item in found]


def total():
    a, b = np.array([1, 2**60]), np.array([3, 4])
    result = client.infer("sum", [tensor("b", b, "INT64"), tensor("a", a, "INT64", binary=False)], request_id="7")
    return [result.as_numpy("total").tolist(), result.as_numpy("same").tolist(), result.get_response()["id"]]


def version(chosen):
    x = [tensor("x", np.ones((1, 2), np.float32), "FP32")]
    return client.infer("half", x, model_version=chosen).get_response()["model_version"]


def failure(model, shape, chosen=""):
    try:
        client.infer(model, [tensor("x", np.ones(shape, np.float32), "FP32")], model_version=chosen)
    except InferenceServerException as error:
        return error.status()


both = (True, False)
json.dump(
    {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models": [client.is_model_ready(*one) for one in (("half",), ("half", "2"), ("half", "3"), ("broken",))],
        "extensions": client.get_server_metadata()["extensions"],
        "metadata": client.get_model_metadata("half"),
        "pixels": [
            pixels(binary_in=one, binary_out=other, compression=compression)
            for one in both
            for other in both
            for compression in (None, "gzip")
        ],
        "texts": [texts(binary=binary) for binary in both],
        "sum": total(),
        "versions": [version(chosen) for chosen in ("", "1", "stable")],
        "failures": [failure("half", (1, 3)), failure("nothing", (1, 2)), failure("half", (1, 2), "3")],
    },
    sys.stdout,
)
