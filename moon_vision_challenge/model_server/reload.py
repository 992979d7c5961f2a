"""Looks for new versions of the models and for changes of models.config while the server serves."""

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from moon_vision_challenge.model_server.config import ModelConfig, parse_models_config
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.text_format import ConfigError

logger = logging.getLogger(__name__)


@dataclass
class Reloader:
    """Intervals are in seconds between looks; 0 or less is never, as in TensorFlow Serving."""

    registry: ModelRegistry
    config_file: Path
    configs: list[ModelConfig]
    config_interval_s: float
    versions_interval_s: float
    _problem: str = field(default="", init=False)  # with the file, so that one that lasts is logged once

    def start(self) -> None:
        """Begins to look, in a thread of its own that ends with the process."""
        if max(self.config_interval_s, self.versions_interval_s) > 0:
            threading.Thread(target=self._run, name="reload", daemon=True).start()

    def _run(self) -> None:
        intervals = {"config": self.config_interval_s, "versions": self.versions_interval_s}
        due = {name: time.monotonic() + interval for name, interval in intervals.items() if interval > 0}
        while True:
            first = min(due, key=due.__getitem__)
            time.sleep(max(0.0, due[first] - time.monotonic()))
            if first == "versions" or self._config_changed():
                self.registry.update(self.configs)
            due[first] = time.monotonic() + intervals[first]

    def _config_changed(self) -> bool:
        """A file that cannot be read or has a mistake changes nothing, and is logged once."""
        try:
            configs = parse_models_config(self.config_file.read_text(encoding="utf-8"))
        except (ConfigError, UnicodeDecodeError) as error:
            self._complain(str(error))
            return False
        except OSError as error:
            self._complain(f"cannot be read: {error.strerror}")
            return False
        self._problem = ""
        changed, self.configs = configs != self.configs, configs
        return changed

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("%s: %s; the models stay as they are", self.config_file, problem)
        self._problem = problem
