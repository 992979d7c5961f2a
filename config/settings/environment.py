"""What the settings are read from."""

from pathlib import Path

import environ

ROOT_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()
