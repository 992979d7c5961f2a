"""Restarts the services of a run when they die."""

import time
from collections import defaultdict
from collections.abc import Callable

from .services import ServiceDiedError, Services

FIRST_DELAY_S = 0.5  # doubled with each death within PERIOD_S
MAX_DEATHS = 5
PERIOD_S = 60


class Supervisor:
    """Restarts dead services with exponential backoff, and prints one line each time."""

    def __init__(self, services: Services, say: Callable[[str], None]) -> None:
        self._services = services
        self._say = say
        self._deaths: dict[str, list[float]] = defaultdict(list)
        self._due: dict[str, float] = {}

    def look_after(self) -> None:
        """Restart the services that have died. Call this several times per second.

        Raises ServiceDiedError when a service has died MAX_DEATHS times within PERIOD_S.
        """
        self._services.logs.tend()
        for name in self._services.dead():
            self._note_death(name)
        for name in [name for name, due in self._due.items() if due <= time.monotonic()]:
            del self._due[name]
            self._services.start(name)

    def _note_death(self, name: str) -> None:
        now = time.monotonic()
        deaths = [*(death for death in self._deaths[name] if now - death < PERIOD_S), now]
        self._deaths[name] = deaths
        if len(deaths) >= MAX_DEATHS:
            raise ServiceDiedError(
                f"The service {name} died {len(deaths)} times within {PERIOD_S} s.\n{self._services.died(name)}"
            )
        delay_s = FIRST_DELAY_S * 2 ** (len(deaths) - 1)
        how = self._services.how_it_ended(name)
        self._services.kill(name)  # kill the rest of it, because two servers on one data folder would destroy the data
        self._due[name] = now + delay_s
        self._say(f"The service {name} {how}. It restarts in {delay_s:g} s. Its log: {self._services.log(name)}.1")
