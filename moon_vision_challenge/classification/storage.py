"""Uploads on S3, or on anything that speaks its protocol (DJANGO_MEDIA_BACKEND=s3)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from moon_vision_challenge.circuit_breaker import CircuitBreaker
from moon_vision_challenge.classification.exceptions import StorageUnavailableError

_LATE_S = 1.0
_MAX_LATE = 2


class S3MediaStorage(S3Storage):  # type: ignore[misc]  # django-storages has no types
    """An upload's URL is the service's own (media_urls.py). It redirects to a presigned URL."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._breaker = CircuitBreaker(open_s=5)
        self._pending: list[float] = []
        """When each of the calls that are not answered yet began; of time.monotonic()."""

    def check(self) -> None:
        """Raises StorageUnavailableError if the bucket does not answer, or refuses us."""
        with self._call():
            self.connection.meta.client.head_bucket(Bucket=self.bucket_name)

    def presigned_url(self, name: str, *, valid_s: int, media_type: str, disposition: str) -> str:
        """Where S3 itself gives the file to anybody who has this URL, for `valid_s` seconds."""
        parameters = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": f"private, max-age={valid_s}",
        }
        return str(super().url(name, parameters=parameters, expire=valid_s))

    def _save(self, name: str, content: "File[bytes]") -> str:
        with self._call():
            return str(super()._save(name, content))

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with self._call():
            file: File[bytes] = super()._open(name, mode)
            file.file  # noqa: B018  # fetched now: a later read cannot fail
            return file

    def delete(self, name: str) -> None:
        with self._call():
            super().delete(name)

    @contextmanager
    def _call(self) -> Iterator[None]:
        self._refuse_while_it_hangs()
        begin = time.monotonic()
        self._pending.append(begin)
        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            if isinstance(error, HTTPClientError):  # no answer at all
                self._breaker.trip()
            raise StorageUnavailableError(f"S3: {error}") from error
        else:
            self._breaker.close()
        finally:
            self._pending.remove(begin)

    def _refuse_while_it_hangs(self) -> None:
        """A store that hangs may hold two threads of the web server, not all of them."""
        late = [begin for begin in self._pending if time.monotonic() - begin > _LATE_S]
        if len(late) >= _MAX_LATE or not self._breaker.lets_through():
            raise StorageUnavailableError("S3 does not answer, so it is not asked")
