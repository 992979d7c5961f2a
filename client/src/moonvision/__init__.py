"""A client for the Moon Vision Challenge image-classification service."""

from moonvision.client import Client
from moonvision.errors import (
    AuthenticationError,
    MoonVisionError,
    RejectedError,
    ServiceUnavailableError,
)
from moonvision.images import Image
from moonvision.jobs import Job
from moonvision.results import Classification, Inference, Model, Prediction, Result

__all__ = [
    "AuthenticationError",
    "Classification",
    "Client",
    "Image",
    "Inference",
    "Job",
    "Model",
    "MoonVisionError",
    "Prediction",
    "RejectedError",
    "Result",
    "ServiceUnavailableError",
]
