import os
import subprocess
from pathlib import Path

import certifi
import pytest
from django.core import signing
from pytest_django import Settings

from config.tests.commands import run_python

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "DJANGO_SECRET_KEY": "-".join(map(str, range(40))),
    "DJANGO_ALLOWED_HOSTS": "example.com",
}


@pytest.mark.e2e
@pytest.mark.parametrize("settings_module", ["config.settings.production", "config.settings.local"])
def test_the_settings_load_and_pass_djangos_checks(settings_module: str) -> None:
    deploy = ["--deploy", "--fail-level", "WARNING"] if settings_module.endswith("production") else []
    environment = {**os.environ, **PRODUCTION, "DJANGO_SETTINGS_MODULE": settings_module}
    result = run_python("manage.py", "check", *deploy, env=environment)
    assert result.returncode == 0, result.stderr


@pytest.mark.e2e
def test_without_a_secret_key_nothing_starts() -> None:
    environment = {**os.environ, **PRODUCTION}
    del environment["DJANGO_SECRET_KEY"]
    result = run_python("manage.py", "check", env=environment)
    assert result.returncode != 0
    assert "Set the DJANGO_SECRET_KEY environment variable" in result.stderr


SHOW = "from config.settings import base; print(base.SECRET_KEY, base.DATABASES['default']['PASSWORD'], base.REDIS_URL)"


def show_with_files(**files: str) -> "subprocess.CompletedProcess[str]":
    """Show the settings with NAME_FILE set, instead of NAME, for each variable in `files`."""
    environment = {name: value for name, value in {**os.environ, **PRODUCTION}.items() if name not in files}
    return run_python("-c", SHOW, env={**environment, **{f"{name}_FILE": path for name, path in files.items()}})


def test_secrets_are_read_from_files_without_their_last_line_break(tmp_path: Path) -> None:
    values = {
        "DJANGO_SECRET_KEY": "key from a file",
        "DATABASE_URL": "postgres://u:from-a-file@h/n",
        "REDIS_URL": "redis://:also@h/0",
    }
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n")
    result = show_with_files(**{name: str(tmp_path / name) for name in values})
    assert result.stdout.strip() == "key from a file from-a-file redis://:also@h/0", result.stderr


@pytest.mark.e2e
@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_read_is_named_with_its_variable(content: bytes | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "key").write_bytes(content)
    result = show_with_files(DJANGO_SECRET_KEY=str(tmp_path / "key"))
    assert result.returncode != 0
    assert f"DJANGO_SECRET_KEY_FILE is {tmp_path}/key, which" in result.stderr


@pytest.mark.e2e
def test_a_secret_that_is_set_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:secret@h/0")
    twice = {"REDIS_URL": "redis://h/0", "REDIS_URL_FILE": str(tmp_path / "url")}
    result = run_python("-c", SHOW, env={**os.environ, **PRODUCTION, **twice})
    assert "REDIS_URL and REDIS_URL_FILE are both set" in result.stderr
    assert "redis://:secret" not in result.stderr


@pytest.mark.e2e
def test_production_begins_with_an_hour_of_hsts_for_its_own_host_only() -> None:
    show = "from config.settings import production as p; print(p.SECURE_HSTS_SECONDS, p.SECURE_HSTS_INCLUDE_SUBDOMAINS)"
    result = run_python("-c", show, env={**os.environ, **PRODUCTION})
    assert result.stdout.split() == ["3600", "False"], result.stderr


def test_sessions_that_an_earlier_key_signed_stay_valid(settings: Settings) -> None:
    signed = signing.dumps("a session")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next key"
    assert signing.loads(signed) == "a session"


@pytest.mark.e2e
@pytest.mark.parametrize("url", ["rediss://:p@h/0", f"rediss://:p@h/0?ssl_ca_certs={certifi.where()}"])
def test_the_certificate_of_the_broker_is_verified(url: str) -> None:
    show = "from config.celery_app import app; print(app.connection_for_write().ssl.get('ssl_cert_reqs', 'required'))"
    result = run_python("-c", show, env={**os.environ, **PRODUCTION, "REDIS_URL": url})
    assert result.stdout.strip() == "required", result.stderr  # redis-py's default
