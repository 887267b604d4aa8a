"""Members of a ZIP file, Zstandard ones (method 93) included, which Python reads from 3.14 only; none is ever unpacked.

Names of members are only looked up, never used as paths. A member is read in pieces up to a limit, so that a small file
cannot fill the memory.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular.wording import quoted

LIMIT: Final = 1 << 30  # bytes of one member after decompression
_PIECE: Final = 1 << 20
_ZSTD: Final = 93
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")  # signature, ..., lengths of the name and of the extra field
_FAULTS: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError)


class ZipMembers:
    """The members of one open ZIP file by name, the last of several of one name."""

    def __init__(self, path: Path, file: IO[bytes], archive: zipfile.ZipFile) -> None:
        self.path = path
        self._file = file
        self._archive = archive
        self.names = list(dict.fromkeys(info.filename for info in archive.infolist()))
        self.repeated = len(archive.infolist()) - len(self.names)

    def read(self, name: str, *, most: int = LIMIT) -> bytes:
        """The content of a member of at most ``most`` bytes.

        Raises:
            TableError: It is larger, damaged, encrypted, or compressed in a way that is not known.
        """
        info = self._archive.getinfo(name)
        where = f"{self.path}: the member {quoted([name])}"
        if info.flag_bits & 1:
            raise TableError(f"{where} is encrypted; unpack the file and zip it again without a password.")
        try:
            with self._opened(info) as stream:
                content = _up_to(stream, most) if info.file_size <= most else None
        except (*_FAULTS, struct.error, zlib.error) as fault:
            raise TableError(
                f"{where} cannot be read: {str(fault).splitlines()[0] if str(fault) else fault!r}."
            ) from fault
        if content is None:
            raise TableError(f"{where} holds more than {most} bytes; remove long texts, or split the file.")
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise TableError(f"{where} is damaged (its length or checksum is wrong); copy the file again.")
        return content

    def _opened(self, info: zipfile.ZipInfo) -> Any:
        if info.compress_type != _ZSTD:
            return self._archive.open(info)
        import pyarrow as pa

        self._file.seek(info.header_offset)
        signature, name, extra = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no member begins where the directory says")
        self._file.seek(name + extra, 1)
        packed = self._file.read(info.compress_size)
        if len(packed) != info.compress_size:
            raise zipfile.BadZipFile("the file ends too early")
        return pa.input_stream(pa.BufferReader(packed), compression="zstd")  # reads on from frame to frame


def _up_to(stream: Any, most: int) -> bytes | None:
    """What is in the stream, or None where it is more than ``most`` bytes."""
    content = bytearray()
    while piece := stream.read(_PIECE):
        content += piece
        if len(content) > most:
            return None
    return bytes(content)


@contextmanager
def zip_members(path: Path) -> Iterator[ZipMembers]:
    """The members of a ZIP file, while it is open.

    Raises:
        TableError: The file is no ZIP file, or its directory is damaged.
    """
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*_FAULTS, struct.error) as fault:
            raise TableError(f"{path}: this is not a ZIP file that can be read ({fault}); copy it again.") from fault
        with archive:
            yield ZipMembers(path, file, archive)
