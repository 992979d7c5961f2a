"""Checks for new versions of the models and for changes to models.config while the server runs."""

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from moon_vision_challenge.model_server.config import ModelConfig, read_models_config
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.text_format import ConfigError

logger = logging.getLogger(__name__)


@dataclass
class Reloader:
    """Checks at these intervals, in seconds. 0 or less means never, as in TensorFlow Serving."""

    registry: ModelRegistry
    config_file: Path
    configs: list[ModelConfig]
    config_interval_s: float
    versions_interval_s: float
    _problem: str = field(default="", init=False)  # of the file, kept so that it is logged once

    def start(self) -> None:
        """Start the thread that checks. It ends with the process."""
        if max(self.config_interval_s, self.versions_interval_s) > 0:
            threading.Thread(target=self._run, name="reload", daemon=True).start()

    def _run(self) -> None:
        intervals = {"config": self.config_interval_s, "versions": self.versions_interval_s}
        due = {name: time.monotonic() + interval for name, interval in intervals.items() if interval > 0}
        while True:
            first = min(due, key=due.__getitem__)
            time.sleep(max(0.0, due[first] - time.monotonic()))
            try:
                if first == "versions" or self._config_changed():
                    self.registry.update(self.configs)
            except Exception:  # without this thread, no change would be found until a restart
                logger.exception("Checking for changes failed. The models stay as they are.")
            due[first] = time.monotonic() + intervals[first]

    def _config_changed(self) -> bool:
        """Return whether the configs have changed. An unreadable or invalid file changes nothing and is logged once."""
        try:
            configs = read_models_config(self.config_file)
        except ConfigError as error:
            self._complain(str(error))
            return False
        self._problem = ""
        changed, self.configs = configs != self.configs, configs
        return changed

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("%s: %s. The models stay as they are.", self.config_file, problem)
        self._problem = problem
