"""The documents of an ERASER data set: tokens and sentences as published, and the text that is stored of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import RawFile, raw_file
from dfar_toolkit.sources.line_records import line_records
from dfar_toolkit.spans import Span, joined_tokens
from dfar_toolkit.tabular import nearest, quoted

_FOLDER: Final = "docs"
_FILE: Final = "docs.jsonl"


class Document(NamedTuple):
    """The stored text (a space between tokens, a line per sentence), its tokens, and where they stand in it."""

    text: str
    tokens: list[str]
    units: list[Span]


def document(sentences: list[list[str]]) -> Document:
    r"""A document from the tokens of its sentences; tokens are counted through the sentences.

    Example:
        >>> document([["It", "rained", "."], ["So", "?"]]).text
        'It rained .\nSo ?'
    """
    lines, tokens, units = [], [], []
    at = 0
    for sentence in sentences:
        text, spans = joined_tokens(sentence)
        units += [(start + at, end + at) for start, end in spans]
        tokens += sentence
        lines.append(text)
        at += len(text) + 1
    return Document("\n".join(lines), tokens, units)


class Documents:
    """The documents of a data set by their ids, read when asked for.

    Raises:
        SourceError: Both ``docs`` and ``docs.jsonl`` are there, or neither, or the file is not in the layout.
    """

    def __init__(self, folder: Path) -> None:
        self._home = folder
        self._read: dict[str, Document] = {}
        self._lines: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        inside, file = folder / _FOLDER, folder / _FILE
        if inside.is_dir() == file.is_file():
            found = f"both {_FOLDER} and {_FILE}" if file.is_file() else "neither"
            raise SourceError(f"{folder}: wanted the documents in a folder {_FOLDER} or in {_FILE}; found {found}.")
        if file.is_file():
            self._take_lines(file)
        else:  # ids are looked up among the files that are there: none is ever made into a path
            self._paths = {path.relative_to(inside).as_posix(): path for path in inside.rglob("*") if path.is_file()}

    def __contains__(self, docid: str) -> bool:
        """Whether there is a document of that id."""
        return docid in self._paths or docid in self._lines

    def get(self, docid: str, where: str) -> Document:
        """The document; ``where`` begins the error if there is none."""
        if docid not in self:
            known = self._paths or self._lines
            raise SourceError(
                f"{where}: there is no document {quoted([docid])} among {len(known)}.{nearest(docid, known)}"
            )
        if docid not in self._read:
            self._read[docid] = document(self._sentences(docid))
        return self._read[docid]

    def file(self) -> RawFile:
        """The account of the file; of a folder one for all its files, by names and sums."""
        if self._lines:
            return raw_file(self._home / _FILE, rows=len(self._lines))
        whole, n_bytes = hashlib.sha256(), 0
        for docid in sorted(self._paths):
            one = raw_file(self._paths[docid], rows=1)
            whole.update(f"{docid}\0{one.sha256}\n".encode())
            n_bytes += one.n_bytes
        return RawFile(_FOLDER, whole.hexdigest(), n_bytes, len(self._paths))

    def _take_lines(self, file: Path) -> None:
        for record in line_records(file, ["docid", "document"]):
            docid, text = record.get("docid"), record.get("document")
            if isinstance(docid, bool) or not isinstance(docid, str | int) or not isinstance(text, str):
                raise SourceError(
                    f"{file}: wanted a docid and a text as document; found {quoted([docid])} without one."
                )
            if str(docid) in self._lines:
                raise SourceError(f"{file}: wanted each docid once; found {quoted([docid])} twice.")
            self._lines[str(docid)] = text

    def _sentences(self, docid: str) -> list[list[str]]:
        if docid in self._lines:  # here empty lines and tokens count
            return [line.strip().split(" ") for line in self._lines[docid].split("\n")]
        path = self._paths[docid]
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as fault:
            raise SourceError(
                f"{path}: invalid UTF-8 at offset {fault.start}; if the file was saved on Windows, convert it: "
                "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."
            ) from None
        except OSError as fault:
            raise SourceError(f"{path}: cannot be read: {fault.strerror}.") from fault
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        tokens = [[token for token in line.strip().split(" ") if token] for line in lines]
        return [sentence for sentence in tokens if sentence]
