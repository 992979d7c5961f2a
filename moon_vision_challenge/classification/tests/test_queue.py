"""The full path of a request over HTTP and through the queue. Web server, worker, and model server are processes."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import pytest
import requests
from django.conf import settings
from django.db import connection
from PIL import Image, ImageOps
from redis import Redis

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.tasks import run_inference
from moon_vision_challenge.classification.tests.fake_model_server import (
    Handler,
    fake_model_server,
    predicts,
    replies,
    stalls,
)
from moon_vision_challenge.classification.tests.pictures import encode, gradient
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.test_third_party_app import CLASSIFICATORS
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration
from native.environment import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


def pictures() -> list[bytes]:
    """Return pictures with different labels: the sample photo, variants of it, and a gradient."""
    photo = images.open_image(PHOTO).decode()
    variants = [photo, ImageOps.invert(photo), ImageOps.solarize(photo), ImageOps.flip(photo), gradient(500, 375)]
    variants += [photo.crop((x, 0, x + 120, 120)) for x in range(0, 480, 120)]
    return [encode(variant, "JPEG", quality=95) for variant in variants]


def test_both_ways_give_the_label_that_onnxruntime_gives_for_the_same_pixels(service: Service) -> None:
    service.start("worker")
    session = onnxruntime.InferenceSession(ROOT / "models" / MODEL / "1" / "model.onnx")
    expected = []
    for data in pictures():
        image = images.open_image(data).decode(min_side=512)
        prepared = np.asarray(pixels.fit(image, (224, 224), Declaration()))[np.newaxis]
        (probabilities,) = session.run(["probabilities"], {session.get_inputs()[0].name: prepared})
        expected.append(IMAGENET_LABELS[int(probabilities[0].argmax())])
    assert len(set(expected)) > 1
    assert [service.post("v0", data).json()["label"] for data in pictures()] == expected
    created = [service.post("v1", data) for data in pictures()]
    assert [service.wait_for(one, "done")["label"] for one in created] == expected


@pytest.mark.e2e
def test_a_model_that_the_server_does_not_have_is_503_on_v0_and_a_reason_on_v1(service: Service) -> None:
    service.start("worker", INFERENCE_MAX_OUTAGE_S="1")
    response = service.post("v0", model_type="resnet")
    assert (response.status_code, response.json()["code"]) == (503, "model_not_available")
    assert int(response.headers["Retry-After"]) > 0
    created = service.post("v1", model_type="resnet")
    assert created.status_code == 201
    row = service.wait_for(created, "fail")
    assert (row["error"]["code"], row["label"]) == ("model_not_available", "")


def test_rows_posted_while_no_worker_runs_wait_and_are_then_worked_off_in_batches(service: Service) -> None:
    with fake_model_server(predicts(281)) as server:
        created = [service.post("v1") for _ in range(10)]
        assert {service.get(one)["status"] for one in created} == {"pending"}
        service.start("worker", TF_SERVING_URL=server.url)
        assert {service.wait_for(one, "done")["label"] for one in created} == {"tabby"}
    assert [len(body["instances"]) for _, body in server.requests] == [8, 2]


@pytest.mark.e2e
def test_a_lost_message_only_delays(service: Service) -> None:
    created = service.post("v1")
    Redis.from_url(settings.REDIS_URL).flushall()
    service.start("worker")
    service.start("beat")
    assert service.wait_for(created, "done")["label"]


@pytest.mark.e2e
def test_a_killed_worker_only_delays(service: Service) -> None:
    with fake_model_server(stalls) as stalling:
        service.start("worker", TF_SERVING_URL=stalling.url, INFERENCE_LEASE_S="3")
        created = service.post("v1")
        service.wait_for(created, "processing")
        service.services.kill("worker")
        assert service.get(created)["status"] == "processing"
        service.start("worker")
        service.start("beat")
        row = service.wait_for(created, "done")
    assert row["attempts"] == 2


@pytest.mark.e2e
def test_an_attempt_that_hangs_is_made_again(service: Service) -> None:
    with fake_model_server(stalls) as server:
        # On a loaded machine, an attempt that does not hang may take as long as this lease too.
        environment = {"INFERENCE_LEASE_S": "3", "INFERENCE_MAX_ATTEMPTS": "1000"}
        service.start("worker", TF_SERVING_URL=server.url, **environment)
        service.start("beat", **environment)
        created = service.post("v1")
        wait_for(lambda: server.requests, "the first attempt")
        server.answer = predicts(281)
        row = service.wait_for(created, "done")
    assert row["label"] == "tabby"
    assert row["attempts"] >= 2


@pytest.mark.e2e
def test_a_worker_at_work_survives_the_loss_of_redis(service: Service) -> None:
    with fake_model_server(stalls) as server:
        service.start("worker", TF_SERVING_URL=server.url)
        created = service.post("v1")
        wait_for(lambda: server.requests, "the worker to ask the model server")
        service.services.kill("redis")
        worker_log = service.services.log("worker")
        wait_for(lambda: "Connection to broker lost" in worker_log.read_text(), "the worker to notice")
        server.answer = predicts(281)
        service.services.start("redis")
        service.services.wait_until_ready("redis", timeout_s=LIMIT_S)
        server.released.set()
        again = service.post("v1")
        service.start("beat")
        assert service.wait_for(again, "done")["label"] == "tabby"
        assert service.wait_for(created, "done")["label"] == "tabby"
        service.services.check()


@pytest.mark.e2e
def test_one_message_is_enough_for_rows_of_two_models(service: Service) -> None:
    with fake_model_server(predicts(281)) as server:
        created = [service.post("v1", model_type=model_type) for model_type in ("efficientnet_lite0", "resnet")]
        assert Redis.from_url(settings.REDIS_URL).llen("inferences") == 1
        service.start("worker", TF_SERVING_URL=server.url)
        assert [service.wait_for(one, "done")["label"] for one in created] == ["tabby", "tabby"]


@pytest.mark.e2e
def test_a_worker_keeps_its_connection_to_the_database(service: Service) -> None:
    its_backends = set()
    with fake_model_server(predicts(281)) as server:
        service.start("worker", TF_SERVING_URL=server.url)
        for _ in range(3):
            service.wait_for(service.post("v1"), "done")
            with connection.cursor() as cursor:  # the backends whose last query ended an attempt
                cursor.execute(
                    "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()",
                    ["%lease_token = NULL%"],
                )
                its_backends |= {pid for (pid,) in cursor.fetchall()}
    assert len(its_backends) == 1


@pytest.mark.e2e
def test_two_workers_and_doubled_messages_finish_every_row_once(service: Service) -> None:
    services = service.services
    services.commands["second_worker"] = services.commands["worker"] + " --hostname=second"

    def answer_when_both_have_asked(handler: Handler) -> None:
        wait_for(lambda: len(handler.server.requests) > 1, "the other worker to ask")
        predicts(281)(handler)

    with fake_model_server(answer_when_both_have_asked) as server:
        created = [service.post("v1") for _ in range(40)]
        for one in created * 3:
            run_inference.apply_async((one.json()["id"],), queue="inferences")
        for name in ("worker", "second_worker"):
            environment = {"TF_SERVING_URL": server.url, "INFERENCE_BATCH_SIZE": "1", "TF_SERVING_TIMEOUT_S": "100"}
            services.start(name, {**service.environment, **environment})
        try:
            rows = [service.wait_for(one, "done") for one in created]
            wait_for(lambda: Redis.from_url(settings.REDIS_URL).llen("inferences") == 0, "all messages to be taken")
        finally:
            services.stop("worker", "second_worker")
            del services.commands["second_worker"]
    done = [services.log(name).read_text().count(" done: tabby") for name in ("worker", "second_worker")]
    assert (sum(done), len(server.requests)) == (40, 40)
    assert all(done), "both took part"
    assert {row["attempts"] for row in rows} == {1}


@pytest.mark.e2e
def test_the_model_server_coming_back_heals_by_itself(service: Service) -> None:
    with fake_model_server(replies(503, {"error": "loading"})) as server:
        service.start("worker", TF_SERVING_URL=server.url)
        created = service.post("v1")
        wait_for(lambda: service.get(created)["error"], "the first attempt to fail")
        server.answer = predicts(281)
        row = service.wait_for(created, "done")
    assert (row["label"], row["attempts"], row["error"]) == ("tabby", 1, None)


def start_with_app(service: Service, folder: Path, classificators: str) -> None:
    """Start the service with a consumer's app."""
    app = folder / "birds"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "classificators.py").write_text(classificators)
    for name in ("web", "worker"):
        service.start(name, PYTHONPATH=f"{folder}:{ROOT}", DJANGO_EXTRA_APPS="birds")


@pytest.mark.e2e
def test_a_third_party_app_works_through_both_ways(service: Service, tmp_path: Path) -> None:
    with fake_model_server(replies(200, {"predictions": [[0, 1]]})) as server:
        start_with_app(service, tmp_path, CLASSIFICATORS.format(url=server.url))
        photo = encode(gradient(), "PNG")
        assert service.post("v0", photo, "birds").json() == {"label": "puffin"}
        created = service.post("v1", photo, "birds")
        assert created.status_code == 201
        assert service.wait_for(created, "done")["label"] == "puffin"


@pytest.mark.e2e
def test_a_queue_that_a_class_names_is_served_without_being_listed_anywhere(service: Service, tmp_path: Path) -> None:
    with fake_model_server(replies(200, {"predictions": [[0, 1]]})) as server:
        with_queue = CLASSIFICATORS.replace("model_type = 'birds'", "model_type = 'birds'\n    queue = 'slow'")
        start_with_app(service, tmp_path, with_queue.format(url=server.url))
        created = service.post("v1", encode(gradient(), "PNG"), "birds")
        assert service.wait_for(created, "done")["label"] == "puffin"


@pytest.mark.e2e
def test_large_pictures_leave_no_memory_behind(service: Service) -> None:
    """Decoding each takes 400 MB: a process decodes one at a time, and the other requests wait or are sent again."""

    def post(version: str) -> requests.Response:
        while (response := service.post(version, large)).status_code == 503:
            assert response.json()["code"] == "decoder_busy"
            time.sleep(int(response.headers["Retry-After"]))
        return response

    large = encode(Image.new("RGB", (7000, 7000)), "PNG")
    for version in ("v0", "v1"):
        with ThreadPoolExecutor(8) as clients:
            posts = [clients.submit(post, version) for _ in range(12)]
            assert all(post.result().ok for post in posts)
    processes = [psutil.Process(service.services.pid("web"))]
    processes += processes[0].children(recursive=True)
    assert max(process.memory_info().rss for process in processes) < 300e6


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_client_reads_the_413_for_fifty_megabytes(service: Service, version: str) -> None:
    response = service.post(version, bytes(50_000_000))
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")


def test_a_body_in_chunks_is_read(service: Service) -> None:
    response = requests.post(
        f"{service.url}/api/v0/inferences/",
        data=iter([b"{", b"}"]),
        headers={"Content-Type": "application/json"},
        timeout=LIMIT_S,
    )
    assert (response.status_code, list(response.json())) == (400, ["model_type", "image"])


@pytest.mark.e2e
def test_the_rate_limit_is_one_for_all_web_processes(service: Service) -> None:
    service.start("web", API_ANON_RATE="20/d")
    url = f"{service.url}/api/v0/inferences/"
    statuses = [requests.post(url, json={}, timeout=LIMIT_S).status_code for _ in range(30)]
    assert statuses == [400] * 20 + [429] * 10
