"""Jobs as a client sees them. The tests perform the workers' steps one by one."""

import csv
import io
import json
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.tests.pictures import photo
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.tests.packing import tar_of, zip_of
from moon_vision_challenge.jobs.tests.running import MODEL, URL, Jobs, created, uploads


@pytest.mark.parametrize("pack", [zip_of, tar_of, lambda files: tar_of(files, "w:gz")], ids=["zip", "tar", "tar.gz"])
def test_an_archive_becomes_rows_and_bad_files_become_items_with_an_error(jobs: Jobs, jpeg: bytes, pack: Any) -> None:
    response = jobs.post(pack({"a.jpg": jpeg, "readme.txt": b"hello", "../b.jpg": jpeg, "c/d.jpg": jpeg}), top_k=2)
    job = created(response)
    assert response["Location"].endswith(f"{URL}{job.pk}/")
    assert (response.json()["total"], response.json()["status"]) == (4, "unpacking")
    assert response.json()["counts"]["pending"] == 4
    jobs.advance(job.pk)
    shown = jobs.get(job.pk)
    assert (shown["status"], shown["counts"]["pending"], shown["counts"]["fail"]) == ("processing", 2, 2)
    assert [(each["index"], each["error"]["code"]) for each in shown["first_errors"]] == [
        (1, "unsupported_image_format"),
        (2, "unsafe_name"),
    ]
    assert jobs.drain() == 2
    shown = jobs.get(job.pk)
    assert (shown["status"], shown["counts"]["done"]) == ("done", 2)
    assert shown["images_per_s"] > 0
    first, second, *_ = jobs.results(job.pk)
    assert (first["name"], first["label"], first["score"], len(first["predictions"])) == ("a.jpg", "tabby", 0.5, 2)
    assert (second["label"], second["predictions"], second["error"]["code"]) == ("", [], "unsupported_image_format")
    assert uploads() == []


def test_repeated_image_parts_are_a_job(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(images=(jpeg, b"not an image", jpeg)))
    jobs.advance(job.pk)
    assert [(row["name"], row["status"]) for row in jobs.results(job.pk)] == [
        ("0.jpg", "pending"),
        ("1.jpg", "fail"),
        ("2.jpg", "pending"),
    ]


def test_the_number_of_parts_is_limited(jobs: Jobs, jpeg: bytes, settings: Settings) -> None:
    settings.JOB_MAX_ITEMS = 3
    assert created(jobs.post(images=(jpeg,) * 3)).total == 3
    response = jobs.post(images=(jpeg,) * 4)
    assert (response.status_code, response.json()["code"]) == (413, "job_too_large")
    assert len(uploads()) == 1


@pytest.mark.parametrize(
    ("content_type", "pack"),
    [
        ("application/zip", zip_of),
        ("application/x-tar", tar_of),
        ("application/gzip", lambda files: tar_of(files, "w:gz")),
        ("application/octet-stream", zip_of),
    ],
)
def test_the_body_may_be_the_archive(jobs: Jobs, jpeg: bytes, content_type: str, pack: Any) -> None:
    url = f"{URL}?model_type={MODEL}&top_k=3"
    response = jobs.client.post(url, data=pack({"a.jpg": jpeg}), content_type=content_type)
    assert (created(response).total, created(response).top_k) == (1, 3)


def test_fields_that_a_form_leaves_empty_have_their_defaults(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg}), top_k="", version="", version_label="", webhook_url=""))
    assert (job.top_k, job.version, job.version_label, job.webhook_url) == (1, None, "", "")


def test_single_inferences_show_rows_of_a_job(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({"a.jpg": jpeg, "b.jpg": b"x"})))
    jobs.advance(job.pk)
    shown = [jobs.client.get(f"/api/v1/inferences/{row['id']}/").json() for row in jobs.results(job.pk)]
    assert [row["status"] for row in shown] == ["pending", "fail"]
    assert shown[0]["image"]
    assert shown[1]["image"] is None
    assert len(jobs.client.get("/api/v1/history/").json()["results"]) == 2


@pytest.mark.parametrize(
    ("archive", "status", "code"),
    [
        (b"", 400, "empty_job"),
        (b"no archive", 400, "unreadable_archive"),
        (zip_of({}), 400, "empty_job"),
        (zip_of({"a.jpg": b"x"})[:-30], 400, "unreadable_archive"),
        (tar_of({"a.jpg": b"x" * 9000}, "w:gz")[:-20], 400, "unreadable_archive"),
    ],
)
def test_an_unusable_upload_is_refused_and_not_kept(jobs: Jobs, archive: bytes, status: int, code: str) -> None:
    response = jobs.post(archive)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (Job.objects.count(), uploads()) == (0, [])


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"Rar!\x1a\x07\x01\0", "RAR"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
    ],
)
def test_a_file_of_another_format_is_refused_by_name(jobs: Jobs, begin: bytes, words: str) -> None:
    response = jobs.post(begin + bytes(1000))
    assert (response.status_code, response.json()["code"]) == (400, "unreadable_archive")
    assert words in response.json()["detail"]


