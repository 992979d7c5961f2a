import pytest

from bench import soak


@pytest.mark.e2e
def test_a_short_soak_prints_the_memory_of_each_service(capsys: pytest.CaptureFixture[str]) -> None:
    soak.soak(requests=200, minutes=5)
    lines = capsys.readouterr().out.splitlines()
    measured = [line.split(", ") for line in lines if line[0].isdigit()]
    assert len(measured) == 11
    assert float(measured[-1][0]) >= 200
    assert "MB per 10,000 requests" in lines[-1]
