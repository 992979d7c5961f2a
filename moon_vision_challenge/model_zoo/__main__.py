"""python -m moon_vision_challenge.model_zoo [efficientnet_lite0 ...] [--float32 | --int8] [--models_dir models]

python -m moon_vision_challenge.model_zoo add EXPORT: see model_zoo.add
"""

import sys
import time
from collections.abc import Sequence

from moon_vision_challenge.model_zoo.arguments import models_parser
from moon_vision_challenge.model_zoo.build import (
    VERSION,
    BuildOutcome,
    build_model,
    recipe_of,
)
from moon_vision_challenge.model_zoo.errors import BuildError
from moon_vision_challenge.model_zoo.variants import VARIANTS


def main(argv: Sequence[str] | None = None) -> int:
    """Build the models named on the command line, or add one. Returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["add"]:
        # Imported here: most calls find their models built and do not need onnx and onnxruntime.
        from moon_vision_challenge.model_zoo.add import main as add

        return add(words[1:])
    parser = models_parser(
        prog="model_zoo",
        description="Builds servable ONNX models from published weights.",
        known=VARIANTS,
        default=["efficientnet_lite0"],
    )
    precisions = parser.add_mutually_exclusive_group()
    for precision, text in (
        ("int8", "quantised: twice as fast, a quarter of the size (default, if the model was calibrated)"),
        ("float32", "unchanged precision, as trained"),
    ):
        precisions.add_argument(f"--{precision}", dest="precision", action="store_const", const=precision, help=text)
    arguments = parser.parse_args(words)
    for name in arguments.names:
        path = arguments.models_dir / name / VERSION / "model.onnx"
        started = time.perf_counter()
        try:
            outcome = build_model(name, arguments.models_dir, arguments.precision)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        except OSError as error:
            print(f"Cannot build {path}: {error.strerror or error}", file=sys.stderr)
            return 1
        if outcome is BuildOutcome.BUILT:
            precision = (recipe_of(path.parent) or "").partition("-")[0]
            size, seconds = path.stat().st_size / 1e6, time.perf_counter() - started
            print(f"{name}: built {path} ({precision}, {size:.1f} MB, {seconds:.1f} s)")
        else:
            print(f"{name}: {outcome} ({path.parent})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
