"""One version of a model, from its folder to its loaded runtime."""

import logging
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from moon_vision_challenge.model_server.files import Snapshot, changed_files, take_snapshot
from moon_vision_challenge.model_server.loading import LoadOptions, load_runtime
from moon_vision_challenge.model_server.runtime import ModelLoadError, Runtime

logger = logging.getLogger(__name__)

_MAX_VERSION = 2**63 - 1  # an int64 in TensorFlow Serving


class VersionState(StrEnum):
    """The states of tensorflow_serving/apis/get_model_status.proto in which a version can be observed."""

    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    END = "END"


@dataclass
class ModelVersion:
    """A version of a model. It is loaded once, and later changes to its files have no effect."""

    name: str
    version: int
    path: Path
    options: LoadOptions = field(default_factory=LoadOptions)
    state: VersionState = VersionState.LOADING
    error: str = ""
    """The reason why the version is not available."""
    warning: str = ""
    """What an operator should know about a version that is available."""
    last_error: str = ""
    """The error of the load before this one. It is not logged again."""
    runtime: Runtime | None = None
    _files: Snapshot = field(default_factory=dict)  # when loading began

    def load(self) -> None:
        """Load it. Its state becomes AVAILABLE, with a runtime, or END, with an error, which is logged.

        Other versions are not affected.
        """
        self._files = take_snapshot(self.path)
        try:
            runtime = load_runtime(self.path, **self.options)
            if self.has_other_files():
                raise ModelLoadError("its files changed while they were being read. The server loads it again shortly.")
        except ModelLoadError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - runtimes raise anything for damaged files, and others are served
            self._fail(f"it cannot be loaded: {error!r:.1000}")
        else:
            self.runtime, self.state = runtime, VersionState.AVAILABLE
            logger.info("Model %s version %d is available", self.name, self.version)

    def _fail(self, reason: str) -> None:
        self.state, self.error = VersionState.END, reason
        if reason != self.last_error:
            logger.error("Model %s version %d is NOT available (%s): %s", self.name, self.version, self.path, reason)

    def has_other_files(self) -> bool:
        """Return whether files were added, removed, or changed since loading began."""
        return take_snapshot(self.path) != self._files

    def compare_files(self) -> None:
        """Warn if a file of this loaded version has changed. Logs each warning once."""
        changed = changed_files(self._files, take_snapshot(self.path))
        warning = ""
        if changed:
            names = ", ".join(changed[:3]) + (" and others" if changed[3:] else "")
            warning = (
                f"{names} changed after version {self.version} was loaded. The server still uses the loaded version. "
                "To publish a change, add a new version folder or restart the server."
            )
        if warning and warning != self.warning:
            logger.warning("Model %s (%s): %s", self.name, self.path, warning)
        self.warning = warning

    def unloaded(self) -> "ModelVersion":
        """Return it without its runtime. A request that holds the runtime keeps it until it is answered."""
        if self.runtime is not None:
            logger.info("Model %s version %d is unloaded", self.name, self.version)
        return ModelVersion(self.name, self.version, self.path, self.options, VersionState.END)


def versions_on_disk(directory: Path) -> dict[int, Path]:
    """Return the folders whose name is a whole number. Leading zeros are allowed. Raises OSError."""
    found = {
        int(path.name): path
        for path in directory.iterdir()
        if path.name.isdecimal() and path.name.isascii() and path.is_dir()
    }
    return {number: path for number, path in found.items() if number <= _MAX_VERSION}
