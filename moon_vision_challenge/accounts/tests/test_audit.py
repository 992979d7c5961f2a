"""The audit log's actions are documented."""

import json
import logging
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.observability.json_logs import JSONFormatter

ROOT = Path(__file__).parents[3]
_RECORDED = re.compile(r'audit\.record\(\s*"([a-z_.]+)"')


def test_each_action_is_in_the_documentation() -> None:
    files = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    recorded = {action for name in files for action in _RECORDED.findall((ROOT / name).read_text())}
    documented = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", (ROOT / "docs/accounts.md").read_text()))
    assert len(recorded) > 8
    assert recorded <= documented


def test_json_logs_have_what_was_done_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    expires_at = datetime(2026, 1, 31, tzinfo=UTC)
    audit.record("token.create", actor="user:1:root", token_name='a\n"b', expires_at=expires_at, scopes=["read"])
    line = JSONFormatter().format(caplog.records[0])
    assert "\n" not in line
    assert json.loads(line)["audit"] == {
        "action": "token.create",
        "actor": "user:1:root",
        "token_name": 'a\n"b',
        "expires_at": str(expires_at),
        "scopes": ["read"],
    }
