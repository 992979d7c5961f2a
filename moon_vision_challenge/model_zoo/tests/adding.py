"""An export, the checkout that it is added to, and helpers to inspect the result."""

from pathlib import Path

from moon_vision_challenge.model_io.tests.networks import CLASSES
from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_zoo.__main__ import main

LABELS = [f"class {number}" for number in range(CLASSES)]
ADDED = (
    "  config {\n    name: 'my_flowers'\n    base_path: '/models/my_flowers/'\n    model_platform: 'tensorflow'\n  }\n"
)
CONFIG = "# ours\nmodel_config_list {\n  config { name: 'a' base_path: '/models/a' }  # not this }\n}\n# the end\n"
NCHW = ("N", 3, 64, 64)


def run(*words: str) -> int:
    return main(["add", *words])


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def listed() -> list[str]:
    return [one.name for one in parse_models_config(Path("models.config").read_text())]
