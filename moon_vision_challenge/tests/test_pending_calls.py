"""Calls that wait too long for their answer are counted."""

import pytest

from moon_vision_challenge.pending_calls import PendingCalls


def test_a_call_counts_from_the_time_when_it_is_late() -> None:
    pending = PendingCalls()
    with pending.call(late_after_s=-1), pending.call(late_after_s=-1), pending.call(late_after_s=60):
        assert pending.late == 2
    assert pending.late == 0


def test_a_failed_call_is_no_longer_pending() -> None:
    pending = PendingCalls()
    with pytest.raises(OSError, match="refused"), pending.call(late_after_s=-1):
        raise OSError("refused")
    assert pending.late == 0
