import pytest

from moon_vision_challenge.concurrency_limit import ConcurrencyLimit


def test_a_place_is_given_while_there_is_one_and_comes_back() -> None:
    limit = ConcurrencyLimit(lambda: 1)
    with limit.place() as first, limit.place() as second:
        assert (first, second) == (True, False)
    with limit.place() as again:
        assert again


def test_a_place_comes_back_after_an_error() -> None:
    limit = ConcurrencyLimit(lambda: 1)
    with pytest.raises(ZeroDivisionError), limit.place():
        raise ZeroDivisionError
    with limit.place() as again:
        assert again


def test_the_limit_is_the_one_at_the_time() -> None:
    places = 1
    limit = ConcurrencyLimit(lambda: places)
    with limit.place():
        places = 2
        with limit.place() as second:
            assert second
