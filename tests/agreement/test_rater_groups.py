"""Groups of raters: by hand, by naive loops over pairs and splits, laws, and the two groups of HS-Brexit."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.raters.rater_groups import group_agreement
from dfar_toolkit.agreement.raters.rater_splits import RaterSplits
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA

FEW = settings(max_examples=25)
SCHEMA = ["item_id", "annotator_id", "value", "side"]
cells = st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 5)), st.integers(0, 3), min_size=4, max_size=34)
how: dict[str, Any] = {"by_rater": "side", "ci": None, "min_raters": 1}


def framed(found: dict[tuple[int, int], int], sides: str = "AABABB") -> pl.DataFrame:
    return pl.DataFrame([(i, f"r{r}", v, sides[r]) for (i, r), v in found.items()], schema=SCHEMA, orient="row")


def random_frame(seed: int, sides: str, n: int = 40, lean: float = 0.0) -> pl.DataFrame:
    """Raters of side A say what is so with 70 %, side B with 70 % - lean."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        truth = int(rng.integers(3))
        for r, side in enumerate(sides):
            if rng.random() < 0.8:
                right = rng.random() < 0.7 - (lean if side == "B" else 0)
                rows.append((i, f"r{r:02}", truth if right else int(rng.integers(3)), side))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def naive_between(frame: pl.DataFrame, a: str, b: str, statistic: str, level: str) -> float:
    """From the definition, pair by pair."""
    items = []
    for part in frame.partition_by("item_id"):
        sides = [part.filter(side=side)["value"].to_list() for side in (a, b)]
        if sides[0] and sides[1]:
            items.append(sides)
    if not items:
        return math.nan
    pooled = [v for x, y in items for v in (*x, *y)]
    ranks = {v: sum(w < v for w in pooled) + sum(w == v for w in pooled) / 2 for v in pooled}

    def delta(c: Any, k: Any) -> float:
        if level == "nominal":
            return float(c != k)
        return float((ranks[c] - ranks[k]) ** 2 if level == "ordinal" else (c - k) ** 2)

    apart = [np.mean([delta(c, k) for c in x for k in y]) for x, y in items]
    if statistic == "percent_agreement":
        return float(1 - np.mean(apart))
    expected = sum(delta(c, k) for c in pooled for k in pooled)
    observed = sum((len(x) + len(y)) * d for (x, y), d in zip(items, apart, strict=True))
    return float(1 - (len(pooled) - 1) * observed / expected) if expected else math.nan


@FEW
@given(cells, st.sampled_from(["nominal", "ordinal", "interval"]), st.booleans())
def test_against_naive_loops(found: dict[tuple[int, int], int], level: Any, plain: bool) -> None:
    frame = framed(found)
    if frame["side"].n_unique() < 2:
        return
    statistic: Any = "percent_agreement" if plain else "krippendorff_alpha"
    level = "nominal" if plain else level

    def within(part: pl.DataFrame) -> float:
        alone = percent_agreement(part, ci=None) if plain else krippendorff_alpha(part, level=level, ci=None)
        return alone.value  # type: ignore[union-attr]

    got = group_agreement(frame, statistic=statistic, level=level, n_permutations=30, **how)
    a, b = (within(frame.filter(side=side)) for side in "AB")
    between = naive_between(frame, "A", "B", statistic, level)
    wanted = [a, b, between, b - a, (a + b) / 2 - between]
    assert got["value"].to_list() == pytest.approx(wanted, abs=1e-12, nan_ok=True)
    assert got["comparison"].to_list() == ["within", "within", "between", "difference", "within - between"]
    assert got.columns == [
        "comparison",
        "group_a",
        "group_b",
        *ESTIMATE_SCHEMA,
        "p",
        "smallest_p",
        "n_raters_a",
        "n_raters_b",
    ]


@FEW
@given(st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 1)), st.integers(0, 3), min_size=4))
def test_one_rater_each_is_krippendorffs_alpha(found: dict[tuple[int, int], int]) -> None:
    frame = framed(found, "AB")
    if frame["side"].n_unique() < 2:
        return
    for level in ("nominal", "ordinal", "interval"):
        got = group_agreement(frame, level=level, **how)  # type: ignore[arg-type]
        alpha = krippendorff_alpha(frame, level=level, ci=None)  # type: ignore[arg-type]
        assert got["value"][2] == pytest.approx(alpha.value, abs=1e-12, nan_ok=True)  # type: ignore[union-attr]
        assert got["n"][2] == alpha.n  # type: ignore[union-attr]
        assert all(math.isnan(value) for value in got["value"][:2])


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_p_by_all_splits(level: Any) -> None:
    frame = random_frame(1, "AAABBBB", lean=0.4)
    got = group_agreement(frame, level=level, **how)
    raters = sorted(frame["annotator_id"].unique())

    def both(first: tuple[str, ...]) -> tuple[float, float]:
        split = frame.with_columns(
            side=pl.when(pl.col("annotator_id").is_in(list(first))).then(pl.lit("A")).otherwise(pl.lit("B"))
        )
        a, b = (krippendorff_alpha(split.filter(side=s), level=level, ci=None).value for s in "AB")  # type: ignore[union-attr]
        return b - a, (a + b) / 2 - naive_between(split, "A", "B", "krippendorff_alpha", level)

    splits = np.abs([both(first) for first in combinations(raters, 3)])
    assert len(splits) == 35
    for row, column in ((3, 0), (4, 1)):
        size = splits[:, column]
        assert got["p"][row] == pytest.approx(np.mean(size >= size[0] - 1e-12), abs=1e-15)
        assert got["smallest_p"][row] == pytest.approx(np.mean(size >= size.max() - 1e-12), abs=1e-15)
    assert got["smallest_p"][3] == pytest.approx(1 / 35)
    assert got["n_raters_a"].to_list() == [3, 4, 3, 3, 3]
    assert got["n_raters_b"].to_list() == [None, None, 4, 4, 4]


