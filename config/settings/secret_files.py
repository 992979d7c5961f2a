"""Settings from files: NAME_FILE names the file with the value of NAME, as Docker and Kubernetes mount secrets."""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping


class SecretFiles(FileAwareMapping):  # type: ignore[misc]  # environ has no types
    """The environment variables. A value from a file loses the line break that editors add at its end.

    Raises:
        ImproperlyConfigured: a variable is set twice, or its file cannot be read. The message never contains the value.
    """

    def __getitem__(self, key: str) -> str:
        path = self.env.get(f"{key}_FILE")
        if not path:
            return str(self.env[key])
        if key in self.env:
            raise ImproperlyConfigured(f"{key} and {key}_FILE are both set. Remove one of them.")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ImproperlyConfigured(f"{key}_FILE is {path}, which cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ImproperlyConfigured(f"{key}_FILE is {path}, which is not a text in UTF-8.") from error


class Env(environ.Env):  # type: ignore[misc]
    """A variant of django-environ in which every variable can also come from a file."""

    ENVIRON = SecretFiles()
