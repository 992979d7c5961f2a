import threading
from concurrent.futures import ThreadPoolExecutor

from moon_vision_challenge.health.checks import Findings
from moon_vision_challenge.health.prober import Prober


def test_a_hundred_callers_at_once_share_one_probe() -> None:
    probes = []

    def count() -> Findings:
        probes.append(1)
        return Findings({"one": None})

    prober = Prober({"one": count})
    with ThreadPoolExecutor(20) as pool:
        reports = list(pool.map(lambda _: prober.report(), range(100)))
    assert len(probes) == 1
    assert all(report.missing == [] for report in reports)


def test_the_deadline_is_two_seconds() -> None:
    assert Prober({})._deadline_s == 2


def test_while_a_check_hangs_it_is_not_started_again_and_the_last_report_is_given_at_once() -> None:
    release, started = threading.Event(), []

    def hang() -> Findings:
        started.append(1)
        release.wait()
        return Findings({"slow": None})

    prober = Prober({"slow": hang, "quick": lambda: Findings({"quick": None})}, deadline_s=1)
    assert prober.report().problems == {"slow": "No answer within 1 s.", "quick": None}
    prober.forget()
    assert prober.report().missing == ["slow"]
    assert len(started) == 1
    release.set()


def test_a_check_that_raises_is_a_problem_and_hides_no_other() -> None:
    def broken() -> Findings:
        raise ZeroDivisionError("secret")

    problems = Prober({"broken": broken, "sound": lambda: Findings({"sound": None})}).report().problems
    assert problems == {"broken": "The check itself failed. Its error has been logged.", "sound": None}
