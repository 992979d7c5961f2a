#!/usr/bin/env python3
"""Asks a running service what its API promises; needs Python alone. Exits 1 at the first promise that is not kept.

smoke.py BASE_URL                contract: signature, v0, v1, errors
smoke.py BASE_URL post COUNT     post that many photos to v1, print the ids, one a line
smoke.py BASE_URL wait < IDS     wait until all of them are done with the right label
smoke.py BASE_URL load SECONDS   post photos to v0 one after the other, until SIGINT; every answer must be right

The environment variable API_TOKEN is sent as the token, if it is set.
TLS certificates are not verified: a trial has one that it signed itself.
"""

import argparse
import json
import os
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

PHOTO = Path(__file__).parents[2] / "samples" / "coffee.jpg"
MODEL_TYPE, LABEL = "efficientnet_lite0", "espresso"
TIMEOUT_S = 30
WAIT_S = 300  # longer than the lease of a killed worker, and the sweep that finds it

AUTHORIZATION = {"Authorization": f"Token {os.environ['API_TOKEN']}"} if os.environ.get("API_TOKEN") else {}

throttled: list[str] = []
"""The URL of each request that was answered with 429 and then sent again."""

_unverified = ssl.create_default_context()
_unverified.check_hostname = False
_unverified.verify_mode = ssl.CERT_NONE


def ask(method: str, url: str, body: bytes | None = None, content_type: str = "application/json") -> tuple[int, Any]:
    """Return the status and JSON of an answer. After a 429, waits as long as requested, and sends the request again."""
    headers = {"Content-Type": content_type} | AUTHORIZATION
    request = urllib.request.Request(url, body, headers, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_unverified) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code != 429:
                text = error.read().decode(errors="replace")
                return error.code, json.loads(text) if text.startswith("{") else text
            throttled.append(url)
            time.sleep(float(error.headers["Retry-After"]))


def post_photo(url: str, model_type: str = MODEL_TYPE, photo: bytes | None = None) -> tuple[int, Any]:
    boundary = uuid.uuid4().hex
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="model_type"\r\n\r\n{model_type}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    ).encode() + (PHOTO.read_bytes() if photo is None else photo)
    return ask("POST", url, body + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def expect(promise: str, got: object, wanted: object) -> None:
    if got != wanted:
        sys.exit(f"FAILED {promise}: got {got!r}, wanted {wanted!r}")


def check_contract(v0: str, v1: str) -> None:
    for url in (v0, v1):
        status, body = ask("OPTIONS", url)
        expect(f"OPTIONS {url}", (status, body["actions"]["POST"]["image"]["type"]), (200, "file upload"))
        expect(f"GET {url} is not allowed", ask("GET", url)[0], 405)
        expect("an empty body names both fields", sorted(ask("POST", url, b"{}")[1]), ["image", "model_type"])
        status, body = post_photo(url, photo=b"no image")
        expect("text is not an image", (status, list(body)), (400, ["image"]))
        status, body = post_photo(url, model_type="no-such-model")
        expect("an unknown model_type", (status, list(body)), (400, ["model_type"]))
    expect("v0 answers with the label", post_photo(v0), (200, {"label": LABEL}))
    status, row = post_photo(v1)
    expect("v1 puts into the queue", (status, row.get("status"), row.get("label")), (201, "pending", ""))
    wait_for(v1, [row["id"]])
    image = urllib.request.Request(row["image"], headers=AUTHORIZATION)
    with urllib.request.urlopen(image, timeout=TIMEOUT_S, context=_unverified) as reply:
        expect("the image comes back as it was", reply.read(), PHOTO.read_bytes())
    expect("an unknown id", ask("GET", f"{v1}999999999/")[0], 404)
    print("the API keeps its contract")


def wait_for(v1: str, ids: list[int]) -> None:
    deadline = time.monotonic() + WAIT_S
    for inference_id in ids:
        while (row := ask("GET", f"{v1}{inference_id}/")[1])["status"] not in ("done", "fail"):
            if time.monotonic() > deadline:
                sys.exit(f"FAILED inference {inference_id} is still {row['status']} after {WAIT_S} s")
            time.sleep(0.1)  # between two checks
        expect(f"inference {inference_id}", (row["status"], row["label"]), ("done", LABEL))


def load(v0: str, seconds: float) -> int:
    """Post photos to v0 and return how many. Ends early at SIGINT."""
    stop = threading.Event()
    with suppress(ValueError):  # signal() fails outside the main thread
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        print("posting photos", file=sys.stderr)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end and not stop.is_set():
        expect(f"answer {count}", post_photo(v0), (200, {"label": LABEL}))
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("action", nargs="?", default="contract", choices=["contract", "post", "wait", "load"])
    parser.add_argument("amount", nargs="?", type=float, default=1)
    arguments = parser.parse_args()
    v0, v1 = (f"{arguments.base_url.rstrip('/')}/api/{version}/inferences/" for version in ("v0", "v1"))
    match arguments.action:
        case "contract":
            check_contract(v0, v1)
        case "post":
            for _ in range(int(arguments.amount)):
                status, row = post_photo(v1)
                expect("v1 accepts", status, 201)
                print(row["id"])
        case "wait":
            ids = [int(line) for line in sys.stdin]
            wait_for(v1, ids)
            print(f"{len(ids)} of {len(ids)} done with the right label")
        case "load":
            print(f"{load(v0, arguments.amount)} requests, all answered rightly")


if __name__ == "__main__":
    main()
