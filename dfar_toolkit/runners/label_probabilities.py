"""From logarithms of the options' probabilities to a distribution over them, the mass they had, and a label.

Cost: a few passes over (N, K).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.estimate import Floats

NO_OPTION: Final = "no option among the listed tokens"
TIE: Final = 1e-9  # probabilities closer than this are equal

_ROUNDING: Final = 1e-4  # sums of probabilities in single precision may exceed 1 by so much


class LabelProbabilities(NamedTuple):
    """``probs`` (N, K), rows that sum to 1 or are ``nan``; ``mass`` (N,), what the options had before that."""

    probs: Floats
    mass: Floats

    @property
    def notes(self) -> list[str]:
        """For each row why it has no probabilities; ``""`` where it has."""
        return [NO_OPTION if lost else "" for lost in np.isnan(self.probs[:, 0])]


def renormalised(option_logprobs: npt.ArrayLike, *, rounding: float = _ROUNDING) -> LabelProbabilities:
    r"""Probabilities over the options alone, and the mass that the options had among all that could be said.

    With $l_k = \log P(option_k)$: $p_k = e^{l_k} / \sum_j e^{l_j}$ and mass $= \sum_j e^{l_j}$. Options must exclude
    each other (none the beginning of another), or the mass is none. For first tokens that a server listed the mass is
    that of the listed ones: :func:`probability_bounds` says what the others may add.

    Args:
        option_logprobs: Natural logarithms (N, K); ``-inf`` is probability 0.
        rounding: By how much the mass may exceed 1: servers round what they list.

    Returns:
        Probabilities and mass. The mass may be too small for a number (0) where the probabilities are well defined.

    Undefined:
        All options of a row are ``-inf``: probabilities ``nan``, mass 0, and a note.

    Raises:
        ValueError: Not an array (N, K), ``nan``, or a mass above 1 by more than rounding: options overlap.

    Example:
        1/2 and 1/8 of all probability: 4 to 1.

        >>> found = renormalised(np.log([[1 / 2, 1 / 8]]))
        >>> found.probs.round(12).tolist(), found.mass.round(12).tolist()
        ([[0.8, 0.2]], [0.625])
        >>> renormalised([[-np.inf, -np.inf]]).notes
        ['no option among the listed tokens']
    """
    logs = _logarithms("renormalised", option_logprobs)
    return LabelProbabilities(_softmax(logs), _mass("renormalised", logs, rounding))


def length_normalised(option_logprobs: npt.ArrayLike, lengths: npt.ArrayLike) -> Floats:
    r"""Probabilities from the mean log-probability per token, for options of unequal length.

    $p_k \propto e^{l_k / n_k}$ with $n_k$ tokens in option k. This is a score, not a probability of the option: the
    chain rule already pays for length. So it is only for comparison with work that uses it, and means nothing for
    first tokens.

    Args:
        option_logprobs: As in :func:`renormalised`.
        lengths: Tokens of each option, (K,) or (N, K), 1 or more.

    Returns:
        Probabilities (N, K). Means per token have no mass: that of the options stays the one of :func:`renormalised`.

    Undefined:
        As :func:`renormalised`.

    Raises:
        ValueError: As :func:`renormalised`, or lengths that are no whole numbers from 1 or of another shape.

    Example:
        Two tokens of 1/2 each count as one of 1/2.

        >>> length_normalised(np.log([[1 / 2, 1 / 4]]), [1, 2]).round(12).tolist()
        [[0.5, 0.5]]
    """
    logs = _logarithms("length_normalised", option_logprobs)
    tokens = np.asarray(lengths, dtype=np.float64)
    if tokens.shape not in (logs.shape, logs.shape[1:]):
        raise ValueError(
            f"length_normalised: lengths must have the shape {logs.shape} of the options or {logs.shape[1:]}, found "
            f"{tokens.shape}"
        )
    if not ((tokens >= 1) & (tokens == np.floor(tokens)) & np.isfinite(tokens)).all():
        raise ValueError("length_normalised: every option must have 1 token or more, as a whole number")
    _mass("length_normalised", logs)
    return _softmax(logs / tokens)


def probability_bounds(option_logprobs: npt.ArrayLike, missing_mass: npt.ArrayLike) -> tuple[Floats, Floats]:
    r"""Between which values each option's probability lies where a server listed only its likeliest first tokens.

    $[p_k, \min(1, p_k + m)]$ with $p_k = e^{l_k}$ as listed and m the probability of all tokens not listed. These are
    bounds before renormalising, each for its own option: not all of them can be at the upper end at once.

    Args:
        option_logprobs: As in :func:`renormalised`, (N, K).
        missing_mass: Probability of what was not listed, (N,); 0 where everything is known.

    Returns:
        Lower and upper bounds, each (N, K).

    Raises:
        ValueError: As :func:`renormalised`, or missing mass that is below 0 or leaves no room for the options.

    Example:
        >>> lower, upper = probability_bounds([[np.log(0.5), -np.inf]], [0.25])
        >>> lower.round(12).tolist(), upper.round(12).tolist()
        ([[0.5, 0.0]], [[0.75, 0.25]])
    """
    logs = _logarithms("probability_bounds", option_logprobs)
    mass = _mass("probability_bounds", logs)
    missing = np.asarray(missing_mass, dtype=np.float64)
    if missing.shape != mass.shape:
        raise ValueError(f"probability_bounds: missing_mass must have the shape {mass.shape}, found {missing.shape}")
    fits = (missing >= 0) & (missing + mass <= 1 + _ROUNDING)
    if not fits.all():
        row = int(np.argmin(fits))
        raise ValueError(
            f"probability_bounds: listed and missing probability must add up to 1 at most; found {mass[row]:.6g} and "
            f"{missing[row]:.6g} in row {row}"
        )
    lower = np.minimum(np.exp(logs), 1.0)
    return lower, np.minimum(lower + missing[:, None], 1.0)


def label_of(probs: npt.ArrayLike, options: Sequence[str]) -> pl.Series:
    """The name of the likeliest option of each row; null where two are equally likely or nothing is known.

    Args:
        probs: Probabilities (N, K); rows of ``nan`` where unknown.
        options: Names of the K options.

    Returns:
        The labels, as the column ``label``.

    Raises:
        ValueError: Not one name for each option.

    Example:
        >>> label_of([[0.2, 0.8], [0.5, 0.5], [np.nan, np.nan]], ["no", "yes"]).to_list()
        ['yes', None, None]
    """
    p = np.asarray(probs, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != len(options) or len(set(options)) != len(options) or not len(options):
        raise ValueError(
            f"label_of: options must be one distinct name for each column of probs, found {len(options)} names "
            f"({', '.join(options)}) for the shape {p.shape}"
        )
    highest = p.max(axis=1, keepdims=True)
    alone = (p >= highest - TIE).sum(axis=1) == 1
    codes = np.where(alone, p.argmax(axis=1), len(options))
    return pl.Series("label", [*options, None], dtype=pl.String).gather(codes)


def _logarithms(name: str, option_logprobs: npt.ArrayLike) -> Floats:
    """The logarithms as an array (N, K) of double precision, checked."""
    logs = np.asarray(option_logprobs, dtype=np.float64)
    if logs.ndim != 2 or not logs.shape[1]:
        raise ValueError(f"{name}: option_logprobs must be an array (items, options), found shape {logs.shape}")
    if np.isnan(logs).any():
        row = int(np.isnan(logs).any(axis=1).argmax())
        raise ValueError(f"{name}: option_logprobs must be logarithms of probabilities, found nan in row {row}")
    return logs


def _softmax(logs: Floats) -> Floats:
    """Rows as probabilities, without overflow; ``nan`` where all are ``-inf``."""
    highest = logs.max(axis=1, keepdims=True)
    known = np.isfinite(highest)
    raised = np.exp(np.where(known, logs - np.where(known, highest, 0.0), 0.0))
    found: Floats = np.where(known, raised / raised.sum(axis=1, keepdims=True), np.nan)
    return found


def _mass(name: str, logs: Floats, rounding: float = _ROUNDING) -> Floats:
    """Sum of the probabilities (N,), refused above 1."""
    with np.errstate(over="ignore"):
        mass: Floats = np.exp(logs).sum(axis=1)
    if (mass > 1 + rounding).any():
        row = int((mass > 1 + rounding).argmax())
        raise ValueError(
            f"{name}: the options' probabilities must add up to 1 at most, found {mass[row]:.6g} in row {row}: options "
            "overlap (one is the beginning of another, or two share a spelling); end each with a terminator"
        )
    return np.minimum(mass, 1.0)
