"""Waits until Traefik sends requests to these containers and no others. Runs in Traefik's network."""

import json
import sys
import time
import urllib.request

ADDRESS = "http://127.0.0.1:8082/api/http/services/released@file"
TIMEOUT_S = 30


def servers() -> dict[str, str]:
    """Return URL → "UP" or "DOWN". Empty while Traefik does not answer."""
    try:
        with urllib.request.urlopen(ADDRESS, timeout=2) as reply:
            status: dict[str, str] = json.load(reply).get("serverStatus", {})
            return status
    except OSError:
        return {}


def main() -> None:
    wanted = dict.fromkeys((f"http://{name}:8000" for name in sys.argv[1:]), "UP")
    deadline = time.monotonic() + TIMEOUT_S
    while (found := servers()) != wanted:
        if time.monotonic() > deadline:
            sys.exit(f"Traefik does not use the new containers. It has: {found}")
        time.sleep(0.2)  # between two checks


if __name__ == "__main__":
    main()