def test_other_unusable_requests_are_refused(jobs: Jobs, jpeg: bytes) -> None:
    archive = zip_of({"a.jpg": jpeg})
    assert jobs.post(archive, images=(jpeg,)).json()["code"] == "unreadable_archive"
    assert jobs.post().json()["code"] == "empty_job"
    assert set(jobs.post(archive, model_type="nothing").json()) == {"model_type"}
    assert set(jobs.post(archive, top_k=6, webhook_url="x").json()) == {"top_k", "webhook_url"}
    assert jobs.client.post(URL).json()["code"] == "empty_job"
    assert jobs.client.post(URL, {"model_type": MODEL}, format="json").status_code == 415
    gzipped = jobs.client.post(URL, archive, content_type="application/zip", HTTP_CONTENT_ENCODING="gzip")
    assert gzipped.status_code == 415
    cut = jobs.client.post(URL, b"--b\r\nContent-Disp", content_type="multipart/form-data; boundary=b")
    assert cut.json()["code"] == "malformed_body"
    assert jobs.client.post(URL, b"x", content_type="multipart/form-data").json()["code"] == "malformed_body"
    assert uploads() == []


def test_a_body_above_the_limit_is_413(jobs: Jobs, settings: Settings) -> None:
    settings.JOB_MAX_BYTES = 1000
    response = jobs.post(bytes(1001))
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")
    assert uploads() == []


def test_above_the_limit_of_pending_images_jobs_are_503(jobs: Jobs, jpeg: bytes, settings: Settings) -> None:
    settings.JOB_MAX_PENDING = 3
    archive = zip_of({"a.jpg": jpeg, "b.jpg": jpeg})
    created(jobs.post(archive))
    response = jobs.post(archive)
    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "queue_full", "60")


def test_pending_rows_of_jobs_leave_room_for_single_ones(jobs: Jobs, jpeg: bytes, settings: Settings) -> None:
    settings.INFERENCE_MAX_PENDING = 1
    job = created(jobs.post(zip_of({"a.jpg": jpeg, "b.jpg": jpeg})))
    jobs.advance(job.pk)
    single = jobs.client.post("/api/v1/inferences/", {"model_type": MODEL, "image": io.BytesIO(jpeg)})
    assert single.status_code == 201


def test_a_repeated_request_with_the_same_key_gets_the_same_job(jobs: Jobs, jpeg: bytes) -> None:
    archive = zip_of({"a.jpg": jpeg})
    first = created(jobs.post(archive, HTTP_IDEMPOTENCY_KEY="k"))
    again = jobs.post(archive, HTTP_IDEMPOTENCY_KEY="k")
    assert (again.status_code, again.json()["id"]) == (200, first.pk)
    other = jobs.post(archive, HTTP_IDEMPOTENCY_KEY="k", top_k=2)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    by_parts = created(jobs.post(images=(jpeg,), HTTP_IDEMPOTENCY_KEY="parts"))
    assert jobs.post(images=(jpeg,), HTTP_IDEMPOTENCY_KEY="parts").json()["id"] == by_parts.pk
    assert len(uploads()) == 2


def test_results_are_pages_in_order_and_can_be_filtered(jobs: Jobs, jpeg: bytes) -> None:
    job = created(jobs.post(zip_of({f"{number}.jpg": jpeg if number % 2 else b"x" for number in range(7)})))
    jobs.advance(job.pk)
    names, url = [], f"{URL}{job.pk}/results/?page_size=3"
    while url:
        page = jobs.client.get(url).json()
        names += [each["name"] for each in page["results"]]
        url = page["next"]
    assert names == [f"{number}.jpg" for number in range(7)]
    assert [each["index"] for each in jobs.results(job.pk, status="fail")] == [0, 2, 4, 6]
    bad = jobs.client.get(f"{URL}{job.pk}/results/?after=x&page_size=0&status=y")
    assert (bad.status_code, set(bad.json())) == (400, {"after", "page_size", "status"})


