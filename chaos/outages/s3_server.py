"""A real S3 server on this machine: SeaweedFS, from its wheel."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from native.environment import CannotRunError, free_port

BUCKET, ACCESS_KEY, SECRET_KEY = "uploads", "test-key", "test-secret"
START_TIMEOUT_S = 120
CLIENT_CONFIG = Config(signature_version="s3v4", retries={"mode": "standard", "total_max_attempts": 1})


class S3Server:
    """Keeps everything in `folder`. `make_bucket` creates the bucket BUCKET."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "s3.log"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identities = [{"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        names = ("master", "volume", "filer", "s3")
        ports = {option: free_port() for name in names for option in (f"{name}.port", f"{name}.port.grpc")}
        self.port = ports["s3.port"]
        weed = str(Path(sys.executable).with_name("weed"))
        self._command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        self._command += ["-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        self._command += [f"-{option}={port}" for option, port in ports.items()]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def halt(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def make_bucket(self) -> None:
        """Wait until the server answers, and create the bucket."""
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=self.url, config=CLIENT_CONFIG, **keys)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="elsewhere/secret.txt", Body=b"not an upload")
            except (BotoCoreError, ClientError) as error:
                if time.monotonic() > deadline:
                    last = self._log.read_text(errors="replace")[-2000:]
                    raise CannotRunError(f"SeaweedFS did not start: {error}\n{last}") from error
                time.sleep(0.1)  # between two tries
            else:
                return


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    server.start()
    try:
        server.make_bucket()
        yield server
    finally:
        server.kill()
