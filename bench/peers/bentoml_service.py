"""`bentoml serve bentoml_service:Classify`: BentoML with two workers, and its defaults otherwise."""

from pathlib import Path

import bentoml
from same_work import Classifier


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Classify:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api
    def predict(self, image: Path) -> dict[str, str]:
        return {"label": self.classifier.classify(image.read_bytes())}
