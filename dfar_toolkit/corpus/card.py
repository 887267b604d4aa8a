"""The dataset card: prose from ``datacards/``, every number from the manifest, the audit and the agreement.

The sections and their order are those of the Hub's own template, with ours among them. What is known is rendered in
blocks between markers, which are replaced when the card is rendered again; what only a person can say has a place
outside them, and all that is written outside them stays (``card_blocks``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jinja2
import polars as pl

from dfar_toolkit.corpus.card_blocks import PLACE, put_in
from dfar_toolkit.corpus.features import dataset_features
from dfar_toolkit.corpus.front_matter import (
    GENERATED,
    Manifest,
    class_labels,
    dump_front_matter,
    filled,
    front_matter,
    said_by_hand,
    split_front_matter,
    web_address,
)
from dfar_toolkit.corpus.prose import biases, left_out, limitations, prose, without_options
from dfar_toolkit.corpus.templates import datacards_folder
from dfar_toolkit.errors import TableError
from dfar_toolkit.markup import md_code, md_escape, md_fence, one_line

SHOWN: Final = 3  # examples of a finding that a card shows; audit.json has more
MOST_BANDS: Final = 20  # of one trait: an age by years would fill the card; the table raters has all
_PAIRWISE: Final = "cohen_kappa"  # summarised: a set with many annotators has thousands of pairs
_LONGEST: Final = 160  # characters of an example


class FieldRow(NamedTuple):
    """One column of a table as the card describes it."""

    name: str
    kind: str
    meaning: str


def render_card(
    manifest: Manifest,
    *,
    audit: Sequence[Mapping[str, Any]],
    agreement: Sequence[Mapping[str, Any]],
    schemas: Mapping[str, pl.Schema],
    previous: str | None = None,
) -> str:
    """The README.md of an items folder: YAML head and prose.

    Args:
        manifest: The manifest; its ``files`` need not name the card.
        audit: The rows of ``audit.json``.
        agreement: The rows of ``agreement.json``; undefined numbers are None.
        schemas: The columns of the files, by configuration (``default``, ...) and by table (``annotations``, ...).
        previous: The text of the card that is to be replaced. What stands outside its generated blocks is kept, and
            so are keys of its head that are not generated.

    Returns:
        The text of the card. The same input gives the same text, and a card rendered over itself does not change.

    Raises:
        TableError: The manifest lacks a value that the card needs, or a marker of ``previous`` is missing, occurs
            twice, or is not closed.
    """
    try:
        head = front_matter(manifest, schemas=schemas)
        body = _body(manifest, audit, agreement, schemas)
    except (jinja2.UndefinedError, KeyError) as error:
        raise TableError(
            f"the card needs a value that the manifest, the audit or the agreement lacks ({one_line(error)}); "
            "build the items folder again"
        ) from error
    if previous is None:
        return dump_front_matter(head) + "\n" + body
    kept, earlier = split_front_matter(previous)
    head |= {key: value for key, value in kept.items() if key not in GENERATED or said_by_hand(key, value)}
    return dump_front_matter(head) + put_in(earlier, body)


def _body(
    manifest: Manifest,
    audit: Sequence[Mapping[str, Any]],
    agreement: Sequence[Mapping[str, Any]],
    schemas: Mapping[str, pl.Schema],
) -> str:
    known = prose("findings")
    found = [row["finding"] for row in audit if row["count"]]
    leaks = [row for row in audit if row["finding"].startswith("leak.")]

    def looked_for(row: Mapping[str, Any]) -> str:
        return str(known.get(row["finding"]) or row["note"] or row["finding"])

    sources: Sequence[Mapping[str, Any]] = manifest["sources"]
    template = _environment(datacards_folder()).get_template("card.md.jinja")
    return template.render(
        manifest=manifest,
        audit=audit,
        agreement=[row for row in agreement if row["statistic"] != _PAIRWISE],
        pairs=_pairs(agreement),
        fields=_fields(manifest, schemas),
        place=PLACE,
        most_bands=MOST_BANDS,
        uses=prose("uses"),
        biases=biases(manifest),
        limitations=limitations(manifest, found=found),
        found=found,
        numbers=without_options(manifest),
        languages=list(dict.fromkeys(str(code) for source in sources for code in source["languages"])),
        licences=list(dict.fromkeys(str(source["licence"]) for source in sources)),
        leaked=any(name.startswith("leak.") for name in found),
        unsplit=any(leaks) and not any(row["total"] for row in leaks),
        labelled=any(class_labels(manifest, schemas[name], config=name) for name in manifest["configs"]),
        loadable=list(filled(manifest["tables"])),
        looked_for=looked_for,
        shown=SHOWN,
        one=1,
    )


def _pairs(agreement: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per question the range of the pairwise coefficients, which would otherwise fill the card."""
    by_question: dict[str, list[Mapping[str, Any]]] = {}
    for row in agreement:
        if row["statistic"] == _PAIRWISE:
            by_question.setdefault(row["question"], []).append(row)
    summaries = []
    for question, rows in by_question.items():
        values = [row["value"] for row in rows if row["value"] is not None]
        sizes = [row["n"] for row in rows]
        least, middle, most = (min(values), median(values), max(values)) if values else (None, None, None)
        summaries.append(
            {"question": question, "count": len(rows), "undefined": len(rows) - len(values),
             "least": least, "median": middle, "most": most, "fewest": min(sizes), "largest": max(sizes)}
        )  # fmt: skip
    return summaries


