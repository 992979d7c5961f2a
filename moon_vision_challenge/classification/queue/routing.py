"""Maps each model to the Celery queue that processes its images."""

from django.conf import settings

from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import UnknownModelTypeError


def queue_of(model_type: str) -> str:
    """Return the queue that the class of this model type names.

    Rows whose model type is not registered belong to the default queue, where their attempts fail with a reason.
    """
    try:
        return dispatcher[model_type].queue
    except UnknownModelTypeError:
        return str(settings.INFERENCE_QUEUE)


def inference_queues() -> set[str]:
    """Return all queues in which inferences wait."""
    return {str(settings.INFERENCE_QUEUE), *(dispatcher[model_type].queue for model_type in dispatcher)}
