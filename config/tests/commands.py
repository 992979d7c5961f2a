"""Runs Python as a user would, and captures its output."""

import os
import subprocess
import sys
from collections.abc import Mapping

LIMIT_S = 600


def run_python(*arguments: str, env: Mapping[str, str] = os.environ) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )
