from collections.abc import Iterator
from pathlib import Path

import pytest

from moon_vision_challenge.classification import tasks
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.adding import Add, adding
from moon_vision_challenge.classification.tests.fake_inference_server import (
    SCORES,
    FakeInferenceServer,
    fake_inference_server,
)
from moon_vision_challenge.classification.tests.rows import create


@pytest.fixture
def add(tmp_path: Path) -> Iterator[Add]:
    """Add an export as a user does, serve it, and return the classificator that was written."""
    with adding(tmp_path) as run:
        yield run


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids that would have been sent to the queue. test_queue.py tests the real queue."""
    ids: list[int] = []
    monkeypatch.setattr(tasks, "enqueue_inference", lambda inference: ids.append(inference.pk))
    return ids


@pytest.fixture
def inference(jpeg: bytes) -> Inference:
    return create(jpeg)


@pytest.fixture
def inference_server() -> Iterator[FakeInferenceServer]:
    with fake_inference_server() as server:
        server.infers(SCORES)
        yield server


@pytest.fixture
def binary_inference_server() -> Iterator[FakeInferenceServer]:
    with fake_inference_server("model_repository", "binary_tensor_data") as server:
        yield server
