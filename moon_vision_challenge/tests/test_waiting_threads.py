import threading

import pytest

from moon_vision_challenge import waiting_threads
from moon_vision_challenge.waiting_threads import waiting


def test_a_thread_counts_once_until_it_waits_no_more() -> None:
    assert waiting_threads.count(-1) == 0
    with waiting(), waiting():
        assert waiting_threads.count(-1) == 1
    assert waiting_threads.count(-1) == 0


def test_a_thread_that_has_just_begun_to_wait_does_not_count() -> None:
    with waiting():
        assert waiting_threads.count(600) == 0


def test_it_waits_no_more_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), waiting():
        raise ZeroDivisionError
    assert waiting_threads.count(-1) == 0


def test_threads_count_each() -> None:
    begun, end = threading.Barrier(3), threading.Event()

    def wait() -> None:
        with waiting():
            begun.wait()
            end.wait()

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert waiting_threads.count(-1) == 2
    end.set()
    for thread in threads:
        thread.join()
