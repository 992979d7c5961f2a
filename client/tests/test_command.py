"""The command, with a stand-in for the service."""

import csv
import io
import os
from pathlib import Path

import httpx
import pytest
from moonvision import settings
from moonvision.client import Client
from moonvision.command import EXIT_FAILED, EXIT_USAGE, main
from moonvision.errors import MoonVisionError
from moonvision.transport import Transport

from client.tests.conftest import Serve

URL = ("--url", "http://service")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("MOONVISION_URL", "MOONVISION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(b"photo")
    return folder


def label(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"label": "espresso"})


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"model_type": ['"dogs" is not a valid choice.']}),
        httpx.Response(404, json={"detail": "Not found.", "code": "not_found"}),
        httpx.Response(308, headers={"Location": "https://service/"}),
        httpx.Response(200, text="<html>"),
    ],
)
def test_what_concerns_all_images_is_told_once_and_written_to_no_row(
    serve: Serve, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: httpx.Response
) -> None:
    serve(lambda _: answer)
    output = tmp_path / "labels.jsonl"
    assert main(["classify", str(folder), "--model", "dogs", *URL, "--output", str(output)]) in {
        EXIT_FAILED,
        EXIT_USAGE,
    }
    assert output.read_text() == ""
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_concerns_one_image_is_its_row(serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = httpx.Response(413, json={"detail": "Too large.", "code": "x"})
    serve(lambda request: large if b"large" in request.content else label(request))
    (folder / "1.jpg").write_bytes(b"large")
    assert main(["classify", str(folder), "--model", "lite", *URL]) == EXIT_FAILED
    found = [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()]
    assert found == ["espresso", "error: Too large.", "espresso"]


def test_pipes_and_links_in_a_folder_are_rows_with_an_error(
    serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(label)
    os.mkfifo(folder / "a.jpg")
    (folder / "b.jpg").symlink_to("/dev/zero")
    (folder / "c.jpg").symlink_to("c.jpg")
    (folder / "d.jpg").symlink_to("missing")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert main(["classify", str(folder), "--model", "lite", *URL, "--format", "csv"]) == EXIT_FAILED
    rows = {Path(row["image"]).name: row["error"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert "regular file" in rows["a.jpg"]
    assert "regular file" in rows["b.jpg"]
    assert rows["c.jpg"]
    assert "No such file" in rows["d.jpg"]
    assert [name for name, error in rows.items() if not error] == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_job_refuses_a_pipe(serve: Serve, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requests = serve(label)
    os.mkfifo(folder / "a.jpg")
    assert main(["jobs", "create", str(folder), "--model", "lite", *URL]) == EXIT_USAGE
    assert "not a regular file" in capsys.readouterr().err
    assert requests == []


@pytest.mark.parametrize("url", ["http://", "http://[::1", "https://host:port", "ftp://host", "host", "http://host:0"])
def test_an_address_that_is_none_is_told(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["models", "--url", url]) == EXIT_USAGE
    assert "begins with http" in capsys.readouterr().err


def test_a_token_from_a_file_may_end_with_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOONVISION_TOKEN", "secret\n")
    assert settings.read().token == "secret"
    for token in ("s\u00e9cret", "two\nlines"):
        monkeypatch.setenv("MOONVISION_TOKEN", token)
        with pytest.raises(MoonVisionError, match="Copy it again"):
            settings.read()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://localhost:1"), ("HTTP_PROXY", "gopher://x"), ("SSL_CERT_FILE", "/missing")],
)
def test_an_environment_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["models", *URL]) == EXIT_USAGE
    assert "environment variables" in capsys.readouterr().err


def test_login_without_an_answer_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["login"]) == EXIT_USAGE
    assert "--url" in capsys.readouterr().err


def test_a_forked_process_uses_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def connect(name: str) -> httpx.Client:
        made.append(name)
        return httpx.Client(base_url="http://service", transport=httpx.MockTransport(label))

    transport = Transport(connect("parent"), give_up_s=0, renew=lambda: connect("child"))
    transport.request("GET", "/")
    assert made == ["parent"]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for _ in range(2):
        transport.request("GET", "/")
    assert made == ["parent", "child"]


def test_the_client_renews_its_connections(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(label)
    with Client("http://service") as client:
        before = client._transport._http
        monkeypatch.setattr(os, "getpid", lambda: -1)
        client.classify(b"photo", "lite")
        assert client._transport._http is not before
