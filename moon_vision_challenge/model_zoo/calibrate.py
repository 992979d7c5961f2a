"""python -m moon_vision_challenge.model_zoo.calibrate [--model efficientnet_lite0] PHOTO_OR_FOLDER...

Writes ranges/<model>.json: the smallest and largest value of every quantized activation, as seen on these photos.
A few dozen photos of the kind that the model will see are enough. They are not stored.
"""

import argparse
import datetime
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from moon_vision_challenge.model_zoo.build import ranges_path, weights_path
from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph
from moon_vision_challenge.model_zoo.errors import BuildError
from moon_vision_challenge.model_zoo.evaluation import CROP
from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict
from moon_vision_challenge.model_zoo.quantization import Ranges, quantized_tensors
from moon_vision_challenge.model_zoo.variants import VARIANTS


def prepare(path: Path, size: int) -> np.ndarray:
    """Return RGB pixels, uint8 [1, size, size, 3]: the central square, with bicubic resizing. Raises OSError."""
    with Image.open(path) as image:
        side = CROP * min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box=box))[None]


def measure_ranges(model: onnx.ModelProto, batches: Iterable[np.ndarray]) -> Ranges:
    """Measure the ranges of the float32 model on uint8 [N, size, size, 3] batches."""
    names = quantized_tensors(model)
    seen = {output.name for output in model.graph.output}
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    observed.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in seen
    )
    session = onnxruntime.InferenceSession(observed.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for batch in batches:
        values = session.run(names, {"images": batch})
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    return {name: (float(low[index]), float(high[index])) for index, name in enumerate(names)}


def document(ranges: Ranges, photos: int, kind: str) -> dict[str, Any]:
    """Return the content of the file: on what, when, and with what the model was calibrated, then the ranges."""
    return {
        "calibrated_on": f"{photos} photos: {kind}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "onnxruntime": onnxruntime.__version__,
        "ranges": {name: [float(f"{limit:.6g}") for limit in limits] for name, limits in ranges.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the ranges. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="calibrate", description="Measures activation ranges for quantisation.")
    parser.add_argument("photos", nargs="+", type=Path, help="photos, or folders of photos")
    parser.add_argument("--model", choices=VARIANTS, default="efficientnet_lite0", help="(default: %(default)s)")
    parser.add_argument("--kind", default="kind not stated", help="what they show, to record in the file")
    parser.add_argument("--output", type=Path, help="(default: the file that builds read)")
    arguments = parser.parse_args(argv)
    paths = [file for path in arguments.photos for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    size = VARIANTS[arguments.model].image_size
    try:
        model = build_graph(arguments.model, read_state_dict(weights_path(arguments.model)))
        ranges = measure_ranges(model, (prepare(path, size) for path in paths))
    except (BuildError, OSError) as error:
        print(f"Cannot calibrate: {error}", file=sys.stderr)
        return 1
    output = arguments.output or ranges_path(arguments.model)
    output.parent.mkdir(exist_ok=True)
    content = document(ranges, len(paths), arguments.kind)
    text = json.dumps(content, indent=1)
    text = re.sub(r"\[\s+(\S+)\s+(\S+)\s+\]", r"[\1 \2]", text)  # one line per range
    output.write_text(text + "\n", encoding="utf-8")
    print(f"{output}: {len(ranges)} ranges of {content['calibrated_on']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
