"""The audit log's actions are documented."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
_RECORDED = re.compile(r'audit\.record\(\s*"([a-z_.]+)"')


def test_each_action_is_in_the_documentation() -> None:
    files = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    recorded = {action for name in files for action in _RECORDED.findall((ROOT / name).read_text())}
    documented = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", (ROOT / "docs/accounts.md").read_text()))
    assert len(recorded) > 8
    assert recorded <= documented
