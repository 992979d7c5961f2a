"""What the settings are read from."""

import os
from pathlib import Path

import environ

ROOT_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

# libc waits five seconds for an answer of a name server, and asks twice. It reads this at the first look-up.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
