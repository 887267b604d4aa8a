r"""The official scores of the shared tasks on learning with disagreements (LeWiDi), by their names and per data set.

Third edition (2025), soft task, N items, people's shares t and predictions p: average Manhattan distance
$\frac{1}{N} \sum_i \sum_k |p_{ik} - t_{ik}|$ (MP); the same of each of L labels' yes-or-no distributions, averaged over
the labels (VariErrNLI); average Wasserstein-1 distance on points one apart (CSC, Paraphrase). Perspectivist task:
error rate (MP), error rate per label (VariErrNLI), absolute distance divided by the number of points of the scale (CSC
6, Paraphrase 11), each averaged over annotators, then items. Second edition (2023): cross-entropy of the soft labels,
as the starting kit wrote it, and micro F1 against the hard label. The organisers round every item to five digits; here
nothing is rounded. Cost: one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Floats, mean_of
from dfar_toolkit.metrics.perspectivist import error_rate_rows, normalised_absolute_distance_rows
from dfar_toolkit.metrics.rating_pairs import PairedRatings
from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
from dfar_toolkit.metrics.soft_labels.total_variation import manhattan_distance_rows
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance_rows

_KIT_CLIP: Final = 1e-12  # the starting kit of 2023 clips predictions here,
_KIT_SHIFT: Final = 1e-9  # and adds this inside the logarithm


class LewidiTask(NamedTuple):
    """A data set of the shared task: ``name`` in files, edition, kind of scale, and the values of its submissions."""

    name: str
    edition: int
    kind: Literal["nominal", "ordinal", "set"]
    values: tuple[str, ...]


LEWIDI_TASKS: Final[Mapping[str, LewidiTask]] = {
    "csc": LewidiTask("CSC", 3, "ordinal", ("1", "2", "3", "4", "5", "6")),
    "mp": LewidiTask("MP", 3, "nominal", ("0", "1")),
    "paraphrase": LewidiTask("Paraphrase", 3, "ordinal", tuple(str(step) for step in range(-5, 6))),
    "varierrnli": LewidiTask("VariErrNLI", 3, "set", ("contradiction", "entailment", "neutral")),
    "hs-brexit": LewidiTask("HS-Brexit", 2, "nominal", ("0", "1")),
    "armis": LewidiTask("ArMIS", 2, "nominal", ("0", "1")),
    "md-agreement": LewidiTask("MD-Agreement", 2, "nominal", ("0", "1")),
}
PERSPECTIVIST_NAMES: Final = {  # kind of scale -> metric, printed name
    "nominal": ("average_error_rate", "average error rate (AER)"),
    "set": ("multilabel_error_rate", "multilabel error rate (MER)"),
    "ordinal": ("average_normalised_absolute_distance", "average normalised absolute distance (ANAD)"),
}


def soft_score_rows(task: LewidiTask, shares: Floats, predicted: Floats) -> Additive:
    """The official soft score as an additive statistic of people's shares (N, K) and predictions (N, K).

    Items with a row of nan on either side have an empty row.
    """
    known = np.asarray(~np.isnan(shares).any(axis=1) & ~np.isnan(predicted).any(axis=1), dtype=bool)
    gold, pred = shares[known], predicted[known]
    if task.kind == "set":
        metric, name = "multilabel_average_manhattan_distance", "multilabel average Manhattan distance (MAMD)"
        _check_yes(pred)
        yes_no = pair_distributions(metric, None, gold=_yes_no(gold), pred=_yes_no(pred))
        value = manhattan_distance_rows(yes_no).rows[:, 0].reshape(gold.shape).mean(axis=1)
    elif task.kind == "ordinal":
        metric, name = "average_wasserstein_distance", "average Wasserstein distance (AWD)"
        value = wasserstein_distance_rows(pair_distributions(metric, None, gold=gold, pred=pred)).rows[:, 0]
    elif task.edition == 2:
        metric, name = "lewidi2023_cross_entropy", "cross-entropy as in LeWiDi 2023"
        share = pair_distributions(metric, None, gold=gold, pred=pred).pred
        value = -(gold * np.log(np.clip(share, _KIT_CLIP, 1 - _KIT_CLIP) + _KIT_SHIFT)).sum(axis=1)
    else:
        metric, name = "average_manhattan_distance", "average Manhattan distance (AMD)"
        value = manhattan_distance_rows(pair_distributions(metric, None, gold=gold, pred=pred)).rows[:, 0]
    left = len(known) - int(known.sum())
    note = f"{left} of {len(known)} items without a distribution on both sides left out" if left else ""
    return scattered(
        mean_of(metric, name, value, undefined="no item has a distribution on both sides", note=note), known
    )


def perspectivist_score_rows(task: LewidiTask, pairs: PairedRatings, *, answered: bool = False) -> Additive:
    """The official perspectivist score as an additive statistic; ``answered`` leaves missing predictions out."""
    rows = normalised_absolute_distance_rows if task.kind == "ordinal" else error_rate_rows
    score = rows(pairs, over="answered" if answered else "all")
    metric, name = PERSPECTIVIST_NAMES[task.kind]
    suffix, said = ("_answered", " of the answered") if answered else ("", "")
    return score._replace(metric=f"{metric}{suffix}", name=f"{name}{said}")


def scattered(score: Additive, known: npt.NDArray[np.bool_]) -> Additive:
    """Rows of the items marked (N,) among empty ones, so that all scores have the same items."""
    rows = np.zeros((len(known), score.rows.shape[1]))
    rows[known] = score.rows
    return score._replace(rows=rows)


def _yes_no(shares: Floats) -> Floats:
    """Shares of a yes (N, L) as distributions of (no, yes), (N x L, 2)."""
    yes = shares.ravel()
    return np.column_stack([1 - yes, yes])


def _check_yes(pred: Floats) -> None:
    if ((pred < 0) | (pred > 1)).any():
        row = pred[((pred < 0) | (pred > 1)).any(axis=1)][0].tolist()
        raise TableError(f"lewidi_scores: the probability of each label must lie between 0 and 1, found {row}.")
