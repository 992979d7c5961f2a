"""Versions and models.config change while the real server serves."""

import functools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.model_server.reload import Reloader
from moon_vision_challenge.model_server.tests.conftest import (
    DEADLINE_S,
    Server,
    models_config,
    save_half,
    start_server,
)

POLL = "0.05"


def put(folder: Path, version: int, factor: float, model: str = "half") -> None:
    """Make a version appear at once: create it elsewhere and rename it, as deployments do."""
    made = folder / "made"
    save_half(made / "model.onnx", factor)
    (folder / "models" / model).mkdir(parents=True, exist_ok=True)
    made.rename(folder / "models" / model / str(version))


def configure(folder: Path, *names: str, extra: str = "") -> None:
    new = folder / "new.config"
    new.write_text(models_config(*names, extra=extra))
    new.rename(folder / "models.config")


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = start_server(
        folder, "--file_system_poll_wait_seconds", POLL, "--model_config_file_poll_wait_seconds", POLL
    )
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log.read_text()
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, 1, factor=1)
    configure(tmp_path, "half")
    return tmp_path


def wait_until(condition: Callable[[], bool], server: Server) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.02)


def factor(server: Server, path: str = "half") -> Any:
    return server.predict(path, {"instances": [[1, 0]]}).json()["predictions"][0][0]


def states(server: Server, model: str = "half") -> dict[str, str]:
    return {
        status["version"]: status["state"]
        for status in server.get(f"/v1/models/{model}").json()["model_version_status"]
    }


def are_states(server: Server, expected: dict[str, str]) -> bool:
    return expected.items() <= states(server).items()


def has_logged(server: Server, text: str) -> bool:
    return text in server.log.read_text()


