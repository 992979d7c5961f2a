"""A model from `model_zoo add`, on the real model server, answers as onnxruntime does on the trainer's pixels."""

from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.served_model import Encoding, ServedModelClassificator
from moon_vision_challenge.model_io.tests.networks import CLASSES, save_network
from moon_vision_challenge.model_server.tests.conftest import start_server
from moon_vision_challenge.model_zoo.__main__ import main
from native.environment import ROOT

COFFEE = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")


def test_an_added_export_is_sent_bytes_and_answers_as_in_onnxruntime(tmp_path: Path) -> None:
    save_network(tmp_path / "net.onnx", ("N", 3, 224, 224), head="logits")
    (tmp_path / "names.txt").write_text("\n".join(f"class {number}" for number in range(CLASSES)))
    app, config = tmp_path / "app.py", tmp_path / "models.config"
    places = [f"--models_dir={tmp_path / 'models'}", f"--models_config={config}", f"--write={app}"]
    what = ["--labels", str(tmp_path / "names.txt"), "--preset", "torchvision"]
    assert main(["add", str(tmp_path / "net.onnx"), *what, *places]) == 0

    own = Dispatcher()
    source = app.read_text().replace("import dispatcher as classificators", "import Dispatcher")
    exec(compile(source, "app.py", "exec"), {"__file__": str(app), "classificators": own})
    classificator = own["net"]
    assert isinstance(classificator, ServedModelClassificator)
    server = start_server(tmp_path)
    try:
        classificator.model_url = f"{server.url}/v1/models/net:predict"
        assert classificator.wire_form.encoding == Encoding.RAW
        found = classificator.classify([COFFEE, COFFEE.crop((9, 9, 333, 333))], top_k=3)
    finally:
        assert server.stop() == 0, server.log.read_text()

    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    small = COFFEE.resize((384, 256), Image.Resampling.BILINEAR).crop((80, 16, 304, 240))
    pixels = (np.asarray(small, np.float64) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    [[logits]] = session.run(None, {"images": pixels.transpose(2, 0, 1)[None].astype(np.float32)})
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    best = np.argsort(-expected)[:3]
    assert [one.class_id for one in found[0].predictions] == best.tolist()
    np.testing.assert_allclose(np.array([one.score for one in found[0].predictions]), expected[best], atol=1e-3)
