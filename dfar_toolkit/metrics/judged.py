"""Which judgements are about the runs at hand, and whether what they judge is there."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message


class Judged(NamedTuple):
    """Judgements of the runs at hand and of human reasons; ``note`` counts what was set aside."""

    judgements: pl.DataFrame
    note: str


def judgements_of_runs(
    judgements: pl.DataFrame,
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    human: str,
    annotations: pl.DataFrame | None = None,
) -> Judged:
    """Judgements about the runs of these outputs and about human reasons; those of other runs are set aside.

    Args:
        judgements: The table judgements, of any runs.
        outputs: The table outputs, or its ``run_id`` and ``output_id``.
        items: The table items, or its ``item_id``.
        human: The run under which human reasons are judged.
        annotations: The table annotations: human reasons judged must be ratings of it. None means not checked.

    Returns:
        The judgements kept, in their order.

    Raises:
        TableError: No judgement is about one of the runs, or one is about an item, an output or a rating that is
            not there.
    """
    runs = outputs["run_id"].unique().sort().to_list()
    if not judgements["run_id"].is_in(runs).any():
        found = ", ".join(map(repr, judgements["run_id"].unique().sort())) or "nothing"
        raise TableError(
            f"score: judgements must be about the run {' or '.join(map(repr, runs))} or {human!r}; found judgements of "
            f"{found}. Is this the judgements file of another run?"
        )
    own = judgements.filter(pl.col("run_id").is_in([*runs, human]))
    _check_items(own, items)
    _check_outputs(own.filter(pl.col("run_id") != human), outputs)
    if annotations is not None:
        _check_ratings(own.filter(pl.col("run_id") == human), annotations, human=human)
    aside = len(judgements) - len(own)
    return Judged(own, f"{aside} judgement{'s' if aside != 1 else ''} of other runs set aside" if aside else "")


def _check_items(judgements: pl.DataFrame, items: pl.DataFrame) -> None:
    lost = unknown_items(judgements["item_id"], items)
    if len(lost):
        raise TableError(
            f"score: judgements must be about the items; {unknown_items_message(lost, items)}. Are these the right "
            "items?"
        )


def _check_outputs(judgements: pl.DataFrame, outputs: pl.DataFrame) -> None:
    orphans = judgements.join(outputs, on=["output_id", "run_id"], how="anti")["output_id"].unique().sort()
    if len(orphans):
        raise TableError(
            f"score: {len(orphans)} judged output ids are not in the outputs, e.g. {orphans[0]!r}; "
            f"the outputs have ids such as {outputs['output_id'][0]!r}."
        )


def _check_ratings(judgements: pl.DataFrame, annotations: pl.DataFrame, *, human: str) -> None:
    known = annotations.select("item_id", output_id=pl.lit(f"{human}/") + pl.col("rating_id")).unique()
    lost = judgements.join(known, on=["item_id", "output_id"], how="anti").sort("item_id", "output_id")
    if len(lost):
        example = f"they have ids such as {known['output_id'].min()!r}" if len(known) else "there are no ratings"
        raise TableError(
            f"score: {lost['output_id'].n_unique()} judged human reasons are no ratings of the items, "
            f"e.g. {lost['output_id'][0]!r} of item {lost['item_id'][0]!r}; {example}. Is the column rating right?"
        )
