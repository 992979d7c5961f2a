import threading
from collections.abc import Callable

from django.db import connection


def race(work: Callable[[int], None], threads: int) -> None:
    """Call `work` in this many threads at the same moment, each with its number. Raises if one of them fails."""
    start = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            errors.append(error)
        finally:
            connection.close()

    racers = [threading.Thread(target=run, args=[number]) for number in range(threads)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    if errors:
        raise errors[0]
