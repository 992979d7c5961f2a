"""Uploads on S3, or on anything that speaks its protocol (DJANGO_MEDIA_BACKEND=s3)."""

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.base import File
from django.utils.encoding import filepath_to_uri
from storages.backends.s3 import S3Storage

from moon_vision_challenge.classification.exceptions import StorageUnavailableError


class S3MediaStorage(S3Storage):  # type: ignore[misc]  # django-storages has no types
    """An upload's URL is the service's own, and stays the same; who asks there is sent on to a presigned URL."""

    def check(self) -> None:
        """Raises StorageUnavailableError if the bucket does not answer, or refuses us."""
        with _translated_errors():
            self.connection.meta.client.head_bucket(Bucket=self.bucket_name)

    def url(self, name: str) -> str:
        return settings.MEDIA_URL + filepath_to_uri(name)

    def presigned_url(self, name: str) -> str:
        """Where S3 itself gives the file to anybody who has this URL, for `querystring_expire` seconds."""
        return str(super().url(name))

    def _save(self, name: str, content: "File[bytes]") -> str:
        with _translated_errors():
            return str(super()._save(name, content))

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with _translated_errors():
            file: File[bytes] = super()._open(name, mode)
            file.file  # noqa: B018  # fetched now: a later read cannot fail
            return file

    def delete(self, name: str) -> None:
        with _translated_errors():
            super().delete(name)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise StorageUnavailableError(f"S3: {error}") from error
