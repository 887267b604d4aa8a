"""Labels that a simple classifier disagrees with: disagreement with consensus, never a verdict, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.corpus.findings import N_EXAMPLES, ON_DEMAND, Finding, excerpt
from dfar_toolkit.estimate import Estimate, estimates_frame, proportion

_NAME: Final = "label.suspect"
_NOTE: Final = (
    "disagreement with consensus: a simple classifier trained on the other items confidently gives another label; "
    "a place to look, not an error"
)


def suspect_labels(
    probs: npt.ArrayLike, labels: Sequence[str], options: Sequence[str], item_ids: Sequence[str]
) -> pl.DataFrame:
    r"""Items for which another option is confidently more probable than their own label.

    With out-of-fold probabilities $p_{ik}$ and $t_k$ the mean of $p_{ik}$ over the items labelled k, an item counts for
    the most probable of the options with $p_{ik} \ge t_k$; it is listed if that is not its own label.

    Args:
        probs: Out-of-fold probabilities (n, K); a row with nan was not predicted and is passed over.
        labels: The labels (n,), names of options.
        options: Names of the K options, the columns of ``probs``.
        item_ids: The ids (n,).

    Returns:
        Rows ``item_id, label, other, prob_label, prob_other, threshold`` ($t$ of the other), ``margin`` (the difference
        of the two probabilities), largest margin first.

    Raises:
        ValueError: The sizes differ, or a label is not an option.

    Example:
        >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.95, 0.05]]
        >>> suspect_labels(probs, ["a", "a", "b", "b"], ["a", "b"], list("pqrs")).select("item_id", "other").rows()
        [('s', 'a')]

    Reference:
        Northcutt, Jiang and Chuang (2021), Confident learning, JAIR 70:1373-1411.
    """
    p, place = np.asarray(probs, dtype=np.float64), {o: k for k, o in enumerate(options)}
    strange = sorted(set(labels) - set(place))
    if p.shape != (len(labels), len(options)) or len(item_ids) != len(labels) or strange:
        found = f"the label {strange[0]!r}" if strange else f"{p.shape} for {len(labels)} labels, {len(item_ids)} ids"
        raise ValueError(f"suspect_labels: wanted probabilities (items, {len(options)} options), found {found}")
    code = np.array([place[label] for label in labels], dtype=np.int64)
    known = np.asarray(np.isfinite(p).all(axis=1))
    threshold = np.array(
        [p[known & (code == k), k].mean() if (known & (code == k)).any() else np.nan for k in range(len(options))]
    )
    confident = np.asarray(
        known[:, None] & (p >= threshold)
    )  # an option that no item has, with a threshold of nan, never is
    best = np.where(confident, p, -1.0).argmax(axis=1) if len(options) else code
    rows = np.flatnonzero(confident.any(axis=1) & np.asarray(best != code))
    frame = pl.DataFrame(
        {
            "item_id": [item_ids[i] for i in rows.tolist()],
            "label": [labels[i] for i in rows.tolist()],
            "other": [options[k] for k in best[rows].tolist()],
            "prob_label": p[rows, code[rows]],
            "prob_other": p[rows, best[rows]],
            "threshold": threshold[best[rows]],
        },
        schema_overrides={"item_id": pl.String, "label": pl.String, "other": pl.String},
    )
    margin = (pl.col("prob_other") - pl.col("prob_label")).alias("margin")
    return frame.with_columns(margin).sort("margin", "item_id", descending=[True, False])


def suspects_by_band(
    suspects: pl.DataFrame,
    ratings: pl.DataFrame,
    raters: pl.DataFrame,
    *,
    bands: Sequence[str],
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Whose ratings lie on listed items, and with which side they go, by band of the raters.

    Args:
        suspects: As :func:`suspect_labels` returns them.
        ratings: Ratings of the items that were tested, ``item_id, annotator_id, value`` and, where present, ``group``.
        raters: ``annotator_id`` and the bands.
        bands: Columns of the raters.
        confidence: Two-sided coverage.

    Returns:
        Rows ``band, people, n_ratings, n_on_suspects, n_for_label, n_for_other`` and Estimate's fields of the share of
        the ratings that lie on listed items. People of unknown band are one group.

    Example:
        >>> suspects = suspect_labels([[0.9, 0.1], [0.2, 0.8], [0.95, 0.05]], list("abb"), ["a", "b"], list("pqr"))
        >>> ratings = pl.DataFrame({"item_id": list("pqr"), "annotator_id": list("xyx"), "value": list("aba")})
        >>> raters = pl.DataFrame({"annotator_id": ["x", "y"], "age": ["20", "30"]})
        >>> suspects_by_band(suspects, ratings, raters, bands=["age"]).select("people", "n_on_suspects", "value").rows()
        [('20', 1, 0.5), ('30', 0, 0.0)]
    """
    marked = ratings.join(
        suspects.select("item_id", "label", "other").unique("item_id"), on="item_id", how="left", maintain_order="left"
    ).join(raters.select("annotator_id", *bands).unique("annotator_id"), on="annotator_id", how="inner")
    beside: list[dict[str, object]] = []
    estimates: list[Estimate] = []
    for band in bands:
        people = marked.with_columns(pl.col(band).fill_null("unknown").alias("_people"))
        for name in people["_people"].unique().sort():
            own = people.filter(pl.col("_people") == name)
            hit = own["other"].is_not_null()
            units = own["group"] if "group" in own.columns else own["item_id"]
            beside.append(
                {
                    "band": band,
                    "people": name,
                    "n_ratings": own.height,
                    "n_on_suspects": int(hit.sum()),
                    "n_for_label": int((own["value"] == own["label"]).sum()),
                    "n_for_other": int((own["value"] == own["other"]).sum()),
                }
            )
            title = f"share of the ratings by {name} ({band}) on items with a disagreement"
            estimates.append(proportion(title, hit, groups=units, confidence=confidence))
    schema = {"band": pl.String, "people": pl.String, "n_ratings": pl.Int64, "n_on_suspects": pl.Int64,
              "n_for_label": pl.Int64, "n_for_other": pl.Int64}  # fmt: skip
    return pl.concat([pl.DataFrame(beside, schema=schema), estimates_frame(estimates)], how="horizontal")


def suspect_finding(suspects: pl.DataFrame, n_tested: int, note: str = "") -> Finding:
    """``label.suspect``: how many items were listed of those that were tested; never fails the gate.

    Example:
        >>> suspect_finding(suspect_labels([[0.5, 0.5]], ["a"], ["a", "b"], ["p"]), 1).count
        0
    """
    examples = tuple(
        f"{excerpt(r['item_id'])}: {excerpt(r['label'], length=30)} ({r['prob_label']:.2f}), "
        f"{excerpt(r['other'], length=30)} ({r['prob_other']:.2f})"
        for r in suspects.head(N_EXAMPLES).iter_rows(named=True)
    )
    said = "; ".join(filter(None, [_NOTE, note]))
    return Finding(_NAME, ON_DEMAND[_NAME], suspects.height, n_tested, examples, said)
