"""Jobs in the admin, and what the audit log says about them."""

import json
import logging
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.tests.packing import zip_of
from moon_vision_challenge.jobs.tests.running import URL, Jobs, created

LIST = "/admin/jobs/job/"
pytestmark = pytest.mark.django_db


def act(admin_client: Client, action: str, job: Job) -> str:
    form = {"action": action, "_selected_action": [job.pk]}
    return admin_client.post(LIST, form, follow=True).content.decode()


def actions_logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "audit"]
    return [(line["action"], line["actor"].split(":")[0]) for line in lines]


@pytest.fixture
def job(jobs: Jobs, jpeg: bytes) -> Job:
    Owner.objects.get_or_create(pk=ANONYMOUS_OWNER_ID, defaults={"name": "anonymous"})  # other tests empty the table
    return created(jobs.post(zip_of({"a.jpg": jpeg, "b.jpg": jpeg})))


def test_the_list_and_the_page_of_a_job_show_its_progress(admin_client: Client, jobs: Jobs, job: Job) -> None:
    jobs.advance(job.pk)
    listed = admin_client.get(LIST)
    shown = admin_client.get(f"{LIST}{job.pk}/change/")
    assert (listed.status_code, shown.status_code) == (200, 200)
    assert "2 pending" in listed.content.decode()
    assert job.model_type in shown.content.decode()


def test_the_list_takes_as_many_queries_for_many_jobs_as_for_one(
    admin_client: Client, job: Job, jobs: Jobs, jpeg: bytes, django_assert_max_num_queries: Any
) -> None:
    def queries() -> int:
        with django_assert_max_num_queries(100) as captured:
            assert "1 done" in admin_client.get(LIST).content.decode()
        return len(captured)

    jobs.advance(created(jobs.post(zip_of({"c.jpg": jpeg}))).pk)
    jobs.drain()
    before = queries()
    for status in (Job.STATUS.DONE, Job.STATUS.PROCESSING, Job.STATUS.UNPACKING, Job.STATUS.CANCELED):
        for counts in (None, {"done": 1}):
            job.pk, job.status, job.counts = None, status, counts
            job.save(force_insert=True)
    assert queries() == before


def test_a_job_is_canceled_once(admin_client: Client, jobs: Jobs, job: Job, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    act(admin_client, "cancel", job)
    act(admin_client, "cancel", job)
    jobs.advance(job.pk)
    job.refresh_from_db()
    assert job.status == Job.STATUS.CANCELED
    assert actions_logged(caplog) == [("job.cancel", "user")]


def test_a_job_that_has_ended_is_not_canceled(admin_client: Client, jobs: Jobs, job: Job) -> None:
    jobs.advance(job.pk)
    jobs.drain()
    assert "This job has ended" in act(admin_client, "cancel", job)


@pytest.mark.parametrize("in_list", [True, False])
def test_a_job_is_deleted_with_its_images(admin_client: Client, jobs: Jobs, job: Job, in_list: bool) -> None:
    jobs.advance(job.pk)
    if in_list:
        act(admin_client, "delete_in_background", job)
    else:
        admin_client.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}, follow=True)
    jobs.advance(job.pk)
    assert not Job.objects.exists()


def test_a_client_that_cancels_a_job_is_in_the_audit_log(
    client: APIClient, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    client.post(f"{URL}{job.pk}/cancel/")
    assert actions_logged(caplog) == [("job.cancel", "anonymous")]
