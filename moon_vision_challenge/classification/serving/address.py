"""Builds and parses the URLs of models in TensorFlow Serving's REST API and the Open Inference Protocol (KServe v2).

https://www.tensorflow.org/tfx/serving/api_rest
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import re
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property, lru_cache
from typing import Self


class Api(Enum):
    """A REST API of model servers: the root of its URLs, and the parts that follow the name of a model."""

    TENSORFLOW_SERVING = ("/v1", "/labels", ":predict", "/metadata")
    OPEN_INFERENCE = ("/v2", "/versions", "/infer", "")

    def __init__(self, root: str, labels: str, predict: str, metadata: str) -> None:
        self.root = root
        self.labels = labels
        self.predict = predict
        self.metadata = metadata


_URLS = {
    Api.TENSORFLOW_SERVING: re.compile(
        r"(?P<base>.+)/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
        r"(:predict|/metadata)?"
    ),
    # Its versions are strings. One that is not a number is treated as a label.
    Api.OPEN_INFERENCE: re.compile(
        r"(?P<base>.+)/v2/models/(?P<name>[^/]+)(/versions/((?P<version>[0-9]+)|(?P<label>[^/]+)))?(/infer|/ready)?"
    ),
}

_V2_SERVER = re.compile(r"(?P<base>.+[^/])/v2/?")


@dataclass(frozen=True)
class ModelAddress:
    """The address of a model: of its newest version, or of the one with a number or a label."""

    base: str
    """The URL of the server, such as `http://tensorflow-serving:8501`."""
    name: str
    version: int | None = None
    label: str = ""
    api: Api = Api.TENSORFLOW_SERVING

    @classmethod
    @lru_cache
    def parse(cls, url: str) -> Self | None:
        """Parse any URL of a model. Returns None if the URL has another form, as on another kind of server."""
        for api, pattern in _URLS.items():
            if match := pattern.fullmatch(url):
                version = int(match["version"]) if match["version"] else None
                return cls(match["base"], match["name"], version, match["label"] or "", api)
        return None

    @classmethod
    @lru_cache
    def on(cls, server_url: str, name: str) -> Self:
        """Return the address of a model. A server whose URL ends in /v2 speaks the Open Inference Protocol."""
        if match := _V2_SERVER.fullmatch(server_url):
            return cls(match["base"], name, api=Api.OPEN_INFERENCE)
        return cls(server_url, name)

    def at(self, version: int | None = None, *, label: str = "") -> Self:
        """Return the address of the same model, at a version or a version label."""
        return replace(self, version=version, label=label)

    @property
    def is_newest(self) -> bool:
        """Whether neither a version nor a label is chosen."""
        return self.version is None and not self.label

    @property
    def server(self) -> str:
        """The URL of the API itself."""
        return f"{self.base}{self.api.root}"

    @property
    def status(self) -> str:
        choice = "" if self.version is None else f"/versions/{self.version}"
        choice = f"{self.api.labels}/{self.label}" if self.label else choice
        return f"{self.server}/models/{self.name}{choice}"

    @cached_property
    def predict(self) -> str:
        return f"{self.status}{self.api.predict}"

    @property
    def metadata(self) -> str:
        return f"{self.status}{self.api.metadata}"
