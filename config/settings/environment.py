"""What the settings are read from."""

from pathlib import Path

from config.settings.secret_files import Env

ROOT_DIR = Path(__file__).resolve().parents[2]
env = Env()