def test_results_are_streamed_as_json_lines_and_csv(jobs: Jobs, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moon_vision_challenge.jobs.results._CHUNK_ROWS", 2)
    names = ["a.jpg", "=HYPERLINK(1).jpg", 'b"c,d.jpg', "@x", "-1", "+1"]
    job = created(jobs.post(zip_of({**dict.fromkeys(names, jpeg), "z": b"x"}), top_k=2))
    jobs.advance(job.pk)
    jobs.drain(label="=cmd")
    lines = jobs.client.get(f"{URL}{job.pk}/results.jsonl")
    assert lines["Content-Type"] == "application/jsonl"
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert found == jobs.results(job.pk)
    table = jobs.client.get(f"{URL}{job.pk}/results.csv")
    assert table["Content-Disposition"] == f'attachment; filename="job-{job.pk}.csv"'
    header, *rows = csv.reader(io.StringIO(table.getvalue().decode()))
    assert header == ["index", "name", "id", "status", "label", "score", "label_2", "score_2", "error_code", "error"]
    assert [row[1] for row in rows] == ["a.jpg", "'=HYPERLINK(1).jpg", 'b"c,d.jpg', "'@x", "'-1", "'+1", "z"]
    assert rows[0][3:] == ["done", "'=cmd", "0.5", "'=cmd", "0.5", "", ""]
    assert rows[-1][3:9] == ["fail", "", "", "", "", "unsupported_image_format"]


@pytest.fixture
def others(settings: Settings) -> tuple[APIClient, APIClient]:
    """Clients of two owners. The second may only read."""
    found = []
    for name, scopes in (("first", [Scope.CLASSIFY, Scope.READ]), ("second", [Scope.READ])):
        owner = Owner.objects.create(name=name)
        secret = tokens.create_token(owner=owner, name=name, scopes=scopes, actor="test")[1]
        found.append(APIClient(raise_request_exception=False, HTTP_AUTHORIZATION=f"Bearer {secret}"))
    return found[0], found[1]


def test_another_owners_job_does_not_exist(jobs: Jobs, jpeg: bytes, others: tuple[APIClient, APIClient]) -> None:
    first, second = others
    jobs.client = first
    job = created(jobs.post(zip_of({"a.jpg": jpeg})))
    paths = ["", "results/", "results.jsonl", "results.csv"]
    assert {first.get(f"{URL}{job.pk}/{path}").status_code for path in paths} == {200}
    assert {second.get(f"{URL}{job.pk}/{path}").status_code for path in paths} == {404}
    assert [len(each.get(URL).json()["results"]) for each in others] == [1, 0]
    assert second.post(f"{URL}{job.pk}/cancel/").status_code == 403
    assert second.delete(f"{URL}{job.pk}/").status_code == 403
    jobs.client = second
    assert jobs.post(zip_of({"a.jpg": jpeg})).status_code == 403


def test_the_list_has_pages_and_a_filter(jobs: Jobs, jpeg: bytes) -> None:
    pks = [created(jobs.post(zip_of({"a.jpg": jpeg}))).pk for _ in range(3)]
    first = jobs.client.get(f"{URL}?page_size=2").json()
    assert [each["id"] for each in first["results"]] == [pks[2], pks[1]]
    assert [each["id"] for each in jobs.client.get(first["next"]).json()["results"]] == [pks[0]]
    assert jobs.client.get(f"{URL}?status=done").json() == {"next": None, "results": []}
    assert jobs.client.get(f"{URL}?before=x").status_code == 400


def test_images_of_a_job_count_against_the_quota(jobs: Jobs, jpeg: bytes, settings: Settings) -> None:
    from moon_vision_challenge.accounts.rates import parse_rates

    settings.API_OWNER_IMAGES = parse_rates("5/d")
    archive = zip_of({f"{number}.jpg": jpeg for number in range(3)})
    created(jobs.post(archive))
    response = jobs.post(archive)
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert (Job.objects.count(), len(uploads())) == (1, 1)


def test_a_picture_is_stored_without_its_metadata_if_that_is_set(jobs: Jobs, settings: Settings) -> None:
    settings.STRIP_IMAGE_METADATA = True
    job = created(jobs.post(zip_of({"a.jpg": photo("JPEG"), "b.tiff": photo("TIFF")})))
    jobs.advance(job.pk)
    assert [each["error"] and each["error"]["code"] for each in jobs.results(job.pk)] == [
        None,
        "metadata_not_removable",
    ]


def test_options_show_the_fields_of_a_request(jobs: Jobs) -> None:
    fields = jobs.client.options(URL).json()["actions"]["POST"]
    assert {"model_type", "image", "archive", "top_k", "webhook_url", "version"} <= set(fields)
    assert MODEL in [choice["value"] for choice in fields["model_type"]["choices"]]
