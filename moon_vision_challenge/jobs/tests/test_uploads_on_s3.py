"""Uploads to S3 that fail halfway: the client gets an error, and nothing is lost, duplicated, or left for good."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import requests
from botocore.config import Config
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.outages.s3_server import ACCESS_KEY, BUCKET, CLIENT_CONFIG, SECRET_KEY, S3Server
from chaos.outages.s3_server import s3_server as server_in
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import retention
from moon_vision_challenge.classification.tests.faulty_s3 import Fault, FaultyS3
from moon_vision_challenge.classification.tests.pictures import photo, upload
from moon_vision_challenge.classification.tests.service import PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.jobs import services, uploads
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.tests.packing import tar_of, zip_of
from moon_vision_challenge.jobs.tests.running import MODEL, Jobs, created
from moon_vision_challenge.tests.serving import serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]

Post = Callable[[APIClient], Any]

SMALL = photo("JPEG")
FILES = {f"{number}.jpg": SMALL for number in range(5)}


def post_form(client: APIClient) -> Any:
    fields = {"model_type": MODEL, "image": upload(SMALL)}
    return client.post("/api/v1/inferences/", fields, format="multipart")


def post_body(client: APIClient) -> Any:
    url = f"/api/v1/inferences/?model_type={MODEL}"
    return client.generic("POST", url, SMALL, "image/jpeg")  # type: ignore[arg-type]  # also bytes


JOBS: dict[str, Post] = {
    "zip": lambda client: Jobs(client).post(zip_of(FILES)),
    "tar": lambda client: Jobs(client).post(tar_of(FILES)),
    "tar.gz": lambda client: Jobs(client).post(tar_of(FILES, "w:gz")),
    "images": lambda client: Jobs(client).post(images=tuple(FILES.values())),
}
POSTS: dict[str, Post] = {"form": post_form, "body": post_body, **JOBS}
EACH_ONCE = [("zip", fault) for fault in Fault] + [(post, Fault.STORED_AND_REFUSED) for post in JOBS if post != "zip"]


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with server_in(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, settings: Settings) -> Iterator[FaultyS3]:
    """The image store, in a folder of the bucket that no other test uses."""
    config = CLIENT_CONFIG.merge(Config(read_timeout=120, request_checksum_calculation="when_required"))
    with serving(FaultyS3(s3_server.port)) as front:
        options: dict[str, Any] = {
            "bucket_name": BUCKET,
            "location": uuid.uuid4().hex,
            "region_name": "us-east-1",
            "endpoint_url": front.url,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "client_config": config,
            "deadline_s": 120,
        }
        backend = "moon_vision_challenge.classification.media_store.s3.S3Store"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}
        settings.MEDIA_BACKEND = "s3"
        yield front
        front.stopping.set()


def fail(s3: FaultyS3, settings: Settings, fault: Fault | None, *, after: int = 0) -> None:
    """Make uploads fail after `after` more that succeed. Without a fault, S3 works again."""
    s3.fault, s3.sound = fault, after
    wait_for(lambda: not s3.asking, "the requests whose clients have hung up")
    backend, options = settings.STORAGES["default"]["BACKEND"], settings.STORAGES["default"]["OPTIONS"]
    # A new client, which has not noticed yet that S3 fails
    config = options["client_config"].merge(Config(read_timeout=2 if fault else 120))
    store = {"BACKEND": backend, "OPTIONS": {**options, "client_config": config}}
    settings.STORAGES = {**settings.STORAGES, "default": store}


def stored() -> set[str]:
    """Return the names of all stored files."""
    days = retention.stored_days()
    folders = [uploads.FOLDER, *(f"inferences/{day}" for day in days)]
    return {name for folder in folders for name, _ in default_storage.files(folder)}  # type: ignore[attr-defined]


def clean_up() -> None:
    """Do what retention does some days later."""
    later = timezone.now() + timedelta(days=3)
    with patch("django.utils.timezone.now", lambda: later):
        for _ in list(retention.stored_days()):
            retention.delete_orphaned_files()
        uploads.delete_abandoned(older_than_s=24 * 3600)


def unfinished_parts() -> list[Any]:
    client = default_storage.bucket.meta.client  # type: ignore[attr-defined]
    prefix = f"{default_storage.location}/"  # type: ignore[attr-defined]
    found: list[Any] = client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
    return found


def check_refusal(reply: Any) -> None:
    assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
    assert reply["Retry-After"]
    assert not Inference.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize(("post", "fault"), [("form", fault) for fault in Fault] + [("body", Fault.RESET)] + EACH_ONCE)
def test_an_upload_that_fails_is_503_and_leaves_nothing_for_good(
    s3: FaultyS3, settings: Settings, client: APIClient, post: str, fault: Fault
) -> None:
    fail(s3, settings, fault)
    check_refusal(POSTS[post](client))
    fail(s3, settings, None)
    assert len(stored()) == (fault in {Fault.STORED_AND_REFUSED, Fault.STORED_AND_UNANSWERED})
    assert POSTS[post](client).status_code == 201
    clean_up()
    assert stored() == set(Job.objects.values_list("upload", flat=True)) | images_of_rows()


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("after", [1, 3], ids=["first part", "completion"])
def test_an_upload_in_parts_that_fails_is_503_and_leaves_no_part(
    s3: FaultyS3, settings: Settings, client: APIClient, after: int, fault: Fault
) -> None:
    large = zip_of({**FILES, "large.jpg": SMALL + bytes(9 * 1024 * 1024)}, compression=0)  # S3 gets it in two parts
    fail(s3, settings, fault, after=after)
    check_refusal(Jobs(client).post(large))
    fail(s3, settings, None)
    assert unfinished_parts() == []
    clean_up()
    assert stored() == set()


@pytest.mark.parametrize(("post", "fault"), EACH_ONCE)
def test_a_job_whose_images_cannot_be_stored_continues_without_losing_or_doubling_one(
    s3: FaultyS3, settings: Settings, client: APIClient, post: str, fault: Fault
) -> None:
    job, jobs = created(JOBS[post](client)), Jobs(client)
    fail(s3, settings, fault, after=2)
    jobs.advance(job.pk)
    assert (jobs.get(job.pk)["status"], Inference.objects.count()) == ("unpacking", 0)
    fail(s3, settings, None)
    Job.objects.update(lease_expires_at=None)  # the pause is over
    jobs.advance(job.pk)
    positions = Inference.objects.order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(len(FILES)))
    clean_up()
    assert stored() == images_of_rows()
    for row in Inference.objects.all():
        with row.image.open() as file:
            assert file.read() == SMALL
    assert jobs.drain() == len(FILES)
    assert jobs.get(job.pk)["status"] == "done"
    services.delete_job(job_id=job.pk, actor="test")
    jobs.advance(job.pk)
    assert stored() == set()


def start_on_s3(service: Service) -> None:
    """Start web, worker, and beat with the image store of this process."""
    options = settings.STORAGES["default"]["OPTIONS"]
    environment = {
        "DJANGO_MEDIA_BACKEND": "s3",
        "DJANGO_MEDIA_S3_BUCKET": BUCKET,
        "DJANGO_MEDIA_S3_PREFIX": options["location"],
        "DJANGO_MEDIA_S3_ENDPOINT_URL": options["endpoint_url"],
        "DJANGO_MEDIA_S3_TIMEOUT_S": "120",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    for name in ("web", "worker", "beat"):
        service.start(name, **environment)


def test_a_job_on_s3_is_done_although_s3_fails_meanwhile(s3: FaultyS3, service: Service) -> None:
    start_on_s3(service)
    photos = {f"{number}.jpg": PHOTO for number in range(8)}
    s3.sound, s3.fault = 4, Fault.STORED_AND_REFUSED  # after the upload and three images
    posted = requests.post(
        f"{service.url}/api/v1/jobs/?model_type={MODEL}",
        data=tar_of(photos, "w:gz"),
        headers={"Content-Type": "application/gzip"},
        timeout=LIMIT_S,
    )
    assert posted.status_code == 201, posted.text
    wait_for(lambda: s3.failed >= 2, "two uploads that fail")
    s3.fault = None
    job = posted.headers["Location"]
    wait_for(lambda: requests.get(job, timeout=LIMIT_S).json()["status"] == "done", "the end of the job")
    results = requests.get(f"{job}results/", timeout=LIMIT_S).json()["results"]
    assert [each["label"] for each in results] == ["espresso"] * len(photos)
    clean_up()
    assert stored() == images_of_rows()
    assert len(stored()) == len(photos)
    requests.delete(job, timeout=LIMIT_S)
    wait_for(lambda: not Job.objects.exists(), "the job is gone")
    assert stored() == set()


def images_of_rows() -> set[str]:
    return set(Inference.objects.values_list("image", flat=True))
