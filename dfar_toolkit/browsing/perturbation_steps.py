"""What a run answers to an item with words hidden, as a table: with the words gone and with the words alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.browsing.item_record import RunRecord
from dfar_toolkit.browsing.rationale_rows import RationaleRow, top_words

_GONE: Final = {"without_top": "top", "without_evidence": "evidence", "empty": "everything"}
_ALONE: Final = {"only_top": "top", "only_evidence": "evidence"}


class Outcome(NamedTuple):
    """The answers to one edited input, or to several draws of it.

    Attributes:
        n: Answers, of which ``n_flipped`` give another label than the unedited item and ``n_none`` give none.
        label: The label where all answers give the same one.
        probability: Mean probability of the label that the run gives to the unedited item; nan where unknown.
        probs: Mean probability of each option, by name.
    """

    n: int
    n_flipped: int
    n_none: int
    label: str | None
    probability: float
    probs: dict[str, float]


class Step(NamedTuple):
    """One edit of the input.

    Attributes:
        method: Whose words were hidden; empty where it is nobody's.
        operator: How they were hidden, such as ``remove``.
        what: ``top``, ``evidence``, ``everything``, or the name of another condition.
        k: How many words, -1 where that is not counted.
        share: Their share of all words, None where unknown.
        words: The words themselves, where one draw and the method's scores say which.
        gone: What the run answers without the words.
        alone: What it answers to the words alone.
    """

    method: str
    operator: str
    what: str
    k: int
    share: float | None
    words: tuple[str, ...]
    gone: Outcome | None
    alone: Outcome | None


def perturbation_steps(run: RunRecord, rows: Sequence[RationaleRow] = (), *, label: str | None = None) -> list[Step]:
    """The edits of one item, those without a method first, then by method, operator and number of words.

    Args:
        run: What the run holds about the item.
        rows: Rows of the item, for the words that were hidden.
        label: What the run answers to the unedited item, where its output itself does not say.
    """
    said = run.answer or {}
    label = said.get("label") if said.get("label") is not None else label
    kept: dict[tuple[str, str, str, int], dict[str, list[Mapping[str, Any]]]] = {}
    for row in run.steps.iter_rows(named=True):
        condition = str(row["condition"])
        what = _GONE.get(condition) or _ALONE.get(condition) or condition
        own = kept.setdefault((row["method"], row["operator"], what, row["k"]), {"gone": [], "alone": []})
        own["alone" if condition in _ALONE else "gone"].append(row)
    own_rows = {row.who: row for row in reversed(rows) if row.run == run.run}
    names = said.get("options") or []
    return [
        Step(
            method, operator, what, k, _share([*sides["gone"], *sides["alone"]]),
            _hidden(own_rows.get(method), what, k),
            _outcome(sides["gone"], label, names), _outcome(sides["alone"], label, names),
        )
        for (method, operator, what, k), sides in sorted(kept.items(), key=lambda found: found[0])
    ]  # fmt: skip


def _share(rows: Sequence[Mapping[str, Any]]) -> float | None:
    return next((float(row["share"]) for row in rows if row.get("share") is not None), None)


def _hidden(row: RationaleRow | None, what: str, k: int) -> tuple[str, ...]:
    """Random words differ from draw to draw and are not said."""
    if row is None or row.who == "random":
        return ()
    if what == "evidence":
        return tuple(word.text for word in row.words if word.chosen)
    return tuple(word.text for word in top_words(row, k)) if what == "top" and k > 0 else ()


def _outcome(rows: Sequence[Mapping[str, Any]], label: str | None, names: Sequence[str]) -> Outcome | None:
    if not rows:
        return None
    given = [row["label"] for row in rows]
    said = [one for one in given if one is not None]
    probs = _mean_probs(rows, names)
    return Outcome(
        len(rows),
        sum(one != label for one in said) if label is not None else 0,
        len(rows) - len(said),
        str(said[0]) if said and len(set(given)) == 1 else None,
        probs.get(label, math.nan) if label is not None else math.nan,
        probs,
    )


def _mean_probs(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Of the rows that have them, by the options of each row."""
    summed: dict[str, float] = {}
    n = 0
    for row in rows:
        options, probs = row.get("options") or names, row.get("label_probs")
        if probs and len(probs) == len(options):
            n += 1
            for name, p in zip(options, probs, strict=True):
                summed[str(name)] = summed.get(str(name), 0.0) + (math.nan if p is None else float(p))
    return {name: total / n for name, total in summed.items()}
