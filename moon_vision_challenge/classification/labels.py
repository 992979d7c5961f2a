"""Class index → label."""

import json
from pathlib import Path

_DATA = Path(__file__).parent / "data"


def read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a UTF-8 text file: line number n, counted from 0, is the label of class n.

    Empty lines at the end do not count.

    Raises:
        OSError: the file cannot be read.
        ValueError: a label is empty, or there is none.
    """
    labels = tuple(line.strip() for line in path.read_text(encoding="utf-8").rstrip().split("\n"))
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} holds no label")
    return labels


def _read_imagenet() -> tuple[str, ...]:
    # {"0": ["n01440764", "tench"], …}: the file that Keras ships for its ImageNet models (Apache License 2.0)
    index = json.loads((_DATA / "imagenet_class_index.json").read_text())
    return tuple(index[str(number)][1] for number in range(len(index)))


IMAGENET_LABELS = _read_imagenet()
"""The 1000 classes of ImageNet (ILSVRC 2012), in the order of the models' outputs."""
