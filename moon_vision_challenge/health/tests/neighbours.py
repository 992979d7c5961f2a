"""What the service depends on: present, absent, or silent."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from django.db import connections

from moon_vision_challenge.classification.tests import fake_model_server as fake

AVAILABLE = fake.replies(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})
LOADING = fake.replies(200, {"model_version_status": [{"version": "1", "state": "LOADING"}]})
MODELS = ["efficientnet_lite0", "inception", "resnet"]
QUEUES = ["celery", "inferences", "webhooks"]
NOWHERE = "127.0.0.1:9"

needs_database = pytest.mark.django_db(transaction=True)  # other threads see what a test commits


@contextmanager
def database_at(address: str) -> Iterator[None]:
    host, _, port = address.partition(":")
    with patch.dict(connections.settings["default"], HOST=host, PORT=port):
        yield


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield an address where the kernel accepts connections and no process ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
