"""Tests the simulation of the queue where the answer is known without it."""

import random
from itertools import count, islice

import pytest

from bench.plan import Figures, plan
from bench.queueing import BATCH, LARGEST, Batch, Costs, fit, percentile, simulate

COSTS = Costs(request_s=0.1, image_s=0.02, pause_s=0.0)


def test_an_idle_process_takes_each_image_alone() -> None:
    waits = simulate([0.0, 10.0, 20.0], processes=1, costs=COSTS)
    assert waits == pytest.approx([0.12, 0.12, 0.12])


def test_what_arrives_during_a_batch_is_the_next_one() -> None:
    waits = simulate([0.0, 0.01, 0.02, 0.03], processes=1, costs=COSTS)
    assert waits[0] == pytest.approx(0.12)
    assert waits[1:] == pytest.approx([0.12 + 0.16 - at for at in (0.01, 0.02, 0.03)])


def test_a_second_process_takes_what_waits() -> None:
    waits = simulate([0.0, 0.01], processes=2, costs=COSTS)
    assert waits == pytest.approx([0.12, 0.12])


def test_a_backlog_is_claimed_in_growing_batches() -> None:
    waits = simulate([0.0] * (BATCH + 2 * BATCH + LARGEST), processes=1, costs=COSTS)
    ends = sorted(set(waits))
    assert [waits.count(end) for end in ends] == [BATCH, 2 * BATCH, LARGEST]


def test_a_backlog_drains_at_the_rate_of_the_costs() -> None:
    slow = Costs(request_s=2.0, image_s=0.0, pause_s=0.0)  # a turn is one claim of eight
    assert max(simulate([0.0] * 800, processes=4, costs=slow)) == pytest.approx(800 / 8 * 2 / 4)


def test_more_work_than_the_processes_can_do_waits_ever_longer() -> None:
    arrivals = list(islice(count(0.0, 0.9 / COSTS.rate), 4000))
    waits = simulate(arrivals, processes=1, costs=COSTS)
    assert percentile(waits[-100:], 0.5) > 5 * percentile(waits[:100], 0.5)
    assert percentile(simulate(arrivals, processes=2, costs=COSTS), 0.95) < 1


def test_costs_are_found_again_in_noisy_batches() -> None:
    noise = random.Random(1)
    measured = [
        Batch(images, COSTS.of(images) * noise.uniform(0.95, 1.05), 0.004) for images in (1, 2, 5, 8, 16, 32) * 50
    ]
    found = fit(measured)
    assert found.request_s == pytest.approx(COSTS.request_s, rel=0.1)
    assert found.image_s == pytest.approx(COSTS.image_s, rel=0.1)
    assert found.pause_s == 0.004


def test_ten_times_the_load_needs_ten_times_the_pods_and_costs_the_same() -> None:
    small, large = (plan(rate, Figures(), latency_s=0.5) for rate in (3000, 30_000))
    assert large.web == pytest.approx(10 * small.web, rel=0.1)
    assert large.workers <= 10 * small.workers
    assert large.usd_per_million(Figures())[0] == pytest.approx(small.usd_per_million(Figures())[0], rel=0.2)


def test_a_stricter_latency_needs_more_workers() -> None:
    slow = Figures(request_s=0.3)
    assert plan(100, slow, latency_s=0.4).workers > plan(100, slow, latency_s=5).workers
