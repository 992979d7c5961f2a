"""The upload of a job. It is on disk only once on its way from the socket to the store."""

import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from django.conf import settings
from django.utils import timezone

from moon_vision_challenge.classification.media_store import media_store
from moon_vision_challenge.jobs import archives
from moon_vision_challenge.jobs.archives import form
from moon_vision_challenge.jobs.archives.entries import Entry, distinct, measure
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EmptyJobError, UnreadableArchiveError, UploadTooLargeError
from moon_vision_challenge.jobs.models import Job

FOLDER = "jobs"
_CHUNK_BYTES = 256 * 1024


class Contents(NamedTuple):
    """What an upload holds."""

    container: str
    source: Source
    total: int
    fields: dict[str, Any]


class Upload:
    """A file with the body of a request. It is deleted at the end of the block, unless it is kept.

    Args:
        path: a file that the web server has written, and deletes itself. If it is None, the body is copied to a file.
    """

    def __init__(self, path: str | None, body: IO[bytes], boundary: str | None) -> None:
        self._is_own = path is None
        self._path = Path(path or _copy(body))
        self._file = self._path.open("r+b")
        self._boundary = boundary
        self.size = self._path.stat().st_size

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._is_own:
            self._path.unlink(missing_ok=True)

    def inspect(self) -> Contents:
        """Count what the upload contains. Only a compressed tar is unpacked for this.

        Raises MalformedBodyError, UnreadableArchiveError, EmptyJobError, JobTooLargeError.
        """
        whole = Source(self._file.fileno(), 0, self.size, self._boundary or "")
        if self._boundary is None:
            return _inspect_archive(whole, {})
        fields, images, archive = _read_form(whole)
        if len(archive) > 1 or (archive and images):
            raise UnreadableArchiveError("the request has other files, too. Send one archive, or images.")
        if archive:
            return _inspect_archive(Source(self._file.fileno(), archive[0].begin, archive[0].size), fields)
        return Contents(archives.FORM, whole, measure(images), fields)

    def keep(self) -> str:
        """Move it to the media store. Return its name there. Raises StorageUnavailableError."""
        name = f"{FOLDER}/{timezone.now():%Y-%m-%d}-{uuid.uuid4().hex}"
        media_store.keep(self._path, name)
        return name


def spool_folder() -> str:
    """Return the folder in which uploads arrive, on the disk where they stay."""
    return str(media_store.spool_folder(FOLDER))


def payload_sha256(contents: Contents, options: str) -> str:
    """Hash the options and the content without the boundary: a client that repeats a form chooses another one."""
    digest = hashlib.sha256(f"{options} {contents.container} ".encode())
    if contents.container == archives.FORM:
        for entry in archives.walk(contents.container, contents.source):
            digest.update(f"{entry.name} {entry.size} ".encode())
            digest.update(entry.read() if entry.stored else b"")
        return digest.hexdigest()
    stream = contents.source.stream()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def opened(job: Job) -> Iterator[Source]:
    """Raises FileNotFoundError, StorageUnavailableError."""
    with media_store.as_local_file(job.upload) as file:
        yield Source(file.fileno(), job.upload_offset, job.upload_bytes, job.boundary)


def entries(job: Job, source: Source) -> Iterator[Entry]:
    """Return the entries of the job, in order."""
    found = archives.walk(job.container, source)
    return found if job.container == archives.FORM else distinct(found)


def delete(job: Job) -> None:
    """Raises StorageUnavailableError."""
    if job.upload:
        media_store.delete(job.upload)


def delete_abandoned(*, older_than_s: float) -> int:
    """Delete what killed processes have left behind, and what no job needs. Return the number of files."""
    end = timezone.now() - timedelta(seconds=older_than_s)
    old = {name for name, changed in media_store.files(FOLDER) if changed < end}
    abandoned = old.difference(Job.objects.exclude(upload="").values_list("upload", flat=True))
    media_store.delete_many(abandoned)
    return len(abandoned)


def _copy(body: IO[bytes]) -> str:
    """Copy the body to a file, for a small body or without our web server."""
    Path(spool_folder()).mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(dir=spool_folder(), prefix="upload-")
    size = 0
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := body.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > settings.JOB_MAX_BYTES:
                    raise UploadTooLargeError
                file.write(chunk)
    except BaseException:
        Path(path).unlink()
        raise
    return path


def _inspect_archive(source: Source, fields: dict[str, Any]) -> Contents:
    if not source.size:
        raise EmptyJobError
    container = archives.recognize(source)
    if container is None:
        raise UnreadableArchiveError(f"it is {archives.describe_unknown(source)}.")
    return Contents(container, source, measure(archives.walk(container, source)), fields)


def _read_form(source: Source) -> tuple[dict[str, Any], list[Entry], list[form.Part]]:
    """Return the form's fields as text, its images without their content, and its archives."""
    fields: dict[str, Any] = {}
    images: list[Entry] = []
    archive: list[form.Part] = []
    for part in form.parts(source):
        match part.name:
            case form.IMAGE:
                images.append(Entry("", part.size, bytes))
            case form.ARCHIVE:
                archive.append(part)
            case name:
                if text := part.content.decode(errors="replace").strip():  # a form also sends empty fields
                    fields[name] = text
    return fields, images, archive
