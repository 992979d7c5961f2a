import string

import pytest

from moon_vision_challenge.accounts import secret


def test_a_new_token_is_well_formed_and_no_two_are_equal() -> None:
    made = {secret.new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.is_well_formed(token) and len(token) == 53 for token in made)


def test_every_single_character_that_changes_is_noticed() -> None:
    token = secret.new_token()
    alphabet = string.ascii_letters + string.digits
    for position in range(len(token)):
        other = alphabet[(alphabet.index(token[position]) + 1) % 62] if token[position] != "_" else "-"
        assert not secret.is_well_formed(token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize(
    "alter", [str.upper, lambda token: token[:-1], lambda token: token + "\n", lambda token: f" {token}"]
)
def test_a_token_that_is_not_copied_whole_is_noticed(alter: "object") -> None:
    assert not secret.is_well_formed(alter(secret.new_token()))  # type: ignore[operator]


@pytest.mark.parametrize("text", ["", "mvc_", "mvc_" + "é" * 49, "mvc_" + "٣" * 49, "x" * 100_000])
def test_other_text_is_not_a_token(text: str) -> None:
    assert not secret.is_well_formed(text)
