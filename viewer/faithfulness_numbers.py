"""Tables of the Faithfulness page: the numbers of ``rationale_scores`` as they are, put into rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.perturbed_items import Side, step_name
from dfar_toolkit.metrics.faithfulness.directions import HIGHER_IS_BETTER, OVER_RANDOM
from dfar_toolkit.metrics.faithfulness.matched_random import RANDOM
from dfar_toolkit.metrics.faithfulness.perturbed import EVIDENCE_K, Step
from dfar_toolkit.report.curve_plot import method_sign
from dfar_toolkit.report.rationale_meanings import RATIONALE_MEANINGS

CEILING: Final = "held_out_annotator"


class Metric(NamedTuple):
    """A metric that has a value at every step: heading, what it is, which answers it is about, compared with random."""

    name: str
    heading: str
    meaning: str
    side: Side
    matched: bool


METRICS: Final = (
    Metric("flip_rate", "Flips", "Share of items whose label changes without these words.", "without", matched=True),
    Metric("comprehensiveness", "Comprehensiveness", "How far the label's probability falls without these words.",
           "without", matched=True),
    Metric("sufficiency", "Sufficiency", "How far the label's probability falls with these words alone.", "only",
           matched=True),
    Metric("flip_rate_only", "Flips, words alone", "Share of items whose label changes with these words alone.",
           "only", matched=True),
    Metric("normalised_comprehensiveness", "Normalised comprehensiveness",
           "Comprehensiveness by what is attainable: the fall without any word.", "without", matched=False),
    Metric("normalised_sufficiency", "Normalised sufficiency",
           "What the words alone keep of the fall without any word; 1 keeps all.", "only", matched=False),
    Metric("flip_to_unparsed", "To no label", "Share of items whose answer without these words has no label.",
           "without", matched=False),
)  # fmt: skip
_RAILS: Final = {
    "coverage": ("Coverage", "items with a label, of all of these splits"),
    "accuracy": ("Accuracy", "of all items with a label by people; no answer is wrong"),
    "unparsed_share": ("Unparsed", "answers without a label"),
    "failed_share": ("Failed", "answers that are an error"),
    "top_label_share": ("Commonest label", "share of the answers that give it"),
    "p_full": ("p, whole item", "mean probability of the label given"),
    "p_empty": ("p, no word left", "the same without any word of the item"),
    "flippable_share": ("Flippable", "items whose label changes when no word is left"),
    "random_draws": ("Random draws", "random rationales of equal length per item"),
    "noise_margin": ("Noise margin", "gap of log-probability below which a flip may be rounding"),
}
_SHARES: Final = ("coverage", "accuracy", "unparsed_share", "failed_share", "top_label_share", "flippable_share")
_ANSWERED: Final = ("coverage", "unparsed_share", "failed_share", "missing_share")  # of methods too
_WHOLE: Final = {
    "aopc_comprehensiveness": "AOPC compr.", "aopc_comprehensiveness_over_random": "AOPC compr. − random",
    "aopc_sufficiency": "AOPC suff.", "aopc_sufficiency_over_random": "AOPC suff. − random", "acu": "ACU",
    "racu": "RACU", "dfmit": "Flipped by the top word", "dffot": "Share of words to flip",
}  # fmt: skip
_PLAUSIBLE: Final = {
    "token_f1_above_chance": "F1 − chance", "token_f1": "F1", "token_precision": "Precision",
    "token_recall": "Recall", "iou_f1": "IOU F1", "average_precision": "Average precision",
    "spearman_with_mean_mask": "Rank correlation",
}  # fmt: skip


class Notes:
    """Notes of numbers, each written once and named by a number."""

    def __init__(self, said: Sequence[str] = ()) -> None:
        self._said = set(said)
        self._numbers: dict[str, int] = {}

    def number(self, note: str | None) -> int | None:
        """The number of a note, less what is said above already; None where nothing is left."""
        left = "; ".join(part for part in _parts(note) if part not in self._said)
        return self._numbers.setdefault(left, len(self._numbers) + 1) if left else None

    @property
    def all(self) -> list[tuple[int, str]]:
        """All of them, in order."""
        return [(number, note) for note, number in self._numbers.items()]


def _parts(note: str | None) -> list[str]:
    return [part for part in (note or "").split("; ") if part]


def common_warnings(table: pl.DataFrame) -> list[str]:
    """What the notes of all numbers about methods say: it is put above them once."""
    rows = table.filter(pl.col("rationale_method") != "", ~pl.col("metric").is_in(_ANSWERED))
    found: list[str] = []
    for place, note in enumerate(rows["note"].unique(maintain_order=True).to_list()):
        parts = _parts(note)
        found = list(dict.fromkeys(parts)) if not place else [part for part in found if part in parts]
    return found


def rails(table: pl.DataFrame, operator: str) -> dict[str, Any]:
    """What decides whether any number below means something."""
    own = table.filter(pl.col("rationale_method") == "", pl.col("operator").fill_null("").is_in(["", operator]))
    facts = []
    for metric, (heading, meaning) in _RAILS.items():
        row = _first(own.filter(metric=metric))
        if row is not None:
            facts.append({**row, "heading": heading, "meaning": meaning, "share": metric in _SHARES})
    labels = own.filter(metric="predicted_share").to_dicts()
    return {"facts": facts, "labels": labels}


def operators_of(table: pl.DataFrame) -> list[str]:
    """The operators of the methods, in order."""
    rows = table.filter(pl.col("rationale_method") != "")
    return [str(name) for name in rows["operator"].drop_nulls().unique(maintain_order=True)]


def steps_of(table: pl.DataFrame) -> list[Step]:
    """The steps of a table: single words, shares, as many as people marked, the rationale's own words."""
    rows = table.filter(pl.any_horizontal(pl.col("k", "share", "words_of").is_not_null()))
    found = rows.select("k", "share", "words_of").unique().sort("k", "share", "words_of", nulls_last=True)
    steps = [Step() if k == EVIDENCE_K else Step(k, share, of) for k, share, of in found.iter_rows()]
    kind = lambda s: (s == Step(), s.words_of is not None, s.share is not None)  # noqa: E731
    return sorted(steps, key=kind)


