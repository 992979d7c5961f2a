"""The whole service as processes, on the test database, as a client sees it."""

import os
from pathlib import Path
from typing import Any

import requests
from django.db import connection

from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from native.environment import ROOT
from native.services import Services

MODEL = "efficientnet_lite0"
PHOTO = (ROOT / "samples" / "coffee.jpg").read_bytes()


class Service:
    def __init__(self, services: Services, media_root: Path) -> None:
        server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        self.services = services
        self.url = f"http://127.0.0.1:{services.env['WEB_PORT']}"
        self.environment = {
            "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "DJANGO_MEDIA_ROOT": str(media_root),
            "API_ANON_RATE": "1000/s",
            "API_ANON_READ_RATE": "1000/s",
            "CELERY_WORKER_CONCURRENCY": "1",
            "INFERENCE_SWEEP_S": "1",
        }

        self.is_altered = False

    def start(self, name: str, **environment: str) -> None:
        """Start a service of the Procfile, or restart it with another environment, and wait until it is ready."""
        if name == "web":
            self.is_altered = bool(environment)
        self.services.stop(name)
        self.services.start(name, {**self.environment, **environment})
        self.services.wait_until_ready(name, timeout_s=LIMIT_S)

    def post(self, version: str, data: bytes = PHOTO, model_type: str = MODEL) -> requests.Response:
        return requests.post(
            f"{self.url}/api/{version}/inferences/",
            data={"model_type": model_type},
            files={"image": ("photo.jpg", data)},
            timeout=LIMIT_S,
        )

    def get(self, created: requests.Response) -> dict[str, Any]:
        row: dict[str, Any] = requests.get(created.headers["Location"], timeout=LIMIT_S).json()
        return row

    def wait_for(self, created: requests.Response, *statuses: str) -> dict[str, Any]:
        wait_for(lambda: self.get(created)["status"] in statuses, f"status {statuses}")
        return self.get(created)
