"""Jobs through the running service: web server, worker, model server."""

from collections.abc import Mapping
from typing import Any

import pytest
import requests

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.tests.packing import tar_of, zip_of

pytestmark = pytest.mark.django_db(transaction=True)


def post(
    service: Service, body: bytes, *, content_type: str = "application/zip", headers: Mapping[str, str] | None = None
) -> requests.Response:
    return requests.post(
        f"{service.url}/api/v1/jobs/?model_type={MODEL}&top_k=2",
        data=body,
        headers={"Content-Type": content_type, **(headers or {})},
        timeout=LIMIT_S,
    )


def get(created: requests.Response, path: str = "") -> requests.Response:
    return requests.get(created.headers["Location"] + path, timeout=LIMIT_S)


def wait_until(created: requests.Response, status: str) -> dict[str, Any]:
    wait_for(lambda: get(created).json()["status"] == status, f"status {status}")
    found: dict[str, Any] = get(created).json()
    return found


@pytest.mark.e2e
def test_a_large_archive_is_classified_to_its_end(service: Service) -> None:
    """The archive is larger than what the web server keeps in memory, and than a request for a single image may be."""
    files = {f"photos/{number}.jpg": PHOTO for number in range(40)}
    body = zip_of({**files, "large.bin": bytes(range(256)) * 120_000}, compression=0)
    assert len(body) > 28_000_000
    created = post(service, body)
    assert (created.status_code, created.json()["total"]) == (201, 41)
    service.start("worker")
    service.start("beat")
    shown = wait_until(created, "done")
    assert (shown["counts"]["done"], shown["counts"]["fail"]) == (40, 1)
    lines = get(created, "results.jsonl").text.splitlines()
    assert len(lines) == 41
    table = get(created, "results.csv").text.splitlines()
    assert [line.split(",")[4] for line in table[1:41]] == ["espresso"] * 40
    wait_for(lambda: not Job.objects.get().upload, "the upload is gone")


def test_a_client_can_wait_for_the_end(service: Service) -> None:
    service.start("worker")
    created = post(service, tar_of({"a.jpg": PHOTO}, "w:gz"), headers={"Prefer": "wait=30"})
    if created.json()["status"] != "done":  # on a loaded machine
        created = requests.get(created.headers["Location"], headers={"Prefer": "wait=30"}, timeout=LIMIT_S)
    assert created.headers["Preference-Applied"] == "wait=30"
    wait_until_done = requests.get(f"{service.url}/api/v1/jobs/{created.json()['id']}/", timeout=LIMIT_S).json()
    assert wait_until_done["status"] in {"processing", "done"}


@pytest.mark.e2e
def test_a_worker_that_is_killed_loses_and_doubles_no_image(service: Service) -> None:
    service.start("worker", INFERENCE_LEASE_S="10")
    service.start("beat", INFERENCE_LEASE_S="10")
    created = post(service, zip_of({f"{number}.jpg": PHOTO for number in range(400)}, compression=0))
    wait_for(lambda: Inference.objects.filter(status="done").exists(), "the first label")
    service.services.kill("worker")
    Job.objects.update(lease_expires_at=None)
    service.start("worker", INFERENCE_LEASE_S="10")
    shown = wait_until(created, "done")
    assert shown["counts"]["done"] == 400
    assert list(Inference.objects.order_by("position").values_list("position", flat=True)) == list(range(400))


@pytest.mark.e2e
def test_a_job_is_deleted_in_the_background(service: Service) -> None:
    created = post(service, zip_of({f"{number}.jpg": PHOTO for number in range(150)}, compression=0))
    service.start("worker")
    service.start("beat")
    wait_for(lambda: Inference.objects.filter(status="done").exists(), "the first label")
    deleted = requests.delete(created.headers["Location"], timeout=LIMIT_S)
    assert (deleted.status_code, deleted.json()["status"]) == (202, "deleting")
    wait_for(lambda: get(created).status_code == 404, "the job is gone")
    assert Inference.objects.count() == 0
