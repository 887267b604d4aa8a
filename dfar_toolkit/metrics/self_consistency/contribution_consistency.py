r"""CC-SHAP: do the words that the answer rests on carry the explanation too?

Per item two vectors of contributions of the same J words, to the answer and to the text of the reason, each as shares
$r_j = 100 \phi_j / \sum_{j'} |\phi_{j'}|$. The score is 1 - distance, by six distances:

* cosine (the published score, in [-1, 1]); correlation (cosine of the centred vectors)
* mse: $MSE = \frac{1}{J} \sum_j d_j^2$, var: $\frac{1}{J} \sum_j (d_j^2 - MSE)^2$, with $d = r^{answer} - r^{reason}$
* kl: $KL(softmax(r^{reason}) || softmax(r^{answer}))$; js: the square root of the Jensen-Shannon divergence in nats

Only the cosine has a scale to read; the others stand here as others report them. The original has contributions from
SHAP, divided per output token before they are averaged; here they are what the run attributed them by, and the reason
is explained as a whole: numbers of one run compare with each other, not with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.reasons.present_means import estimate_present, mean_present
from dfar_toolkit.metrics.self_consistency.answer_changes import IDENT

Distance = Literal["cosine", "correlation", "mse", "var", "kl", "js"]
DISTANCES: Final[tuple[Distance, ...]] = get_args(Distance)
ANSWER, EXPLANATION = "cc_answer", "cc_explanation"
_TITLES: Final[dict[Distance, str]] = {
    "cosine": "CC-SHAP", "correlation": "CC-SHAP (1 - correlation distance)", "mse": "CC-SHAP (1 - MSE)",
    "var": "CC-SHAP (1 - var)", "kl": "CC-SHAP (1 - KL)", "js": "CC-SHAP (1 - JS)",
}  # fmt: skip


def contribution_shares(contributions: Sequence[float]) -> Floats:
    """Contributions (J,) as signed shares of their absolute sum, times 100; ``nan`` where all are 0 or one is unknown.

    Example:
        >>> contribution_shares([1.0, -3.0]).tolist()
        [25.0, -75.0]
    """
    phi = np.asarray(contributions, dtype=np.float64)
    total = float(np.abs(phi).sum())
    return phi * (100 / total) if np.isfinite(total) and total > 0 else np.full(len(phi), np.nan)


def contribution_distances(answer: npt.ArrayLike, explanation: npt.ArrayLike) -> dict[Distance, float]:
    r"""The six distances of two vectors of contribution shares.

    Args:
        answer: Shares (J,) of the words in the answer, from :func:`contribution_shares`.
        explanation: Shares (J,) of the same words in the reason.

    Returns:
        Distances by name; ``nan`` where undefined: no words, a vector of 0 or ``nan``, for the correlation one whose
        numbers are all equal.

    Raises:
        ValueError: Vectors of unequal length.

    Example:
        >>> found = contribution_distances([50.0, -50.0], [-50.0, 50.0])
        >>> found["cosine"], found["mse"], found["kl"]
        (2.0, 10000.0, 100.0)

    Reference:
        Parcalabescu and Frank (2024), On measuring faithfulness or self-consistency of natural language explanations,
        ACL, section 4.
    """
    p, e = (np.asarray(v, dtype=np.float64).ravel() for v in (answer, explanation))
    if len(p) != len(e):
        raise ValueError(f"contribution_distances: {len(p)} words in the answer, {len(e)} in the explanation")
    if not len(p) or not np.isfinite([p, e]).all() or not p.any() or not e.any():
        return dict.fromkeys(DISTANCES, float("nan"))
    squares = (p - e) ** 2
    mse = squares.mean()
    log_p, log_e = _log_softmax(p), _log_softmax(e)
    found: dict[Distance, float] = {
        "cosine": _cosine_distance(p, e),
        "correlation": _cosine_distance(_about_mean(p), _about_mean(e)),
        "mse": float(mse),
        "var": float(((squares - mse) ** 2).mean()),
        "kl": max(0.0, float(np.sum(np.exp(log_e) * (log_e - log_p)))),
        "js": _jensen_shannon(log_p, log_e),
    }
    return found


def cc_shap(
    outputs: pl.DataFrame,
    *,
    distance: Distance = "cosine",
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean over items of 1 - the distance of the contributions to the answer and to the reason; higher is better.

    Args:
        outputs: Rows of one run with ``item_id``, ``method`` (``cc_answer``, ``cc_explanation``) and ``word_scores``;
            ``group`` (else the item) is the resampling unit.
        distance: One of the six.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts items with both vectors.

    Undefined:
        No item with two vectors that are not 0.

    Raises:
        TableError: A column is missing, several runs, or vectors of unequal length.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["a", "a"], "method": ["cc_answer", "cc_explanation"],
        ...     "word_scores": [[1.0, 0.0], [0.0, 2.0]]})
        >>> cc_shap(rows, ci=None).value
        0.0

    Reference:
        Parcalabescu and Frank (2024), On measuring faithfulness or self-consistency of natural language explanations,
        ACL, section 4.
    """
    if distance not in DISTANCES:
        raise ValueError(f"cc_shap: distance must be one of {', '.join(DISTANCES)}; found {distance!r}")
    scores = cc_shap_scores(outputs)
    row = cc_shap_rows(scores, distance=distance)
    return estimate_present([row], groups=scores["group"], ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def cc_shap_scores(outputs: pl.DataFrame) -> pl.DataFrame:
    """1 - each distance, item by item.

    Args:
        outputs: As in :func:`cc_shap`.

    Returns:
        ``item_id, group`` and a column per distance, ``nan`` where undefined, sorted by item.

    Raises:
        TableError: As in :func:`cc_shap`.
    """
    lost = [c for c in ("item_id", "method", "word_scores") if c not in outputs.columns]
    if lost:
        raise TableError(f'cc_shap: wanted the column "{lost[0]}", found {", ".join(outputs.columns)}.')
    if "run_id" in outputs.columns and outputs["run_id"].n_unique() > 1:
        raise TableError(f"cc_shap: wanted the outputs of one run, found {outputs['run_id'].n_unique()}.")
    key = [c for c in IDENT if c in outputs.columns]
    rows = outputs if "group" in outputs.columns else outputs.with_columns(group=pl.col("item_id").cast(pl.String))
    sides = [
        rows.filter(pl.col("method") == m).select(*key, pl.col("group").cast(pl.String), pl.col("word_scores").alias(m))
        for m in (ANSWER, EXPLANATION)
    ]
    both = sides[0].join(sides[1], on=key, how="full", coalesce=True).sort(key)
    found = [_scores(*pair) for pair in both.select(ANSWER, EXPLANATION).rows()]
    table = pl.DataFrame(found, schema=dict.fromkeys(DISTANCES, pl.Float64), orient="row")
    return both.select(pl.col("item_id"), pl.coalesce("group", "group_right").alias("group")).hstack(table)


def cc_shap_rows(scores: pl.DataFrame, *, distance: Distance = "cosine") -> Additive:
    """The rows and formula of :func:`cc_shap`.

    Args:
        scores: Of the items, from :func:`cc_shap_scores`.
        distance: One of the six.

    Returns:
        The additive statistic, rows (N, 2).
    """
    metric = "cc_shap" if distance == "cosine" else f"cc_shap_{distance}"
    without = "without two vectors that are not 0" + ("" if distance != "correlation" else " or all equal")
    return mean_present(metric, _TITLES[distance], scores[distance].to_numpy(), without=without)


def _scores(answer: Sequence[float] | None, explanation: Sequence[float] | None) -> tuple[float, ...]:
    if answer is None or explanation is None:
        return (float("nan"),) * len(DISTANCES)
    if len(answer) != len(explanation):
        raise TableError(
            f"cc_shap: word_scores of an item must be of the same words; found {len(answer)} for the answer, "
            f"{len(explanation)} for the explanation."
        )
    unknown = [[float("nan") if v is None else v for v in side] for side in (answer, explanation)]
    distances = contribution_distances(*(contribution_shares(side) for side in unknown))
    return tuple(1 - distances[name] for name in DISTANCES)


def _cosine_distance(a: Floats, b: Floats) -> float:
    """1 - cosine; ``nan`` for a vector of 0."""
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.clip(1 - float(a @ b) / norms, 0.0, 2.0)) if norms > 0 else float("nan")


def _about_mean(values: Floats) -> Floats:
    """Values about their mean; 0 where all are equal but for rounding."""
    moved: Floats = values - values.mean()
    return np.zeros_like(moved) if np.abs(moved).max() <= 1e-12 * np.abs(values).max() else moved


def _log_softmax(values: Floats) -> Floats:
    moved = values - values.max()
    out: Floats = moved - np.log(np.exp(moved).sum())
    return out


def _jensen_shannon(log_p: Floats, log_q: Floats) -> float:
    """Square root of the divergence in nats, from logarithms, so that no probability is lost as 0."""
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    half = np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m)
    return float(np.sqrt(max(0.0, float(half.sum()) / 2)))
