"""Fixtures that tests of jobs share."""

import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from moon_vision_challenge.jobs.tests.running import Jobs


@pytest.fixture
def jobs(client: object, transactional_db: None) -> Jobs:
    """Jobs through the API, and their background work when a test calls for it."""
    return Jobs(client)  # type: ignore[arg-type]  # APIClient


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as opened:
        yield opened
