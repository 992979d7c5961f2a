"""Reads of TensorFlow Serving's models.config what the gateway wants to know: which models, and their version labels.

The model server is who checks the file. It may be TensorFlow Serving, which has more fields than our own knows: so only
the text format is shared with that, and what is not looked for is left out.
"""

from pathlib import Path

from moon_vision_challenge.text_format import Field, parse_text_format


def read_version_labels(path: Path) -> dict[str, dict[str, int]]:
    """Model name → version label → version, of all models listed. Raises OSError or ConfigError."""
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
