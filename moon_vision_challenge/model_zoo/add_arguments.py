"""The command line of `model_zoo add`, and its questions."""

import argparse
import re
import sys
from pathlib import Path
from typing import get_args

from moon_vision_challenge.model_io.presets import preset_names
from moon_vision_challenge.model_io.types import Activation, Channels, Interpolation, Layout, Resize


def is_interactive() -> bool:
    """Return whether the command can ask questions."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_size(text: str) -> int | tuple[int, int]:
    """Parse 224, or 160x224 for (height, width)."""
    match = re.fullmatch(r"(\d{1,5})(?:[x,](\d{1,5}))?", text.replace(" ", "").strip("()"))
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write 224, or HEIGHTxWIDTH")
    return (int(match[1]), int(match[2])) if match[2] else int(match[1])


def _numbers(text: str) -> float | tuple[float, ...]:
    """Parse 127.5, or 123.675,116.28,103.53."""
    try:
        found = tuple(float(one) for one in text.strip("()").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers separated by commas") from None
    return found if len(found) > 1 else found[0]


def _color(text: str) -> int | tuple[int, int, int]:
    """Parse 114, or 255,255,255."""
    match = re.fullmatch(r"(\d{1,3})(?:,(\d{1,3}),(\d{1,3}))?", text.replace(" ", "").strip("()"))
    values = [int(value) for value in match.groups() if value] if match else []
    if not values or max(values) > 255:
        raise argparse.ArgumentTypeError(f"{text!r} is not a color: write one number from 0 to 255, or RED,GREEN,BLUE")
    return (values[0], values[1], values[2]) if len(values) == 3 else values[0]


def add_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model_zoo add", description="Adds a classifier that you exported: checks, copies, lists and declares it."
    )
    parser.add_argument(
        "export", type=Path, help="an .onnx file, a SavedModel (folder or tarball), or an export's folder"
    )
    parser.add_argument("--name", help="the model_type (default: from the file's name)")
    parser.add_argument("--photo", type=Path, help="a picture to try: shows its best classes")
    parser.add_argument("--write", type=Path, help="the file or app folder to write the class to")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--models_dir", type=Path, default=Path("models"), help="(default: %(default)s)")
    parser.add_argument("--models_config", type=Path, default=Path("models.config"), help="(default: %(default)s)")
    declaration = parser.add_argument_group("for what the files do not say (see ServedModelClassificator)")
    declaration.add_argument(
        "--labels",
        type=Path,
        help="a text file of one label per line, or JSON. ImageNet's 1,000 classes are in "
        "moon_vision_challenge/classification/data/imagenet_class_index.json",
    )
    declaration.add_argument("--preset", choices=preset_names())
    declaration.add_argument("--input_size", type=read_size, help="224, or HEIGHTxWIDTH")
    declaration.add_argument("--resize", choices=get_args(Resize))
    declaration.add_argument("--crop", type=float, help="the fraction to keep, up to 1.0")
    declaration.add_argument("--shorter_side", type=int, help="pixels, for --resize shorter_side")
    declaration.add_argument("--interpolation", choices=get_args(Interpolation))
    declaration.add_argument(
        "--no_antialias", action="store_const", const=False, dest="antialias", help="as OpenCV and tf.image.resize"
    )
    declaration.add_argument("--pad_color", type=_color, help="of --resize letterbox: 114, or 255,255,255")
    declaration.add_argument("--channels", choices=get_args(Channels))
    declaration.add_argument("--layout", choices=get_args(Layout))
    declaration.add_argument("--mean", type=_numbers, help="of pixels from 0 to 255: one number, or one per channel")
    declaration.add_argument("--scale", type=_numbers, help="the divisor of the difference")
    declaration.add_argument("--output", help="the name of the output to read")
    declaration.add_argument("--activation", choices=get_args(Activation))
    declaration.add_argument("--threshold", type=_numbers, help="for independent labels")
    return parser
