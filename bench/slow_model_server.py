"""A model server that takes time but no CPU: `granian --interface rsgi bench.slow_model_server:application`

It answers a request after REQUEST_S plus IMAGE_S for each image, whatever else it does. A machine with few cores can
therefore try many worker processes.
"""

import asyncio
from typing import Any

from bench.null_model_server import JSON, METADATA, SCORES, STATUS

REQUEST_S = 1.0
IMAGE_S = 0.1


async def application(scope: Any, protocol: Any) -> None:
    if scope.method == "GET":
        protocol.response_bytes(200, JSON, METADATA if scope.path.endswith("/metadata") else STATUS)
        return
    images = (await protocol()).count(b'"b64"')
    await asyncio.sleep(REQUEST_S + IMAGE_S * images)
    protocol.response_bytes(200, JSON, b'{"predictions":[' + b",".join([SCORES] * images) + b"]}")
