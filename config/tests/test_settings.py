import os
import subprocess
import sys

import pytest

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "DJANGO_SECRET_KEY": "-".join(map(str, range(40))),
    "DJANGO_ALLOWED_HOSTS": "example.com",
}


@pytest.mark.parametrize("settings_module", ["config.settings.production", "config.settings.local"])
def test_the_settings_load_and_pass_djangos_checks(settings_module: str) -> None:
    deploy = ["--deploy", "--fail-level", "WARNING"] if settings_module.endswith("production") else []
    result = subprocess.run(
        [sys.executable, "manage.py", "check", *deploy],
        env={**os.environ, **PRODUCTION, "DJANGO_SETTINGS_MODULE": settings_module},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


def test_without_a_secret_key_nothing_starts() -> None:
    environment = {**os.environ, **PRODUCTION}
    del environment["DJANGO_SECRET_KEY"]
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode != 0
    assert "Set the DJANGO_SECRET_KEY environment variable" in result.stderr
