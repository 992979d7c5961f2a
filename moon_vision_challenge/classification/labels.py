"""Reads the label of each class index."""

from pathlib import Path

from moon_vision_challenge.model_io.labels import read_labels

__all__ = ["IMAGENET_LABELS", "read_labels"]

# {"0": ["n01440764", "tench"], …}: the file that Keras ships for its ImageNet models (Apache License 2.0)
IMAGENET_LABELS = read_labels(Path(__file__).parent / "data" / "imagenet_class_index.json")
"""The 1000 classes of ImageNet (ILSVRC 2012), in the order of the models' outputs."""
