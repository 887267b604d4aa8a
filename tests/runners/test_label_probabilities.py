"""From log-probabilities of options to distributions, mass, bounds and labels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.runners.label_probabilities import (
    NO_OPTION,
    label_of,
    length_normalised,
    probability_bounds,
    renormalised,
)

NONE = -math.inf
# Whole numbers that stand for probabilities: the last is what no option has.
WEIGHTS = st.lists(st.integers(0, 50), min_size=3, max_size=5).filter(lambda w: sum(w[:-1]) > 0)


def _log(share: Fraction) -> float:
    return math.log(share) if share else NONE


@settings(max_examples=30)
@given(WEIGHTS)
def test_probabilities_and_mass_by_exact_fractions(weights: list[int]) -> None:
    shares = [Fraction(w, sum(weights)) for w in weights[:-1]]
    found = renormalised([[_log(share) for share in shares]])
    assert found.probs[0] == pytest.approx([float(share / sum(shares)) for share in shares], rel=1e-12)
    assert found.mass[0] == pytest.approx(float(sum(shares)), rel=1e-12)
    assert found.mass[0] <= 1
    # A server that had not listed the rest: the bounds hold the truth wherever the rest goes.
    lower, upper = probability_bounds([[_log(share) for share in shares]], [weights[-1] / sum(weights)])
    assert (lower[0] <= upper[0]).all()
    assert upper[0] == pytest.approx([float(share) + weights[-1] / sum(weights) for share in shares])


def test_tiny_and_absent_options() -> None:
    found = renormalised([[-2000.0, -2000.0 + math.log(3)], [NONE, -5.0], [NONE, NONE]])
    assert found.probs[:2].tolist() == [pytest.approx([1 / 4, 3 / 4]), [0.0, 1.0]]
    assert found.mass.tolist() == [0.0, pytest.approx(math.exp(-5)), 0.0]
    assert np.isnan(found.probs[2]).all()
    assert found.notes == ["", "", NO_OPTION]
    assert renormalised(np.empty((0, 2))).probs.shape == (0, 2)


def test_mass_above_one_is_rounding_or_overlap() -> None:
    assert renormalised(np.log([[0.50002, 0.50002]])).mass.tolist() == [1.0]
    with pytest.raises(ValueError, match=r"must add up to 1 at most, found 1\.2 in row 1: options overlap"):
        renormalised(np.log([[0.5, 0.5], [0.6, 0.6]]))
    for overlapping in ([[800.0, 0.0]], [[math.inf, 0.0]]):
        with pytest.raises(ValueError, match="options overlap"):
            renormalised(overlapping)
    for wrong, why in (([[math.nan, 0.0]], "found nan in row 0"), ([0.0, -1.0], "found shape"), ([[]], "found shape")):
        with pytest.raises(ValueError, match=why):
            renormalised(wrong)


def test_length_normalised_by_hand() -> None:
    # (1/8)^(1/3) = 1/2 and (1/16)^(1/2) = 1/4: 2 to 1, whichever way the lengths are given.
    logs = [[math.log(1 / 8), math.log(1 / 16)]]
    assert length_normalised(logs, [3, 2])[0] == pytest.approx([2 / 3, 1 / 3])
    assert length_normalised(logs, [[3, 2]])[0] == pytest.approx([2 / 3, 1 / 3])
    assert length_normalised(logs, [1, 1]) == pytest.approx(renormalised(logs).probs)
    assert length_normalised([[NONE, -1.0]], [2, 2]).tolist() == [[0.0, 1.0]]
    for lengths in ([0, 1], [1.5, 1], [math.nan, 1]):
        with pytest.raises(ValueError, match="1 token or more, as a whole number"):
            length_normalised(logs, lengths)
    with pytest.raises(ValueError, match="must have the shape"):
        length_normalised(logs, [1, 2, 3])
    with pytest.raises(ValueError, match="length_normalised: the options' probabilities must add up to 1"):
        length_normalised([[0.0, 0.0]], [1, 2])


def test_bounds_refuse_what_does_not_fit() -> None:
    for missing in (-0.1, 0.6, math.nan):
        with pytest.raises(ValueError, match=r"add up to 1 at most; found 0\.5 and .* in row 1"):
            probability_bounds([[NONE, NONE], [math.log(0.5), NONE]], [1.0, missing])
    with pytest.raises(ValueError, match="missing_mass must have the shape"):
        probability_bounds([[NONE, NONE]], 0.5)


def test_labels_and_ties() -> None:
    probs = [[0.2, 0.5, 0.3], [0.4, 0.4 + 1e-12, 0.2], [math.nan] * 3, [0.4, 0.2, 0.4 + 1e-6]]
    assert label_of(probs, ["a", "b", "c"]).to_list() == ["b", None, None, "c"]
    assert label_of(np.empty((0, 2)), ["a", "b"]).to_list() == []
    for options in (["a", "b"], ["a", "b", "b"]):
        with pytest.raises(ValueError, match="one distinct name for each column"):
            label_of(probs, options)


def test_rounded_probabilities_of_a_server_may_exceed_one_a_little() -> None:
    logs = np.log([[0.6, 0.404]])
    with pytest.raises(ValueError, match=r"add up to 1 at most, found 1\.004"):
        renormalised(logs)
    found = renormalised(logs, rounding=0.02)
    assert found.mass.tolist() == [1.0]
    assert found.probs[0].tolist() == pytest.approx([0.6 / 1.004, 0.404 / 1.004], abs=1e-12)
