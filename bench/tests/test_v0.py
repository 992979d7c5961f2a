import pytest

from bench import v0


@pytest.mark.e2e
def test_v0_is_measured_against_a_real_web_process_and_the_null_model() -> None:
    figures = v0.measure(rounds=1, seconds=0.5, clients=2)
    assert figures["rate"] > 0
    assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    assert figures["cpu_ms"] > 0
    # The other two are differences of measurements, which can be negative on a busy machine.
    differences = {"HTTP and WSGI server", "Django and DRF"}
    assert all(figures[stage] > 0 for stage in v0.STAGES if stage not in differences)
    assert abs(sum(figures[stage] for stage in v0.STAGES) - figures["cpu_ms"]) < 1e-6
