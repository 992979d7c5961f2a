"""Runs the admin's and the shell's operations on inferences, one at a time, through the services of the API."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from moon_vision_challenge.classification import services, tasks
from moon_vision_challenge.classification.exceptions import ClassificationError, InferenceNotFailedError
from moon_vision_challenge.classification.models import Inference

Operation = Callable[[int, str], None]
"""A function of the id of an inference and the name of the actor."""


class Outcome(NamedTuple):
    done: int
    refused: Counter[str]
    """The number of refusals, by reason."""


def retry(inference_id: int, actor: str) -> None:
    """Make a failed inference pending again, and wake a worker. Raises what the service raises."""
    tasks.enqueue_inference(services.retry_inference(inference_id=inference_id, actor=actor))


def cancel(inference_id: int, actor: str) -> None:
    services.cancel_inference(inference_id=inference_id, actor=actor)


def delete(inference_id: int, actor: str) -> None:
    """Delete an inference with its image and webhooks. Raises what the service raises."""
    services.delete_inference(inference_id=inference_id, actor=actor)


def apply(operation: Operation, inference_ids: Iterable[int], *, actor: str) -> Outcome:
    """Apply the operation to each of these inferences. Count those that fail, and continue with the others."""
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
