"""Folders and archives are sent as they are read, and can be sent again."""

import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from moonvision import Client
from moonvision.command import main
from moonvision.errors import UnreadableImageError
from moonvision.images import SUFFIXES
from moonvision.jobs import Archive, Folder, idempotency_key, upload_of

from client.tests.conftest import Serve

JOB = {"id": 7, "status": "processing", "total": 2, "counts": {"pending": 2}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    (photos / "ü.jpg").write_bytes(b"first")
    (photos / "sub" / "b.PNG").write_bytes(b"second" * 100_000)
    (photos / "notes.txt").write_bytes(b"no image")
    return photos


def test_a_folder_is_a_tar_of_its_images(folder: Path) -> None:
    upload = upload_of(folder, SUFFIXES)
    data = b"".join(upload)
    assert len(data) == upload.size
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {info.name: info.size for info in archive} == {"sub/b.PNG": 600_000, "ü.jpg": 5}
    assert b"".join(upload) == data


def test_an_archive_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(b"PK" * 500_000)
    upload = upload_of(path, SUFFIXES)
    assert isinstance(upload, Archive)
    assert b"".join(upload) == path.read_bytes()


def test_a_folder_without_images_and_a_file_that_is_gone_say_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="no images"):
        upload_of(folder, {".tiff"})
    with pytest.raises(UnreadableImageError, match="No such file"):
        upload_of(tmp_path / "gone.zip", SUFFIXES)
    upload = Folder({"a.jpg": folder / "ü.jpg"})
    (folder / "ü.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match="shorter"):
        list(upload)


def test_the_key_changes_with_the_files_and_the_options(folder: Path) -> None:
    first = idempotency_key(upload_of(folder, SUFFIXES), ["a"])
    assert idempotency_key(upload_of(folder, SUFFIXES), ["a"]) == first
    assert idempotency_key(upload_of(folder, SUFFIXES), ["b"]) != first
    (folder / "ü.jpg").write_bytes(b"other")
    assert idempotency_key(upload_of(folder, SUFFIXES), ["a"]) != first


def test_an_upload_is_repeated_as_a_whole(folder: Path, serve: Serve) -> None:
    answers = iter([httpx.Response(503, headers={"Retry-After": "0"}), httpx.Response(201, json=JOB)])
    seen = serve(lambda _: next(answers))
    with Client("http://service") as client:
        job = client.create_job(folder, "lite", top_k=3)
    assert (job.id, job.is_final) == (7, False)
    first, second = seen
    assert first.content == second.content
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.headers["Content-Length"] == str(len(first.content))
    assert dict(first.url.params) == {"model_type": "lite", "top_k": "3"}


def test_results_of_all_pages_are_printed(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after = int(request.url.params["after"])
        found: dict[str, Any] = {"index": after + 1, "name": f"{after + 1}.jpg", "label": "cat", "score": 0.5}
        found |= {"status": "done", "predictions": [], "error": None}
        return httpx.Response(200, json={"next": None if after == 1 else "more", "results": [found]})

    serve(answer)
    assert main(["jobs", "results", "7", "--url", "http://service", "--format", "csv"]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["image", "0.jpg", "1.jpg", "2.jpg"]


def test_the_status_of_a_job_with_failed_images_is_an_exit_code(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(lambda _: httpx.Response(200, json={**JOB, "status": "done", "counts": {"done": 1, "fail": 1}}))
    assert main(["jobs", "status", "7", "--wait", "--url", "http://service"]) == 1
    assert '"status": "done"' in capsys.readouterr().out
