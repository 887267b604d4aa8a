"""The bytes of a file, and what is refused before a byte of it is read for good: pipes, devices, packed files."""

from __future__ import annotations

import codecs
import io
import stat
import zipfile
from pathlib import Path
from typing import Final

from dfar_toolkit.tabular.wording import ContentError

_PACKED: Final = {  # first bytes: who packed it, what unpacks it
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"PK\x03\x04": ("zip", "unzip"),
}
_OLD_SPREADSHEET: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_SPREADSHEETS: Final = ("xl/workbook.xml", "xl/workbook.bin", "content.xml", "Index/Document.iwa")


def refuse_special(path: Path) -> None:
    """Refuse a pipe or a device, which may keep the reader waiting for ever; a folder is left to the caller.

    Raises:
        ContentError: It is neither a file nor a folder.
        OSError: It cannot be looked at, such as when there is none.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ContentError("this is a pipe or a device; write what it gives into a file first.")


def whole_file(path: Path, *, folder: str, zipped: bool = False) -> bytes:
    """The bytes after a byte-order mark, or why there are none.

    Args:
        path: The file.
        folder: What to say where it is a folder.
        zipped: Whether a zip archive is what may be wanted.

    Raises:
        ContentError: It is absent, empty, packed, no file, or cannot be read.
    """
    try:
        refuse_special(path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise ContentError("there is no such file.") from None
    except IsADirectoryError:
        raise ContentError(folder) from None
    except OSError as fault:
        raise ContentError(f"cannot be read: {fault.strerror}.") from fault
    if _is_spreadsheet(data):
        raise ContentError("this is a spreadsheet; save the sheet as CSV (UTF-8) and give that file.")
    for start, (packer, unpacker) in _PACKED.items():
        if data.startswith(start) and not (zipped and packer == "zip"):
            raise ContentError(f"this file is packed with {packer}; unpack it first: {unpacker} FILE.")
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise ContentError("the file is empty.")
    return data


def _is_spreadsheet(data: bytes) -> bool:
    """Whether this is a workbook, whatever the file is called: those of today are zip archives."""
    if not data.startswith(b"PK\x03\x04"):
        return data.startswith(_OLD_SPREADSHEET)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name in _IN_SPREADSHEETS for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
