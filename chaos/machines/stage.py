"""The services as in `make run`, with other servers in place of some, and clients that keep sending requests."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from bench.table import table
from chaos.outages.answers import Clients, Question, questions
from chaos.rows import query
from native.environment import ROOT, RUN_DIR, free_public_ports
from native.process import poll
from native.services import Services, running

CLIENTS = ("web", "worker", "webhook_worker", "beat")
FINISH_TIMEOUT_S = 120
_COMMON = {"API_ANON_RATE": "1000000/s", "API_ANON_READ_RATE": "1000000/s", "INFERENCE_SWEEP_S": "5"}
_UNFINISHED = "SELECT count(*) FROM classification_inference WHERE status IN ('pending', 'processing')"
_LIVES = """
SELECT count(*), count(*) FILTER (WHERE status = 'done'), max(attempts),
       extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY finished_at - created_at)),
       extract(epoch FROM max(finished_at - created_at))
FROM classification_inference WHERE id = ANY (%s)
"""


@contextmanager
def staged(name: str, env: Mapping[str, str], *, without: Sequence[str] = ()) -> Iterator[Services]:
    """Run PostgreSQL, Redis and the model server, except those in `without`, with empty tables."""
    own = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "TF_SERVING_URL"), "")
    own |= {**free_public_ports(), **_COMMON, **env}
    foundations = [each for each in ("postgres", "redis", "model_server") if each not in without]
    with running(foundations, run_dir=RUN_DIR / "machines" / name, env=own) as services:
        for command in (["migrate", "-v0"], ["flush", "--no-input", "-v0"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=services.env, check=True)
        yield services


def start_clients(services: Services, env: Mapping[str, str] | None = None) -> None:
    for name in CLIENTS:
        services.start(name, env)
    services.wait_until_ready(*CLIENTS)


def url_of(services: Services) -> str:
    return f"http://127.0.0.1:{services.env['WEB_PORT']}"


class Load:
    """Clients that keep sending requests, and the outcome of the rows that they create.

    Args:
        more: questions in addition to the usual ones. The rows that they create are not counted.
    """

    def __init__(self, services: Services, seconds: float, more: Mapping[str, Question] | None = None) -> None:
        self._services = services
        self.created: list[str] = []
        self.begin = time.monotonic()
        self._clients = Clients({**questions(url_of(services), self.created), **(more or {})}, seconds)

    @property
    def codes(self) -> set[str]:
        """The status codes of all answers."""
        return {code for each in self._clients.answers.values() for code in each.codes}

    def are_done(self, count: int) -> bool:
        """Return whether the first `count` rows that were created are done."""
        ids = [_id(location) for location in self.created[:count]]
        ((_, done, *_rest),) = query(self._services.env["DATABASE_URL"], _LIVES, ids)
        return bool(done == count)

    def finish(self) -> dict[str, bool]:
        """Wait until every row is final, and print what clients got. Returns each promise and whether it was kept."""
        self._clients.join()
        database_url = self._services.env["DATABASE_URL"]
        poll(lambda: query(database_url, _UNFINISHED) == [(0,)], FINISH_TIMEOUT_S)
        ids = [_id(location) for location in self.created]
        ((rows, done, attempts, median_s, longest_s),) = query(database_url, _LIVES, ids)
        answers = self._clients.answers
        rows_of_table = [[name, str(each)] for name, each in answers.items()]
        print("\n" + table(["request", "answers; median (longest)"], rows_of_table))
        print(
            f"\n{len(ids)} rows accepted, {done} of them done; from creation to result {median_s or 0:.1f} s (median), "
            f"{longest_s or 0:.1f} s (longest); at most {attempts} attempts"
        )
        self._services.check()
        return {
            "every accepted row exists": rows == len(ids),
            "every accepted row is done": done == len(ids),
            "no answer is 500": not any(code == "500" for each in answers.values() for code in each.codes),
        }


def _id(location: str) -> int:
    return int(location.rstrip("/").rpartition("/")[2])


def seconds_until(condition: Callable[[], bool], limit_s: float = FINISH_TIMEOUT_S) -> float:
    begin = time.monotonic()
    poll(condition, limit_s)
    return time.monotonic() - begin