def step_words(step: Step) -> str:
    """A step as the heading of a column."""
    if step.k is not None:
        return f"{step.k} word{'' if step.k == 1 else 's'}"
    if step.share is not None:
        return f"{100 * step.share:g} %"
    return "its own words" if step.words_of is None else "as many as people"


def _at(step: Step) -> pl.Expr:
    if step.k is not None:
        return pl.col("k") == step.k
    if step.share is not None:
        return pl.col("share") == step.share
    return (pl.col("k") == EVIDENCE_K) if step.words_of is None else (pl.col("words_of") == step.words_of)


def _first(rows: pl.DataFrame) -> dict[str, Any] | None:
    return rows.row(0, named=True) if len(rows) else None


def curves(
    table: pl.DataFrame, metric: Metric, *, over: bool, methods: Sequence[str], to: Callable[[str, Step], str],
    said: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """One line per method, one cell per step: value, interval, n, the way to the items.

    Args:
        table: Rows about faithfulness with one operator.
        metric: The metric.
        over: Whether random words are taken off.
        methods: The methods in order.
        to: The address of the items of a method at a step.
        said: Notes that stand above.
    """
    name = metric.name + OVER_RANDOM if over else metric.name
    steps, notes = steps_of(table), Notes(said)
    lines: list[dict[str, Any]] = []
    of_metric = table.filter(metric=name)
    drawn = [m for m in methods if m != RANDOM]
    for method in methods:
        own = table.filter(rationale_method=method)
        rows = of_metric.filter(rationale_method=method)
        if not len(rows):
            continue
        covered = _first(own.filter(metric="coverage"))
        cells = [_cell(_first(rows.filter(_at(step))), own, step, method, metric, to, notes) for step in steps]
        lines.append({
            "method": method, "random": method == RANDOM, "cells": cells, "covered": covered,
            "sign": "" if method == RANDOM else method_sign(drawn.index(method)),
        })  # fmt: skip
    kept = [at for at in range(len(steps)) if any(line["cells"][at] for line in lines)]
    for line in lines:
        line["cells"] = [line["cells"][at] for at in kept]
    return {"steps": [step_words(steps[at]) for at in kept], "lines": lines, "notes": notes.all,
            "higher": HIGHER_IS_BETTER[metric.name]}  # fmt: skip


def _cell(
    row: dict[str, Any] | None, own: pl.DataFrame, step: Step, method: str, metric: Metric,
    to: Callable[[str, Step], str], notes: Notes,
) -> dict[str, Any] | None:  # fmt: skip
    if row is None:
        return None
    within = _first(own.filter(_at(step), metric="flips_within_margin")) if metric.name == "flip_rate" else None
    noisy = within is not None and within["value"] == within["value"] and within["value"] > 0
    return {**row, "href": to(method, step), "step": step_name(step), "mark": notes.number(row["note"]),
            "within": within["value"] if noisy and within is not None else None}  # fmt: skip


def matrix(
    table: pl.DataFrame, columns: Mapping[str, str], methods: Sequence[str], *, said: Sequence[str], whole: bool = True
) -> dict[str, Any]:
    """One line per method, one cell per metric.

    Args:
        table: Rows of scores.
        columns: Metric to its heading.
        methods: The methods in order.
        said: Notes that stand above.
        whole: Whether only rows that are about no single step count.
    """
    rows = table.filter(pl.all_horizontal(pl.col("k", "share", "words_of").is_null())) if whole else table
    present = [name for name in columns if (rows["metric"] == name).any()]
    notes, lines = Notes(said), []
    for method in methods:
        own = rows.filter(rationale_method=method)
        found = [_first(own.filter(metric=name)) for name in present]
        if any(found):
            cells = [None if row is None else {**row, "mark": notes.number(row["note"])} for row in found]
            lines.append({"method": method, "random": method == RANDOM, "ceiling": method == CEILING, "cells": cells})
    better = {name: next(iter(rows.filter(metric=name)["higher_is_better"])) for name in present}
    return {"columns": [(columns[name], better[name]) for name in present], "lines": lines, "notes": notes.all}


def over_all_steps(table: pl.DataFrame, methods: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Areas and numbers of words to a flip."""
    return matrix(table, _WHOLE, methods, said=said)


def plausible(table: pl.DataFrame) -> dict[str, Any]:
    """Words that people marked too, people's own agreement last."""
    methods = [str(name) for name in table["rationale_method"].unique(maintain_order=True)]
    order = sorted(methods, key=lambda name: (name == CEILING, name == RANDOM))
    return matrix(table, _PLAUSIBLE, order, said=())


def differences(table: pl.DataFrame, operator: str | None) -> list[dict[str, Any]]:
    """Families of paired tests, each with all its pairs."""
    rows = table if operator is None else table.filter(pl.col("operator") == operator)
    families = []
    for (metric,), own in rows.group_by("metric", maintain_order=True):
        notes = Notes()
        pairs = [{**row, "mark": notes.number(row["note"])} for row in own.iter_rows(named=True)]
        families.append({"metric": str(metric), "pairs": pairs, "notes": notes.all,
                         "higher": pairs[0]["higher_is_better"]})  # fmt: skip
    return families


def consistent(table: pl.DataFrame) -> dict[str, Any]:
    """Tests of reasons, a line per number."""
    notes = Notes()
    lines = [
        {**row, "mark": notes.number(row["note"]), "about": RATIONALE_MEANINGS.get(row["metric"], "")}
        for row in table.iter_rows(named=True)
    ]
    return {"lines": lines, "notes": notes.all}
