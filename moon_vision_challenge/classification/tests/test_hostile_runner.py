"""`python -m chaos.hostile` handles any selection of pictures."""

import pytest

from chaos.corpus import Case, Verdict
from chaos.hostile import runner
from chaos.hostile.uploads import Answer, Result


def result(verdict: Verdict, v0: Answer, v1: Answer, cpu_s: float = 0.1) -> Result:
    return Result(Case("a picture", bytes, verdict), v0, v1, cpu_s, cpu_s, 1_000_000)


REFUSED = result(Verdict.DAMAGED, Answer(400, {}), Answer(400, {}))
DONE = Answer(200, "cat"), Answer(201, ("done", "cat"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "no such picture"], "no picture's name begins with 'no such picture'"),
        (["--short", "--only", "no such picture"], "The names begin with avif, bmp, "),
        (["--seconds", "1"], "--seconds must be at least 6"),
    ],
)
def test_a_choice_that_leaves_nothing_to_do_is_an_error(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        runner.main(arguments)
    assert raised.value.code == 2
    assert reason in capsys.readouterr().err


def test_pictures_that_are_all_refused_have_no_costs_to_compare() -> None:
    dearest = [result(Verdict.ACCEPTED, *DONE)]
    assert set(runner.judge_costs([REFUSED], dearest).values()) == {True}


def test_an_accepted_picture_that_costs_more_than_the_dearest_sound_one_fails() -> None:
    dearest = [result(Verdict.ACCEPTED, *DONE)]
    checks = runner.judge_costs([REFUSED, result(Verdict.ACCEPTED, *DONE, cpu_s=0.2)], dearest)
    assert [holds for what, holds in checks.items() if "CPU time" in what] == [False]