@lru_cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown: every slot goes through one of the filters below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    filters: dict[str, Callable[..., str]] = {
        "md": md_escape,
        "code": md_code,
        "bibtex": _bibtex,
        "link": _link,
        "count": _count,
        "left_out": left_out,
        "quantity": _quantity,
        "number": _number,
        "percent": _percent,
        "share": _share,
        "identifier": _identifier,
        "path": _path,
        "absent": _absent,
        "example": _example,
    }
    environment.filters |= {name: _defined(function) for name, function in filters.items()}
    environment.filters["largest"] = _largest
    return environment


def _defined(function: Callable[..., str]) -> Callable[..., str]:
    """The filter, except that a value which is not there raises before it is formatted."""

    def checked(value: object, *further: object) -> str:
        str(value)  # jinja's strict Undefined raises here, with the name of what is missing
        return function(value, *further)

    return checked


def _bibtex(text: str) -> str:
    return md_fence(text, language="bibtex")


def _quantity(x: float | None) -> str:
    return "unknown" if x is None else f"{x:,.10g}"


def _number(x: float | None) -> str:
    return "undefined" if x is None or x != x else f"{x:.3f}"


def _percent(x: float) -> str:
    return f"{100 * x:g} %"


def _count(n: int | None) -> str:
    return "unknown" if n is None else f"{n:,d}"


def _share(n: int, of: int) -> str:
    return f"{100 * n / of:.1f} %" if of else "no share of none"


def _link(address: object) -> str:
    """A web address as a link if it is nothing but a web address, else as text."""
    text = str(address)
    return f"<{text}>" if web_address(text) else md_escape(text)


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise TableError(f"a table of the manifest must have a plain name, found {name!r}; build the folder again")
    return name


def _example(example: object) -> str:
    """An example of a finding as text: audits name items, or give small records."""
    text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False, sort_keys=True)
    text = one_line(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _largest(bands: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest bands of a trait in their order."""
    kept = sorted(bands, key=lambda band: -bands[band])[:MOST_BANDS]
    return [(band, n) for band, n in bands.items() if band in kept]


def _path(name: str) -> str:
    """A path within the folder as the target of a link."""
    return quote(name)


def _absent(value: object) -> str:
    """A value of a change, or a word for none."""
    return "nothing" if value is None else md_escape(value)


def _fields(manifest: Manifest, schemas: Mapping[str, pl.Schema]) -> list[tuple[list[str], list[FieldRow]]]:
    """The columns of every item configuration and of every other table; those with the same ones are listed once."""
    meanings = prose("fields")
    listed: list[tuple[list[str], list[FieldRow]]] = []
    for name in manifest["configs"]:
        labels = class_labels(manifest, schemas[name], config=name)
        rows = _field_rows(schemas[name], meanings["items"], labels)
        same = next((names for names, known in listed if known == rows), None)
        if same is None:
            listed.append(([name], rows))
        else:
            same.append(name)
    for name in manifest["tables"]:
        listed.append(([name], _field_rows(schemas[name], meanings.get(name, {}), {})))
    return listed


def _field_rows(schema: pl.Schema, meanings: Mapping[str, str], labels: Mapping[str, Sequence[str]]) -> list[FieldRow]:
    features = dataset_features(schema, class_labels=labels)
    return [FieldRow(n, _kind(f), meanings.get(n, "As in the source")) for n, f in zip(schema, features, strict=True)]


def _kind(feature: Any) -> str:
    """A feature in words: ``list of {annotator_id, value, text}``."""
    if isinstance(feature, str):
        return feature
    if isinstance(feature, list):
        return "{" + ", ".join(str(f["name"]) for f in feature) + "}"
    if "list" in feature:
        return f"list of {_kind(feature['list'])}"
    if "struct" in feature:
        return _kind(feature["struct"])
    dtype = feature["dtype"]
    return "class label" if isinstance(dtype, dict) else str(dtype)
