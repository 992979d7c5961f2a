"""The responses of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from moonvision.errors import MoonVisionError


@dataclass(frozen=True)
class Prediction:
    """One of the most probable classes. `score` is None if the model reports no scores."""

    label: str
    score: float | None
    class_id: int | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["label"], body.get("score"), body.get("class_id"))


@dataclass(frozen=True)
class Classification:
    """The label of an image, and its most probable classes, best first."""

    label: str
    predictions: tuple[Prediction, ...] = ()

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["label"], tuple(Prediction.parse(each) for each in body.get("predictions", ())))

    @property
    def score(self) -> float | None:
        return self.predictions[0].score if self.predictions else None


@dataclass(frozen=True)
class Inference:
    """An image in the queue."""

    id: int
    status: str
    """pending, processing, done, fail, or canceled."""
    classification: Classification
    error: str
    code: str
    body: Mapping[str, Any] = field(repr=False)
    """The whole response."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        error = body.get("error") or {}
        return cls(
            body["id"], body["status"], Classification.parse(body), error.get("detail", ""), error.get("code", ""), body
        )

    @property
    def is_final(self) -> bool:
        return self.status in {"done", "fail", "canceled"}


@dataclass(frozen=True)
class Model:
    """A model that the service has registered. `reason` says why it is not ready."""

    model_type: str
    is_ready: bool
    state: str
    reason: str
    classes_count: int | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            body["model_type"], body["is_ready"], body["state"], body.get("reason", ""), body.get("classes_count")
        )


@dataclass(frozen=True)
class Result:
    """The result for one of many images: its name, and either a classification or an error."""

    name: str
    classification: Classification | None = None
    error: MoonVisionError | None = None
