"""What the settings are read from."""

import os
from pathlib import Path

from config.settings.secret_files import Env

ROOT_DIR = Path(__file__).resolve().parents[2]
env = Env()

# libc waits five seconds for an answer of a name server, and asks twice. It reads this at the first look-up.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
