"""The models being served: the state of every version, and the loaded runtime of each available one."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from moon_vision_challenge.model_server.config import ModelConfig, model_dir
from moon_vision_challenge.model_server.loading import LoadOptions, Platform
from moon_vision_challenge.model_server.runtime import Runtime
from moon_vision_challenge.model_server.versions import ModelVersion, versions_on_disk

logger = logging.getLogger(__name__)


class ServableNotFoundError(LookupError):
    """The model, or the requested version of it, is not available."""


class UnknownLabelError(LookupError):
    """The model does not have this version label."""


@dataclass(frozen=True)
class _Model:
    version_labels: Mapping[str, int]
    versions: Mapping[int, ModelVersion]


class ModelRegistry:
    """The served models. Many threads read them while one updates them. Readers see the state before or after a change.

    Args:
        default_platform: runs the models whose configuration does not name a platform.
        threads: the number of concurrent runs of a model.
    """

    def __init__(self, model_root: Path | None, *, default_platform: str = Platform.ANY, threads: int = 1) -> None:
        self._model_root = model_root
        self._default_platform = default_platform
        self._threads = threads
        self._models: Mapping[str, _Model] = {}
        self._problems: dict[str, str] = {}  # by model: why no version can be loaded

    def update(self, configs: Iterable[ModelConfig]) -> None:
        """Load the wanted versions that are not loaded, several at a time, then unload the others.

        Returns when every new version is available or has failed. Until then, all loaded versions are served. A
        version that was available stays available until a wanted version is.
        """
        wanted = {config: self._wanted(config) for config in configs}
        new = {
            config.name: {number: version for number, version in versions.items() if self._must_load(version)}
            for config, versions in wanted.items()
        }
        self._models = {**self._models, **{name: self._while_loading(name, versions) for name, versions in new.items()}}
        versions = [version for by_number in new.values() for version in by_number.values()]
        with ThreadPoolExecutor(max_workers=max(1, len(versions))) as pool:
            list(pool.map(ModelVersion.load, versions))
        self._models = {config.name: self._when_loaded(config, wanted[config], new[config.name]) for config in wanted}
        self._problems = {name: self._problems[name] for name in self._models}

    def _wanted(self, config: ModelConfig) -> dict[int, ModelVersion]:
        directory = model_dir(config, self._model_root)
        problem = f"{directory} contains no version folder to serve"
        paths: dict[int, Path] = {}
        try:
            on_disk = versions_on_disk(directory)
            paths = {number: on_disk[number] for number in config.version_policy.select(on_disk)}
        except OSError as error:
            problem = f"cannot read {directory}: {error.strerror}"
        problem = "" if paths else problem
        if problem and problem != self._problems.get(config.name):
            logger.error("Model %s is NOT available: %s", config.name, problem)
        self._problems[config.name] = problem
        platform = self._default_platform if config.model_platform == Platform.ANY else config.model_platform
        options = LoadOptions(platform=platform, threads=self._threads)
        return {number: ModelVersion(config.name, number, path, options) for number, path in paths.items()}

    def _known(self, name: str) -> Mapping[int, ModelVersion]:
        return self._models[name].versions if name in self._models else {}

    def _must_load(self, version: ModelVersion) -> bool:
        known = self._known(version.name).get(version.version)
        if known is None or (known.path, known.options) != (version.path, version.options):
            return True
        if known.runtime is not None:
            known.compare_files()
            return False
        version.last_error = known.error
        return not known.error or known.has_other_files()

    def _while_loading(self, name: str, new: Mapping[int, ModelVersion]) -> _Model:
        known = self._known(name)
        serving = {number: version for number, version in known.items() if version.runtime is not None}
        labels = self._models[name].version_labels if name in self._models else {}
        return _Model(labels, {**known, **new, **serving})

    def _when_loaded(
        self, config: ModelConfig, wanted: Mapping[int, ModelVersion], new: Mapping[int, ModelVersion]
    ) -> _Model:
        known = self._known(config.name)
        versions: dict[int, ModelVersion] = {}
        for number in wanted:
            version = new.get(number, known.get(number))
            if version is not None:
                previous = known.get(number, version)
                versions[number] = previous if version.runtime is None and previous.runtime is not None else version
        nothing_serves = all(version.runtime is None for version in versions.values())
        for number, version in known.items():
            if number not in versions and not version.error:
                versions[number] = version if nothing_serves and version.runtime else version.unloaded()
        return _Model(self._labels(config, versions), versions)

    def _labels(self, config: ModelConfig, versions: Mapping[int, ModelVersion]) -> Mapping[str, int]:
        """Return the version of each label. A label does not move from an available version to one that is not."""

        def serves(number: int | None) -> bool:
            return number is not None and number in versions and versions[number].runtime is not None

        before = self._models[config.name].version_labels if config.name in self._models else {}
        return {
            label: before[label] if serves(before.get(label)) and not serves(number) else number
            for label, number in config.version_labels.items()
        }

    def has(self, name: str) -> bool:
        """Return whether models.config lists this model."""
        return name in self._models

    def unavailable(self) -> list[str]:
        """Return the names of the models that have no available version."""
        return [
            name
            for name, model in self._models.items()
            if all(version.runtime is None for version in model.versions.values())
        ]

    def versions(self, name: str, version: int | None = None, label: str | None = None) -> list[ModelVersion]:
        """Return all versions of a model, newest first, or the requested one.

        Raises ServableNotFoundError or UnknownLabelError.
        """
        number = self._resolve(name, version, label)
        found = self._known(name)
        if number is None and not found:
            problem = self._problems.get(name)
            raise ServableNotFoundError(
                f"Could not find any versions of model {name:.200}" + (f": {problem}" if problem else "")
            )
        if number is not None and number not in found:
            raise ServableNotFoundError(f"Could not find version {number} of model {name:.200}")
        return [found[number]] if number is not None else [found[key] for key in sorted(found, reverse=True)]

    def available(self, name: str, version: int | None = None, label: str | None = None) -> tuple[int, Runtime]:
        """Return the requested or the newest available version. Raises ServableNotFoundError or UnknownLabelError."""
        number = self._resolve(name, version, label)
        found = self._known(name)
        for key in sorted(found, reverse=True) if number is None else [number]:
            if key in found and (runtime := found[key].runtime) is not None:
                return key, runtime
        request = f"Latest({name:.200})" if number is None else f"Specific({name:.200}, {number})"
        raise ServableNotFoundError(f"Servable not found for request: {request}")

    def _resolve(self, name: str, version: int | None, label: str | None) -> int | None:
        if label is None:
            return version
        labels = self._models[name].version_labels if name in self._models else {}
        if label not in labels:
            raise UnknownLabelError(f"Unrecognized servable version label: {label:.200}")
        return labels[label]