def test_random_splits() -> None:
    frame = random_frame(2, "A" * 8 + "B" * 8, n=60, lean=0.5)
    got = group_agreement(frame, by_rater="side", ci=None, n_permutations=199)
    assert got["smallest_p"][3] == pytest.approx(1 / 200)
    assert got["p"][3] == pytest.approx(1 / 200)  # side A agrees far better
    assert got["note"][3] == "199 random splits"
    assert got.equals(group_agreement(frame.reverse(), by_rater="side", ci=None, n_permutations=199))
    # All 12,870 splits come in mirrored pairs: 2 / 12,870 is more than 1 / 10,000.
    assert RaterSplits(16, 8, 9999, 0).least == pytest.approx(2 / 12870)
    drawn = np.concatenate(list(RaterSplits(16, 8, 700, 0).blocks()))
    assert drawn.shape == (700, 16)
    assert (drawn.sum(axis=1) == 8).all()
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.1


def test_p_is_calibrated_where_the_groups_do_not_differ() -> None:
    found = [group_agreement(random_frame(seed, "AAAAABBBBB", n=15), by_rater="side", ci=None) for seed in range(60)]
    p = np.array([got["p"].to_list()[3:] for got in found])
    # 60 tests each: .1 expected, twice the binomial standard error .039 around it.
    assert ((p <= 0.1).mean(axis=0) < 0.1 + 2 * 0.039).all()
    assert (p >= 2 / 252 - 1e-12).all()
    assert ((p > 0.5).mean(axis=0) > 0.3).all()


def test_small_groups_are_described_not_tested() -> None:
    got = group_agreement(random_frame(4, "AAABBBBB"), by_rater="side", ci=None)
    assert all(math.isnan(p) for p in got["p"])
    assert got["note"][3] == "described, not tested: A has 3 raters with shared items, 5 needed"
    assert got["smallest_p"][3] == pytest.approx(1 / 56)
    assert not got["value"].is_nan().any()
    tested = group_agreement(random_frame(4, "AAABBBBB"), by_rater="side", ci=None, min_raters=3)
    assert 0 < tested["p"][3] <= 1


def test_three_groups_and_raters_without_one() -> None:
    frame = random_frame(5, "AABBCC-")
    frame = frame.with_columns(side=pl.when(pl.col("side") != "-").then("side"))
    got = group_agreement(frame, **how)
    assert got["group_a"].to_list() == [*"ABC", *"AAAAAABBB"]
    assert got["group_b"].to_list() == [None, None, None, *"BBBCCCCCC"]
    assert all(note.endswith("1 rater without a group left out") for note in got["note"])
    known = frame.filter(pl.col("side").is_not_null())
    assert got.drop("note").equals(group_agreement(known, **how).drop("note"))


