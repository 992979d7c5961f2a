import pytest

from bench.large_table import growth

FEW = 300
"""Pages. Each row of a history page may be in a separate page, and the whole table has thousands."""


@pytest.mark.e2e
def test_a_request_and_a_worker_read_about_as_many_pages_when_the_table_has_grown() -> None:
    small, large = growth.measure_sizes([1_000, 100_000]).values()
    assert small.keys() == large.keys()
    more = {name: (small[name]["pages"], large[name]["pages"]) for name in small}
    assert [name for name, (before, after) in more.items() if after > before + FEW] == [], more
