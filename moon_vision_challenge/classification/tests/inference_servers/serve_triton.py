"""NVIDIA Triton, by PyTriton: PORT MODEL_FILE. The model's name is `net`. Its tensors are images and probabilities."""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

port, session = int(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])


@batch
def infer(images):
    return session.run(None, {"images": images})


config = TritonConfig(http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False)
with Triton(config=config) as server:
    server.bind(
        "net",
        infer,
        inputs=[Tensor(name="images", dtype=np.uint8, shape=(224, 224, 3))],
        outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(1000,))],
        config=ModelConfig(max_batch_size=16),
    )
    server.serve()
