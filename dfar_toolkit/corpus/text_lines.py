"""A plain text file as its lines."""

from __future__ import annotations

from pathlib import Path

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular.whole_file import whole_file
from dfar_toolkit.tabular.wording import ContentError


def text_lines(path: Path) -> list[str]:
    r"""The lines of a UTF-8 text file, with or without a byte-order mark, by any line end; none is left out.

    Raises:
        TableError: The file is missing, empty, packed, a folder, or not UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "texts.txt"
        >>> _ = path.write_bytes(b"one\r\ntwo\n")
        >>> text_lines(path)
        ['one', 'two']
    """
    try:
        data = whole_file(path, folder="this is a folder; wanted a text file.")
    except ContentError as bad:
        raise TableError(f"{path}: {bad}") from bad.__cause__
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as bad:
        where = data[: bad.start].count(b"\n") + 1
        raise TableError(f"{path}: wanted UTF-8, found another encoding in line {where}; save it as UTF-8.") from bad
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
