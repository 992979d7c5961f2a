"""python -m moon_vision_challenge.model_zoo add EXPORT: adds a classifier that you exported elsewhere.

EXPORT is an ONNX file (with or without external data), a SavedModel (folder or tarball), or a folder that Hugging
Face's optimum or Ultralytics exported. The command asks for what neither the files nor your options say.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moon_vision_challenge.model_io import answers, inputs
from moon_vision_challenge.model_io.declaration import FIELDS, Declaration, declare
from moon_vision_challenge.model_io.errors import DeclarationError
from moon_vision_challenge.model_io.inputs import FLOATS
from moon_vision_challenge.model_io.presets import preset_names
from moon_vision_challenge.model_io.types import shown_shape
from moon_vision_challenge.model_zoo.add_arguments import add_parser, is_interactive, read_size
from moon_vision_challenge.model_zoo.class_file import class_text, with_class
from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.exports import Export, find_export
from moon_vision_challenge.model_zoo.inspected import Inspected, Signature
from moon_vision_challenge.model_zoo.install import add_version
from moon_vision_challenge.model_zoo.models_config import is_listed, with_model
from moon_vision_challenge.model_zoo.onnx_file import OnnxFile
from moon_vision_challenge.model_zoo.recognition import Recognised, read_labels_file, recognise
from moon_vision_challenge.model_zoo.saved_model_file import inspect_saved_model
from moon_vision_challenge.model_zoo.trial import Forms, try_photo

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # what the dispatcher accepts as a model_type

_BOXES = frozenset({"boxes", "detection_boxes", "pred_boxes"})
"""The outputs of detectors from torchvision, TensorFlow, and Hugging Face."""


def main(argv: Sequence[str] | None = None) -> int:
    """Add one model. Returns the exit code."""
    arguments = add_parser().parse_args(argv)
    try:
        with find_export(arguments.export) as export:
            _add(export, arguments)
    except AddError as error:
        print(f"Nothing was added. {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nNothing was added.", file=sys.stderr)
        return 130
    return 0


def _add(export: Export, arguments: argparse.Namespace) -> None:
    onnx_file = OnnxFile(export.model) if export.is_onnx else None
    inspected = onnx_file.inspect() if onnx_file else inspect_saved_model(export.model)
    _print_facts(export, inspected)
    _refuse_detector(inspected)
    recognised = recognise(export, inspected)
    print(f"  recognised {recognised.preset or 'no trainer'}: {recognised.why}")
    name = arguments.name or _ask_name(export, arguments)
    if not _NAME.fullmatch(name):
        raise AddError(f"The name {name!r} cannot be used: use ASCII letters, digits, '_', '-' and '.' (--name).")
    declared, forms = _complete(export, inspected, recognised, arguments)
    if (photo := arguments.photo or _ask_photo(arguments)) is not None:
        try_photo(photo, onnx_file or export.model, declared, forms)
    if not arguments.yes and is_interactive() and input("Add it? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        raise AddError("You said no.")
    _install(export, onnx_file, name, declared, arguments)


def _print_facts(export: Export, inspected: Inspected) -> None:
    print(f"{export.model}: {inspected.kind}, {inspected.made_with}, {inspected.size_bytes / 1e6:.1f} MB")
    for signature_name, signature in inspected.signatures.items():
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for tensor_name, tensor in tensors.items():
                dtype = tensor.dtype.removeprefix("DT_").lower()
                print(f"  {direction:<10} {tensor_name}: {dtype} {shown_shape(tensor.shape)}  ({signature_name})")


def _refuse_detector(inspected: Inspected) -> None:
    for signature in inspected.signatures.values():
        if boxes := _BOXES.intersection(signature.outputs):
            raise AddError(f"This is a detector, not a classifier: it returns {', '.join(sorted(boxes))}.")


def _said(arguments: argparse.Namespace) -> dict[str, Any]:
    said = {name: value for name, value in vars(arguments).items() if name in FIELDS and name != "labels"}
    if arguments.labels is not None:
        said["labels"] = read_labels_file(arguments.labels)
    return {name: value for name, value in said.items() if value is not None}


def _complete(
    export: Export, inspected: Inspected, recognised: Recognised, arguments: argparse.Namespace
) -> tuple[Declaration, Forms]:
    """Return the declaration and the forms. Asks for what is missing. Raises AddError if it cannot ask."""
    said, preset = _said(arguments), arguments.preset
    config = export.find("preprocessor_config.json", "config.json")
    while True:
        base = {"labels": recognised.said.get("labels")} if preset else recognised.said
        try:
            declared = declare({**base, **said}, preset=preset, preset_dir=config.parent if config else None)
            forms = _forms(inspected, declared)
            missing = _what_is_missing(declared, forms, {*base, *said, *({"mean"} if preset else ())})
        except DeclarationError as error:
            problem, field = str(error), error.missing
        else:
            if missing is None:
                return declared, forms
            problem, field = missing
        if not (field and is_interactive()) or arguments.yes:
            raise AddError(f"{problem} Use the option --{field}." if field else problem)
        preset = _ask(problem, field, said, preset)


def _what_is_missing(declared: Declaration, forms: Forms, said: set[str]) -> tuple[str, str] | None:
    """Return a problem and the option that solves it: no file answers it, and a default would be a guess."""
    if forms.input is not None and forms.input.dtype in FLOATS and not said & {"mean", "scale"}:
        known = ", ".join(preset_names())
        problem = "The model takes floats, and no file says how pixels become floats."
        return f"{problem} Give --mean and --scale, or name a preset: {known}.", "preset"
    count = forms.output.classes_count
    labels = len(declared.labels or ())
    numbers = forms.output.dtype != "DT_STRING"
    if numbers and (not labels or (count is not None and count - labels not in (0, 1) and (count, labels) != (1, 2))):
        return f"The model returns {count or 'the number of a class'}, but there are {labels} labels.", "labels"
    return None


def _ask(problem: str, field: str, said: dict[str, Any], preset: str | None) -> str | None:
    """Ask, and put the answer into `said`. Returns the preset."""
    print(problem)
    text = input(f"{field}: ").strip()
    if field == "preset":
        return text or preset
    if field == "labels":
        said["labels"] = read_labels_file(Path(text))
    elif text:
        try:
            said[field] = read_size(text) if field == "input_size" else text
        except argparse.ArgumentTypeError as error:
            print(error)
    return preset


def _forms(inspected: Inspected, declared: Declaration) -> Forms:
    preferred = ["raw", "predict_images", "serving_default"]
    others = [name for name in inspected.signatures if name not in preferred]
    signatures = {name: inspected.signatures[name] for name in [*preferred, *others] if name in inspected.signatures}
    for name, signature in signatures.items():
        if len(signature.inputs) == 1 and (found := _form(name, signature, declared)) is not None:
            return found
    [alone, *more] = {tuple(one.inputs.values()) for one in signatures.values()}
    if not more and len(alone) == 1 and len(alone[0].shape) == 2 and alone[0].dtype in FLOATS and alone[0].shape[1] > 0:
        inputs.read_input(alone[0], replace(declared, layout="flat"))  # the error says which size the vector may have
    shown = "; ".join(", ".join(one.inputs) for one in signatures.values())
    raise AddError(f"The model does not take one image, but {shown}. Write a Classificator with hooks of your own.")


def _form(name: str, signature: Signature, declared: Declaration) -> Forms | None:
    [tensor] = signature.inputs.values()
    if tensor.dtype == "DT_STRING":
        return Forms(name, None, answers.read_output(signature.outputs, declared))
    if not inputs.takes_image(tensor, declared):
        return None
    output = answers.read_output(signature.outputs, declared)
    _check_batch(tensor.shape, output.shape)
    return Forms(name, inputs.read_input(tensor, declared), output)


def _check_batch(taken: tuple[int, ...], returned: tuple[int, ...]) -> None:
    if len({shape[0] for shape in (taken, returned) if shape and shape[0] > 0}) > 1:
        raise AddError(
            f"The input {shown_shape(taken)} and the output {shown_shape(returned)} do not have the same batch size in "
            "front. Export the model with a batch."
        )


def _install(
    export: Export, onnx_file: OnnxFile | None, name: str, declared: Declaration, arguments: argparse.Namespace
) -> None:
    config: Path = arguments.models_config
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    texts = {} if is_listed(text, name) else {config: with_model(text, name, f"/models/{name}/")}
    source = class_text(name, _to_declare(declared), f"{name}_labels.txt" if declared.labels else None)
    if (target := arguments.write) is not None:
        target = target / "classificators.py" if target.is_dir() else target
        texts[target] = with_class(target.read_text(encoding="utf-8") if target.exists() else "", source)
        if declared.labels:
            texts[target.with_name(f"{name}_labels.txt")] = "".join(f"{label}\n" for label in declared.labels)

    def save(folder: Path) -> None:
        if onnx_file is not None:
            onnx_file.save(folder)
        else:
            shutil.copytree(export.model, folder, dirs_exist_ok=True)

    version_dir = add_version(arguments.models_dir / name, save, texts)
    print(f"Added {version_dir}, listed in {config}.")
    if target is not None:
        print(f"Wrote {target}.")
    else:
        print(f"Put this into classificators.py of your app:\n\n{with_class('', source)}")
        if declared.labels:
            print(f"and the labels next to it, as {name}_labels.txt.")
    print(
        "List the app in DJANGO_EXTRA_APPS, restart the services, and run `manage.py check`. Then:\n"
        f"  curl -F model_type={name} -F image=@PHOTO http://127.0.0.1:8000/api/v0/inferences/"
    )


def _to_declare(declared: Declaration) -> Mapping[str, Any]:
    """Return the fields that differ from the defaults, without the labels."""
    default = Declaration()
    said = {name: value for name, value in vars(declared).items() if value != getattr(default, name)}
    said.pop("labels", None)
    if (size := said.get("input_size")) and size[0] == size[1]:
        said["input_size"] = size[0]
    return {name: _rounded(value) for name, value in said.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _ask_name(export: Export, arguments: argparse.Namespace) -> str:
    proposed = re.sub(r"[^A-Za-z0-9_.-]+", "_", export.name).strip("._-") or "model"
    if arguments.yes or not is_interactive():
        return proposed
    return input(f"model_type [{proposed}]: ").strip() or proposed


def _ask_photo(arguments: argparse.Namespace) -> Path | None:
    if arguments.yes or not is_interactive():
        return None
    text = input("A photo to try (empty: none): ").strip()
    return Path(text) if text else None
