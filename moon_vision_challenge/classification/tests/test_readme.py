"""What the README shows is tried here, word for word. Continuous integration runs its make commands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from moon_vision_challenge.classification import dispatchers
from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.tests.fake_model_server import fake_model_server, has_signatures, replies
from moon_vision_challenge.classification.tests.pictures import gradient, photo
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.conftest import StartFake
from native.environment import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
BASE_URL = "http://127.0.0.1:8000"


def blocks(language: str, containing: str = "") -> list[str]:
    return [text for its_language, text in BLOCKS if its_language == language and containing in text]


def curl(command: str, service: Service, inference_id: int | None = None) -> object:
    command = command.replace(BASE_URL, service.url)
    if inference_id is not None:
        command = command.replace("/inferences/1/", f"/inferences/{inference_id}/")
    result = subprocess.run(
        [*shlex.split(command), "--silent"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(result.stdout)


@pytest.mark.django_db(transaction=True)
def test_its_curl_lines_answer_what_it_shows(service: Service) -> None:
    service.start("worker")
    at_once, through_queue, ask, and_wait, with_scores = blocks("sh", "127.0.0.1:8000")
    shown_label, shown_row, shown_scores = [json.loads(text) for text in blocks("json")]
    assert curl(at_once, service) == shown_label
    scores = curl(with_scores, service)
    assert isinstance(scores, dict)
    assert scores["label"] == shown_scores["label"]
    for found, shown in zip(scores["predictions"], shown_scores["predictions"], strict=True):
        assert found == {**shown, "score": pytest.approx(shown["score"], abs=0.1)}
    row = curl(through_queue, service)
    assert isinstance(row, dict)
    assert list(row) == list(shown_row)
    unchanging = ("model_type", "label", "status", "error", "attempts")
    assert {name: row[name] for name in unchanging} == {name: shown_row[name] for name in unchanging}
    shown_again = curl(ask, service, row["id"])
    assert isinstance(shown_again, dict)
    assert shown_again["id"] == row["id"]
    waited_for = curl(and_wait, service)
    assert isinstance(waited_for, dict)
    assert (waited_for["status"], waited_for["label"]) == ("done", "espresso")


@pytest.mark.django_db(transaction=True)
def test_its_python_client_prints_the_label(service: Service) -> None:
    (script,) = blocks("python", "requests.post")
    result = subprocess.run(
        [sys.executable, "-c", script.replace(BASE_URL, service.url)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout == "espresso\n"


@pytest.mark.django_db(transaction=True)
def test_its_classificator_answers_on_both_ways(service: Service, tmp_path: Path) -> None:
    app = tmp_path / "digits"
    app.mkdir()
    (app / "__init__.py").touch()
    (snippet,) = blocks("python", "DigitClassificator")
    (app / "classificators.py").write_text(snippet)
    scores = [0.0] * 10
    scores[7] = 1.0
    with fake_model_server(replies(200, {"predictions": [scores]})) as server:
        environment = {
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "DJANGO_EXTRA_APPS": "digits",
            "TF_SERVING_URL": server.url,
        }
        service.services.stop("web")
        service.is_altered = True
        service.services.start("web", {**service.environment, **environment})
        service.services.wait_until(lambda: _answers(service), "the web server", 30)
        service.start("worker", **environment)
        assert service.post("v0", photo("PNG"), "digits").json() == {"label": "7"}
        assert service.wait_for(service.post("v1", photo("PNG"), "digits"), "done")["label"] == "7"
    path, body = server.requests[0]
    assert path == "/v1/models/digits:predict"
    assert len(body["instances"][0]) == 28


def test_its_classificator_without_code_answers(
    start_fake: StartFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = blocks("python", "FlowerClassificator")
    (tmp_path / "flowers.txt").write_text("daisy\ntulip\n")
    own = Dispatcher()
    monkeypatch.setattr(dispatchers, "dispatcher", own)
    exec(compile(snippet, "README", "exec"), {"__file__": str(tmp_path / "classificators.py")})  # noqa: S102
    signature = ({"x": ("DT_FLOAT", -1, 224, 224, 3)}, {"y": ("DT_FLOAT", -1, 2)})
    start_fake(replies(200, {"predictions": [[0.2, 0.8]]})).metadata = has_signatures(serving_default=signature)
    assert own["flowers"].predict(gradient()) == "tulip"


def _answers(service: Service) -> bool:
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", f"{service.url}/livez"]
    return subprocess.run(command, check=False, timeout=10).returncode == 0


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^make (\w+)", "\n".join(t for _, t in BLOCKS), re.MULTILINE)))
)
def test_every_make_command_it_shows_exists(target: str) -> None:
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z][A-Z_]{5,})`", README))))
def test_every_setting_it_names_is_read_somewhere(name: str) -> None:
    sources = [*(ROOT / "config").rglob("*.py"), *(ROOT / "native").glob("*.py")]
    assert any(name in path.read_text() for path in sources)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:moon_vision_challenge|config|native)/[\w/.]*)`", README)))
)
def test_every_path_it_names_exists(path: str) -> None:
    assert (ROOT / path).exists()
