"""Insertions of words with what they changed and whether the reason mentions them: the input of three tests."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.self_consistency.answer_changes import IDENT, answer_changes, flags
from dfar_toolkit.metrics.self_consistency.mentions import with_mentions

INSERTED: Final = "inserted"


class Insertions(NamedTuple):
    """N insertions, sorted by item and number, each ``nan`` where unknown.

    ``impact`` (N,) total variation distance of the answers; ``changed`` (N,) 1 where the label is another one;
    ``mentioned`` (N,) share of the samples' reasons with the word; ``unread`` (N,) whether the new answer has no
    label; ``items`` and ``groups`` (N,); ``counted`` whether the distributions are only shares of labels.
    """

    impact: Floats
    changed: Floats
    mentioned: Floats
    unread: npt.NDArray[np.bool_]
    items: pl.Series
    groups: pl.Series
    counted: bool

    @property
    def mention(self) -> Floats:
        """Whether most of the reasons have the word, (N,)."""
        return np.where(np.isnan(self.mentioned), np.nan, self.mentioned > 0.5)

    @property
    def note(self) -> str:
        """What was left out, and what the distributions are."""
        n, parts = len(self.changed), []
        for lost, why in (
            (int(self.unread.sum()), "whose new answer has no label"),
            (int(np.isnan(self.changed).sum() - (np.isnan(self.changed) & self.unread).sum()),
             "whose item had no label before"),
            (int(np.isnan(self.mentioned).sum()), "without a reason"),
        ):  # fmt: skip
            parts += [f"{lost} of {n} insertions {why}"] if lost else []
        parts += ["distributions are shares of the labels said"] if self.counted and n else []
        return "; ".join(parts)


def insertions_of(name: str, outputs: pl.DataFrame) -> Insertions:
    """The insertions of a run.

    Args:
        name: Function named in errors.
        outputs: Rows ``full`` and ``inserted`` of one run; ``mentioned``, or ``reason`` and ``inserted`` to look.

    Returns:
        The insertions.

    Raises:
        TableError: A column is missing, or several runs.
    """
    if "run_id" in outputs.columns and outputs["run_id"].n_unique() > 1:
        raise TableError(f"{name}: wanted the outputs of one run, found {outputs['run_id'].n_unique()}.")
    if "condition" not in outputs.columns:
        raise TableError(f'{name}: wanted the column "condition", found {", ".join(outputs.columns)}.')
    rows = outputs.filter(pl.col("condition").is_in(["full", INSERTED]))
    if "mentioned" not in rows.columns:
        rows = with_mentions(rows)
    share = pl.col("mentioned").cast(pl.Float64).mean().alias("mentioned")
    found = answer_changes(name, rows, [INSERTED], before="full", beside=[share])
    items = found.select(pl.concat_str(pl.col(IDENT).cast(pl.String), separator="\x1f").alias("item")).to_series()
    probs = rows["label_probs"].null_count() < len(rows) if "label_probs" in rows.columns else False
    return Insertions(
        flags(found, "tvd"), flags(found, "changed"), flags(found, "mentioned"),
        found["label_after"].is_null().to_numpy(), items, found["group"], not probs,
    )  # fmt: skip
