import hashlib
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from moon_vision_challenge.model_zoo import tarball
from moon_vision_challenge.model_zoo.tarball import TarballError, fetch_and_unpack


def make(folder: Path, *names: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 5) -> str:
    path = folder / "model-data.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = size if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"x" * size))
    return path.as_uri()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.mark.parametrize("prefix", ["", "models/"])
def test_version_folders_are_moved_in_and_nothing_else_is_left(tmp_path: Path, models: Path, prefix: str) -> None:
    url = make(tmp_path, f"{prefix}resnet/1/saved_model.pb", f"{prefix}inception/3/variables/a", f"{prefix}README")
    assert fetch_and_unpack(url, models) == [models / "inception" / "3", models / "resnet" / "1"]
    assert (models / "resnet" / "1" / "saved_model.pb").read_bytes() == b"xxxxx"
    assert sorted(path.name for path in models.iterdir()) == ["inception", "resnet"]


def test_an_existing_version_is_left_unchanged(tmp_path: Path, models: Path) -> None:
    (models / "resnet" / "1").mkdir(parents=True)
    assert fetch_and_unpack(make(tmp_path, "resnet/1/saved_model.pb"), models) == []
    assert list((models / "resnet" / "1").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../../escaped", tarfile.REGTYPE, ""),
        ("resnet/1/link", tarfile.SYMTYPE, "/etc/passwd"),
        ("models/resnet/1/link", tarfile.SYMTYPE, "../../../inside-until-it-is-moved"),
        ("resnet/1/link", tarfile.LNKTYPE, "/etc/passwd"),
        ("resnet/1/device", tarfile.CHRTYPE, ""),
        ("resnet/1/pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_members_that_reach_outside_are_refused(
    tmp_path: Path, models: Path, name: str, kind: bytes, link: str
) -> None:
    with pytest.raises(TarballError, match="cannot be unpacked"):
        fetch_and_unpack(make(tmp_path, name, kind=kind, link=link), models)
    assert list(models.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_what_a_killed_run_left_is_removed(tmp_path: Path, models: Path) -> None:
    (models / ".unpacking-abc" / "resnet" / "1").mkdir(parents=True)
    fetch_and_unpack(make(tmp_path, "resnet/1/saved_model.pb"), models)
    assert [path.name for path in models.iterdir()] == ["resnet"]


def test_a_tarball_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, "MAX_BYTES", 10_000)
    url = make(tmp_path, "resnet/1/saved_model.pb", size=1_000_000)  # a kilobyte, packed
    with pytest.raises(TarballError, match="holds more than 10000 bytes"):
        fetch_and_unpack(url, models)
    monkeypatch.setattr(tarball, "MAX_BYTES", 10)
    with pytest.raises(TarballError, match="is larger than 10 bytes"):
        fetch_and_unpack(url, models)
    assert list(models.iterdir()) == []


def test_the_checksum_is_compared_if_there_is_one(tmp_path: Path, models: Path) -> None:
    url = make(tmp_path, "resnet/1/saved_model.pb")
    with pytest.raises(TarballError, match="not the one in MODEL_DATA_SHA256"):
        fetch_and_unpack(url, models, "0" * 64)
    digest = hashlib.sha256((tmp_path / "model-data.tar.gz").read_bytes()).hexdigest().upper()
    assert fetch_and_unpack(url, models, digest) == [models / "resnet" / "1"]


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_tarball_is_fetched_over_http(tmp_path: Path, models: Path, web_server: str) -> None:
    make(tmp_path, "resnet/1/saved_model.pb")
    assert fetch_and_unpack(f"{web_server}/model-data.tar.gz", models) == [models / "resnet" / "1"]
    with pytest.raises(TarballError, match=r"Cannot fetch .*: File not found"):
        fetch_and_unpack(f"{web_server}/nothing.tar.gz", models)


@pytest.mark.parametrize(("content", "message"), [(b"no tarball", "cannot be unpacked"), (b"", "cannot be unpacked")])
def test_a_file_that_is_not_a_tarball_is_refused(tmp_path: Path, models: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TarballError, match=message):
        fetch_and_unpack((tmp_path / "file").as_uri(), models)


def test_a_tarball_without_models_and_a_strange_url_are_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(TarballError, match="does not hold a <model>/<version>/ folder"):
        fetch_and_unpack(make(tmp_path, "README"), models)
    with pytest.raises(TarballError, match="must be an http, https or file URL"):
        fetch_and_unpack("ftp://example.com/x", models)
