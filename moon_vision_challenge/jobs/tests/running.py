"""Jobs in one process: a test performs the workers' steps itself."""

import os
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import claims, worker
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.jobs import services
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.model_io.prediction import Prediction

URL = "/api/v1/jobs/"
MODEL = "efficientnet_lite0"


class Jobs:
    def __init__(self, client: APIClient) -> None:
        self.client = client

    def post(self, archive: bytes | None = None, *, images: tuple[bytes, ...] = (), **fields: Any) -> Any:
        """Post a job. Fields in capitals are headers."""
        headers = {name: fields.pop(name) for name in list(fields) if name.isupper()}
        data = {"model_type": MODEL, **fields}
        if archive is not None:
            data["archive"] = named("photos", archive)
        if images:
            data["image"] = [named(f"{number}.jpg", image) for number, image in enumerate(images)]
        return self.client.post(URL, data, format="multipart", **headers)

    def get(self, job_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{URL}{job_id}/").json()
        return found

    def results(self, job_id: int, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get(f"{URL}{job_id}/results/", query).json()["results"]
        return found

    def advance(self, job_id: int) -> None:
        """Do what the task does, until there is nothing more to do for now."""
        while services.advance(job_id, lambda _: None):
            pass

    def drain(self, label: str = "tabby") -> int:
        """End all rows that wait, as a worker would. Returns how many."""
        count = 0
        for batch in claimed():
            outcomes = [
                AttemptOutcome(row, Inference.STATUS.DONE, label, predictions=[Prediction(label, 0.5, 1)] * 5)
                for row in batch
            ]
            count += len(claims.end_attempts(outcomes))
            announce(outcomes)
        return count


def named(name: str, data: bytes) -> BytesIO:
    file = BytesIO(data)
    file.name = name
    return file


def claimed() -> Iterator[list[Inference]]:
    while batch := worker.claim_batch(queue="inferences"):
        yield batch


def announce(outcomes: list[AttemptOutcome]) -> None:
    from moon_vision_challenge.classification import events
    from moon_vision_challenge.classification.queue.batch import _after

    events.announce_final(_after(outcome) for outcome in outcomes)


def created(response: Any) -> Job:
    assert response.status_code == 201, response.content
    return Job.objects.get(pk=response.json()["id"])


def uploads() -> list[str]:
    """Return the names of the stored uploads."""
    return default_storage.listdir("jobs")[1] if default_storage.exists("jobs") else []


def stored_images() -> int:
    return sum(len(names) for _, _, names in os.walk(default_storage.path("inferences")))
