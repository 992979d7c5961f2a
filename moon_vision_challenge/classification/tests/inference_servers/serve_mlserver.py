"""MLServer: PORT MODEL_FILE. The model's name is `net`. Its tensors are images and probabilities."""

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor

port, session = int(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])


class Net(MLModel):
    async def predict(self, payload):
        [scores] = session.run(None, {"images": NumpyCodec.decode_input(payload.inputs[0])})
        output = NumpyCodec.encode_output("probabilities", scores)
        return InferenceResponse(model_name=self.name, outputs=[output])


async def serve():
    server = MLServer(
        Settings(host="127.0.0.1", http_port=port, grpc_port=0, metrics_endpoint=None, parallel_workers=0)
    )
    net = ModelSettings(
        name="net",
        implementation=Net,
        inputs=[MetadataTensor(name="images", datatype="UINT8", shape=[-1, 224, 224, 3])],
        outputs=[MetadataTensor(name="probabilities", datatype="FP32", shape=[-1, 1000])],
    )
    await server.start([net])


asyncio.run(serve())
