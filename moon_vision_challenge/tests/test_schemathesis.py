"""Schemathesis sends requests that the schema allows, and ones that it does not, to the running service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from django.utils import timezone

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.tests.contract import SCHEMA_FILE
from moon_vision_challenge.tests.peer import StartPeer, ok
from native.environment import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT_S = 1800
"""A run takes a quarter of a minute. The limit allows for a loaded machine."""
SECRET = "canary"
FEW = ("--max-examples", "5")
RATES = ("API_ANON_READ_RATE", "API_TOKEN_RATE", "API_TOKEN_READ_RATE", "API_OWNER_RATE", "API_FETCH_RATE")
NO_IMAGE_URLS = """
[[operations]]
include-path-regex = "/api/v[01]/inferences/$"
# 400: the schema does not say whether the operator allows image_url.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429", "5xx"]
"""


class Exchange(NamedTuple):
    method: str
    path: str
    status: int
    text: str


class Schemathesis:
    def __init__(self, service: Service, folder: Path, picture_url: str) -> None:
        self._service = service
        self._folder = folder
        self._environment = {**os.environ, "SCHEMATHESIS_PICTURE_URL": picture_url}

    def run(self, *options: str, config: str = "") -> list[Exchange]:
        """Run Schemathesis, and fail if it finds a problem. Returns the requests and their answers."""
        config_file, har = self._folder / "schemathesis.toml", self._folder / "requests.har"
        config_file.write_text(CONFIG.read_text() + config)
        command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config_file, "run", SCHEMA_FILE]
        command += ["--url", self._service.url, "--report-har-path", har, "--no-color", *options]
        result = subprocess.run(
            [*map(str, command)],
            cwd=ROOT,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        sys.stdout.write(result.stdout)
        assert result.returncode == 0, result.stderr
        return [_exchange(entry, self._service.url) for entry in json.loads(har.read_text())["log"]["entries"]]


def _exchange(entry: dict[str, Any], base_url: str) -> Exchange:
    request, response = entry["request"], entry["response"]
    path = request["url"].removeprefix(base_url).partition("?")[0]
    return Exchange(request["method"], path, response["status"], response["content"].get("text", ""))


@pytest.fixture
def allows_image_urls() -> bool:
    return True


@pytest.fixture
def schemathesis(service: Service, tmp_path: Path, start_peer: StartPeer, *, allows_image_urls: bool) -> Schemathesis:
    environment = dict.fromkeys(RATES, "100000/s") | {
        "DJANGO_API_ALLOW_ANONYMOUS": "0",
        "WEBHOOK_SECRET": f"whsec_{'A' * 43}=",
        "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",  # the addresses of images are tried as webhook_url
        "ALLOW_IMAGE_URLS": str(int(allows_image_urls)),
        "IMAGE_URL_ALLOW_PRIVATE_ADDRESSES": "1",
    }
    service.start("web", **environment)
    service.start("worker")
    return Schemathesis(service, tmp_path, start_peer(ok(PHOTO)).url)


def authorization_of(owner: str) -> tuple[str, str]:
    found, _ = Owner.objects.get_or_create(name=owner)
    return "--header", f"Authorization: Bearer {tokens.create_token(owner=found, name='ci', actor='test')[1]}"


@pytest.fixture
def alices() -> Inference:
    """A row that only Alice may see, cancel, or delete."""
    return Inference.objects.create(
        owner=Owner.objects.create(name="alice"),
        model_type=MODEL,
        image=f"inferences/2026/01/31/{SECRET}.jpg",
        label=SECRET,
        status=Inference.STATUS.DONE,
        finished_at=timezone.now(),
    )


def guarded() -> Iterator[re.Pattern[str]]:
    """Yield a pattern for each path that needs a token."""
    for path, operations in yaml.load(SCHEMA_FILE.read_bytes(), yaml.CSafeLoader)["paths"].items():
        if all({} not in operation["security"] != [] for operation in operations.values()):
            yield re.compile(re.sub(r"\\\{\w+\\\}", ".*", re.escape(path)))


def test_an_owner_finds_only_what_is_documented(schemathesis: Schemathesis) -> None:
    seen = schemathesis.run(*authorization_of("alice"))
    assert {200, 201, 204, 400, 404, 405} <= {each.status for each in seen}


@pytest.mark.parametrize("allows_image_urls", [False])
def test_without_image_urls_only_they_are_refused_more(schemathesis: Schemathesis) -> None:
    only = ("--include-operation-id", "classify", "--include-operation-id", "create_inference")
    seen = schemathesis.run(*only, *authorization_of("alice"), config=NO_IMAGE_URLS)
    assert {200, 201, 400} <= {each.status for each in seen}


def test_a_stranger_without_a_token_gets_nothing(schemathesis: Schemathesis, alices: Inference) -> None:
    seen = schemathesis.run(*FEW, "--exclude-checks", "unsupported_method,ignored_auth")
    patterns = list(guarded())
    refused = [each for each in seen if any(pattern.fullmatch(each.path) for pattern in patterns)]
    assert {each.status for each in refused} <= {401, 404}
    assert sum(each.status == 401 for each in refused) > 50
    assert [each for each in seen if SECRET in each.text] == []
    assert Inference.objects.get() == alices


def test_another_owner_gets_nothing_of_a_row(schemathesis: Schemathesis, alices: Inference) -> None:
    always_hers = f'\n[parameters]\n"path.id" = {alices.pk}\n'
    # These two checks would follow what bob creates, but each of his requests has her id.
    no_follow = ("--exclude-checks", "ensure_resource_availability,use_after_free")
    seen = schemathesis.run(*FEW, *no_follow, *authorization_of("bob"), config=always_hers)
    of_the_row = [each for each in seen if each.path.startswith(f"/api/v1/inferences/{alices.pk}/")]
    # OPTIONS describes the route, whatever the id is.
    assert {each.status for each in of_the_row if each.method != "OPTIONS"} <= {404, 405}
    assert sum(each.status == 404 for each in of_the_row) > 10
    assert [each for each in seen if SECRET in each.text] == []
    row = Inference.objects.get(pk=alices.pk)
    assert (row.status, row.label) == (Inference.STATUS.DONE, SECRET)
