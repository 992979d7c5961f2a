"""Requests that create inferences, through Django's test client."""

from typing import Any

from rest_framework.test import APIClient

from moon_vision_challenge.classification.tests import pictures

V0 = "/api/v0/inferences/"
V1 = "/api/v1/inferences/"


def post(client: APIClient, url: str, data: bytes, model_type: str = "efficientnet_lite0") -> Any:
    return client.post(url, {"model_type": model_type, "image": pictures.upload(data)})


def assert_is_json_without_secrets(response: Any) -> None:
    assert response["Content-Type"] == "application/json"
    for secret in ("<html", "Traceback", "127.0.0.1", "tensorflow-serving", "/site-packages/"):
        assert secret not in response.content.decode()
