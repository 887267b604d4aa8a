"""ERASER: any data set in the layout of the rationale benchmark (movies, FEVER, MultiRC, BoolQ, e-SNLI, CoS-E, ...).

Layout: a folder with ``train.jsonl``, ``val.jsonl``, ``test.jsonl`` (one annotation per line) and the documents, either
in a folder ``docs`` (a file per document, a sentence per line, tokens between spaces) or in ``docs.jsonl`` (``docid``,
``document``), never both. An invented annotation::

    {"annotation_id": "r1.txt", "query": "Is it good?", "classification": "POS", "query_type": null, "docids": null,
     "evidences": [[{"text": "a joy", "docid": "r1.txt", "start_token": 4, "end_token": 6,
                     "start_sentence": 1, "end_sentence": 2}]]}

Warts: token numbers run through the sentences of a document; in ``docs`` empty lines and tokens do not count, in
``docs.jsonl`` they do; docids may be null (then the documents of the evidence, or those named after the annotation);
in e-SNLI the two documents are ANNOTATION_premise and ANNOTATION_hypothesis and no query need be there; the text of an
evidence may differ from the tokens of its range.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.eraser_documents import Document, Documents
from dfar_toolkit.sources.eraser_evidence import evidence_spans
from dfar_toolkit.sources.layout import (
    ITEMS,
    Dropped,
    RawFile,
    SourceInfo,
    SourceTables,
    examples,
    folders_with,
    items_frame,
    json_text,
    raw_file,
)
from dfar_toolkit.sources.line_records import line_records
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform, empty
from dfar_toolkit.tabular import nearest, quoted

INFO: Final = SourceInfo(
    name="eraser",
    title="ERASER",
    licence="other",
    homepage="https://www.eraserbenchmark.com",
    citation="ERASER: A Benchmark to Evaluate Rationalized NLP Models. ACL 2020. arXiv:1911.03429.",
    layout="{train,val,test}.jsonl with query, classification and evidences by token; docs/ or docs.jsonl",
    notes=(
        "Each data set of the benchmark has its own licence; that of the benchmark's code is apache-2.0.",
        "The statement is the query. Without one it is the hypothesis, where a document is named so, else the only "
        "document; the other documents are the context, each under its docid.",
        "Documents are stored with one space between tokens and one line per sentence. Evidence is given by token "
        "numbers; each evidence group is a set, sufficient by itself. Sentence numbers are left out.",
        "The classification is published without its annotators.",
        "The published split val is called validation; item ids keep val.",
    ),
)
SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}  # name of the file: split
QUESTION: Final = "classification"
_NLI: Final = ("entailment", "neutral", "contradiction")
_TAKEN: Final = ("annotation_id", "query", "evidences", "classification", "docids")


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """One data set of the benchmark as tables.

    Args:
        raw: Its folder, or one whose sub-folders are such data sets.
        set_name: Which sub-folder, where there are several; otherwise how the set is called (by default as its folder).

    Returns:
        One item and one annotation per line; lines without a classification are counted in ``dropped``.

    Raises:
        SourceError: A file is absent or unreadable, a document is unknown, or token numbers lie outside a document.
    """
    folder, name = _folder(raw, set_name)
    documents = Documents(folder)
    reader = _Reader(f"{INFO.name}.{name}", documents)
    for stem, split in SPLITS.items():
        path = folder / f"{stem}.jsonl"
        if path.is_file():
            reader.read_split(path, stem, split)
    return reader.tables(name)


def _folder(raw: Path, set_name: str) -> tuple[Path, str]:
    files = [f"{stem}.jsonl" for stem in SPLITS]
    found = folders_with(raw, lambda name: name in files, what=", ".join(files))
    names = {_set_name(folder.resolve().name): folder for folder in found}
    wanted = _set_name(set_name) if set_name else ""
    if len(found) == 1:
        only, folder = next(iter(names.items()))
        return folder, wanted or only
    if not wanted:
        raise SourceError(
            f"{raw}: found several data sets ({quoted(names)}); name one, as in eraser:{next(iter(names))}."
        )
    if len(names) < len(found):
        raise SourceError(f"{raw}: found data sets that differ in capitals or marks only; rename one.")
    if wanted not in names:
        raise SourceError(f'{raw}: wanted the data set "{wanted}"; found {quoted(names)}.{nearest(wanted, names)}')
    return names[wanted], wanted


def _set_name(name: str) -> str:
    """A name in lower case that may stand in an item id."""
    return re.sub(r"[^\w-]+", "-", name.lower()).strip("-") or "data"


class _Reader:
    """Collects the rows of the splits."""

    def __init__(self, source: str, documents: Documents) -> None:
        self.source, self.documents = source, documents
        self.items: list[dict[str, object]] = []
        self.annotations: list[dict[str, object]] = []
        self.files: list[RawFile] = []
        self.dropped: list[Dropped] = []
        self.differing: list[str] = []
        self.bare: list[str] = []
        self.further: list[str] = []

    def read_split(self, path: Path, published: str, split: str) -> None:
        records = line_records(path, ["annotation_id", "evidences", "classification"])
        self.files.append(raw_file(path, rows=len(records)))
        seen: set[str] = set()
        lost = []
        for number, record in enumerate(records):
            key = _plain(record, "annotation_id", f"{path}: row {number} (from 0)").strip()
            if not key or key in seen:
                found = f"{quoted([key])} a second time" if key else "none"
                raise SourceError(
                    f"{path}: wanted an annotation_id of its own in row {number} (from 0); found {found}."
                )
            seen.add(key)
            item_id, where = f"{self.source}:{published}:{key}", f"{path}: annotation {quoted([key])}"
            if not _plain(record, "classification", where).strip():
                lost.append(item_id)
                continue
            self._add(record, key, item_id, split, where)
        if lost:
            self.dropped.append(Dropped(path.name, "the classification is empty", len(lost), examples(lost)))

    def _add(self, record: Mapping[str, Any], key: str, item_id: str, split: str, where: str) -> None:
        groups = _nested(record.get("evidences"), where)
        named = _docids(record, key, groups, self.documents, where)
        cited = [str(one["docid"]) for group in groups or [] for one in group]
        beyond = list(dict.fromkeys(docid for docid in cited if docid not in named))
        if beyond:
            self.further.append(item_id)
        texts = {docid: self.documents.get(docid, where) for docid in [*named, *beyond]}
        statement, own = _statement(record, texts, where)
        fields = {docid: "statement" if docid == own else docid for docid in texts}
        if "statement" in texts and own != "statement":
            raise SourceError(f'{where}: a document called "statement" cannot be told from the statement; rename it.')
        context = [docid for docid in texts if docid != own]
        self.items.append(
            {
                "item_id": item_id,
                "source": self.source,
                "split": split,
                "statement": statement,
                "context": [{"field": docid, "role": "document", "text": texts[docid].text} for docid in context],
                "context_key": _context_key(context, texts),
                "extra": _extra(record, own),
            }
        )
        spans = None
        if groups is not None:
            found = evidence_spans(groups, texts, fields, where)
            spans = found.spans
            self.differing += [item_id] if found.n_differing else []
            self.bare += [item_id] if found.n_bare else []
        self.annotations.append(
            {
                "item_id": item_id,
                "annotator_id": f"{self.source}:{UNKNOWN_ANNOTATOR}",
                "question": QUESTION,
                "rating_id": f"{item_id}#1",
                "value": _plain(record, "classification", where).strip(),
                "evidence": spans,
            }
        )

    def tables(self, name: str) -> SourceTables:
        values = {str(row["value"]) for row in self.annotations}
        options = list(_NLI) if len(values) > 1 and values <= set(_NLI) else sorted(values)
        question = {"question": [QUESTION], "kind": ["nominal"], "options": [options], "wording": [""]}
        schema = empty("annotations").schema
        rows = pl.DataFrame(self.annotations, schema={c: schema[c] for c in _ANNOTATION}, orient="row")
        raters = rows.select("annotator_id").unique().sort("annotator_id")
        said = {
            "the text of an evidence is not that of its tokens; the token numbers count": self.differing,
            "an evidence covers empty tokens only and is left out": self.bare,
            "an evidence cites a document that docids leaves out": self.further,
        }
        return SourceTables(
            info=replace(INFO, name=self.source, title=f"ERASER: {name}"),
            questions=conform(pl.DataFrame(question), "questions", where=self.source),
            items=items_frame(pl.DataFrame(self.items, schema=_ITEM)),
            annotations=conform(rows, "annotations", where=self.source),
            raters=conform(raters, "raters", where=self.source),
            files=(*self.files, self.documents.file()),
            dropped=tuple(self.dropped),
            repairs=tuple(
                f"{why}: {len(ids)} annotation{'s' if len(ids) != 1 else ''} ({quoted(ids, most=3)})"
                for why, ids in said.items()
                if ids
            ),
        )


_ANNOTATION: Final = ("item_id", "annotator_id", "question", "rating_id", "value", "evidence")
_TEXTS: Final = ("item_id", "source", "split", "statement", "context_key", "extra")
_ITEM: Final = {"context": ITEMS["context"], **dict.fromkeys(_TEXTS, ITEMS["statement"])}


def _nested(evidences: object, where: str) -> list[list[dict[str, Any]]] | None:
    """The evidence groups; None where the question was not asked."""
    if evidences is None:
        return None
    sound = isinstance(evidences, list) and all(
        isinstance(group, list) and all(isinstance(one, dict) and _is_id(one.get("docid")) for one in group)
        for group in evidences
    )
    if not sound:
        raise SourceError(f"{where}: wanted evidences as a list of groups, lists of objects with a docid.")
    return evidences  # type: ignore[return-value]  # every level was looked at


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _plain(record: Mapping[str, Any], name: str, where: str) -> str:
    """A text, a number or true and false as text; empty where there is none."""
    value = record.get(name)
    if isinstance(value, list | dict):
        raise SourceError(f"{where}: wanted a text as {name}; found {quoted([str(value)[:60]])}.")
    return "" if value is None else str(value)


def _docids(
    record: Mapping[str, Any], key: str, groups: list[list[dict[str, Any]]] | None, documents: Documents, where: str
) -> list[str]:
    """The documents of an annotation: as named, else those called after it, else those of its evidence."""
    named = record.get("docids")
    if named:
        listed = named if isinstance(named, list) else [named]
        if not all(_is_id(docid) for docid in listed):
            raise SourceError(f"{where}: wanted docids as a list of texts; found {quoted([str(named)[:60]])}.")
        return list(dict.fromkeys(str(docid) for docid in listed))
    pair = [f"{key}_premise", f"{key}_hypothesis"]
    if all(docid in documents for docid in pair):
        return pair
    cited = list(dict.fromkeys(str(one["docid"]) for group in groups or [] for one in group))
    if cited or key in documents:
        return cited or [key]
    raise SourceError(f"{where}: wanted its documents; docids and evidences name none, and none is called so.")


def _statement(record: Mapping[str, Any], texts: Mapping[str, Document], where: str) -> tuple[str, str | None]:
    """The statement, and the docid of the document that it is (None where it is the query)."""
    query = _plain(record, "query", where)
    if query.strip():
        return query, None
    called = [docid for docid in texts if docid.endswith("_hypothesis")] or list(texts)
    if len(called) != 1:
        raise SourceError(f"{where}: wanted a query or one document; found no query and {quoted(texts)}.")
    return texts[called[0]].text, called[0]


def _context_key(context: list[str], texts: Mapping[str, Document]) -> str | None:
    """A digest of the premise, or of all documents of the context."""
    counted = [docid for docid in context if docid.endswith("_premise")] or sorted(context)
    joined = "\0".join(texts[docid].text for docid in counted)
    return hashlib.sha256(joined.encode()).hexdigest()[:16] if counted else None


def _extra(record: Mapping[str, Any], own: str | None) -> str:
    kept = {name: value for name, value in record.items() if name not in _TAKEN and value is not None}
    return json_text(kept | ({"docid": own} if own is not None else {}))
