"""Many raters, many ratings, huge numbers, many values: work that is bounded, and refusals of one line."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import agreement_table, agreement_test, krippendorff_alpha
from dfar_toolkit.agreement import permuted_ratings as permuted
from dfar_toolkit.agreement.continuous.cronbach import cronbach_alpha
from dfar_toolkit.agreement.continuous.icc import icc
from dfar_toolkit.agreement.continuous.lin import lin_ccc
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.labels.one_coin import one_coin
from dfar_toolkit.agreement.pairs import count_pairs
from dfar_toolkit.agreement.raters import rater_groups
from dfar_toolkit.agreement.raters.drift import drift
from dfar_toolkit.agreement.raters.rater_groups import group_agreement
from dfar_toolkit.agreement.ratings import RatingsLike, read_ratings
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate


def chain(n_raters: int) -> pl.DataFrame:
    """Rater r rates items r and r + 1, so only neighbours share an item."""
    rows = [(i, f"r{r:05}", (i + r) % 2) for r in range(n_raters) for i in (r, r + 1)]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")


def alpha(ratings: RatingsLike, *, level: Level) -> Estimate:
    found = krippendorff_alpha(ratings, level=level, ci=None)
    assert isinstance(found, Estimate)
    return found


def numbers(*values: float) -> list[tuple[int, str, float]]:
    """Two raters, the second one place ahead of the first."""
    return [(i, who, values[(i + k) % len(values)]) for i in range(len(values)) for k, who in enumerate("ab")]


def sided(n_items: int, n_raters: int = 12) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    rows = [(i, f"r{r:02}", int(rng.integers(3)), "AB"[r % 2]) for i in range(n_items) for r in range(n_raters)]
    return pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")


@pytest.mark.parametrize(
    ("n", "why"),
    [
        (101, "left out: 5,050 pairs of raters; pairs=True (--pairs) lists them"),
        (2001, "left out: 2,001,000 pairs of raters; pairs are listed up to 2,000 raters; filter them"),
    ],
)
def test_everything_leaves_out_the_pairs_of_many_raters_and_keeps_the_rest(n: int, why: str) -> None:
    found = agreement_table(chain(n), everything=True, ci=None)
    kappa = found.filter(statistic="cohen_kappa")
    assert kappa["note"].to_list() == [why]
    assert kappa["value"].is_nan().all()
    assert found.filter(statistic="krippendorff_alpha", level="nominal")["value"].is_finite().all()


def test_pairs_of_many_raters_are_listed_or_refused_on_request() -> None:
    found = agreement_table(chain(101), pairs=True, ci=None).filter(statistic="cohen_kappa")
    assert len(found) == 5050
    assert (found["n"] > 0).sum() == 100
    assert (agreement_table(chain(100), everything=True, ci=None)["statistic"] == "cohen_kappa").sum() == 4950
    with pytest.raises(TableError, match="at most 2000 of them"):
        agreement_table(chain(2001), pairs=True, ci=None)


def test_pairs_without_a_common_item_share_their_counts() -> None:
    (part,) = count_pairs(read_ratings(chain(30)))
    apart = [pair for pair in part.pairs if pair.second - pair.first > 1]
    assert len({id(pair.counts) for pair in apart}) == 1
    assert len({id(pair.counts) for pair in part.pairs}) == 30


def test_group_agreement_draws_fewer_splits_where_they_cost_much(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = sided(20)
    full = group_agreement(frame, by_rater="side", n_permutations=300, ci=None)
    assert not full["note"].str.contains("not 300 splits").any()
    monkeypatch.setattr(rater_groups, "_WORK", 1)
    few = group_agreement(frame, by_rater="side", n_permutations=300, ci=None)
    notes = few["note"].to_list()[3:]
    assert notes == ["99 random splits; not 300 splits: they are bounded by splits times ratings"] * 2
    assert few["smallest_p"].to_list()[3:] == [1 / 100] * 2
    assert few.equals(
        group_agreement(frame, by_rater="side", n_permutations=99, ci=None).with_columns(note=few["note"])
    )


def test_agreement_test_shuffles_less_where_it_costs_much(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = sided(20)
    assert agreement_test(frame, n_permutations=150, ci=None)["test_note"].item() == ""
    monkeypatch.setattr(permuted, "_WORK", 1)
    few = agreement_test(frame, n_permutations=150, alternative="greater", ci=None)
    assert few["test_note"].item() == "99 shufflings, not 150: they are bounded by shufflings times ratings"
    assert few["smallest_p"].item() == 1 / 100


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64])
@pytest.mark.parametrize("n", [4, 200])
@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_whole_numbers_that_fall_together_as_floats_are_refused(dtype: type[pl.DataType], n: int, level: Level) -> None:
    frame = pl.DataFrame(
        {"item_id": [i // 2 for i in range(2 * n)], "annotator_id": ["a", "b"] * n,
         "value": pl.Series([2**53 + i for i in range(2 * n)], dtype=dtype)}
    )  # fmt: skip
    with pytest.raises(TableError, match=r"distinct whole numbers above 2\^53 cannot be told apart .* offset\.$"):
        alpha(frame, level=level)
    with pytest.raises(TableError, match="cannot be told apart"):
        icc(frame, ci=None)
    apart = frame.with_columns((pl.col("value") - 2**53).cast(pl.Int64))
    assert np.isfinite(alpha(apart, level=level).value)
    assert alpha(frame, level="nominal").value == pytest.approx(alpha(apart, level="nominal").value, abs=1e-12)


def test_whole_numbers_above_2_53_that_floats_hold_are_taken() -> None:
    far, near = (numbers(*[at + 1024 * i for i in range(100)]) for at in (2**60, 0))
    assert alpha(far, level="interval").value == pytest.approx(alpha(near, level="interval").value, abs=1e-12)


@pytest.mark.parametrize("factor", [1e160, -1e300])
def test_numbers_too_large_to_square_are_refused(factor: float) -> None:
    rows = numbers(*(factor * x for x in (1.0, 2.0, 4.0)))
    for refused in (icc, lin_ccc, cronbach_alpha):
        with pytest.raises(TableError, match="numbers of 1e150 and more cannot be squared; divide them by a constant"):
            refused(rows, ci=None)
    with pytest.raises(TableError, match="cannot be squared"):
        alpha(rows, level="interval")
    small = alpha(numbers(1.0, 2.0, 4.0), level="ordinal").value
    assert alpha(rows, level="ordinal").value == pytest.approx(small, abs=1e-12)


def test_spreads_too_small_to_square_are_refused() -> None:
    with pytest.raises(TableError, match="differ by less than 1e-150 cannot be squared; multiply them"):
        icc(numbers(1e-170, 2e-170, 4e-170), ci=None)


def test_one_coin_refuses_ratings_that_share_no_value() -> None:
    rows = [(i // 2, f"r{i % 2}", f"v{i}") for i in range(6000)]
    with pytest.raises(TableError, match=r"a table of 18,000,000 cells .* more than 10,000,000; bring the values into"):
        one_coin(rows)


def test_drift_checks_its_options_whatever_the_statistic() -> None:
    frame = sided(6).with_columns(at=pl.col("item_id"))
    with pytest.raises(ValueError, match=r"^drift: level must be one of nominal, .* found 'odd'"):
        drift(frame, level="odd", ci=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^drift: order must be a list of names"):
        drift(frame, order="abc", ci=None)
    with pytest.raises(ValueError, match=r"^drift: windows must be at least 1, found 0"):
        drift(frame, windows=0, ci=None)
    assert drift(frame, windows=10**12, ci=None).equals(drift(frame, windows=72, ci=None))
