"""KServe's Python server: PORT MODEL_FILE. The model's name is `net`. Its tensors are images and probabilities."""

import sys

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid

port, session = int(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])


class Net(Model):
    def load(self):
        self.ready = True
        return True

    async def get_input_types(self):
        return [{"name": "images", "datatype": "UINT8", "shape": [-1, 224, 224, 3]}]

    async def get_output_types(self):
        return [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 1000]}]

    def predict(self, payload, headers=None, response_headers=None):  # noqa: ARG002 - the signature is KServe's
        [scores] = session.run(None, {"images": payload.inputs[0].as_numpy()})
        output = InferOutput("probabilities", list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


net = Net("net")
net.load()
ModelServer(http_port=port, enable_grpc=False).start([net])
