"""A consumer's app, written as the README shows, works without changes to the project: found, chosen, and called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import photo

CLASSIFICATORS = """
from typing import Any, Dict

import requests
from PIL import Image

from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import dispatcher as classificators


class BirdClassificator(Classificator):
    model_type = 'birds'
    model_url = '{url}/v1/models/birds:predict'

    def preprocess_input(self, image: Image) -> Any:
        return [list(image.resize((1, 1)).getpixel((0, 0)))]

    def process_prediction(self, input_vector: Any) -> Dict:
        response = requests.post(self.model_url, json={{'instances': input_vector}}, timeout=60)
        response.raise_for_status()
        return response.json()

    def decode_predictions(self, pred: Dict) -> str:
        return ['albatross', 'puffin'][pred['predictions'][0].index(1)]


# registering new classificator
classificators.register(BirdClassificator)
"""

DISPATCHER = """
from moon_vision_challenge.classification.dispatchers import Dispatcher


class BirdsOnlyDispatcher(Dispatcher):
    def __iter__(self):
        return (model_type for model_type in super().__iter__() if model_type == 'birds')
"""

# A separate process, because apps are discovered once, at start-up.
SCRIPT = """
import json, sys
import django; django.setup()
from unittest.mock import patch
from django.test.utils import setup_test_environment; setup_test_environment()
from django.core.cache import cache; cache.clear()
from rest_framework.test import APIClient
from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.pictures import upload

client = APIClient()
data = open(sys.argv[1], 'rb').read()
signature = client.options('/api/v0/inferences/').json()['actions']['POST']
v0 = client.post('/api/v0/inferences/', {'model_type': 'birds', 'image': upload(data)})
print(json.dumps({
    'choices': [choice['value'] for choice in signature['model_type']['choices']],
    'v0': [v0.status_code, v0.json()],
    'v1': services.classify_image(model_type='birds', image=images.open_image(data)).label,
}))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "birds"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "dispatchers.py").write_text(DISPATCHER)
    (tmp_path / "photo.jpg").write_bytes(photo("JPEG"))
    return folder


def run(app: Path, url: str, **environment: str) -> dict[str, object]:
    (app / "classificators.py").write_text(CLASSIFICATORS.format(url=url))
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(app.parent / "photo.jpg")],
        env={**os.environ, "PYTHONPATH": f"{app.parent}:{Path.cwd()}", "DJANGO_EXTRA_APPS": "birds", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    output: dict[str, object] = json.loads(result.stdout)
    return output


def test_its_classificator_is_found_and_answers_on_v0_and_for_v1(app: Path) -> None:
    with fake.fake_model_server(fake.replies(200, {"predictions": [[0, 1]]})) as server:
        output = run(app, server.url)
    assert output["choices"] == ["resnet", "inception", "efficientnet_lite0", "birds"]
    assert output["v0"] == [200, {"label": "puffin"}]
    assert output["v1"] == "puffin"
    assert server.requests[0] == ("/v1/models/birds:predict", {"instances": [[128, 128, 64]]})


@pytest.mark.e2e
def test_its_own_requests_errors_are_told_as_ours(app: Path) -> None:
    with fake.fake_model_server(fake.replies(200, {"predictions": [[0, 1]]})) as server:
        url = server.url
    script_fails = SCRIPT.replace("'v1': services", "'v1': 0 and services")
    assert script_fails != SCRIPT
    (app / "classificators.py").write_text(CLASSIFICATORS.format(url=url))
    result = subprocess.run(
        [sys.executable, "-c", script_fails, str(app.parent / "photo.jpg")],
        env={**os.environ, "PYTHONPATH": f"{app.parent}:{Path.cwd()}", "DJANGO_EXTRA_APPS": "birds"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    status, body = json.loads(result.stdout)["v0"]
    assert (status, body["code"]) == (503, "model_server_unavailable")


@pytest.mark.e2e
def test_the_setting_swaps_in_a_custom_dispatcher(app: Path) -> None:
    with fake.fake_model_server(fake.replies(200, {"predictions": [[1, 0]]})) as server:
        output = run(app, server.url, CLASSIFICATION_DISPATCHER="birds.dispatchers.BirdsOnlyDispatcher")
    assert output["choices"] == ["birds"]
    assert output["v0"] == [200, {"label": "albatross"}]
