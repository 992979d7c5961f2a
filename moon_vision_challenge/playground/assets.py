"""The page's static files. The hash of all of them is part of their address, so that browsers keep them forever."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"


def _hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


# One folder for all, so that the modules find each other by relative addresses and nothing has to rewrite them.
PREFIX = f"playground/{_hash()}"
