"""Adds an export as a user does, serves it, and compares its answers with those of another program."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, start_server
from moon_vision_challenge.model_zoo.__main__ import main
from native.environment import ROOT

COFFEE = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")
PHOTOS = [COFFEE, COFFEE.crop((40, 10, 301, 350)), COFFEE.crop((0, 0, 333, 333))]
LABELS = [f"class {number}" for number in range(7)]
LABELS_FILE = "labels.names"  # a name that `add` does not look for

Add = Callable[..., ServedModelClassificator]
"""Takes the export, the name, and more options of `model_zoo add`. Returns the classificator that was written."""


@contextmanager
def adding(folder: Path) -> Iterator[Add]:
    servers: list[Server] = []
    config, app = folder / "models.config", folder / "app.py"
    (folder / LABELS_FILE).write_text("\n".join(LABELS))

    def run(export: Path, name: str, *options: str) -> ServedModelClassificator:
        config.write_text(models_config("efficientnet_lite0"))
        words = ["add", str(export), "--name", name, "--write", str(app), "--photo", str(ROOT / "samples/coffee.jpg")]
        places = [f"--models_dir={folder / 'models'}", f"--models_config={config}"]
        assert main([*words, *places, *options]) == 0
        servers.append(start_server(folder, deadline_s=300))  # TensorFlow starts slowly
        own = Dispatcher()
        source = app.read_text().replace("import dispatcher as classificators", "import Dispatcher")
        exec(compile(source, "app.py", "exec"), {"__file__": str(app), "classificators": own})
        made = own[name]
        assert isinstance(made, ServedModelClassificator)
        made.model_url = f"{servers[-1].url}/v1/models/{name}:predict"
        return made

    try:
        yield run
    finally:
        codes = [server.stop() for server in servers]
    assert codes == [0] * len(servers), [server.log.read_text() for server in servers]


def check(
    classificator: ServedModelClassificator,
    expected: Sequence[np.ndarray],
    labels: Sequence[str],
    photos: Sequence[Image.Image] = PHOTOS,
) -> None:
    """Check that the best labels are those of the expected scores, and that the scores differ by at most 1e-3."""
    for found, scores in zip(classificator.classify(photos, top_k=3), expected, strict=True):
        best = np.argsort(-scores)[:3]
        assert [one.label for one in found.predictions] == [labels[index] for index in best]
        np.testing.assert_allclose(np.array([one.score for one in found.predictions]), scores[best], atol=1e-3)
