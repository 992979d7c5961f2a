import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from unittest.mock import patch

import certifi
import pycurl
import pytest
import trustme
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from moon_vision_challenge.accounts.apps import create_anonymous_owner
from moon_vision_challenge.circuit_breaker import CircuitBreaker
from moon_vision_challenge.classification.serving import metadata, open_inference
from moon_vision_challenge.classification.tests.fake_model_server import Answer, FakeModelServer, fake_model_server
from moon_vision_challenge.classification.tests.pictures import photo
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.postgresql import hang
from moon_vision_challenge.tests import contract
from moon_vision_challenge.tests.dns_server import DNSServer, Resolve, dns_server
from moon_vision_challenge.tests.peer import Peer, StartPeer
from native.services import Services

StartFake = Callable[[Answer], FakeModelServer]


@pytest.fixture(autouse=True, scope="session")
def _quick_teardown() -> Iterator[None]:
    """Delete the rows after a test with transactions.

    Django truncates the tables and recreates all permissions, which is 40 times slower.
    """

    def empty_the_tables(_: TransactionTestCase) -> None:
        kept = {"django_content_type", "auth_permission"}
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept
        with connection.cursor() as cursor:
            cursor.execute(";".join(f'DELETE FROM "{table}"' for table in sorted(tables)))  # noqa: S608 - our own names
        create_anonymous_owner(connection.alias)

    with patch.object(TransactionTestCase, "_fixture_teardown", empty_the_tables):
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_look_at_static_files() -> Iterator[None]:
    """Each test client makes its own middleware. WhiteNoise's would look at every static file each time."""
    look = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, StaticFile] = {}

    def look_once(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            look(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    with patch.object(WhiteNoiseMiddleware, "add_files_from_finders", look_once):
        yield


@pytest.fixture(autouse=True, scope="session")
def _patient_probe() -> Iterator[None]:
    """Give the probe more time. On a loaded machine, PostgreSQL does not answer it within a second."""
    with patch.object(hang, "_PROBE_TIMEOUT_S", 60):
        yield


@pytest.fixture(scope="session")
def _breakers() -> list[CircuitBreaker]:
    modules = [module for name, module in sys.modules.items() if name.startswith("moon_vision_challenge.")]
    values = [value for module in modules for value in vars(module).values()]
    return [value for value in values if isinstance(value, CircuitBreaker)]


@pytest.fixture(scope="session")
def _media_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the path of a folder for each test. Only a test that stores an image makes its folder."""
    parent = tmp_path_factory.mktemp("media")
    return (parent / str(number) for number in count())


@pytest.fixture(autouse=True)
def _fresh_service(settings: Settings, _media_folders: Iterator[Path], _breakers: list[CircuitBreaker]) -> None:
    """Give each test an empty media folder, an empty model cache, its own rate limit, and neighbours that answer."""
    for breaker in _breakers:
        breaker.close()
    settings.MEDIA_ROOT = next(_media_folders)
    cache.clear()
    metadata.signatures.clear()
    metadata.statuses.clear()
    open_inference.extensions.clear()


@pytest.fixture(autouse=True, scope="session")
def _contract_problems(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set the file where the tests' application and the running service note responses that are not in the schema."""
    os.environ[contract.PROBLEMS_FILE] = str(tmp_path_factory.mktemp("contract") / "problems.txt")


@pytest.fixture(autouse=True)
def _responses_are_in_the_schema() -> Iterator[None]:
    yield
    assert contract.take_notes() == []


@pytest.fixture
def client() -> APIClient:
    return APIClient(raise_request_exception=False)


@pytest.fixture
def start_fake(settings: Settings) -> Iterator[StartFake]:
    """Start a model server that answers as configured, and make the service use it."""
    with ExitStack() as stack:

        def start(answer: Answer) -> FakeModelServer:
            server = stack.enter_context(fake_model_server(answer))
            settings.TF_SERVING_URL = server.url
            return server

        yield start


@pytest.fixture
def start_peer() -> Iterator[StartPeer]:
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Peer(*args, **kwargs))


@pytest.fixture(scope="session")
def _web(services: Services, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Service]:
    service = Service(services, tmp_path_factory.mktemp("media"))
    service.environment[contract.PROBLEMS_FILE] = os.environ[contract.PROBLEMS_FILE]
    service.start("web")
    yield service
    services.stop("web")


@pytest.fixture
def service(_web: Service, services: Services, transactional_db: None) -> Iterator[Service]:
    """Yield the running web server, with an empty queue. A test starts a worker if it needs one.

    The server commits rows, so the database is emptied after each test that uses it.
    """
    Redis.from_url(django_settings.REDIS_URL).flushdb()
    yield _web
    services.stop("beat", "worker", "webhook_worker")
    if _web.is_altered:
        _web.start("web")


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    return photo("JPEG")


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Return the only certificate authority that the HTTP client trusts in this test."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture
def resolve(ca: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolve]:
    """Make the HTTP client resolve names to these addresses: the first list at the first lookup, and so on."""
    with ExitStack() as stack:

        def start(*answers: list[str]) -> DNSServer:
            server = stack.enter_context(dns_server(ca, answers))
            monkeypatch.setattr(pycurl, "Curl", server.new_handle)
            return server

        yield start
