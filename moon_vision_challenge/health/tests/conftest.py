import pytest

from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.health import checks, sightings, views
from moon_vision_challenge.health.checks import check_migrations
from moon_vision_challenge.health.tests.neighbours import AVAILABLE, QUEUES


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget earlier results, and give a loaded machine more time for each check."""
    monkeypatch.setattr(views, "_may_see_checks", lambda _: True)  # the tests of accounts check who may
    check_migrations.are_applied = False
    for prober in (views.readiness, views.status_of_all):
        prober.forget()
        monkeypatch.setattr(prober, "_deadline_s", 60)
    monkeypatch.setattr(checks, "_DATABASE_TIMEOUT_S", 60)
    monkeypatch.setattr(sightings, "TIMEOUT_S", 60)


@pytest.fixture
def everything(start_fake: StartFake) -> None:
    """All neighbours are available, and workers and beat have been seen."""
    start_fake(AVAILABLE)
    sightings.Sightings().note([*map(sightings.queue, QUEUES), sightings.BEAT])
