"""The sources of the settings."""

import os
from pathlib import Path

from config.settings.secret_files import Env

ROOT_DIR = Path(__file__).resolve().parents[2]
env = Env()

# By default, libc waits five seconds for a name server, and asks twice. It reads this variable at the first lookup.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
