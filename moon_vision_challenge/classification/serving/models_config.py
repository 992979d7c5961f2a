"""Reads the models and their version labels from TensorFlow Serving's models.config.

The model server validates the file. TensorFlow Serving knows more fields than our own model server does, so this module
shares only the text format with it and ignores all other fields.
"""

from pathlib import Path

from moon_vision_challenge.text_format import Field, parse_text_format


def read_version_labels(path: Path) -> dict[str, dict[str, int]]:
    """Return the version labels of all listed models, by model name. Raises OSError or ConfigError."""
    return {
        name: {
            label: int(version)
            for entry in _messages(model, "version_labels")
            for label, version in zip(_texts(entry, "key"), _texts(entry, "value"), strict=False)
            if version.isdecimal()
        }
        for model_list in _messages(
            parse_text_format(path.read_text(encoding="utf-8", errors="replace")), "model_config_list"
        )
        for model in _messages(model_list, "config")
        for name in _texts(model, "name")
    }


def _messages(fields: list[Field], name: str) -> list[list[Field]]:
    return [field.value for field in fields if field.name == name and isinstance(field.value, list)]


def _texts(fields: list[Field], name: str) -> list[str]:
    return [field.value.text for field in fields if field.name == name and not isinstance(field.value, list)]
