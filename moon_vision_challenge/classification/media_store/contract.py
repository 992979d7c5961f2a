"""What the service needs from a store of uploads, in addition to Django's `Storage`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from django.core.files.storage import Storage


class MediaStore(Storage, ABC):
    """Stores uploads under names that clients do not choose.

    All methods, including those of `Storage`, raise StorageUnavailableError if the store does not answer or refuses the
    request, and StorageFullError if it has no room.
    """

    def prepare(self) -> None:  # a folder has nothing to prepare
        """Do slow setup once, before the process forks."""

    @abstractmethod
    def check(self) -> int | None:
        """Check that uploads can be stored. Returns the number of free bytes, if the store knows it."""

    @abstractmethod
    def files(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """Yield the name and the modification time of each file in a folder."""

    @abstractmethod
    def stored_bytes(self) -> int:
        """Return the size of all files."""

    @abstractmethod
    def delete_many(self, names: Iterable[str]) -> None:
        """Delete files. Ignores files that do not exist."""

    @abstractmethod
    def spool_folder(self, folder: str) -> Path:
        """Return a folder on this machine for files that `keep` then moves into `folder`."""

    @abstractmethod
    def keep(self, path: Path, name: str) -> None:
        """Move a file from this machine into the store. The path may no longer exist afterward."""

    @abstractmethod
    def as_local_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open the content as a file on this machine that has a descriptor. Raises FileNotFoundError."""

    def direct_url(self, name: str, *, valid_s: int, media_type: str, disposition: str) -> tuple[str, int] | None:
        """Return a URL at which the store itself serves the file, and how many seconds it is valid.

        Anyone who has the URL can get the file. The default is None: the service must serve the file.

        Args:
            valid_s: the longest time that the URL may be valid.
        """
