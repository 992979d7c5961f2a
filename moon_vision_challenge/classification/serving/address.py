"""The URLs of TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest"""

import re
from dataclasses import dataclass, replace
from typing import Self

_URL = re.compile(
    r"(?P<base>.+)/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(:predict|/metadata)?"
)


@dataclass(frozen=True)
class ModelAddress:
    """Where a model is served: the newest version, or the one with a number or a label."""

    base: str
    """The server, such as `http://tensorflow-serving:8501`."""
    name: str
    version: int | None = None
    label: str = ""

    @classmethod
    def parse(cls, url: str) -> Self | None:
        """Parse the address in any URL of a model. None if the URL has another form, such as that of another server."""
        match = _URL.fullmatch(url)
        if match is None:
            return None
        version = int(match["version"]) if match["version"] else None
        return cls(match["base"], match["name"], version, match["label"] or "")

    def at(self, version: int | None = None, *, label: str = "") -> Self:
        """The same model, at a version or at a version label."""
        return replace(self, version=version, label=label)

    @property
    def is_newest(self) -> bool:
        """Whether neither a version nor a label is chosen."""
        return self.version is None and not self.label

    @property
    def status(self) -> str:
        choice = "" if self.version is None else f"/versions/{self.version}"
        choice = f"/labels/{self.label}" if self.label else choice
        return f"{self.base}/v1/models/{self.name}{choice}"

    @property
    def predict(self) -> str:
        return f"{self.status}:predict"

    @property
    def metadata(self) -> str:
        return f"{self.status}/metadata"
