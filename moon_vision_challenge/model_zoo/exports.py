"""Finds the model in what a trainer has exported: a file, a folder, or a tarball."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from moon_vision_challenge.model_zoo.errors import AddError

MAX_BYTES = 20_000_000_000  # of the content of a tarball
_TARBALLS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LABEL_FILES = ("labels.txt", "labels.json", "classes.txt", "class_names.txt", "class_indices.json", "synset.txt")
_ONNX_ANEW = "Export ONNX of the model that it was made from"
# The name, or the end of a name → how to get a file that can be served
_OTHERS = {
    "model.json": (  # TensorFlow.js
        "In Teachable Machine: Export Model, TensorFlow, SavedModel. "
        "Elsewhere: `tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras_saved_model`"
    ),
    "pytorch_model.bin": "`optimum-cli export onnx --model FOLDER OUTPUT`",
    ".pt": "In Ultralytics: `yolo export model=FILE format=onnx`. In PyTorch: `torch.onnx.export`",
    ".pt2": "In PyTorch: `torch.onnx.export`",
    ".pth": "In PyTorch: `torch.onnx.export`",
    ".ckpt": "In PyTorch: `torch.onnx.export`",
    ".safetensors": "`optimum-cli export onnx --model FOLDER OUTPUT`",
    ".keras": "In Keras: `model.export(FOLDER)`",
    ".weights.h5": "In Keras: build the model, then `model.load_weights(FILE)` and `model.export(FOLDER)`",
    ".h5": "In Keras: `keras.models.load_model(FILE).export(FOLDER)`",
    ".hdf5": "In Keras: `keras.models.load_model(FILE).export(FOLDER)`",
    ".tflite": "Export a SavedModel of the model that it was made from",
    ".pkl": "`skl2onnx.to_onnx`",
    ".joblib": "`skl2onnx.to_onnx`",
    ".mlmodel": _ONNX_ANEW,
    ".mlpackage": _ONNX_ANEW,
    ".engine": _ONNX_ANEW,  # TensorRT
    ".xml": _ONNX_ANEW,  # OpenVINO
    ".zip": "Unpack it, and name the folder",
}


def _how_else(path: Path) -> str | None:
    name = path.name.lower()
    return next((how for end, how in _OTHERS.items() if name == end or (end[0] == "." and name.endswith(end))), None)


class Export(NamedTuple):
    """The model that was found: an ONNX file with any name, or the folder of a SavedModel."""

    model: Path
    """The ONNX file, or the folder that holds saved_model.pb."""
    folders: tuple[Path, ...]
    """The folders that may hold files that describe it, nearest first."""
    name: str
    """A name for it, taken from the files."""

    @property
    def is_onnx(self) -> bool:
        return self.model.suffix == ".onnx"

    def find(self, *names: str) -> Path | None:
        """Return the first of these files that exists."""
        return next((one / name for one in self.folders for name in names if (one / name).is_file()), None)

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the object in a file, or an empty one if the file does not exist. Raises AddError."""
        if (path := self.find(name)) is None:
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise AddError(f"{path} cannot be read as JSON: {error}.") from error
        return found if isinstance(found, dict) else {}

    @property
    def labels_file(self) -> Path | None:
        return self.find(*_LABEL_FILES)


@contextmanager
def find_export(path: Path) -> Iterator[Export]:
    """Yield the model in a file, a folder, or a tarball, which stays unpacked inside the context. Raises AddError."""
    if not path.exists():
        raise AddError(f"{path} does not exist.")
    if path.is_file() and path.name.endswith(_TARBALLS):
        with TemporaryDirectory(prefix="model-") as folder:
            _unpack(path, Path(folder))
            yield _in_folder(Path(folder), path.name.partition(".")[0])
    elif path.is_dir():
        yield _in_folder(path, path.resolve().name)
    elif path.suffix == ".onnx":
        yield _of_onnx_file(path)
    elif path.name == "saved_model.pb":
        yield Export(path.parent, (path.parent, path.parent.parent), path.resolve().parent.name)
    else:
        how = _how_else(path) or "Export the model as ONNX or as a SavedModel"
        raise AddError(f"{path} is neither ONNX nor a SavedModel. {how}, and add that.")


def _of_onnx_file(path: Path) -> Export:
    folder = path.resolve().parent
    is_inner = folder.name == "onnx"  # as in Hugging Face repositories: their other files are one folder above
    folders = (path.parent, folder.parent) if is_inner else (path.parent,)
    return Export(path, folders, path.stem if path.stem != "model" else folders[-1].resolve().name)


def _in_folder(folder: Path, name: str) -> Export:
    models = sorted({*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx"), *folder.glob("*/*.onnx")})
    saved = sorted({one.parent for depth in ("", "*/", "*/*/") for one in folder.glob(f"{depth}saved_model.pb")})
    if not models and not saved:
        how = next((f" {how}, and add that." for one in sorted(folder.rglob("*")) if (how := _how_else(one))), "")
        raise AddError(f"{folder} holds neither an ONNX file nor a SavedModel.{how}")
    preferred = [one for one in models if one.name == "model.onnx"]
    if len(candidates := preferred or models or saved) > 1:
        names = ", ".join(str(one.relative_to(folder)) for one in candidates[:5])
        raise AddError(f"{folder} holds several models: name one of {names}.")
    model = candidates[0]
    inner = model.parent if model.suffix == ".onnx" else model
    return Export(model, tuple(dict.fromkeys([inner, inner.parent, folder])) if inner != folder else (folder,), name)


def _unpack(path: Path, folder: Path) -> None:
    unpacked = 0
    try:
        with tarfile.open(path, mode="r:*") as tar:
            for member in tar:
                unpacked += member.size
                if unpacked > MAX_BYTES:
                    raise AddError(f"{path} holds more than {MAX_BYTES} bytes.")
                tar.extract(member, folder, filter="data")  # nothing outside the folder, no owners
    except (tarfile.TarError, EOFError, OSError) as error:
        raise AddError(f"{path} cannot be unpacked: {str(error).partition(chr(10))[0].rstrip(':.')}.") from error
