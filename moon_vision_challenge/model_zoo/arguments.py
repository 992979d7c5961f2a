"""The command line that the model builders share."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path


def models_parser(
    *, prog: str, description: str, known: Collection[str], default: Sequence[str]
) -> argparse.ArgumentParser:
    """Return a parser for `models_dir` and the names of known models. Without names, it uses `default`."""

    def known_model(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown model: {name}; choose from {', '.join(known)}")
        return name

    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument(
        "names",
        nargs="*",
        type=known_model,
        default=list(default),
        metavar="model",
        help=f"any of {', '.join(known)} (default: {', '.join(default)})",
    )
    parser.add_argument(
        "--models_dir", type=Path, default=Path("models"), help="folder of the models (default: %(default)s)"
    )
    return parser
