"""Does the length of a text alone tell one label from the others? Areas under the curve, by counting lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Estimate, estimates_frame, unit_rows

_FEWEST: Final = 10  # texts of a class, and units, below which a linearised interval is not given


def length_areas(
    texts: pl.Series,
    labels: pl.Series,
    *,
    options: Sequence[str],
    groups: pl.Series | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    r"""Area under the curve of the length of a text for each label against the rest.

    $A_k = P(\ell_i > \ell_j) + P(\ell_i = \ell_j) / 2$ for a text i labelled k and j not: .5 where length says
    nothing, above it where k's texts are longer. The interval is normal on the logit, from the influence of each text
    added up by group.

    Args:
        texts: The texts (n,); length counts characters of the trimmed text.
        labels: Their labels (n,); rows with a null in either are left out.
        options: Names of the K labels in order; with two only the second is listed, the first being its mirror image.
        groups: Resampling unit of each text (n,), or None where every text stands alone.
        confidence: Two-sided coverage.

    Returns:
        Rows ``label`` and Estimate's fields.

    Undefined:
        The area where no text has the label, or all have it. No interval with fewer than 10 texts on either side or
        fewer than 10 groups, or where length parts the labels entirely.

    Example:
        >>> length_areas(pl.Series(["a", "bb", "c"]), pl.Series(list("xyx")), options=["x", "y"])["value"].item()
        1.0

    Reference:
        DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44:837-845; by group: Obuchowski (1997), Biometrics
        53:567-578.
    """
    frame = pl.DataFrame([texts.cast(pl.String).rename("t"), labels.cast(pl.String).rename("l")])
    keep = frame["t"].is_not_null() & frame["l"].is_not_null()
    frame = frame.filter(keep)
    units = None if groups is None else groups.filter(keep)
    length = frame["t"].str.strip_chars().str.len_chars().to_numpy().astype(np.int64)
    values, place = np.unique(length, return_inverse=True)
    listed = options[1:] if len(options) == 2 else options
    found = [
        _area(option, place, len(values), (frame["l"] == option).to_numpy(), units, confidence) for option in listed
    ]
    beside: list[dict[str, object]] = [{"label": option} for option in listed]
    return estimates_frame(found, beside=beside) if beside else estimates_frame([]).insert_column(
        0, pl.Series("label", [], dtype=pl.String)
    )  # fmt: skip


def _area(
    label: str, place: npt.NDArray[np.intp], n_values: int, positive: npt.NDArray[np.bool_], units: pl.Series | None,
    confidence: float,
) -> Estimate:  # fmt: skip
    from scipy.special import expit, logit, ndtri

    n, n1 = len(place), int(positive.sum())
    nan = float("nan")
    blank = Estimate(f'area under the curve of length for "{label}"', nan, nan, nan, n, n, "items", "items",
                     "linearised", confidence)  # fmt: skip
    if n1 in (0, n):
        return replace(blank, note="no text has the label, or all have it" if n else "no text has a label")
    of_one = np.bincount(place[positive], minlength=n_values)
    of_rest = np.bincount(place[~positive], minlength=n_values)
    below = (np.cumsum(of_rest) - of_rest / 2) / (n - n1)  # share of the rest that a text of each length exceeds
    above = 1 - (np.cumsum(of_one) - of_one / 2) / n1
    value = float(of_one @ below / n1)
    influence = np.where(positive, (below[place] - value) * n / n1, (above[place] - value) * n / (n - n1))
    rows, unit = unit_rows(influence[:, None], groups=units)
    point = replace(blank, value=value, n_units=len(rows), unit=unit)
    if min(n1, n - n1, len(rows)) < _FEWEST:
        return replace(point, note=f"no interval: fewer than {_FEWEST} texts or {unit} of a kind")
    if not 0 < value < 1 or not np.any(rows):
        return replace(point, note="no interval: length parts the labels, or is the same throughout")
    spread = float(np.sqrt(len(rows) / (len(rows) - 1) * np.sum(rows**2))) / n / (value * (1 - value))
    half = float(ndtri(0.5 + confidence / 2)) * spread
    return replace(point, low=float(expit(logit(value) - half)), high=float(expit(logit(value) + half)))
