"""Examples for the OpenAPI schema. A test posts the requests, and compares the responses with real ones."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_IMAGE = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="  # a GIF of one pixel
_BASE_URL = "http://127.0.0.1:8000"
_PREDICTIONS = [
    {"label": "espresso", "score": 0.87, "class_id": 967},
    {"label": "cup", "score": 0.05, "class_id": 968},
]

REQUEST = [OpenApiExample("base64", {"model_type": "efficientnet_lite0", "image": _IMAGE})]
LABEL = [
    OpenApiExample("label", {"label": "espresso"}),
    OpenApiExample("top_k", {"label": "espresso", "predictions": _PREDICTIONS}, summary="With top_k=2"),
]
_PENDING: dict[str, Any] = {
    "id": 1,
    "model_type": "efficientnet_lite0",
    "image": f"{_BASE_URL}/media/inferences/2026/01/31/5f0c2a7d9e1b4c68.jpg?expires=1769868001&signature=Vb0k3nq",
    "label": "",
    "status": "pending",
    "error": None,
    "attempts": 0,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "started_at": None,
    "finished_at": None,
    "model_version": None,
    "predictions": [],
}
_DONE = _PENDING | {
    "label": "espresso",
    "status": "done",
    "attempts": 1,
    "started_at": "2026-01-31T12:00:00.010000Z",
    "finished_at": "2026-01-31T12:00:00.040000Z",
    "model_version": 1,
    "predictions": _PREDICTIONS,
}
_CANCELED = _PENDING | {"status": "canceled", "finished_at": "2026-01-31T12:00:01.000000Z"}
PENDING = [OpenApiExample("pending", _PENDING)]
DONE = [OpenApiExample("done", _DONE)]
CANCELED = [OpenApiExample("canceled", _CANCELED)]

_MODEL_URL = f"{_BASE_URL}/api/v1/models/efficientnet_lite0/"
MODEL = [
    OpenApiExample(
        "available",
        {
            "model_type": "efficientnet_lite0",
            "url": _MODEL_URL,
            "state": "available",
            "is_ready": True,
            "versions": [{"version": 1, "state": "AVAILABLE"}],
            "version_labels": {},
            "input_size": 224,
            "classes_count": 1000,
            "classes": f"{_MODEL_URL}classes/",
            "reason": "",
        },
    )
]
CLASSES = [
    OpenApiExample(
        "classes", {"model_type": "efficientnet_lite0", "classes": ["tench", "goldfish"]}, summary="Cut short"
    )
]