def test_intervals_are_over_items_and_groups_of_items() -> None:
    frame = random_frame(6, "AAABBB", n=90).with_columns(stem=pl.col("item_id") // 3)
    options: dict[str, Any] = {"by_rater": "side", "min_raters": 3, "n_boot": 400}
    got = group_agreement(frame, **options)
    assert (got["low"] < got["value"]).all()
    assert (got["value"] < got["high"]).all()
    assert got["scope"].unique().to_list() == ["items"]
    assert got["note"][3] == "the interval is over items with these raters fixed; p is over raters"
    assert got.equals(group_agreement(frame.reverse(), **options))
    alone = krippendorff_alpha(frame.filter(side="A"), n_boot=400)
    assert got.row(0, named=True)["low"] == alone.low  # type: ignore[union-attr]
    grouped = group_agreement(frame, group="stem", **options)
    assert grouped["value"].to_list() == pytest.approx(got["value"].to_list(), abs=1e-12)
    assert grouped["n_units"].to_list() == [30] * 5
    assert grouped["unit"].unique().to_list() == ["groups"]
    assert grouped["p"].to_list() == pytest.approx(got["p"].to_list(), nan_ok=True)
    assert not grouped["low"].equals(got["low"])
    # Every item its own group, named, is no group at all.
    assert group_agreement(frame, group="item_id", **options).equals(got)
    # The paired interval against the naive way.
    rng, draws = np.random.default_rng(0), []
    for _ in range(100):
        chosen = pl.DataFrame({"item_id": rng.integers(0, 90, 90)}).with_row_index("draw")
        drawn = chosen.join(frame, on="item_id").select("draw", "annotator_id", "value", "side")
        a, b = (krippendorff_alpha(drawn.filter(side=s), item="draw", ci=None).value for s in "AB")  # type: ignore[union-attr]
        draws.append(b - a)
    width = np.quantile(draws, 0.975) - np.quantile(draws, 0.025)
    assert got["high"][3] - got["low"][3] == pytest.approx(width, rel=0.3)


def test_renaming_and_exchanging_the_groups() -> None:
    frame = random_frame(7, "AABBB")
    got = group_agreement(frame, **how)
    turned = group_agreement(frame.with_columns(pl.col("side").replace({"A": "z 🙂", "B": "c"})), **how)
    assert turned["value"][3] == pytest.approx(-got["value"][3], abs=1e-12)
    assert turned["value"][4] == pytest.approx(got["value"][4], abs=1e-12)
    assert turned["p"].to_list() == pytest.approx(got["p"].to_list(), abs=1e-12, nan_ok=True)


def test_groups_that_never_meet() -> None:
    rows = [(i, r, i % 2, "A" if r < 2 else "B") for i in range(8) for r in ((0, 1) if i < 4 else (2, 3))]
    got = group_agreement(pl.DataFrame(rows, schema=SCHEMA, orient="row"), **how)
    assert got["value"].to_list()[:2] == [1.0, 1.0]
    assert math.isnan(got["value"][2])
    assert got["note"][2] == "no item has the ratings that this compares"
    assert math.isnan(got["p"][3])  # most splits leave nobody to agree with: no test
    assert got["note"][3] == "no test: 4 of 6 splits undefined"


def test_refusals() -> None:
    frame = random_frame(8, "AB")
    torn = frame.with_columns(side=pl.when(pl.col("item_id") < 3).then(pl.lit("C")).otherwise("side"))
    with pytest.raises(TableError, match=r'a rater must stand in the same group \("side"\) on all rows; 2 do not'):
        group_agreement(torn, **how)
    with pytest.raises(ValueError, match=r"^group_agreement: wanted two or more groups of raters, found 1"):
        group_agreement(frame.filter(side="A"), **how)
    with pytest.raises(ValueError, match=r"^group_agreement: statistic must be krippendorff_alpha or percent"):
        group_agreement(frame, statistic="pi", **how)
    with pytest.raises(ValueError, match=r"^group_agreement: level must be nominal, ordinal or interval"):
        group_agreement(frame, level="ratio", **how)
    with pytest.raises(ValueError, match=r"^group_agreement: n_permutations must be at least 1"):
        group_agreement(frame, n_permutations=0, **how)
    with pytest.raises(TableError, match='agreement needs the column "nation"'):
        group_agreement(frame, by_rater="nation")
    with pytest.raises(TableError, match="reads every value as a number"):
        group_agreement(frame.with_columns(value=pl.lit("x")), level="interval", **how)


@pytest.mark.real
def test_the_two_groups_of_hs_brexit(shared_data: Path) -> None:
    """An item bootstrap calls the difference significant; six raters can give no p below .10."""
    rows = []
    for split in ("train", "dev", "test"):
        read = json.loads((shared_data / "lewidi" / f"HS-Brexit_{split}.json").read_text(encoding="utf-8"))
        for key, record in read.items():
            more = record["other_info"]
            columns = (record["annotators"], record["annotations"], more["annotators group"])
            for who, value, side in zip(*(column.split(",") for column in columns), strict=True):
                rows.append((f"{split}:{key}", who, value, more[side]))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    got = group_agreement(frame, by_rater="side", min_raters=3)
    assert got["group_a"].to_list()[:2] == ["control group", "target group"]
    difference = got.row(3, named=True)
    assert difference["name"] == "Krippendorff's alpha (nominal), target group - control group"
    assert f"{difference['value']:.3f}" == "-0.148"
    assert (difference["low"], difference["high"]) == pytest.approx((-0.244, -0.057), abs=0.01)
    assert (difference["p"], difference["smallest_p"]) == pytest.approx((0.2, 0.1), abs=1e-12)
    assert got["n"].to_list() == [1120] * 5
    # With the five raters that a test takes by default, the groups are described.
    described = group_agreement(frame, by_rater="side", ci=None).row(3, named=True)
    assert math.isnan(described["p"])
    assert described["smallest_p"] == pytest.approx(0.1)
    assert "3 raters" in described["note"]
