"""A request that would wait too long for a thread is refused before it waits."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moon_vision_challenge.http_server.tests.conftest import StartServer, request, status, told, wait_for
from moon_vision_challenge.http_server.threads import Threads

ROOM_FOR_SIX_S = 0.11
"""Until jobs have waited, each adds 0.02 s to the expected wait. The server has two threads."""


def test_requests_that_would_wait_too_long_get_503_and_those_before_them_are_answered(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(max_wait_s=ROOM_FOR_SIX_S)
    paths = [f"/hold?until={tmp_path / f'{number}.end'}" for number in range(20)]
    with ThreadPoolExecutor(20) as clients:
        running = [clients.submit(server.get, path) for path in paths[:2]]
        wait_for(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
        others = [clients.submit(server.get, path) for path in paths[2:]]
        wait_for(lambda: sum(answer.done() for answer in others) == 12)
        refused = [answer.result() for answer in others if answer.done()]
        served_meanwhile = [status(server.get(path)) for path in ("/livez", "/reserved")]
        for number in range(20):
            (tmp_path / f"{number}.end").touch()
        assert [status(answer.result()) for answer in running] == [200, 200]
        assert Counter(status(answer.result()) for answer in others) == {503: 12, 200: 6}
    assert Counter((status(each), told(each)["code"]) for each in refused) == {(503, "overloaded"): 12}
    assert all(b"\r\nRetry-After: 1\r\n" in each for each in refused)
    assert served_meanwhile == [200, 200]
    assert status(server.get("/")) == 200


def test_a_client_that_hangs_up_before_its_refusal_harms_nobody(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(max_wait_s=0)
    end = tmp_path / "end"
    with ThreadPoolExecutor(10) as clients:
        held = [clients.submit(server.get, f"/hold?until={end}") for _ in range(10)]
        wait_for(lambda: any(answer.done() for answer in held))  # refused
        with server.connect() as client:
            client.sendall(request("GET", "/"))
        end.touch()
        assert {status(answer.result()) for answer in held} == {200, 503}
    wait_for(lambda: status(server.get("/")) == 200)


def test_the_expected_wait_follows_the_pace_at_which_waiting_jobs_start() -> None:
    queue = Threads(0, "none")
    assert queue.expected_wait_s == 0
    for number in range(200):
        queue._note_start(submitted_at=0, now=100 + number / 2)
    queue.submit(lambda: None)
    queue.submit(lambda: None)
    assert queue.expected_wait_s == pytest.approx(1.0, rel=0.01)
    queue._note_start(submitted_at=4000, now=4000)  # nothing waited meanwhile
    assert queue.expected_wait_s == pytest.approx(1.0, rel=0.01)
