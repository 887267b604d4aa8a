"""What a folder of items says about itself, as far as it can be read: facts, findings of the audit, agreement.

A manifest may be old, cut off or written by hand, so nothing in it is taken for granted: what is missing is left out.
Only the small JSON files are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dfar_toolkit.browsing.item_columns import ItemFiles, reason
from dfar_toolkit.files.whole_json import whole_json

_SEVERITIES: Final = ("fail", "warn", "info")
Row = dict[str, Any]


class SourceFacts(NamedTuple):
    """Where items come from, and on which terms."""

    name: str
    title: str
    licence: str
    homepage: str
    languages: tuple[str, ...]
    notes: tuple[str, ...]


class People(NamedTuple):
    """Who judged the items; ``bands`` are counts of annotators by what is known about them."""

    n_people: int | None
    known: bool
    models: tuple[str, ...]
    pseudonyms: bool
    ratings: int | None
    with_reason: int | None
    per_item: tuple[float, float, float] | None
    bands: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


class SetFacts(NamedTuple):
    """A data set by its manifest; empty texts and None where it says nothing."""

    name: str
    title: str
    questions: tuple[tuple[str, str, str], ...]
    sources: tuple[SourceFacts, ...]
    people: People
    differing: tuple[int, int] | None
    n_groups: int | None
    split_method: str
    made_by: tuple[str, ...]
    digest: str
    failed: tuple[str, ...]
    accepted: tuple[str, ...]


def set_facts(manifest: Mapping[str, Any]) -> SetFacts:
    """What a manifest says about the set.

    Args:
        manifest: The manifest of an items folder, whatever is in it.

    Returns:
        Its facts.

    Example:
        >>> facts = set_facts({"title": "Toy", "sources": [{"licence": "mit"}], "groups": "many"})
        >>> facts.title, facts.sources[0].licence, facts.n_groups
        ('Toy', 'mit', None)
    """
    differing = _dict(manifest.get("disagreement"))
    items, of = _int(differing.get("items")), _int(differing.get("of"))
    audit = _dict(manifest.get("audit"))
    return SetFacts(
        name=_text(manifest.get("name")),
        title=_text(manifest.get("title")),
        questions=tuple(
            (_text(q.get("question")), _text(q.get("wording")), _text(q.get("kind")))
            for q in _dicts(manifest.get("questions"))
        ),
        sources=tuple(_source(one) for one in _dicts(manifest.get("sources"))),
        people=_people(_dict(manifest.get("annotators"))),
        differing=None if items is None or not of else (items, of),
        n_groups=_int(_dict(manifest.get("groups")).get("count")),
        split_method=_text(_dict(manifest.get("split")).get("method")),
        made_by=tuple(f"{name} {version}" for name, version in _dict(manifest.get("tools")).items()),
        digest=_text(_dict(manifest.get("content_digest")).get("default")),
        failed=_texts(audit.get("failed")),
        accepted=_texts(audit.get("accepted")),
    )


class Listed(NamedTuple):
    """Rows of a JSON file, and why there are none where it cannot be read."""

    rows: list[Row]
    problem: str


def audit_findings(files: ItemFiles) -> Listed:
    """The findings of the audit, gravest first, then most frequent: ``finding, severity, count, total, note``."""
    found = _rows(files, "audit.json")
    kept = [row for row in found.rows if _text(row.get("finding"))]
    kept.sort(key=lambda row: (_rank(row), -(_int(row.get("count")) or 0)))
    return Listed(kept, found.problem)


def agreement_rows(files: ItemFiles) -> Listed:
    """The statistics of agreement that were computed when the set was built, with the fields of Estimate."""
    found = _rows(files, "agreement.json")
    return Listed([row for row in found.rows if _text(row.get("statistic"))], found.problem)


def _rank(row: Row) -> int:
    severity = row.get("severity")
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _rows(files: ItemFiles, name: str) -> Listed:
    path = files.folder / name
    try:
        found = whole_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Listed([], f"There is no {name}; it is written by dfar build.")
    except (OSError, ValueError, RecursionError) as error:
        return Listed([], f"{path}: cannot be read ({reason(error)}).")
    if not isinstance(found, list):
        return Listed([], f"{path}: wanted a list, found {type(found).__name__}.")
    return Listed(_dicts(found), "")


def _source(one: dict[str, Any]) -> SourceFacts:
    return SourceFacts(
        _text(one.get("name")), _text(one.get("title")), _text(one.get("licence")), _text(one.get("homepage")),
        _texts(one.get("languages")), _texts(one.get("notes")),
    )  # fmt: skip


def _people(own: dict[str, Any]) -> People:
    spread = _dict(own.get("ratings_per_item"))
    ends = [spread.get(name) for name in ("min", "median", "max")]
    numbers = [float(e) for e in ends if isinstance(e, int | float) and not isinstance(e, bool)]
    bands = tuple(
        (str(band), tuple((str(k), n) for k, v in _dict(counts).items() if (n := _int(v)) is not None))
        for band, counts in _dict(own.get("bands")).items()
    )
    return People(
        n_people=_int(own.get("count")),
        known=own.get("known") is True,
        models=_texts(own.get("models")),
        pseudonyms=own.get("pseudonyms") is True,
        ratings=_int(own.get("ratings")),
        with_reason=_int(own.get("with_reason")),
        per_item=(numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None,
        bands=tuple((band, counts) for band, counts in bands if counts),
    )


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
