"""``CITATION.cff`` of an items folder: the set by its title, its sources as references; a hand-edited one stays."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from dfar_toolkit.corpus.bibtex import BibEntry, bib_entries, plain
from dfar_toolkit.corpus.licences import spdx
from dfar_toolkit.errors import TableError
from dfar_toolkit.markup import one_line

CITATION: Final = "CITATION.cff"
_HEAD: Final = re.compile(r"# Made from manifest\.json; sha256 of all below this line: ([0-9a-f]{64})\. ")
_DOI: Final = re.compile(r"10\.\d{4,9}(?:\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
_ADDRESS: Final = re.compile(r"https?://[\w./~%?=&#+:@,;()!$'*\[\]-]+", re.ASCII)
_ARXIV: Final = re.compile(r"(?i)arxiv:\s?(\d{4}\.\d{4,5})\b")
_NEWER: Final = ("C-UDA-1.0", "CDLA-Permissive-2.0")  # licences that the format's list may be too old for
_PAGES: Final = re.compile(r"[0-9]+(?:\s*[-–]+\s*[0-9]+)?")
_TYPES: Final = {
    "article": "article", "book": "book", "inproceedings": "conference-paper", "conference": "conference-paper",
    "incollection": "book", "phdthesis": "thesis", "mastersthesis": "thesis", "techreport": "report",
    "manual": "manual", "unpublished": "unpublished", "proceedings": "proceedings", "dataset": "data",
    "software": "software",
}  # fmt: skip


class _Plain(yaml.SafeDumper):
    """The safe writer, except that equal parts are written out each time: not every reader knows anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def citation_text(manifest: Mapping[str, Any]) -> str:
    """The citation of a set in the Citation File Format 1.2.0, without a version and without a date.

    The authors are those of the sources' citations; whoever brought the set together may add themselves.

    Args:
        manifest: The manifest of an items folder.

    Returns:
        YAML below a comment line with the sha256 of that YAML, by which a later build knows its own text.
    """
    sources: Sequence[Mapping[str, Any]] = manifest["sources"]
    references = _once([each for source in sources for each in _references(source)])
    authors = _once([author for each in references for author in each["authors"]])
    title = one_line(manifest["title"]) or one_line(manifest["name"])
    content: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this data, cite the works under references, and this set by its title.",
        "type": "dataset",
        "title": title,
        "authors": authors,
    }
    licences = {str(source["licence"]) for source in sources}
    licence = spdx(next(iter(licences))) if len(licences) == 1 else None  # several would read as a choice
    if licence and licence not in _NEWER:
        content["license"] = licence
    content["references"] = references
    body = yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    digest = hashlib.sha256(body.encode("utf-8")).hexdigest()
    return (
        f"# Made from manifest.json; sha256 of all below this line: {digest}. A file that was edited is kept.\n{body}"
    )


def write_citation(folder: Path, manifest: Mapping[str, Any], *, earlier: Path | None = None) -> bool:
    """Write ``CITATION.cff``, unless a person has edited the one that is there: then that one stays.

    Args:
        folder: The folder to write to.
        manifest: Its manifest.
        earlier: The folder that it will replace, where there is one.

    Returns:
        Whether the file is the generated one.

    Raises:
        TableError: The earlier file is not UTF-8.
    """
    for place in (folder, earlier):
        path = place / CITATION if place is not None else None
        if path is not None and path.is_file():
            kept = path.read_bytes()
            if not is_generated(kept):
                (folder / CITATION).write_bytes(kept)
                return False
            break
    (folder / CITATION).write_bytes(citation_text(manifest).encode("utf-8"))
    return True


def is_generated(content: bytes) -> bool:
    """Whether the bytes of a ``CITATION.cff`` are exactly what a build wrote.

    Raises:
        TableError: The bytes are not UTF-8, so the file can be neither kept as it is nor be ours.

    Example:
        >>> is_generated(b"cff-version: 1.2.0")
        False
    """
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{CITATION}: not UTF-8 (byte {error.start}); save it as UTF-8, or move it away") from error
    head, _, body = content.partition(b"\n")
    said = _HEAD.match(head.decode("utf-8"))
    return said is not None and said.group(1) == hashlib.sha256(body).hexdigest()


def _references(source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A reference for each work that a source asks to cite; the source itself where it names none."""
    entries = bib_entries(str(source["citation"]))
    title = one_line(source["title"]) or one_line(source["name"])
    homepage = _address(str(source["homepage"]))
    if not entries:
        said = one_line(source["citation"])
        paper = f"https://arxiv.org/abs/{found.group(1)}" if (found := _ARXIV.search(said)) else ""
        whole = {"type": "data", "title": title, "authors": _nobody(title), "url": paper or homepage}
        whole |= {"repository": homepage if paper else "", "notes": said}
        return [{key: value for key, value in whole.items() if value != ""}]
    return [_reference(entry, title=title) for entry in entries]


def _once(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each part once, in order: the format refuses lists that repeat themselves."""
    return [part for i, part in enumerate(parts) if part not in parts[:i]]


def _nobody(title: str) -> list[dict[str, str]]:
    """The format wants an author; where none is known, the makers by the name of their work."""
    return [{"name": f"The authors of {title}"}]


def _reference(entry: BibEntry, *, title: str) -> dict[str, Any]:
    given = {name: one_line(text) for name, text in entry.fields.items() if one_line(text)}
    name = given.get("title", title)
    reference: dict[str, Any] = {
        "type": _TYPES.get(entry.kind, "generic"),
        "title": name,
        "authors": _once([_author(*author) for author in entry.authors]) or _nobody(name),
    }
    pages = [int(page) for page in re.findall(r"[0-9]+", given.get("pages", ""))]
    pages = pages if _PAGES.fullmatch(given.get("pages", "")) else []  # the format takes whole numbers only
    reference |= {
        "journal": given.get("journal", ""),
        "collection-title": given.get("booktitle", ""),
        "volume": _whole(given.get("volume", "")),
        "issue": given.get("number", ""),
        "start": pages[0] if pages else "",
        "end": pages[-1] if len(pages) == 2 else "",
        "year": _whole(given.get("year", "")),
        "doi": doi.group() if (doi := _DOI.search(given.get("doi", ""))) else "",
        "url": _address(given.get("url", "") or given.get("howpublished", "")),
    }
    odd = [f"{name} {given[name]}" for name in ("year", "volume") if name in given and _whole(given[name]) == ""]
    if odd:
        reference["notes"] = "as given: " + ", ".join(odd)
    if publisher := given.get("publisher", ""):
        reference["publisher"] = {"name": publisher}
    return {key: value for key, value in reference.items() if value != ""}


def _whole(text: str) -> int | str:
    """A number as the format takes it; empty where the text is something else."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else ""


def _author(family: str, given: str) -> dict[str, str]:
    family, given = one_line(family), one_line(given)
    if not given:
        return {"name": family}
    return {"family-names": family, "given-names": given}


def _address(text: str) -> str:
    """The web address in a text, without what LaTeX put around it."""
    found = _ADDRESS.search(plain(text))
    return found.group().rstrip(".,)") if found else ""
