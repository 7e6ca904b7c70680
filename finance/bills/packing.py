"""Bills as they come: plain, or packed with gzip or zip, and unpacked within bounds."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from core.errors import TooLarge
from finance.bills.reading import UnreadableBill

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKING_ERRORS: Final = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What reading a packed file that is damaged, or packed in a way of its own, may raise."""


class BillTooLarge(TooLarge):
    """The file is small as it came and too large unpacked."""

    code = "BILL_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the file holds more than {limit} bytes when unpacked; import it from the command line")


def opened(file: BinaryIO, limit: int | None = None) -> BinaryIO:
    """The file, unpacked where it is gzip or a zip of one file, to `limit` bytes at most; None is however many.

    Raises UnreadableBill; reading it raises PACKING_ERRORS or BillTooLarge.
    """
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return _bounded(cast("BinaryIO", gzip.GzipFile(fileobj=file)), limit)
    if magic != b"PK\x03\x04":
        return file
    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise UnreadableBill(f"the zip holds {len(names)} files; import them one by one")
    return _bounded(cast("BinaryIO", archive.open(names[0])), limit)


def _bounded(file: BinaryIO, limit: int | None) -> BinaryIO:
    return file if limit is None else cast("BinaryIO", io.BufferedReader(_Bounded(file, limit)))


class _Bounded(io.RawIOBase):
    """A file that is read to `limit` bytes at most. Raises BillTooLarge at the next."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """How many bytes were read into the buffer."""
        view = memoryview(buffer)
        content = self._file.read(len(view))
        if self._file.tell() > self._limit:
            raise BillTooLarge(self._limit)
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The place reached."""
        return self._file.seek(offset, whence)
