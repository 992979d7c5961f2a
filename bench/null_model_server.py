"""A model server that answers immediately, so that the rest of a request's cost belongs to the service.

`granian --interface rsgi bench.null_model_server:application`
"""

from typing import Any

JSON = [("content-type", "application/json")]
STATUS = b'{"model_version_status":[{"version":"1","state":"AVAILABLE"}]}'
METADATA = (
    b'{"metadata":{"signature_def":{"signature_def":{"raw":{"method_name":"tensorflow/serving/predict",'
    b'"inputs":{"images":{"dtype":"DT_STRING","tensor_shape":{"dim":[{"size":"-1"}]}}},'
    b'"outputs":{"probabilities":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"1000"}]}}}}}}}}'
)
# As long as a real model's answer: 1000 classes, most of them close to 0. The best class is 235.
SCORES = b"[" + b",".join(b"0.5" if i == 235 else b"%.8e" % (5e-4 * (1 + i) / 1000) for i in range(1000)) + b"]"


async def application(scope: Any, protocol: Any) -> None:
    """Answers every POST as a `:predict` in row format, every GET as a status or metadata; an RSGI application."""
    if scope.method == "GET":
        protocol.response_bytes(200, JSON, METADATA if scope.path.endswith("/metadata") else STATUS)
        return
    instances = (await protocol()).count(b'"b64"')
    protocol.response_bytes(200, JSON, b'{"predictions":[' + b",".join([SCORES] * instances) + b"]}")