def test_no_request_fails_while_versions_come_and_go(folder: Path) -> None:
    answers: list[tuple[int, Any]] = []
    done = threading.Event()

    def post_until_done(server: Server) -> None:
        while not done.is_set():
            response = server.predict("half", {"instances": [[1, 0]]})
            answers.append((response.status_code, response.json()))

    def has_answered(version: int) -> bool:
        return any(answer == (200, {"predictions": [[version, 0.0]]}) for answer in list(answers))

    with serving(folder) as server:
        threads = [threading.Thread(target=post_until_done, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in range(2, 6):
                wait_until(functools.partial(has_answered, version - 1), server)
                put(folder, version, factor=version)
                expected = {str(version): "AVAILABLE", str(version - 1): "END"}
                wait_until(functools.partial(are_states, server, expected), server)
                shutil.rmtree(folder / "models" / "half" / str(version - 1))
            wait_until(functools.partial(has_answered, 5), server)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert {status for status, _ in answers} == {200}
    factors = [answer["predictions"][0][0] for _, answer in answers]
    assert set(factors) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_a_broken_new_version_leaves_the_old_one_and_is_loaded_once_it_is_repaired(folder: Path) -> None:
    with serving(folder) as server:
        broken = folder / "models" / "half" / "2"
        broken.mkdir()
        wait_until(lambda: has_logged(server, "version 2 is NOT available"), server)
        (broken / "model.onnx").write_bytes(b"half of it")
        wait_until(lambda: has_logged(server, "onnxruntime cannot load it"), server)
        wait_until(lambda: states(server) == {"2": "END", "1": "AVAILABLE"}, server)
        assert factor(server) == 1
        shutil.rmtree(broken)
        put(folder, 2, factor=2)
        wait_until(lambda: factor(server) == 2, server)
        wait_until(lambda: states(server) == {"2": "AVAILABLE", "1": "END"}, server)
        assert server.log.read_text().count("version 2 is NOT available") <= 3


def test_a_model_whose_folder_goes_away_stays_loaded_and_this_is_logged_once(folder: Path) -> None:
    with serving(folder) as server:
        (folder / "models" / "half").rename(folder / "elsewhere")
        wait_until(lambda: has_logged(server, "cannot read"), server)
        put(folder, 1, factor=1, model="other")
        configure(folder, "half", "other")  # so that some more checks have passed
        wait_until(lambda: has_logged(server, "Model other version 1 is available"), server)
        assert factor(server) == 1
        assert server.log.read_text().count("cannot read") == 1


def test_a_withdrawn_version_makes_room_for_the_one_before_it(folder: Path) -> None:
    put(folder, 2, factor=2)
    with serving(folder) as server:
        assert factor(server) == 2
        shutil.rmtree(folder / "models" / "half" / "2")
        wait_until(lambda: factor(server) == 1, server)
        wait_until(lambda: states(server) == {"2": "END", "1": "AVAILABLE"}, server)


def test_models_policies_and_labels_follow_the_config_file(folder: Path) -> None:
    put(folder, 2, factor=2)
    put(folder, 7, factor=7, model="other")
    with serving(folder) as server:
        configure(
            folder, "half", "other", extra="model_version_policy { all {} } version_labels { key: 'stable' value: 1 }"
        )
        wait_until(lambda: states(server) == {"2": "AVAILABLE", "1": "AVAILABLE"}, server)
        wait_until(lambda: server.get("/v1/models/half/labels/stable").status_code == 200, server)
        assert factor(server, "half/labels/stable") == 1
        assert factor(server, "other") == 7
        configure(
            folder,
            "half",
            extra="model_version_policy { specific { versions: 2 } } version_labels { key: 'stable' value: 2 }",
        )
        wait_until(lambda: factor(server, "half/labels/stable") == 2, server)
        wait_until(lambda: states(server) == {"2": "AVAILABLE", "1": "END"}, server)
        assert server.get("/v1/models/other").status_code == 404


def test_a_label_does_not_move_to_a_version_that_is_not_available(folder: Path) -> None:
    configure(folder, "half", extra="version_labels { key: 'stable' value: 1 }")
    with serving(folder) as server:
        (folder / "models" / "half" / "2").mkdir()
        configure(folder, "half", extra="version_labels { key: 'stable' value: 2 }")
        wait_until(lambda: has_logged(server, "version 2 is NOT available"), server)
        put(folder, 1, factor=9, model="other")
        configure(folder, "half", "other", extra="version_labels { key: 'stable' value: 2 }")
        wait_until(lambda: has_logged(server, "Model other version 1 is available"), server)
        assert factor(server, "half/labels/stable") == 1


def test_another_base_path_is_loaded_before_the_old_one_goes(folder: Path) -> None:
    put(folder, 1, factor=3, model="other")
    with serving(folder) as server:
        text = models_config("half")
        (folder / "models.config").write_text(text.replace("/models/half/", "/models/other/"))
        wait_until(lambda: factor(server) == 3, server)
        (folder / "models.config").write_text(text.replace("/models/half/", "/models/nowhere/"))
        wait_until(lambda: has_logged(server, "nowhere: No such file"), server)
        assert factor(server) == 3


def test_a_broken_config_file_changes_nothing_and_is_logged_once(folder: Path) -> None:
    with serving(folder) as server:
        (folder / "models.config").write_text("model_config_list { colour: 'red' }")
        wait_until(lambda: has_logged(server, "The models stay as they are"), server)
        (folder / "models.config").unlink()
        wait_until(lambda: has_logged(server, "cannot be read: No such file or directory"), server)
        assert factor(server) == 1
        put(folder, 2, factor=2)
        wait_until(lambda: factor(server) == 2, server)  # new versions are still found
        assert server.log.read_text().count("no field colour") == 1
        configure(folder, "half", extra="model_version_policy { all {} }")
        wait_until(lambda: states(server) == {"2": "AVAILABLE", "1": "AVAILABLE"}, server)


def test_with_no_interval_above_zero_nothing_is_looked_for(tmp_path: Path) -> None:
    Reloader(ModelRegistry(None), tmp_path / "models.config", [], config_interval_s=0, versions_interval_s=-1).start()
    assert "reload" not in [thread.name for thread in threading.enumerate()]


def test_version_folders_may_have_leading_zeros(tmp_path: Path) -> None:
    save_half(tmp_path / "models" / "half" / "00000123" / "model.onnx")
    configure(tmp_path, "half")
    with serving(tmp_path) as server:
        assert states(server) == {"123": "AVAILABLE"}
