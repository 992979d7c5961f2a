"""The command and the client against the running service."""

import csv
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from moonvision import Client, RejectedError, ServiceUnavailableError, command, settings
from moonvision.errors import UnreadableImageError

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.tests.peer import StartPeer
from native.environment import ROOT

Run = Callable[..., int]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "client" / "src")}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("MOONVISION_URL", "MOONVISION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MOONVISION_URL", service.url)
    return lambda *arguments: command.main([str(each) for each in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, one of them in a subfolder, a damaged one, and a file that is not a picture."""
    folder = tmp_path / "photos"
    (folder / "B\u00e4r [1]").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(PHOTO)
    (folder / "B\u00e4r [1]" / "b.JPG").write_bytes(PHOTO)
    (folder / "damaged.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("no")
    return folder


def test_a_photo_gets_its_label(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("classify", ROOT / "samples" / "coffee.jpg", "--model", MODEL, "--top", 2) == 0
    name, first, second = capsys.readouterr().out.rstrip("\n").split("\t")
    assert name.endswith("coffee.jpg")
    assert first.startswith("espresso 0.")
    assert second


def test_a_folder_is_classified_and_the_file_is_continued(
    run: Run, service: Service, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("classify", folder, "--model", MODEL, "--output", tmp_path / "labels.csv")
    assert run(*arguments) == command.EXIT_FAILED
    assert "1 of 3 images could not be classified." in capsys.readouterr().err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text())))
    assert [(Path(row["image"]).name, row["label"]) for row in rows] == [
        ("a.jpg", "espresso"),
        ("damaged.png", ""),
        ("b.JPG", "espresso"),
    ]
    assert rows[1]["error"]
    service.services.stop("web")  # no image is left to classify
    try:
        assert run(*arguments) == 0
    finally:
        service.start("web")
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 4


def test_patterns_and_standard_input(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PHOTO)))
    assert run("classify", "-", f"{folder}/*.jpg", "--model", MODEL, "--format", "jsonl") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(row["image"]).name, row["label"]) for row in rows] == [("-", "espresso"), ("a.jpg", "espresso")]


@pytest.mark.e2e
def test_through_the_queue_a_picture_is_asked_for_once(
    run: Run, service: Service, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.start("worker")
    for _ in range(2):
        assert run("classify", folder / "a.jpg", "--model", MODEL, "--queue") == 0
        assert capsys.readouterr().out.split("\t")[1].startswith("espresso")
    assert Inference.objects.count() == 1


@pytest.mark.e2e
def test_an_inference_is_shown(run: Run, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.start("worker")
    with Client(service.url) as client:
        inference = client.submit(PHOTO, MODEL)
    assert run("status", inference.id, "--wait") == 0
    assert json.loads(capsys.readouterr().out)["label"] == "espresso"
    assert run("status", 999_999) == command.EXIT_FAILED


def test_models_are_listed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    assert f"{MODEL}\tready\n" in capsys.readouterr().out


def test_what_is_wrong_has_its_exit_code(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("classify", folder / "missing.jpg", "--model", MODEL) == command.EXIT_USAGE
    assert "no such file or folder" in capsys.readouterr().err
    assert run("classify", folder / "a.jpg", "--model", "nothing") == command.EXIT_USAGE
    assert "model_type" in capsys.readouterr().err
    closed = ("--url", "http://127.0.0.1:9", "--give-up", 0.1)
    assert run("classify", folder / "a.jpg", "--model", MODEL, *closed) == command.EXIT_UNAVAILABLE
    assert "The service is not available" in capsys.readouterr().err


def test_login_stores_the_token_for_its_address_only(
    run: Run, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    monkeypatch.setattr(Client, "models", lambda _: [])  # this service does not know the token
    assert run("login") == 0
    assert stat.S_IMODE(settings.path().stat().st_mode) == 0o600
    assert settings.read(url=service.url).token == "secret"
    assert settings.read(url="http://other").token == ""
    assert "secret" not in capsys.readouterr().out


@pytest.mark.e2e
def test_many_pictures_keep_their_order_and_survive_a_restart(service: Service) -> None:
    with Client(service.url, give_up_s=LIMIT_S) as client:
        names = []
        for number, result in enumerate(client.classify_many([PHOTO, b"no"] * 60, MODEL, concurrency=4)):
            if number == 20:
                service.services.kill("web")
                service.start("web")
            names.append(result.classification.label if result.classification else "")
            assert isinstance(result.error, RejectedError) == (number % 2 == 1)
    assert names == ["espresso", ""] * 60


def test_an_unavailable_service_ends_it(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", give_up_s=0) as client, pytest.raises(ServiceUnavailableError):
        list(client.classify_many([PHOTO] * 3, MODEL))
    with Client("http://127.0.0.1:9", give_up_s=0) as client, pytest.raises(UnreadableImageError):
        client.classify(tmp_path / "missing.jpg", MODEL)


def test_an_address_without_a_scheme_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["models", "--url", "vision.example.com"]) == command.EXIT_USAGE
    assert "begins with http" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "code", "words"), [("/dev/full", 2, "No space left on device"), ("| head -0", 0, "")]
)
def test_output_that_nobody_takes_ends_it(service: Service, target: str, code: int, words: str) -> None:
    redirect = target if target.startswith("|") else f"> {target}"
    shell = f"set -o pipefail; '{sys.executable}' -m moonvision models --url {service.url} {redirect}"
    done = subprocess.run(["bash", "-c", shell], env=ENVIRONMENT, check=False, capture_output=True, text=True)
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (code, True, False)


@pytest.mark.e2e
def test_ctrl_c_ends_it_although_a_request_is_on_its_way(start_peer: StartPeer) -> None:
    peer = start_peer(b"", holds=True)
    arguments = ["classify", "samples/coffee.jpg", "--model", MODEL, "--url", peer.url]
    process = subprocess.Popen(
        [sys.executable, "-m", "moonvision", *arguments], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(peer.requests), "the request")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=50)  # a request waits 60 s for its answer
    assert (process.returncode, errors) == (command.EXIT_INTERRUPTED, "Interrupted.\n")


@pytest.mark.e2e
def test_the_package_installs_alone(service: Service, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "client", tmp_path / "client")  # the build writes into its sources
    venv, uv = tmp_path / "venv", [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", str(venv)], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(venv), str(tmp_path / "client")], check=True)
    moonvision = [venv / "bin" / "moonvision", "classify", "samples/coffee.jpg", "--model", MODEL, "--url", service.url]
    assert b"espresso" in subprocess.check_output([str(each) for each in moonvision], cwd=ROOT)


@pytest.mark.e2e
def test_the_python_of_its_readme_runs(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    service.start("worker")
    page = (ROOT / "client" / "README.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(code.replace("http://127.0.0.1:8000", service.url), {})
    immediate, queued, many = capsys.readouterr().out.splitlines()
    assert immediate.startswith("espresso 0.")
    assert queued == "espresso"
    assert many.startswith("samples/coffee.jpg Classification(label='espresso'")
