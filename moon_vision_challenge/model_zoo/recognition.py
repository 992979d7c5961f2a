"""Reads what the files of an export say about the preparation of images and the names of classes."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.labels import labels_of_json, read_labels
from moon_vision_challenge.model_io.presets import read_preset
from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.exports import Export
from moon_vision_challenge.model_zoo.inspected import Inspected

# https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md, which Azure Custom Vision and WinML's tools write
_IMAGE_PROPERTIES: dict[str, dict[str, dict[str, Any]]] = {
    "Image.BitmapPixelFormat": {
        "Rgb8": {"channels": "RGB"},
        "Bgr8": {"channels": "BGR"},
        "Gray8": {"channels": "grey"},
    },
    "Image.NominalPixelRange": {
        "NominalRange_0_255": {"scale": 1.0},
        "Normalized_0_1": {"scale": 255.0},
        "Normalized_1_1": {"mean": 127.5, "scale": 127.5},
    },
}


class Recognised(NamedTuple):
    preset: str | None
    said: dict[str, Any]
    """What the preset's files declare, including the labels."""
    why: str
    """The reason, for the person who adds the model."""


def recognise(export: Export, inspected: Inspected) -> Recognised:
    """Recognize the kind of an export. Raises AddError if its files contradict it."""
    for preset, why in _kinds(export, inspected.properties):
        folder = config.parent if (config := export.find("preprocessor_config.json", "config.json")) else None
        try:
            said = read_preset(preset, folder)
        except DeclarationError as error:
            raise AddError(str(error)) from error
        labels = _find_labels(export, inspected, said)
        return Recognised(preset, {**said, **({"labels": labels} if labels else {})}, why)
    said = _of_image_properties(inspected.properties)
    why = "its properties describe the pixels" if said else "no files or properties say more"
    labels = _find_labels(export, inspected, {})
    return Recognised(None, {**said, **({"labels": labels} if labels else {})}, why)


def _kinds(export: Export, properties: Mapping[str, str]) -> list[tuple[str, str]]:
    config = export.read_json("config.json")
    found = []
    if properties.get("author") == "Ultralytics" and properties.get("task") == "classify":
        found.append(("ultralytics-cls", "its metadata comes from Ultralytics"))
    elif properties.get("author") == "Ultralytics":
        raise AddError(f"This is an Ultralytics model for the task {properties.get('task')!r}, not for `classify`.")
    if "pretrained_cfg" in config or ("architecture" in config and "crop_pct" in config):
        found.append(("timm", "its config.json is timm's"))
    elif export.find("preprocessor_config.json"):
        found.append(("huggingface-vit", "its preprocessor_config.json is Hugging Face's"))
    if export.model.name == "model.savedmodel" and export.labels_file:
        found.append(("teachable-machine", "its files have the names that Teachable Machine uses"))
    return found


def _of_image_properties(properties: Mapping[str, str]) -> dict[str, Any]:
    """Raises AddError for properties that no declaration can express."""
    said: dict[str, Any] = {}
    for name, known in _IMAGE_PROPERTIES.items():
        if (value := properties.get(name)) is None:
            continue
        if value not in known:
            raise AddError(f"The model's property {name} is {value!r}, which is not supported. Write a class for it.")
        said |= known[value]
    return said


def _find_labels(export: Export, inspected: Inspected, said: Mapping[str, Any]) -> tuple[str, ...] | None:
    if said.get("labels"):
        return tuple(said["labels"])
    if "names" in inspected.properties and (names := _names(inspected.properties["names"])) is not None:
        return names
    if inspected.labels:
        return inspected.labels
    if (path := export.labels_file) is not None:
        return read_labels_file(path)
    config = export.read_json("config.json")
    return labels_of_json(config) if isinstance(config.get("id2label"), dict) else None


def read_labels_file(path: Path) -> tuple[str, ...]:
    """Raises AddError."""
    try:
        return read_labels(path)
    except OSError as error:
        raise AddError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise AddError(f"{error}.") from error


def _names(text: str) -> tuple[str, ...] | None:
    """Parse the Python dictionary of index and name that Ultralytics writes."""
    try:
        names = ast.literal_eval(text)
        return labels_of_json({str(index): name for index, name in names.items()})
    except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError, MemoryError):
        return None
