"""Reads models.config: the part of TensorFlow Serving's ModelServerConfig that lists the models to serve.

The messages are those of tensorflow_serving/config/model_server_config.proto and
tensorflow_serving/sources/storage_path/file_system_storage_path_source.proto.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moon_vision_challenge.text_format import ConfigError, Field, parse_text_format

_MAX_BYTES = 1_000_000  # of the file
_MAX_DIGITS = 18  # so that every number fits into an int64


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions on disk are served: the `latest` newest, all (`latest` is None), or the `specific` ones."""

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    def select(self, versions: Iterable[int]) -> list[int]:
        """Return the versions to serve, oldest first."""
        found = sorted(versions)
        if self.specific:
            return [version for version in found if version in self.specific]
        return found if self.latest is None else found[-self.latest :]


@dataclass(frozen=True)
class ModelConfig:
    name: str
    base_path: str
    model_platform: str = "tensorflow"
    """What runs the model: one of loading.Platform."""
    version_policy: VersionPolicy = VersionPolicy()
    version_labels: Mapping[str, int] = field(default_factory=dict, hash=False)


def _text(item: Field) -> str:
    if isinstance(item.value, list) or not item.value.quoted:
        raise ConfigError(f"line {item.line}: {item.name} must be a quoted string")
    return item.value.text


def _integer(item: Field) -> int:
    text = "" if isinstance(item.value, list) or item.value.quoted else item.value.text
    if not (text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS):
        raise ConfigError(f"line {item.line}: {item.name} must be a whole number of at most {_MAX_DIGITS} digits")
    return int(text)


def _message(item: Field, *, allowed: set[str], repeated: frozenset[str] = frozenset()) -> list[Field]:
    if not isinstance(item.value, list):
        raise ConfigError(f"line {item.line}: {item.name} must be a message in braces")
    return _checked(item.value, item.name, allowed=allowed, repeated=repeated)


def _checked(fields: list[Field], owner: str, *, allowed: set[str], repeated: frozenset[str]) -> list[Field]:
    seen: set[str] = set()
    for inner in fields:
        if inner.name not in allowed:
            raise ConfigError(
                f"line {inner.line}: {owner} has no field {inner.name} (known here: {', '.join(sorted(allowed))})"
            )
        if inner.name in seen and inner.name not in repeated:
            raise ConfigError(f"line {inner.line}: {inner.name} is given twice")
        seen.add(inner.name)
    return fields


def _version_policy(item: Field) -> VersionPolicy:
    kinds = _message(item, allowed={"latest", "all", "specific"})
    if len(kinds) != 1:
        raise ConfigError(f"line {item.line}: model_version_policy needs exactly one of latest, all, specific")
    [kind] = kinds
    if kind.name == "all":
        _message(kind, allowed=set())
        return VersionPolicy(latest=None)
    if kind.name == "specific":
        versions = [_integer(inner) for inner in _message(kind, allowed={"versions"}, repeated=frozenset({"versions"}))]
        if not versions:
            raise ConfigError(f"line {kind.line}: specific needs at least one of versions")
        return VersionPolicy(latest=None, specific=frozenset(versions))
    counts = [_integer(inner) for inner in _message(kind, allowed={"num_versions"})]
    return VersionPolicy(latest=max(1, *counts) if counts else 1)  # 0 means 1, as in TensorFlow Serving


def _version_label(item: Field) -> tuple[str, int]:
    entry = {inner.name: inner for inner in _message(item, allowed={"key", "value"})}
    if len(entry) != 2:
        raise ConfigError(f"line {item.line}: version_labels needs key and value")
    return _text(entry["key"]), _integer(entry["value"])


def _model(item: Field) -> ModelConfig:
    known = {"name", "base_path", "model_platform", "model_version_policy", "version_labels"}
    fields = _message(item, allowed=known, repeated=frozenset({"version_labels"}))
    texts = {inner.name: _text(inner) for inner in fields if inner.name in {"name", "base_path", "model_platform"}}
    if not texts.get("name") or not texts.get("base_path"):
        raise ConfigError(f"line {item.line}: a config needs name and base_path")
    policies = [_version_policy(inner) for inner in fields if inner.name == "model_version_policy"]
    labels = dict(_version_label(inner) for inner in fields if inner.name == "version_labels")
    return ModelConfig(**texts, version_policy=policies[0] if policies else VersionPolicy(), version_labels=labels)


def parse_models_config(text: str) -> list[ModelConfig]:
    """Return the models of a model_config_list. Raises ConfigError, whose message names the line."""
    outer = _checked(parse_text_format(text), "the file", allowed={"model_config_list"}, repeated=frozenset())
    models: dict[str, ModelConfig] = {}
    for model_list in outer:
        for item in _message(model_list, allowed={"config"}, repeated=frozenset({"config"})):
            model = _model(item)
            if model.name in models:
                raise ConfigError(f"line {item.line}: the model {model.name} is listed twice")
            models[model.name] = model
    if not models:
        raise ConfigError("line 1: no model is listed: expected model_config_list { config { ... } }")
    return list(models.values())


def read_models_config(path: Path) -> list[ModelConfig]:
    """Return the models that a file lists. Raises ConfigError, whose message does not name the file."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"the file is larger than {_MAX_BYTES} bytes")
        return parse_models_config(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the file is not UTF-8: {error}") from error


def model_dir(config: ModelConfig, model_root: Path | None) -> Path:
    """Return the folder of a model's versions. `model_root` replaces a leading /models, which containers mount."""
    path = Path(config.base_path)
    if model_root is not None and path.is_relative_to("/models"):
        return model_root / path.relative_to("/models")
    return path
