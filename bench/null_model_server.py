"""A model server that answers immediately, so that the rest of a request's cost belongs to the service.

`granian --interface rsgi bench.null_model_server:application`
"""

import json
from typing import Any

import numpy as np

JSON = [("content-type", "application/json")]
STATUS = b'{"model_version_status":[{"version":"1","state":"AVAILABLE"}]}'
METADATA = (
    b'{"metadata":{"signature_def":{"signature_def":{"raw":{"method_name":"tensorflow/serving/predict",'
    b'"inputs":{"images":{"dtype":"DT_STRING","tensor_shape":{"dim":[{"size":"-1"}]}}},'
    b'"outputs":{"probabilities":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"1000"}]}}}}}}}}'
)
# As long as a real model's answer: 1000 classes, most of them close to 0. The best class is 235.
SCORES = b"[" + b",".join(b"0.5" if i == 235 else b"%.8e" % (5e-4 * (1 + i) / 1000) for i in range(1000)) + b"]"


BINARY = [("content-type", "application/octet-stream")]
SERVER = b'{"name":"null","version":"1","extensions":["binary_tensor_data"]}'
IMAGE_BYTES = 224 * 224 * 3
MODEL = (
    b'{"name":"any","versions":["1"],"platform":"null","inputs":[{"name":"images","datatype":"UINT8",'
    b'"shape":[-1,-1,-1,3]}],"outputs":[{"name":"probabilities","datatype":"FP32","shape":[-1,1000]}]}'
)
SCORES_MEMORY = np.array(json.loads(SCORES), "<f4").tobytes()


async def application(scope: Any, protocol: Any) -> None:
    """Answer every POST as a `:predict` in row format, and every GET as a status or metadata, as an RSGI application.

    Below /v2, it does the same in the Open Inference Protocol, with binary data.
    """
    if scope.path.startswith("/v2"):
        await _open_inference(scope, protocol)
        return
    if scope.method == "GET":
        protocol.response_bytes(200, JSON, METADATA if scope.path.endswith("/metadata") else STATUS)
        return
    instances = (await protocol()).count(b'"b64"')
    protocol.response_bytes(200, JSON, b'{"predictions":[' + b",".join([SCORES] * instances) + b"]}")


async def _open_inference(scope: Any, protocol: Any) -> None:
    if scope.method == "GET":
        protocol.response_bytes(200, JSON, SERVER if scope.path == "/v2" else MODEL)
        return
    images = len(await protocol()) // IMAGE_BYTES
    shape, size = f"[{images},1000]", images * len(SCORES_MEMORY)
    output = f'"name":"probabilities","datatype":"FP32","shape":{shape},"parameters":{{"binary_data_size":{size}}}'
    head = f'{{"model_name":"any","model_version":"1","outputs":[{{{output}}}]}}'.encode()
    length = ("inference-header-content-length", str(len(head)))
    protocol.response_bytes(200, [*BINARY, length], head + SCORES_MEMORY * images)
