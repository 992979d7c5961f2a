"""The examples in the README work word for word. Continuous integration runs its make commands."""

from pathlib import Path

import pytest

from moon_vision_challenge.classification.tests.fake_model_server import fake_model_server, replies
from moon_vision_challenge.classification.tests.pictures import photo
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.tests.commands import assert_as_shown, curl, restart_web
from moon_vision_challenge.tests.documents import block, blocks, text
from native.environment import ROOT


def test_it_has_at_most_120_lines() -> None:
    assert len(text("README.md").splitlines()) <= 120


@pytest.mark.django_db(transaction=True)
def test_its_curl_commands_answer_what_it_shows(service: Service) -> None:
    service.start("worker")
    at_once, and_wait = blocks("README.md", "sh")
    assert_as_shown(curl(at_once, service), block("README.md", "json"), service)
    waited_for = curl(and_wait, service)
    assert (waited_for["status"], waited_for["label"]) == ("done", "espresso")


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_its_classificator_answers_on_v0_and_v1(service: Service, tmp_path: Path) -> None:
    app = tmp_path / "digits"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "classificators.py").write_text(block("README.md", "python"))
    scores = [0.0] * 10
    scores[7] = 1.0
    with fake_model_server(replies(200, {"predictions": [scores]})) as server:
        environment = {
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "DJANGO_EXTRA_APPS": "digits",
            "TF_SERVING_URL": server.url,
        }
        restart_web(service, environment)
        service.start("worker", **environment)
        assert service.post("v0", photo("PNG"), "digits").json() == {"label": "7"}
        assert service.wait_for(service.post("v1", photo("PNG"), "digits"), "done")["label"] == "7"
    path, body = server.requests[0]
    assert path == "/v1/models/digits:predict"
    assert len(body["instances"][0]) == 28
