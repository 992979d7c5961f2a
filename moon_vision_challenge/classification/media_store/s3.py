"""Stores uploads on S3, or on any server that speaks its protocol (DJANGO_MEDIA_BACKEND=s3)."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from moon_vision_challenge.circuit_breaker import CircuitBreaker, CircuitOpenError
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store import stored_bytes
from moon_vision_challenge.classification.media_store.contract import MediaStore
from moon_vision_challenge.classification.media_store.s3_deadline import DeadlineExceededError, deadline
from moon_vision_challenge.pending_calls import PendingCalls
from moon_vision_challenge.waiting_threads import waiting

logger = logging.getLogger(__name__)

_LATE_S = 1.0
_MAX_LATE = 2
_SLOW_BYTES_PER_S = 5_000_000
"""A call is late if it takes longer than _LATE_S plus the time to transfer its file at this rate."""
_IMAGE_BYTES = 20 * 1024 * 1024
"""The size that the deadline allows for. A job's larger upload gets proportionally more, up to _LONGEST deadlines."""
_LONGEST = 3
"""Of 15 s each. In total, less than a worker's lease on a job, and less than an ingress waits for an answer."""
_MEMORY_BYTES = 32 * 1024 * 1024
"""A larger file is downloaded to disk."""
_MAX_DELETED = 1000
"""The maximum number of files that S3 deletes in one request."""
_NOT_ASKED = "S3 does not answer, so the call is skipped"


class S3Store(MediaStore, S3Storage):  # type: ignore[misc]  # django-storages has no types
    """A bucket on S3. An upload's URL belongs to the service (signed_urls.py), and redirects to a presigned URL."""

    def __init__(self, *, deadline_s: float = 15, list_deadline_s: float = 75, **options: Any) -> None:
        """`deadline_s` limits a whole call, and `list_deadline_s` limits listing all files."""
        # The deadline applies only to the calling thread.
        transfer_config = TransferConfig(use_threads=False)
        super().__init__(**{"max_memory_size": _MEMORY_BYTES, **options}, transfer_config=transfer_config)
        self._deadline_s = deadline_s
        self._list_deadline_s = list_deadline_s
        self._breaker = CircuitBreaker(open_s=5, probe=self._probe)
        self._pending = PendingCalls()

    def prepare(self) -> None:
        self.bucket  # noqa: B018  # created at the first access, which takes a second of CPU time and does not call S3

    def check(self) -> None:
        with self._call():
            self.bucket.meta.client.head_bucket(Bucket=self.bucket_name)

    def direct_url(self, name: str, *, valid_s: int, media_type: str, disposition: str) -> tuple[str, int]:
        valid_s = min(valid_s, self.querystring_expire)
        parameters = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": f"private, max-age={valid_s}",
        }
        return str(S3Storage.url(self, name, parameters=parameters, expire=valid_s)), valid_s

    def spool_folder(self, folder: str) -> Path:  # noqa: ARG002  # it is not on S3
        return Path(tempfile.gettempdir())

    def keep(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            self.save(name, File(file))

    @contextmanager
    def as_local_file(self, name: str) -> Iterator[BinaryIO]:
        with self.open(name) as file:
            yield cast("BinaryIO", file)

    def files(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Yield files, requested a thousand at a time."""
        prefix, token = f"{self.location}/", ""
        while True:
            with self._call():
                page = self.bucket.meta.client.list_objects_v2(
                    Bucket=self.bucket_name,
                    Prefix=f"{prefix}{folder}/",
                    **({"ContinuationToken": token} if token else {}),
                )
            for each in page.get("Contents", []):
                yield str(each["Key"]).removeprefix(prefix), each["LastModified"]
            if not (token := page.get("NextContinuationToken", "")):
                return

    def stored_bytes(self) -> int:
        with self._call(self._list_deadline_s):
            pages = self.bucket.meta.client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self.bucket_name, Prefix=f"{self.location}/")
            return sum(int(each["Size"]) for page in found for each in page.get("Contents", []))

    def _save(self, name: str, content: "File[bytes]") -> str:
        stored_bytes.reserve(content.size)
        with self._call(size=content.size):
            return str(super()._save(name, content))

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with self._call():
            file: File[bytes] = super()._open(name, mode)  # this reads its size
        with self._call(size=file.size):
            try:
                file.file  # noqa: B018  # fetched now, so that a later read cannot fail
            except BaseException:
                file.close()  # this discards what has arrived
                raise
            return file

    def delete(self, name: str) -> None:
        with self._call():
            super().delete(name)

    def delete_many(self, names: Iterable[str]) -> None:
        """Delete files, a thousand per request."""
        remaining = list(names)
        for begin in range(0, len(remaining), _MAX_DELETED):
            self._delete_at_once(remaining[begin : begin + _MAX_DELETED])

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Return the folders and files in a folder. A folder that does not exist is empty."""
        with self._call():
            folders, files = super().listdir(name)
            return folders, files

    def _delete_at_once(self, names: Sequence[str]) -> None:
        keys = [{"Key": self._normalize_name(name)} for name in names]
        with self._call():
            try:
                answer = self.bucket.delete_objects(Delete={"Objects": keys, "Quiet": True})
            except ClientError as error:
                logger.info("S3 does not delete many files at once, so they are deleted one by one: %s", error)
                for name in names:
                    super().delete(name)
                return
        if errors := answer.get("Errors"):
            raise StorageUnavailableError(f"S3 has not deleted {len(errors)} of {len(names)} files: {errors[0]}")

    @contextmanager
    def _call(self, deadline_s: float | None = None, *, size: int = 0) -> Iterator[None]:
        """Let at most two threads of the web server wait for a store that hangs."""
        if self._pending.late >= _MAX_LATE:
            raise StorageUnavailableError(_NOT_ASKED)
        self.prepare()
        late_after_s = _LATE_S + size / _SLOW_BYTES_PER_S
        limit_s = deadline_s or self._deadline_s * min(_LONGEST, max(1, size / _IMAGE_BYTES))
        try:
            with (
                waiting(),
                self._pending.call(late_after_s),
                self._breaker.call(HTTPClientError, DeadlineExceededError),
                deadline(limit_s),
            ):
                yield
        except CircuitOpenError as error:
            raise StorageUnavailableError(_NOT_ASKED) from error
        except (Boto3Error, BotoCoreError, ClientError, DeadlineExceededError) as error:
            raise StorageUnavailableError(f"S3: {error}") from error

    def _probe(self) -> None:
        with suppress(ClientError), deadline(self._deadline_s):  # a refusal shows that S3 answers
            self.bucket.meta.client.head_bucket(Bucket=self.bucket_name)
