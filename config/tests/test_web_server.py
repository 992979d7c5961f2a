"""What is done before the web processes fork."""

import os
import subprocess
import sys

from config.settings.environment import ROOT_DIR as ROOT


def test_the_views_are_imported_before_the_processes_fork() -> None:
    code = "import sys; from config.web_server import load; load(threads=1); print('config.api_router' in sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "True", result.stderr
