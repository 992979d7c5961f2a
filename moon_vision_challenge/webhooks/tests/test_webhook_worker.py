"""On real processes, a receiver that hangs delays neither inferences nor other receivers."""

import base64
import statistics
import time

import pytest
import requests

from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.tests.peer import OK, Peer
from moon_vision_challenge.webhooks.delivery import ATTEMPTS_PER_HOST, DEADLINE_S

pytestmark = pytest.mark.django_db(transaction=True)

WEBHOOKS = {
    "WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
}


def classify(service: Service, webhook_url: str) -> float:
    """Classify a photo, and return the seconds from the request until the result is ready."""
    begin = time.monotonic()
    created = requests.post(
        f"{service.url}/api/v1/inferences/",
        data={"model_type": MODEL, "webhook_url": webhook_url},
        files={"image": ("photo.jpg", PHOTO)},
        timeout=LIMIT_S,
    )
    assert created.status_code == 201, created.text
    service.wait_for(created, "done")
    return time.monotonic() - begin


@pytest.mark.e2e
def test_a_receiver_that_hangs_delays_no_inference_and_no_other_receiver(service: Service) -> None:
    for name in ("web", "worker", "webhook_worker"):
        service.start(name, **WEBHOOKS)
    with Peer(b"", holds=True) as hanging, Peer(OK, addresses=("127.0.0.2",)) as quick:
        quick_url = f"http://127.0.0.2:{quick.port}/"
        usual_s = statistics.median(classify(service, quick_url) for _ in range(3))
        for _ in range(2 * ATTEMPTS_PER_HOST):
            classify(service, hanging.url)
        wait_for(lambda: len(hanging.requests) >= ATTEMPTS_PER_HOST, "the hanging receiver to hold all it can")
        took_s = [classify(service, quick_url) for _ in range(5)]
        allowed_s = DEADLINE_S / 3 + 2 * usual_s  # with one worker, each would wait for the whole deadline
        assert statistics.median(took_s) < allowed_s
        wait_for(lambda: len(quick.requests) == 8, "the other receiver's webhooks", DEADLINE_S + allowed_s)
        service.services.kill("webhook_worker")  # stopping it would wait for the attempts
