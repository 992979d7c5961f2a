"""A model server that hangs or never finishes its answers holds up the requests that need it, and no others."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.test_third_party_app import CLASSIFICATORS
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]

THREADS = 8
"""The number of threads of both web processes."""
ALWAYS = (*["/livez"] * 9, *["/readyz", "/api/v1/history/", "/api/v1/models/", "/api/v1/usage/", "/"] * 2)


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[fake.FakeModelServer]:
    """A fake server for a model of another app."""
    with fake.fake_model_server(fake.replies(200, {"predictions": [[0, 1]]})) as server:
        folder = tmp_path / "birds"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "classificators.py").write_text(CLASSIFICATORS.format(url=server.url))
        yield server


@pytest.mark.parametrize("answer", [fake.stalls, fake.stalls_in_the_body])
def test_what_does_not_need_it_is_answered_meanwhile(
    service: Service, tmp_path: Path, other_server: fake.FakeModelServer, answer: fake.Answer
) -> None:
    with fake.fake_model_server(answer) as server, ThreadPoolExecutor(3 * THREADS) as clients:
        service.start(
            "web",
            TF_SERVING_URL=server.url,
            TF_SERVING_TIMEOUT_S=str(LIMIT_S),
            TF_SERVING_CONNECT_TIMEOUT_S="1",
            DJANGO_EXTRA_APPS="birds",
            PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}",
        )
        held = [clients.submit(service.post, "v0") for _ in range(3 * THREADS)]
        wait_for(lambda: len(server.requests) >= THREADS, "a request of each thread")
        created = service.post("v1")
        assert created.status_code == 201
        assert service.get(created)["status"] == "pending"
        for path in ALWAYS:
            assert requests.get(f"{service.url}{path}", timeout=LIMIT_S).status_code == 200, path
        assert service.post("v0", model_type="birds").json() == {"label": "puffin"}
        assert other_server.requests
        assert sum(not each.done() for each in held) >= THREADS
        server.released.set()
        assert {each.result().status_code for each in held} <= {502, 503, 504}
