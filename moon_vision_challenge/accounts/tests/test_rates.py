import pytest

from moon_vision_challenge.accounts.rates import parse_rates


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("32/s", ((32, 1),)),
        ("1000000/s", ((1_000_000, 1),)),
        (" 5 / min ", ((5, 60),)),
        ("100/10s", ((100, 10),)),
        ("32/s,5000/h, 20000/day", ((32, 1), (5000, 3600), (20_000, 86_400))),
        ("", ()),
    ],
)
def test_a_rate_is_a_count_and_a_period(text: str, rates: object) -> None:
    assert parse_rates(text) == rates


@pytest.mark.parametrize("text", ["32", "s", "32/", "/s", "0/s", "5/0s", "-1/s", "1.5/s", "32/x", "32/s;5/m", "32/s,"])
def test_anything_else_is_an_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="Write COUNT/PERIOD"):
        parse_rates(text)
