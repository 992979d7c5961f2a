"""The work that all peers do for a photo: the pixels, the model, and the label of our service, in one process."""

import io
import json
import os
import sys
import threading
from pathlib import Path

import cykooz_resizer
import numpy as np
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "efficientnet_lite0" / "1" / "model.onnx"
LABELS = ROOT / "moon_vision_challenge" / "classification" / "data" / "imagenet_class_index.json"
SIZE = 224


class Classifier:
    """lite0 on one thread. With NULL_MODEL=1 in the environment, no model runs, and the answer is a constant.

    With PILLOW=1, Pillow resizes, as in most services that use these frameworks. Otherwise, the library of our service
    does, so that the comparison is between the frameworks alone. With OPENVINO=1, OpenVINO runs the model.
    """

    def __init__(self) -> None:
        index = json.loads(LABELS.read_text())
        self.labels = [index[str(number)][1] for number in range(len(index))]
        self.crop_and_resize = with_pillow if os.environ.get("PILLOW") == "1" else with_our_library
        self.run = None
        if os.environ.get("NULL_MODEL") != "1":
            self.run = in_openvino() if os.environ.get("OPENVINO") == "1" else in_onnxruntime()

    def classify(self, data: bytes) -> str:
        image = Image.open(io.BytesIO(data))
        shorter = min(image.size)
        least = 2 * round(SIZE / 0.875)
        image.draft("RGB", (image.width * least // shorter, image.height * least // shorter))
        image = image.convert("RGB")
        side = 0.875 * min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        pixels = np.asarray(self.crop_and_resize(image, left, top, side))
        if self.run is None:
            return self.labels[235]
        return self.labels[int(self.run(pixels[None]).argmax())]


def in_onnxruntime():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["probabilities"], {"images": pixels})[0]


def in_openvino():
    """Run one request at a time in each process, because several threads that call `infer` have crashed it."""
    sys.modules["openvino.tools.ovc"] = None  # it reports to Google Analytics
    import openvino  # noqa: PLC0415 - the other peers do not load it

    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(MODEL, "CPU", options)
    request, turn = model.create_infer_request(), threading.Lock()

    def run(pixels):
        with turn:
            request.start_async({"images": pixels})
            request.wait()
            return request.get_tensor("probabilities").data.copy()

    return run


def with_pillow(image: Image.Image, left: float, top: float, side: float) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def with_our_library(image: Image.Image, left: float, top: float, side: float) -> Image.Image:
    options = cykooz_resizer.ResizeOptions(
        resize_alg=cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.catmull_rom),
        crop_box=cykooz_resizer.CropBox(left, top, side, side),
    )
    resized = Image.new("RGB", (SIZE, SIZE))
    cykooz_resizer.Resizer().resize_pil(image, resized, options)
    return resized
