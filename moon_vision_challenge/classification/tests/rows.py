"""Rows of v1, created and run in the test's own process as the API and a worker do."""

from pathlib import Path

from django.conf import settings as django_settings
from django.utils import timezone

from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.models import Inference, Outage
from moon_vision_challenge.classification.prediction import NEWEST, VersionChoice
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.queue.claims import AttemptOutcome

QUEUE = "inferences"
STATUS = Inference.STATUS


def create(data: bytes, model_type: str = "efficientnet_lite0", version: VersionChoice = NEWEST) -> Inference:
    inference, _ = services.create_inference(
        owner_id=0, model_type=model_type, image=images.open_image(data), version=version
    )
    return inference


def retry_now() -> None:
    """End all pauses."""
    Inference.objects.update(available_at=timezone.now())
    Outage.objects.update(until=timezone.now())


def run() -> list[AttemptOutcome]:
    return batch.run(worker.claim_batch(queue=QUEUE))


def stored_files() -> list[Path]:
    return [path for path in Path(django_settings.MEDIA_ROOT).rglob("*") if path.is_file()]
