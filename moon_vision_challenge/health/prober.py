"""Runs checks concurrently, within one deadline, and shares the report among all callers."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from moon_vision_challenge.health.checks import Check, Findings

logger = logging.getLogger(__name__)

_FRESH_S = 1.0
_STALE_S = 5.0


@dataclass(frozen=True)
class Report:
    problems: dict[str, str | None]
    """Name → a sentence for the operator, or None if all is well."""
    facts: dict[str, object]
    made_at: float  # time.monotonic()

    @property
    def missing(self) -> list[str]:
        return [name for name, problem in self.problems.items() if problem]

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.made_at


class Prober:
    """One caller at a time runs the checks. The others get its report, or the previous one while that is recent.

    Args:
        checks: name → check.
        deadline_s: how long it waits for checks. A check that takes longer is a problem, and is not started again
            before it ends.
    """

    def __init__(self, checks: Mapping[str, Check], deadline_s: float = 2.0) -> None:
        self._checks = checks
        self._deadline_s = deadline_s
        self._running: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._report: Report | None = None

    def report(self) -> Report:
        last = self._report
        if last and last.age_s < _FRESH_S:
            return last
        is_usable = last is not None and last.age_s < _STALE_S
        if not self._lock.acquire(blocking=not is_usable):
            assert last is not None  # noqa: S101  # for mypy: it is usable
            return last
        try:
            if self._report is None or self._report.age_s >= _FRESH_S:
                self._report = self._probe()
            return self._report
        finally:
            self._lock.release()

    def forget(self) -> None:
        self._report = None

    def _probe(self) -> Report:
        found: dict[str, Findings] = {}
        deadline = time.monotonic() + self._deadline_s
        for name, check in self._checks.items():
            if name not in self._running or not self._running[name].is_alive():
                # A daemon thread, so that a check that hangs does not keep the process from exiting.
                thread = threading.Thread(target=_run, args=(name, check, found), name=f"check-{name}", daemon=True)
                self._running[name] = thread
                thread.start()
        for thread in self._running.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        late = f"No answer within {self._deadline_s:g} s."
        results = [found.get(name, Findings({name: late})) for name in self._checks]
        return Report(
            {name: problem for each in results for name, problem in each.problems.items()},
            {name: fact for each in results for name, fact in each.facts.items()},
            time.monotonic(),
        )


def _run(name: str, check: Check, found: dict[str, Findings]) -> None:
    try:
        found[name] = check()
    except Exception:  # a bug in one check must not hide the others, and is a problem itself
        logger.exception("the check %s failed", name)
        found[name] = Findings({name: "The check itself failed. Its error has been logged."})
