"""What a report shows of the annotators of the primary question: each one, each pair, items by disagreement."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.agreement import item_disagreement, leave_one_rater_out, rater_agreement, rater_matrix
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.corpus.annotator_agreement import SingleValued, single_valued_questions, with_units
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.who_and_where import Rated, Wanted, further_tables

_BINS: Final = 5
_MOST_GROUPS: Final = 4
_MOST_VALUES: Final = 12  # values up to which each is a row
_MOST_PAIRS: Final = 30  # annotators up to which every pair is compared


class AnnotatorView(NamedTuple):
    """Rows as a report takes them; all empty where nobody is known by name or the question is set-valued: see note."""

    annotators: list[dict[str, object]]
    pairs: list[dict[str, object]]
    disagreement: list[dict[str, object]]
    note: str = ""
    further: Mapping[str, list[dict[str, object]]] = MappingProxyType({})


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
    further = _further(folder, parts[0], Wanted(confidence=confidence, n_boot=n_boot, seed=seed))
    return AnnotatorView(joined.to_dicts(), pairs, _binned(item_disagreement(ratings)), further=further)


def _further(folder: ItemsFolder, part: SingleValued, wanted: Wanted) -> dict[str, list[dict[str, object]]]:
    """Agreement about each value, between groups of annotators, and over time: where the data has them."""
    grouping = _grouping(folder.raters)
    ratings = part.ratings
    if grouping is not None:
        ratings = ratings.join(folder.raters.select("annotator_id", grouping), on="annotator_id", how="left")
    timed = "at" in ratings.columns and ratings["at"].null_count() == 0
    few = part.kind in ("nominal", "ordinal", "pair") and ratings["value"].n_unique() <= _MOST_VALUES
    rated = Rated(part.question, ratings, part.order, part.kind, "group")
    found = {}
    for one in (
        wanted._replace(values=few), wanted._replace(groups=grouping), wanted._replace(drift="at" if timed else None)
    ):  # fmt: skip
        with suppress(TableError, ValueError):  # times of another form, a group without ratings: no such table
            found.update({name: table.to_dicts() for name, table in further_tables([rated], one).items()})
    return found


def _grouping(raters: pl.DataFrame) -> str | None:
    """The column by which the source groups its annotators, where there are two to four groups of some size."""
    for name in ("group_name", "rater_group", "gender"):
        if name in raters.columns and 2 <= raters[name].n_unique() <= _MOST_GROUPS:
            return name
    return None


def _binned(items: pl.DataFrame) -> list[dict[str, object]]:
    """Items with two ratings or more, in fifths of disagreement; none at all is a bin of its own."""
    values = items["disagreement"].fill_nan(None).drop_nulls()
    bins: list[dict[str, object]] = [{"disagreement": "none", "items": int((values == 0).sum())}]
    for i in range(_BINS):
        low, high = i / _BINS, (i + 1) / _BINS
        inside = int(((values > low) & (values <= high)).sum())
        bins.append({"disagreement": f"to {high:.1f}", "items": inside})
    return bins if len(values) else []
