from collections.abc import Iterator
from pathlib import Path

import pytest

from moon_vision_challenge.classification.tests.adding import Add, adding


@pytest.fixture
def add(tmp_path: Path) -> Iterator[Add]:
    """Add an export as a user does, serve it, and return the classificator that was written."""
    with adding(tmp_path) as run:
        yield run
