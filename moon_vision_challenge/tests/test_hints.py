import re

import pytest

from moon_vision_challenge.classification import hints
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.tests.test_settings_page import read_variables

# These codes answer a request, and are never the error of a row.
OF_REQUESTS = {
    *("not_pending", "in_progress", "queue_full", "idempotency_conflict"),
    *("image_not_fetched", "image_fetch_busy", "metadata_not_removable"),
}


def codes_of_rows() -> list[str]:
    found, causes = {"worker_lost", "image_lost", "internal_error"}, ClassificationError.__subclasses__()
    while causes:
        cause = causes.pop()
        causes += cause.__subclasses__()
        if cause.__module__ == ClassificationError.__module__:
            found.add(cause.code)
    return sorted(found - OF_REQUESTS)


@pytest.mark.parametrize("code", codes_of_rows())
def test_every_error_of_a_row_has_a_hint(code: str) -> None:
    assert hints.hint_for({"code": code}) not in ("", hints.UNKNOWN)


def test_hints_name_settings_that_exist() -> None:
    named = {name for hint in hints.HINTS.values() for name in re.findall(r"[A-Z][A-Z_]{5,}", hint)}
    assert named <= {*read_variables(), "WORKER_REPLICAS"}


@pytest.mark.parametrize("error", [{"code": "of another release"}, {}, {"code": None}])
def test_an_unknown_code_leads_to_the_log(error: dict[str, object]) -> None:
    assert hints.hint_for(error) == hints.UNKNOWN


@pytest.mark.parametrize("error", [None, "text", []])
def test_without_an_error_there_is_no_hint(error: object) -> None:
    assert hints.hint_for(error) == ""
