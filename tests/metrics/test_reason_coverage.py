"""Several reasons of a model against all human reasons, by hand and by loops over the definition."""

from __future__ import annotations

from math import isnan

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.reasons.coverage import reason_coverage
from dfar_toolkit.metrics.reasons.text_overlap import token_scores

# i: the model says "a b" twice, people "a b", "c d", "a x". j: model "a b", "c d"; people "c d".
FRAME = pl.DataFrame(
    {
        "item_id": ["i", "i", "j", "j", "k"],
        "reason": ["a b", "a b", "a b", "c d", None],
        "human_reasons": [["a b", "c d", "a x"]] * 2 + [["c d"]] * 2 + [["q"]],
        "label_pred": ["e", "e", "e", "u", "e"],
    }
)


def values(frame: pl.DataFrame, side: str) -> dict[str, float]:
    return dict(frame.filter(side=side).select("quantity", "value").rows())


def test_by_hand() -> None:
    found = reason_coverage(FRAME, metric="token_f1", ci=None)
    # i: precision 1; recall (1 + 0 + 1/2)/3 = 1/2; F1 2/3. j: precision (0 + 1)/2; recall 1; F1 2/3.
    assert values(found, "precision")["run"] == pytest.approx(3 / 4, abs=1e-12)
    assert values(found, "recall")["run"] == pytest.approx(3 / 4, abs=1e-12)
    assert values(found, "f1")["run"] == pytest.approx(2 / 3, abs=1e-12)
    # Both are "e" (j's tie goes to the first in the alphabet), so each lends to the other.
    # i gets j's: precision 1, recall (1 + 1 + 1/2)/3; j gets i's: precision 0, recall 0.
    assert values(found, "precision")["floor"] == pytest.approx(1 / 2, abs=1e-12)
    assert values(found, "recall")["floor"] == pytest.approx((5 / 6 + 0) / 2, abs=1e-12)
    # Only i has two human reasons. s = min(2, 2) = 2 are held out, sorted "a b", "a x", "c d"; the rest is one reason:
    # {ab, ax} | cd: 0, 0; {ax, cd} | ab: precision 1/4, recall 1/2; {cd, ab} | ax: precision 1/4, recall 1/2.
    assert values(found, "precision")["ceiling"] == pytest.approx(1 / 6, abs=1e-12)
    assert values(found, "recall")["ceiling"] == pytest.approx(1 / 3, abs=1e-12)
    # The run against the same rests cd, ab, ax: 0, 1, 1/2.
    assert values(found, "recall")["run_matched"] == pytest.approx(1 / 2, abs=1e-12)
    # The floor: "a b", "c d" against cd, ab, ax: recall 1, 1, 1/2; so floor > ceiling and no position.
    assert values(found, "recall")["floor_matched"] == pytest.approx(5 / 6, abs=1e-12)
    assert isnan(values(found, "recall")["position"])
    assert found.filter(side="f1")["n"].to_list() == [2, 2, 2, 1, 1, 1, 1]


def test_with_a_threshold_shares_are_counted() -> None:
    found = reason_coverage(FRAME, metric="token_f1", threshold=0.5, ci=None)
    # i: people's "a b" and "a x" are met; all the model's are given by someone. j: one of two.
    assert values(found, "precision")["run"] == pytest.approx(3 / 4, abs=1e-12)
    assert values(found, "recall")["run"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-12)
    strict = reason_coverage(FRAME, metric="token_f1", threshold=0.51, ci=None)
    assert values(strict, "recall")["run"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-12)
    assert strict["metric"][0] == "token_f1 >= 0.51"


def test_one_reason_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    words = list("abcdef")
    humans = [[" ".join(rng.choice(words, 3)) for _ in range(rng.integers(2, 5))] for _ in range(8)]
    reasons = [" ".join(rng.choice(words, 3)) for _ in humans]
    found = reason_coverage(
        reason=reasons, human=humans, label=["e"] * 8, item=list("abcdefgh"), metric="token_f1", ci=None
    )

    def f1(a: str, b: str) -> float:
        return float(token_scores([a], [b]).f1[0])

    run, ceiling = [], []
    for reason, people in zip(reasons, humans, strict=True):
        rest = [[p for j, p in enumerate(people) if j != out] for out in range(len(people))]
        run.append(np.mean([max(f1(reason, p) for p in r) for r in rest]))
        ceiling.append(np.mean([max(f1(h, p) for p in r) for h, r in zip(people, rest, strict=True)]))
    assert values(found, "precision")["run_matched"] == pytest.approx(np.mean(run), abs=1e-12)
    assert values(found, "precision")["ceiling"] == pytest.approx(np.mean(ceiling), abs=1e-12)


def test_order_of_rows_and_samples_changes_nothing() -> None:
    one = reason_coverage(FRAME, n_boot=100)
    assert one.equals(reason_coverage(FRAME.reverse(), n_boot=100))
    assert one["unit"].unique().to_list() == ["items"]


def test_undefined_and_refused() -> None:
    lone = reason_coverage(FRAME.filter(item_id="j"), metric="token_f1", ci=None)
    notes = dict(lone.filter(side="f1").select("quantity", "note").rows())
    assert "all 1 items are without a human reason or another item of the label" in notes["floor"]
    assert notes["ceiling"] == "all 1 items are without a second human reason"
    none = reason_coverage(FRAME.with_columns(human_reasons=pl.lit([], dtype=pl.List(pl.String))), ci=None)
    assert none["n"].to_list() == [0] * 21
    assert "2 of 2 items without a human reason left out" in none["note"][0]
    with pytest.raises(TableError, match="one set of human reasons; 1 items have several"):
        reason_coverage(
            FRAME.with_columns(human_reasons=pl.concat_list(pl.int_range(pl.len()).cast(pl.String))).head(2)
        )
    with pytest.raises(ValueError, match="draws"):
        reason_coverage(FRAME, draws=0)


def test_cosines_below_zero_leave_f1_out() -> None:
    def opposite(a: object, b: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.full(len(a), -1.0)  # type: ignore[arg-type]

    found = reason_coverage(FRAME, metric=opposite, ci=None)
    assert values(found, "precision")["run"] == -1
    assert isnan(values(found, "f1")["run"])
