"""Which interval a share gets, and what to say where a bootstrap interval has collapsed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, collapse, estimate, proportion

_FEW = 10.0  # n x min(p, 1 - p) below which a percentile interval of a mean is not trusted


def mean_share(
    name: str,
    shares: npt.ArrayLike,
    *,
    groups: pl.Series | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> Estimate:
    r"""Mean of one share in [0, 1] per item, with the interval that its numbers allow.

    With $p = \sum_i x_i / N$ the interval is Wilson's (on the effective n where items come in groups) if every
    $x_i$ is 0 or 1, or if $N \min(p, 1 - p) < 10$, where a bootstrap undercovers and at 0/N collapses to [0, 0].
    Wilson is conservative for fractional shares; with enough of them the interval is a bootstrap over groups.

    Args:
        name: Name printed with the number.
        shares: One number in [0, 1] per item (N,).
        groups: Resampling unit of each item (N,), or None.
        confidence: Two-sided coverage asked for.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The estimate; ``method`` says which interval it is.

    Undefined:
        No items: ``nan``.

    Example:
        >>> str(mean_share("MAR", [0, 0, 0, 1 / 3]))
        'MAR = 0.083 [0.006, 0.569] (95 % Wilson over 4 items)'
    """
    x = np.asarray(shares, dtype=np.float64).ravel()
    fractional = bool(np.any((x != 0) & (x != 1)))
    few = len(x) * min(x.mean(), 1 - x.mean()) < _FEW if len(x) else True
    if not fractional or few:
        return proportion(name, x, groups=groups, confidence=confidence)
    patterns = collapse(np.column_stack([x, np.ones_like(x)]), groups=groups)
    return estimate(name, patterns, lambda s: s[:, 0] / s[:, 1], confidence=confidence, n_boot=n_boot, seed=seed)
