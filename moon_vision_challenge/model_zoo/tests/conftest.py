from pathlib import Path

import pytest
from PIL import Image

from moon_vision_challenge.model_zoo.tests.adding import CONFIG, LABELS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a models.config and labels. It is the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("models.config").write_text(CONFIG)
    Path("names.txt").write_text("\n".join(LABELS))
    Image.linear_gradient("L").convert("RGB").save("photo.png")
    return tmp_path
