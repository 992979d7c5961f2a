"""requirements/audit.sh distinguishes "no vulnerabilities" from "unknown"."""

import os
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

SCRIPT = settings.ROOT_DIR / "requirements" / "audit.sh"
KNOWS_DJANGO = 'grep --quiet "^django==3.2.0" "$2" && echo "django 3.2.0 PYSEC-1" && exit 1'


@pytest.mark.parametrize(
    ("index", "status", "message"),
    [
        (f"{KNOWS_DJANGO}; exit 0", 0, "uv.txt: no known vulnerabilities"),
        (f'{KNOWS_DJANGO}; echo "uv 1 PYSEC-2"; exit 1', 1, "PYSEC-2"),
        ("exit 0", 3, "leaves vulnerabilities out"),
        ("echo ConnectionError >&2; exit 1", 3, "does not answer"),
        (f"{KNOWS_DJANGO}; echo ConnectionError >&2; exit 1", 3, "does not answer"),
    ],
)
def test_an_audit_without_an_answer_is_not_a_clean_one(index: str, status: int, message: str, tmp_path: Path) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/bash\n{index}\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([SCRIPT, "uv.txt"], env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == status
    assert message in done.stdout + done.stderr
