"""The numbers of one part about one explained run, with the paired tests of that part; what fails says why."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.metrics.faithfulness import Perturbed, perturbed_outputs
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.scoring.rationale_differences import DIFFERENCE_COLUMNS, rationale_differences
from dfar_toolkit.scoring.rationale_scores import RATIONALE_COLUMNS, RationalePart, rationale_scores


class AskedRows(NamedTuple):
    """Rows of one run that answer one question, the items of its config, its options; what was set aside is noted."""

    rows: pl.DataFrame
    items: pl.DataFrame
    annotations: pl.DataFrame
    options: list[str]
    note: str


class RationaleResults(NamedTuple):
    """Rows of ``rationale_scores`` and of ``rationale_differences``, and why there are none."""

    table: pl.DataFrame
    differences: pl.DataFrame
    problem: str


def asked_rows(rows: pl.DataFrame, folder: ItemsFolder) -> AskedRows:
    """The rows of a run that can be scored together: those of one config and one question, the commonest.

    Args:
        rows: The table outputs, of one run.
        folder: The items.

    Raises:
        TableError: No row is about one of the items.
    """
    configs = folder.items.select("item_id", "config").unique("item_id", keep="first")
    placed = rows.join(configs, on="item_id", how="left", maintain_order="left")
    found = _commonest(placed["config"])
    if found is None:
        raise TableError("no output is about one of these items. Are these the right items?")
    notes = []
    if folder.items["config"].n_unique() > 1:
        folder = folder.of_config(found)
        other = int((placed["config"] != found).sum())
        notes += [f'{other} outputs about items of configs other than "{found}" set aside'] if other else []
        placed = placed.filter(pl.col("config") == found)
    names = placed["question"].unique().to_list()
    question = folder.question if folder.question in names else str(_commonest(placed["question"]))
    if len(names) > 1:
        other = int((placed["question"] != question).sum())
        notes.append(f'{other} outputs that answer questions other than "{question}" set aside')
        placed = placed.filter(pl.col("question") == question)
    folder = folder.of_question(question)
    return AskedRows(placed.drop("config"), folder.items, folder.annotations, folder.options, "; ".join(notes))


def _commonest(names: pl.Series) -> str | None:
    known = names.drop_nulls().value_counts(name="n").sort("n", names.name, descending=[True, False])
    return str(known[names.name][0]) if len(known) else None


def rationale_results(
    asked: AskedRows, part: RationalePart, *, gold: GoldRule = "majority", n_boot: int = 1000, seed: int = 0
) -> RationaleResults:
    """Scores and paired differences of one part.

    Args:
        asked: The rows.
        part: The part.
        gold: By whom a word must be marked, for plausibility.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        What ``rationale_scores`` and ``rationale_differences`` give; empty tables and a problem where they refuse.
    """
    try:
        table = rationale_scores(
            asked.rows, asked.items, asked.annotations, options=asked.options or None, gold=gold, parts=[part],
            n_boot=n_boot, seed=seed,
        )  # fmt: skip
        differences = rationale_differences(
            asked.rows, asked.items, asked.annotations, options=asked.options or None, gold=gold, parts=[part],
            n_boot=n_boot, seed=seed,
        )  # fmt: skip
    except (DfarError, ValueError, pl.exceptions.PolarsError) as error:
        nothing = pl.DataFrame(schema=RATIONALE_COLUMNS), pl.DataFrame(schema=DIFFERENCE_COLUMNS)
        return RationaleResults(*nothing, " ".join(str(error).split()))
    return RationaleResults(table, differences, "")


def perturbed_of(asked: AskedRows) -> Perturbed:
    """The answers to changed items, from which ``rationale_results`` makes its numbers of faithfulness.

    Raises:
        TableError: There are none, or they do not fit the items.
    """
    return perturbed_outputs(asked.rows, asked.items, options=asked.options or None)
