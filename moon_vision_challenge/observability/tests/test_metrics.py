"""The metrics of a running service, compared with what was sent to it."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries

from moon_vision_challenge.classification.queue.gauges import GAUGES, QueueGauges
from moon_vision_challenge.classification.tests.service import MODEL, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.observability import metrics
from moon_vision_challenge.observability.tests.test_monitoring_files import MADE_BY_THE_EXPORTER
from native.environment import ROOT

V0, V1 = "/api/v0/inferences/", "/api/v1/inferences/"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def counted(service: Service, tmp_path: Path) -> Iterator[Service]:
    service.environment["METRICS_DIR"] = str(tmp_path / "metrics")
    yield service
    service.services.stop("metrics")
    del service.environment["METRICS_DIR"]


def scrape(service: Service) -> Samples:
    page = requests.get(f"http://127.0.0.1:{service.services.env['METRICS_PORT']}/metrics", timeout=LIMIT_S)
    page.raise_for_status()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of the samples that have these labels."""
    wanted = set(labels.items())
    return sum(number for (found, have), number in samples.items() if found == name and wanted <= have)


def requests_of(samples: Samples) -> Counter[tuple[str, str]]:
    """Return the number of requests by route and status."""
    found: Counter[tuple[str, str]] = Counter()
    for (name, labels), number in samples.items():
        if name == "moon_vision_request_seconds_count":
            found[dict(labels)["route"], dict(labels)["status"]] += int(number)
    return found


@pytest.mark.e2e
def test_several_processes_count_exactly_what_was_sent_also_after_they_are_killed(counted: Service) -> None:
    counted.start("web")
    counted.start("worker")
    counted.start("metrics")
    before = requests_of(scrape(counted))
    with ThreadPoolExecutor(8) as pool:
        immediate = list(pool.map(lambda _: counted.post("v0").status_code, range(40)))
        created = list(pool.map(lambda _: counted.post("v1"), range(20)))
        refused = list(pool.map(lambda _: counted.post("v0", b"not an image").status_code, range(5)))
    assert (immediate, refused) == ([200] * 40, [400] * 5)
    for one in created:
        counted.wait_for(one, "done")
    counted.services.kill("worker")
    counted.services.kill("web")
    counted.start("web")
    samples = scrape(counted)
    sent = requests_of(samples) - before
    assert (sent[V0, "200"], sent[V0, "400"], sent[V1, "201"]) == (40, 5, 20)
    assert value(samples, "moon_vision_inferences_total", model_type=MODEL, status="done") == 20
    assert value(samples, "moon_vision_attempts_total", model_type=MODEL, result="done") == 20
    assert value(samples, "moon_vision_batch_size_sum", model_type=MODEL) == 60
    predictions = value(samples, "moon_vision_prediction_seconds_count", model_type=MODEL, result="ok")
    assert 41 <= predictions <= 60
    assert value(samples, "moon_vision_model_server_seconds_count", model=MODEL, result="ok") == predictions
    decoded = value(samples, "moon_vision_decode_seconds_count", format="JPEG")
    assert decoded == 40 + 20 + 20  # v1 checks an image, and its worker decodes it
    assert value(samples, "moon_vision_database_up") == 1
    assert value(samples, "moon_vision_queue_pending") == 0


@pytest.mark.e2e
def test_a_failed_prediction_has_its_code(counted: Service) -> None:
    counted.start("web", TF_SERVING_URL="http://127.0.0.1:9")
    counted.start("metrics")
    answer = counted.post("v0")
    assert (answer.status_code, answer.json()["code"]) == (503, "model_server_unavailable")
    samples = scrape(counted)
    failed = {"result": "model_server_unavailable"}
    assert value(samples, "moon_vision_prediction_seconds_count", **failed) == 1


@pytest.mark.e2e
def test_a_client_cannot_make_label_values(counted: Service) -> None:
    counted.start("web")
    counted.start("metrics")
    for number in range(5):
        requests.get(f"{counted.url}/nothing/{number}", timeout=LIMIT_S)
        requests.get(f"{counted.url}{V1}{number + 1000}/", timeout=LIMIT_S)
        requests.request("PURGE", f"{counted.url}{V0}", timeout=LIMIT_S)
        counted.post("v0", model_type=f"model{number}")
    labels = {label for _, labels in scrape(counted) for label in labels}
    assert not [label for name, label in labels if name != "le" and re.search(r"nothing|\d{4}|METHOD|model\d", label)]
    assert ("method", "OTHER") in labels


@pytest.mark.e2e
def test_the_page_is_at_its_path_only(counted: Service) -> None:
    counted.start("metrics")
    base = f"http://127.0.0.1:{counted.services.env['METRICS_PORT']}"
    assert requests.get(f"{base}/", timeout=LIMIT_S).status_code == 404
    assert "moon_vision_build_info" in requests.get(f"{base}/metrics", timeout=LIMIT_S).text


@pytest.mark.django_db
def test_the_queue_is_read_once_for_all_scrapers(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    gauges = QueueGauges()
    with django_assert_num_queries(2):  # the rows that wait or are processed, and the oldest one to delete
        assert [metric.name for metric in gauges()] == [metric.name for metric in gauges()]


@pytest.mark.django_db
def test_without_a_database_the_queue_is_not_shown_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "cursor", Mock(side_effect=OperationalError("the server closed the connection")))
    found = {metric.name: metric.samples for metric in QueueGauges()()}
    assert list(found) == ["moon_vision_database_up"]
    assert found["moon_vision_database_up"][0].value == 0


@pytest.mark.e2e
@pytest.mark.django_db(transaction=True)
def test_what_waits_is_shown_by_queue_and_model(counted: Service) -> None:
    counted.start("metrics")
    created = [counted.post("v1") for _ in range(3)]
    labels = {"queue": "inferences", "model_type": MODEL}

    def pending() -> float:
        return value(scrape(counted), "moon_vision_queue_pending", **labels)

    wait_for(lambda: pending() == len(created), "the three that wait")
    assert value(scrape(counted), "moon_vision_queue_oldest_seconds", **labels) > 0
    counted.start("worker")
    wait_for(lambda: pending() == 0, "an empty queue")


def test_the_documentation_lists_every_metric() -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2]
    counted = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()}
    listed = set(re.findall(r"`(moon_vision_[a-z_]+)`", page))
    assert counted | {name for name, _ in GAUGES} | MADE_BY_THE_EXPORTER == listed
