"""MedicalBios: short biographies of five medical professions, a hundred of them with marked words (2023).

Layout: exports of the Hub's data set as JSON lines or Parquet, ``[SET/ or SET_]SPLIT[-00000-of-00001].jsonl``. Set
``standard`` (train, validation, test): ``text, label``. Set ``rationales`` (test): ``text, label, foil, words,
rationales, contrastive_rationales, annotations, contrastive_annotations``, the last two with one list of 0 and 1 per
annotator. An invented line of the second::

    {"text": "He fills teeth.", "label": 3, "foil": 1, "words": ["He", "fills", "teeth", "."],
     "rationales": [0, 1, 1, 0], "contrastive_rationales": [0, 0, 1, 0],
     "annotations": [[0, 1, 1, 0], [0, 0, 1, 0]], "contrastive_annotations": [[0, 0, 1, 0]]}

Warts: labels are numbers or names; the data card writes ``rationale`` and ``contrastive_rationale``; lists of marks may
be of another length than ``words``; rows have no key, so the zero-based row in its split is the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import (
    ITEMS,
    Dropped,
    SourceInfo,
    SourceTables,
    examples,
    items_frame,
    json_text,
)
from dfar_toolkit.sources.medical_bios_files import SETS, Export, exports
from dfar_toolkit.sources.token_masks import mask_evidence, mask_fault
from dfar_toolkit.spans import Span, joined_tokens
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR, conform, empty
from dfar_toolkit.tabular import quoted

LABELS: Final = ("psychologist", "surgeon", "nurse", "dentist", "physician")
INFO: Final = SourceInfo(
    name="medical_bios",
    title="MedicalBios",
    licence="cc-by-nc-sa-4.0",
    homepage="https://huggingface.co/datasets/coastalcph/medical-bios",
    citation=(
        "Rather a Nurse than a Physician - Contrastive Explanations under Investigation. EMNLP 2023. arXiv:2310.11906."
    ),
    layout="SET/SPLIT.jsonl or .parquet: text, label; rationales also words, foil and lists of 0 and 1 per annotator",
    sets=SETS,
    notes=(
        f"Published labels: {', '.join(f'{number} = {name}' for number, name in enumerate(LABELS))}. They come from "
        "the biographies, not from annotators.",
        "Not for commercial use.",
    ),
)
PROFESSION: Final = "profession"
METHOD: Final = "published"
# question: the annotators' marks, the published summary of them
_WHY: Final = {
    "why": ("annotations", "rationales"),
    "why_rather_than": ("contrastive_annotations", "contrastive_rationales"),
}
_WORDING: Final = {
    PROFESSION: "Which profession has the person in the biography?",
    "why": "Which words tell why the person is described as having the profession?",
    "why_rather_than": "Which words tell why it is this profession rather than the other one (foil)?",
}
_MARKS: Final = (
    "Annotators are not named, and whether the same place in two lists is the same person is unknown; every list of "
    "marks is a rating of its own.",
    "The statement is the words with a space between them; the published text stands in extra where it differs. The "
    "published summaries of the marks stand in extra.",
)
_TEXTS: Final = ("item_id", "source", "split", "statement", "extra", "label")
_ITEM: Final = dict.fromkeys(_TEXTS, ITEMS["statement"])
_RATING: Final = ("item_id", "annotator_id", "question", "rating_id", "value", "evidence", "foil")


def read(raw: Path, *, set_name: str = "") -> SourceTables:
    """One set of MedicalBios as tables.

    Args:
        raw: The folder of the exported files, or one with the sub-folders ``standard`` and ``rationales``.
        set_name: ``standard`` or ``rationales``; may be left out if the files are of one set.

    Returns:
        One item per biography; the profession as a target, and in ``rationales`` each list of marks as an annotation.

    Raises:
        SourceError: No such set, several sets and none named, a file that is not in the layout, or an unknown label.
    """
    name, files = exports(raw, set_name, source=INFO.name)
    reader = _Reader(f"{INFO.name}.{name}", marks=name == "rationales")
    for export in files:
        reader.read_export(export)
    return reader.tables(name, files)


class _Reader:
    """Collects the rows of the files."""

    def __init__(self, source: str, *, marks: bool) -> None:
        self.source, self.marks = source, marks
        self.items: list[dict[str, object]] = []
        self.ratings: list[dict[str, object]] = []
        self.lost: dict[tuple[str, str], list[str]] = {}
        self.repairs: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def read_export(self, export: Export) -> None:
        """Take the rows of a file."""
        labels = _labels(export, "label")
        foils = _labels(export, "foil") if self.marks and "foil" in export.rows.columns else [None] * len(labels)
        for number, record in enumerate(export.rows.iter_rows(named=True)):
            item_id = f"{self.source}:{export.split}:{export.first + number:05}"
            words = _words(record, f"{export.path}: row {number} (from 0)") if self.marks else None
            text = record.get("text")
            statement, units = joined_tokens(words) if words is not None else (str(text or ""), [])
            label = labels[number]
            if not statement.strip() or label is None:
                why = "the label is empty" if statement.strip() else "the text is empty"
                self.lost.setdefault((export.path.name, why), []).append(item_id)
                continue
            self.items.append(
                {
                    "item_id": item_id,
                    "source": self.source,
                    "split": export.split,
                    "statement": statement,
                    "extra": _extra(record, statement),
                    "label": label,
                }
            )
            if self.marks:
                self._rate(record, item_id, label, foils[number], units)

    def _rate(self, record: Mapping[str, Any], item_id: str, label: str, foil: str | None, units: list[Span]) -> None:
        """One annotation per list of marks."""
        for question, (single, summary) in _WHY.items():
            masks = _masks(record, single, item_id)
            if not masks and record.get(summary) is not None:
                masks = [record[summary]]
                self._mend(f"{single}: absent, so {summary} stands for it as one rating", item_id)
            contrast = question == "why_rather_than"
            if masks and contrast and foil is None:
                self._mend("the foil is absent, so it is unknown against what was marked", item_id)
            for number, mask in enumerate(masks, start=1):
                fault = mask_fault(mask, len(units))
                if fault:
                    self._mend(f"{single}: a list of marks is {fault}; its evidence is unknown", item_id)
                self.ratings.append(
                    {
                        "item_id": item_id,
                        "annotator_id": f"{self.source}:{UNKNOWN_ANNOTATOR}",
                        "question": question,
                        "rating_id": f"{item_id}#{question}.{number}",
                        "value": label,
                        "evidence": None if fault else mask_evidence(mask, units),
                        "foil": foil if contrast else None,
                    }
                )

    def _mend(self, what: str, item_id: str) -> None:
        self.repairs[what] += 1
        self.examples.setdefault(what, []).append(item_id)

    def tables(self, name: str, files: list[Export]) -> SourceTables:
        """What was collected."""
        items = pl.DataFrame(self.items, schema=_ITEM)
        schema = empty("annotations").schema
        ratings = pl.DataFrame(self.ratings, schema={column: schema[column] for column in _RATING})
        target = items.select(
            "item_id", "label", question=pl.lit(PROFESSION), n_ratings=pl.lit(0), method=pl.lit(METHOD)
        )
        asked = [PROFESSION, *(_WHY if self.marks else ())]
        questions = {
            "question": asked,
            "kind": ["nominal" if question == PROFESSION else "span" for question in asked],
            "options": [list(LABELS) if question == PROFESSION else [] for question in asked],
            "wording": [_WORDING[question] for question in asked],
        }
        raters = ratings.select("annotator_id").unique().sort("annotator_id")
        mended = {what: list(dict.fromkeys(self.examples[what])) for what in self.repairs}
        return SourceTables(
            info=replace(
                INFO,
                name=self.source,
                title=f"{INFO.title} ({name})",
                notes=(*INFO.notes, *(_MARKS if self.marks else ())),
            ),
            questions=conform(pl.DataFrame(questions), "questions", where=self.source),
            items=items_frame(items),
            annotations=conform(ratings, "annotations", where=self.source),
            raters=conform(raters, "raters", where=self.source),
            files=tuple(export.file for export in files),
            dropped=tuple(Dropped(file, why, len(ids), examples(ids)) for (file, why), ids in self.lost.items()),
            repairs=tuple(
                f"{what}: {n} time{'s' if n != 1 else ''} ({quoted(mended[what], most=3)})"
                for what, n in self.repairs.items()
            ),
            targets=conform(target, "targets", where=self.source),
        )


def _labels(export: Export, column: str) -> list[str | None]:
    """Names of the labels, which are published as numbers or names; None where there is none."""
    names = {**{str(number): name for number, name in enumerate(LABELS)}, **{name: name for name in LABELS}}
    if export.rows[column].dtype.is_nested():
        raise SourceError(f"{export.path}: wanted a number or a name in the column {quoted([column])}; found lists.")
    given = export.rows[column].cast(pl.String).str.strip_chars().str.to_lowercase().str.replace(r"\.0$", "")
    given = given.replace({"": None, "-1": None})
    unknown = given.filter(given.is_not_null() & ~given.is_in(list(names)))
    if unknown.len():
        raise SourceError(
            f"{export.path}: wanted in the column {quoted([column])} a number 0 to {len(LABELS) - 1} or "
            f"{quoted(LABELS)}; found {quoted(unknown.unique().sort(), most=5)} in {unknown.len()} "
            f"row{'s' if unknown.len() != 1 else ''}."
        )
    return [None if value is None else names[value] for value in given]


def _masks(record: Mapping[str, Any], name: str, item_id: str) -> list[Any]:
    """The lists of marks; one list alone, or a column whose values were of several types, is none of them."""
    masks = record.get(name) or []
    if not isinstance(masks, list) or not all(mask is None or isinstance(mask, list) for mask in masks):
        raise SourceError(
            f"{item_id}: wanted under {name} one list of 0 and 1 per annotator, as in every row of the file; found "
            f"{quoted([str(masks)[:60]])}."
        )
    return masks


def _words(record: Mapping[str, Any], where: str) -> list[str]:
    words = record["words"]
    if words is None:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SourceError(f"{where}: wanted a list of texts under words; found {quoted([words])[:80]}.")
    return words


def _extra(record: Mapping[str, Any], statement: str) -> str:
    taken = {"label", "foil", "words", "annotations", "contrastive_annotations"}
    kept = {name: value for name, value in record.items() if name not in taken and value is not None}
    return json_text({name: value for name, value in kept.items() if name != "text" or value != statement})
