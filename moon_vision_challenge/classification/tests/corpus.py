"""The corpus in the tests: a few cases of each kind in `make test`, all of them in `make test_e2e`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pytest

from chaos.corpus import Case, Verdict

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

PER_KIND = 2


def kind(case: Case) -> tuple[str, Verdict]:
    """Return the format or the subject of a case, and its verdict."""
    return case.name.partition(":")[0].partition(",")[0], case.verdict


def share(cases: Iterable[Case]) -> list[Case]:
    """Return the first cases of each kind."""
    taken: Counter[tuple[str, Verdict]] = Counter()
    chosen = []
    for case in cases:
        taken[kind(case)] += 1
        if taken[kind(case)] <= PER_KIND:
            chosen.append(case)
    return chosen


def in_tiers(cases: Sequence[Case]) -> "list[ParameterSet]":
    """Return a parameter for each case. Cases outside the share are marked `e2e`."""
    fast = {case.name for case in share(cases)}
    return [pytest.param(case, id=case.name, marks=() if case.name in fast else pytest.mark.e2e) for case in cases]
