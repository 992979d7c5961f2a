"""Every case of the corpus gets its verdict, the same from v0, from v1's check, and from the worker."""

import pytest

from chaos.corpus import CASES, Case, Verdict
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    ImageTooExpensiveError,
    ImageTooLargeError,
    InvalidImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import decoder_pool
from moon_vision_challenge.classification.tests.corpus import in_tiers, kind, share

_VERDICTS: dict[type[InvalidImageError], Verdict] = {
    UnsupportedFormatError: Verdict.UNSUPPORTED,
    DamagedImageError: Verdict.DAMAGED,
    TruncatedImageError: Verdict.CUT_SHORT,
    ImageTooLargeError: Verdict.TOO_LARGE,
    ImageTooExpensiveError: Verdict.TOO_EXPENSIVE,
}


@pytest.fixture(autouse=True)
def _the_machine_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the CPU limits: programs that share the processor's caches must not change the verdict on a picture."""
    usual = decoder_pool.cpu_limit_s
    monkeypatch.setattr(decoder_pool, "cpu_limit_s", lambda cost: 3 * usual(cost))


def judge(data: bytes, *, only_check: bool) -> Verdict:
    try:
        image = images.open_image(data)
        if only_check:
            image.check()
        else:
            image.decode(min_side=512).close()
    except InvalidImageError as error:
        return _VERDICTS[type(error)]
    return Verdict.ACCEPTED


def test_the_corpus_is_large_and_each_name_is_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 250
    assert {case.verdict for case in CASES} == set(Verdict)


def test_make_test_runs_a_share_of_every_kind() -> None:
    fast = share(CASES)
    assert {kind(case) for case in fast} == {kind(case) for case in CASES}
    assert len(fast) < len(CASES) / 4


@pytest.mark.parametrize("case", in_tiers(CASES))
def test_a_picture_gets_its_verdict_from_v0_and_from_v1(case: Case) -> None:
    data = case.make()
    assert [judge(data, only_check=True), judge(data, only_check=False)] == [case.verdict] * 2
