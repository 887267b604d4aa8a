r"""The correlational tests: do words that move the answer more get mentioned more?

Over all pairs of item and insertion, $CCT = r(x, m)$ with the impact x = TVD of the answers before and after, and
m = 1 where the new reason mentions the word: a point-biserial correlation. $\phi$-CCT takes "the label changed" for x.
Both lie in [-1, 1]; higher is more consistent, 0 is what reasons give that mention words at random.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats
from dfar_toolkit.metrics.reasons.present_means import estimate_present
from dfar_toolkit.metrics.self_consistency.insertions import Insertions, insertions_of

_NONE: Final = 1e-12  # a variance below this share of the square is rounding
_ZERO: Final = 1e-15  # an impact that differs by less from the mean is rounding


def cct(
    outputs: pl.DataFrame,
    *,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Correlational counterfactual test: Pearson correlation of impact and mention over insertions.

    $r = (n S_{xm} - S_x S_m) / \sqrt{(n S_{xx} - S_x^2)(n S_{mm} - S_m^2)}$ with sums S over the n insertions.

    Args:
        outputs: Rows ``full`` and ``inserted`` of one run: ``item_id, condition, draw, label_probs`` (else ``label``,
            whose shares over the samples are taken), and ``mentioned`` or ``reason`` with ``inserted``; ``group``
            (else the item) is the resampling unit.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts insertions.

    Undefined:
        All impacts are equal, or all words are mentioned, or none is.

    Raises:
        TableError: A column is missing, or several runs.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["a"] * 3, "condition": ["full", "inserted", "inserted"],
        ...     "draw": [0, 0, 1], "mentioned": [None, True, False],
        ...     "label_probs": [[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]})
        >>> round(cct(rows, ci=None).value, 12)
        1.0

    Reference:
        Siegel et al. (2024), The probabilities also matter, arXiv 2404.03189, section 3.
    """
    found = insertions_of("cct", outputs)
    return estimate_present(
        [cct_rows(found)], groups=found.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )[0]


def phi_cct(
    outputs: pl.DataFrame,
    *,
    zero: bool = False,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Phi coefficient of "the label changed" and "the word is mentioned" over insertions.

    $\phi = (n_{11} n_{00} - n_{10} n_{01}) / \sqrt{n_{1.} n_{0.} n_{.1} n_{.0}}$; first index: changed.

    Args:
        outputs: As in :func:`cct`, with ``label``.
        zero: Whether a denominator of 0 gives 0, as in a public implementation, and not ``nan``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``n`` counts insertions.

    Undefined:
        Every insertion changes the label or none does, every word is mentioned or none is (unless ``zero``).

    Raises:
        TableError: A column is missing, or several runs.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["a"] * 3, "condition": ["full", "inserted", "inserted"],
        ...     "draw": [0, 0, 1], "label": ["good", "bad", "good"], "mentioned": [None, True, False]})
        >>> phi_cct(rows, ci=None).value
        1.0

    Reference:
        Siegel et al. (2025), Verbosity tradeoffs and the impact of scale, arXiv 2503.13445.
    """
    found = insertions_of("phi_cct", outputs)
    row = phi_cct_rows(found, zero=zero)
    return estimate_present([row], groups=found.groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]


def cct_rows(found: Insertions) -> Additive:
    """The rows and formula of :func:`cct`.

    Args:
        found: The insertions.

    Returns:
        The additive statistic, rows (N, 6).
    """
    rows = _moments(found.impact, found.mentioned)
    why = "no insertion" if not rows[:, -1].any() else "all impacts are equal, or all words are mentioned, or none"
    return Additive("cct", "CCT", rows, _pearson, why, found.note)


def phi_cct_rows(found: Insertions, *, zero: bool = False) -> Additive:
    """The rows and formula of :func:`phi_cct`.

    Args:
        found: The insertions.
        zero: As there.

    Returns:
        The additive statistic, rows (N, 5): the four cells and whether the insertion counts.
    """
    changed, mentioned = found.changed, found.mention
    cells = [(changed == a) & (mentioned == b) for a in (1, 0) for b in (1, 0)]
    present = ~np.isnan(changed) & ~np.isnan(mentioned)
    rows: Floats = np.column_stack([*cells, present]).astype(np.float64)
    if zero:
        note = "; ".join(n for n in ("0 where undefined", found.note) if n)
        return Additive("phi_cct_zero", "phi-CCT (0 where undefined)", rows, _phi_or_zero, "no insertion", note)
    why = "every insertion changes the label or none, or every word is mentioned or none"
    return Additive("phi_cct", "phi-CCT", rows, _phi, why if present.any() else "no insertion", found.note)


def _moments(x: Floats, y: Floats) -> Floats:
    """(x, y, xx, yy, xy, 1) of each pair, about the means, so that little is lost in the differences of sums."""
    present = ~np.isnan(x) & ~np.isnan(y)
    if not present.any():
        return np.zeros((len(x), 6))
    x, y = (_centred(v, present) for v in (x, y))
    return np.column_stack([x, y, x * x, y * y, x * y, present])


def _centred(values: Floats, present: np.ndarray) -> Floats:
    # Sorted, so that the mean does not hang on the order of the rows.
    moved: Floats = np.where(present, values, 0.0) - np.where(present, np.sort(values[present]).mean(), 0.0)
    moved[np.abs(moved) < _ZERO] = 0.0
    return moved


def _pearson(sums: Floats) -> Floats:
    x, y, xx, yy, xy, n = sums.T
    of_x, of_y = n * xx - x * x, n * yy - y * y
    defined = (of_x > _NONE * n * xx) & (of_y > _NONE * n * yy)
    below = np.sqrt(np.where(defined, of_x, 1.0)) * np.sqrt(np.where(defined, of_y, 1.0))
    found: Floats = np.where(defined, np.clip((n * xy - x * y) / below, -1.0, 1.0), np.nan)
    return found


def _phi(sums: Floats) -> Floats:
    n11, n10, n01, n00, _ = sums.T
    below = np.sqrt((n11 + n10) * (n01 + n00)) * np.sqrt((n11 + n01) * (n10 + n00))
    above = n11 * n00 - n10 * n01
    found: Floats = np.divide(above, below, out=np.full(len(sums), np.nan), where=below > 0)
    return np.clip(found, -1.0, 1.0)


def _phi_or_zero(sums: Floats) -> Floats:
    found = _phi(sums)
    return np.where(np.isnan(found) & (sums[:, -1] > 0), 0.0, found)
