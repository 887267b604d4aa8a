"""What a report shows of the annotators of the primary question: each one, each pair, items by disagreement."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement import item_disagreement, leave_one_rater_out, rater_agreement, rater_matrix
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.corpus.annotator_agreement import single_valued_questions, with_units
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder

_BINS: Final = 5
_MOST_PAIRS: Final = 30  # annotators up to which every pair is compared


class AnnotatorView(NamedTuple):
    """Rows as a report takes them; all empty where nobody is known by name or the question is set-valued: see note."""

    annotators: list[dict[str, object]]
    pairs: list[dict[str, object]]
    disagreement: list[dict[str, object]]
    note: str = ""


def annotator_view(
    folder: ItemsFolder, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0
) -> AnnotatorView:
    """The annotators of the primary question of a folder.

    Args:
        folder: The items folder.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The rows; empty where agreement is refused (an annotator twice on an item, say).
    """
    asked = folder.questions.head(1)
    rows = with_units(folder.annotations, folder.items)
    parts = [p for p in single_valued_questions(rows, asked) if p.question == str(asked["question"][0])]
    if not parts:
        kind = str(asked["kind"][0])
        known = "one person may give several values" if kind == "set" and rows.height else "nobody is known by name"
        why = f"Annotators are not compared about {asked['question'][0]}: {known}."
        return AnnotatorView([], [], [], why if folder.annotations.height else "")
    ratings, kind = parts[0].ratings, parts[0].kind
    level: Level = "ordinal" if kind == "ordinal" and parts[0].order else "nominal"
    try:
        found = rater_agreement(ratings, group="group", confidence=confidence, n_boot=n_boot, seed=seed)
        kappa = rater_agreement(ratings, statistic="kappa", ci=None).select("rater", kappa="value")
        order = parts[0].order if level == "ordinal" else None
        without = leave_one_rater_out(ratings, level=level, order=order).select("rater", "alpha_without")
        few = len(found) <= _MOST_PAIRS
        pairs = rater_matrix(ratings).select("rater_a", "rater_b", "value").to_dicts() if few else []
    except TableError as refusal:
        return AnnotatorView([], [], [], f"Annotators are not compared: {refusal}")
    joined = found.join(kappa, on="rater", how="left").join(without, on="rater", how="left").sort("value", "rater")
    joined = joined.with_columns(question=pl.lit(parts[0].question))
    return AnnotatorView(joined.to_dicts(), pairs, _binned(item_disagreement(ratings)))


def _binned(items: pl.DataFrame) -> list[dict[str, object]]:
    """Items with two ratings or more, in fifths of disagreement; none at all is a bin of its own."""
    values = items["disagreement"].fill_nan(None).drop_nulls()
    bins: list[dict[str, object]] = [{"disagreement": "none", "items": int((values == 0).sum())}]
    for i in range(_BINS):
        low, high = i / _BINS, (i + 1) / _BINS
        inside = int(((values > low) & (values <= high)).sum())
        bins.append({"disagreement": f"to {high:.1f}", "items": inside})
    return bins if len(values) else []
