"""Advice for operators about failed inferences, by the code of the error."""

_FAULTY_IMAGE = "The image is the cause, so a retry fails again. Ask the client to send it again as a JPEG or PNG."
_LIMITED = "Docs, Images: the limits. Raise the limit and retry, or ask the client for a smaller image."
_MODEL_STATE = "See the state of the model on the front page. Retry when it is available."

HINTS = {
    "invalid_image": _FAULTY_IMAGE,
    "unreadable_image": _FAULTY_IMAGE,
    "unsupported_image_format": "Check INFERENCE_IMAGE_FORMATS, or ask the client for another format.",
    "image_too_large": _LIMITED,
    "image_too_expensive": _LIMITED,
    "decoder_busy": "Many large images arrived at once. Retry now. If it happens again, add workers (WORKER_REPLICAS).",
    "unknown_model_type": "The class of this model type is gone. Install its app again and retry, or delete the row.",
    "model_server_unavailable": "Check that the model server runs (TF_SERVING_URL). Retry when it answers.",
    "model_not_available": _MODEL_STATE,
    "model_version_not_available": "The model server no longer serves this version. Serve it again and retry.",
    "unknown_version_label": "Add the version label to models.config and retry.",
    "version_not_selectable": "The class's model_url cannot name a version. The client must not request one.",
    "model_server_timeout": "The model is slow. Reduce its load, or raise TF_SERVING_TIMEOUT_S. Then retry.",
    "invalid_prediction": "The model's answer can't be used. The worker's log shows it. Fix the model or its class.",
    "storage_unavailable": "Check the image store (DJANGO_MEDIA_ROOT, or S3). Retry when it answers.",
    "storage_full": "Free space in the image store. Then retry.",
    "worker_lost": (
        "Its workers died, perhaps because of this image. Look for them in the log. Retry once, or delete the row."
    ),
    "image_lost": "A restore did not bring the image back. Ask the client to send it again, and delete the row.",
    "internal_error": "A bug, perhaps in the class of this model. The worker's log has the traceback, with this id.",
}

UNKNOWN = "The worker's log says more, with this id."


def hint_for(error: object) -> str:
    """Return the advice for a row's error, or an empty string if it has no error."""
    if not isinstance(error, dict):
        return ""
    return HINTS.get(str(error.get("code")), UNKNOWN)
