"""Operations of the admin and the shell on inferences, one at a time, through the services of the API."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from moon_vision_challenge.classification import services, tasks
from moon_vision_challenge.classification.exceptions import ClassificationError, InferenceNotFailedError
from moon_vision_challenge.classification.models import Inference

Operation = Callable[[int, str], None]
"""Takes the id of an inference, and who does it."""


class Outcome(NamedTuple):
    done: int
    refused: Counter[str]
    """Why something was not done → how often."""


def retry(inference_id: int, actor: str) -> None:
    """Make a failed inference pending again, and wake a worker. Raises as the service does."""
    tasks.enqueue_inference(services.retry_inference(inference_id=inference_id, actor=actor))


def cancel(inference_id: int, actor: str) -> None:
    services.cancel_inference(inference_id=inference_id, actor=actor)


def delete(inference_id: int, actor: str) -> None:
    """Delete an inference with its image and webhooks. Raises as the service does."""
    services.delete_inference(inference_id=inference_id, actor=actor)


def apply(operation: Operation, inference_ids: Iterable[int], *, actor: str) -> Outcome:
    """Apply the operation to each of these inferences. Counts those that fail, and continues with the others."""
    done, refused = 0, Counter[str]()
    for inference_id in inference_ids:
        try:
            operation(inference_id, actor)
        except Inference.DoesNotExist:
            refused["This inference does not exist any more."] += 1
        except (ClassificationError, InferenceNotFailedError) as error:
            refused[error.detail] += 1
        else:
            done += 1
    return Outcome(done, refused)
