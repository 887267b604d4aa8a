r"""May a model stand in for one of the annotators? The alternative annotator test.

Each annotator in turn is held out; on each item the model and the held-out person are compared with the others. A
model that is not worse by more than epsilon, the price of a person over a model, wins against that annotator. Cost:
one sort of the ratings, and items times annotators numbers for the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame
from dfar_toolkit.metrics.judging.multiple_testing import benjamini_yekutieli, benjamini_yekutieli_adjusted
from dfar_toolkit.metrics.labels import group_series

Similarity = Literal["agreement", "negative_rmse"]

_TIE: Final = 1e-9  # squared distances this close are equal: they are differences of sums
_EQUAL: Final = 1e-12


class AltTest(NamedTuple):
    """What the test says.

    ``winning_rate`` is the share of annotators that the model wins against; ``advantage`` the mean over annotators of
    the chance that it is at least as close to the others as they are; ``annotators`` has one row per annotator tested:
    ``annotator_id, rho_human, mean_difference, t, p, p_adjusted, rejected`` and Estimate's fields, whose value is the
    chance for that annotator; ``passed`` whether the winning rate is at least 1/2.
    """

    winning_rate: Estimate
    advantage: Estimate
    annotators: pl.DataFrame
    passed: bool


def alt_test(
    run: pl.DataFrame,
    ratings: pl.DataFrame,
    *,
    epsilon: float = 0.2,
    q: float = 0.05,
    similarity: Similarity = "agreement",
    min_items: int = 30,
    min_annotators: int = 3,
    item: str = "item_id",
    label: str = "label",
    rater: str = "annotator_id",
    value: str = "value",
    group: str | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> AltTest:
    r"""The alternative annotator test of a run against the annotators of the same items.

    For annotator h and item i with the others $j \ne h$, $S(a)$ the similarity of answer a to theirs:

        agreement $S(a) = \frac{1}{m} \sum_j 1[x_j = a]$,  negative RMSE $S(a) = -\sqrt{\frac{1}{m} \sum_j (x_j - a)^2}$
        $W^f_{hi} = 1[S(f_i) \ge S(x_{hi})]$,   $W^h_{hi} = 1[S(x_{hi}) \ge S(f_i)]$
        $\rho^f_h = \bar W^f_h$,   $d_{hi} = W^h_{hi} - W^f_{hi}$,   $t_h = (\bar d_h - \epsilon) / SE(\bar d_h)$

    p is one-sided against $\bar d_h \ge \epsilon$ (Student's t), rejected by Benjamini-Yekutieli at q over annotators.
    Winning rate $\omega$ = rejected / annotators tested; advantage $\rho = \frac{1}{H} \sum_h \rho^f_h$. A tie counts
    for both sides. Where items come in groups the standard error is over groups, with G - 1 degrees of freedom.

    Args:
        run: The model's answers, one row per item; null is no answer, and such items are left out and counted.
        ratings: Long ratings, one row per item and annotator; null is a missing rating.
        epsilon: What a person's answer may be better by. The authors take .2 for experts, .15 for skilled annotators
            and .1 for crowd workers.
        q: Bound of the false discovery rate.
        similarity: ``agreement`` for categories, ``negative_rmse`` for numbers.
        min_items: Items below which an annotator is not tested.
        min_annotators: Annotators tested below which there is no winning rate.
        item: Column of the item in both frames.
        label: Column of the answer in ``run``.
        rater: Column of the annotator.
        value: Column of the rating.
        group: Column of ``run`` with the resampling unit; None means ``group`` where it has one, else single items.
        ci: ``bootstrap`` over groups with these annotators fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of draws.
        seed: Seed of the draws.

    Returns:
        Winning rate (without an interval: with H annotators it takes H + 1 values), advantage, a row per annotator.

    Undefined:
        Fewer than ``min_annotators`` tested: no winning rate; none: no advantage. Where $d$ is the same on every item
        the variance is 0: p is 0 if it is below epsilon, 1 if above, and ``nan`` (not rejected) if equal to it, as when
        all always agree and epsilon is 0.

    Raises:
        TableError: An annotator rates an item twice, an item has two answers, nobody answered an item that was rated,
            or an answer that is no number for ``negative_rmse``.
        ValueError: A column is missing, or an argument is out of range.

    Example:
        Two items; the model always says what bob and cyd say, ann is alone on the second.

        >>> run = pl.DataFrame({"item_id": ["x", "y"], "label": ["a", "b"]})
        >>> ratings = pl.DataFrame({"item_id": ["x"] * 3 + ["y"] * 3, "annotator_id": ["ann", "bob", "cyd"] * 2,
        ...                         "value": ["a", "a", "a", "c", "b", "b"]})
        >>> found = alt_test(run, ratings, min_items=2, ci=None)
        >>> found.annotators["rho_human"].to_list(), found.advantage.value
        ([0.5, 1.0, 1.0], 1.0)

    Reference:
        Calderon, Reichart and Dror (2025), The Alternative Annotator Test for LLM-as-a-Judge, arXiv:2501.10970.
    """
    _check(epsilon, q, similarity, min_items, min_annotators)
    pairs, note = _compared(run, ratings, (item, label, rater, value), similarity)
    groups = group_series("alt_test", run, group, len(run))
    known = run.select(pl.col(item).alias("item")).with_columns(unit=pl.col("item") if groups is None else groups)
    pairs = pairs.join(known, on="item", how="left").sort("rater", "unit", "item")
    tested = pairs.filter(pl.len().over("rater") >= min_items)
    few = pairs["rater"].n_unique() - tested["rater"].n_unique()
    note = "; ".join(
        s for s in (note, f"{few} annotators with fewer than {min_items} items not tested" if few else "") if s
    )
    names = tested["rater"].unique().sort()
    tests = [_test(tested.filter(pl.col("rater") == name), epsilon, by_group=groups is not None) for name in names]
    p = np.array([t.p for t in tests])
    rejected = benjamini_yekutieli(p, q)
    scores, of_item = _rows(tested, names, note)
    found = estimate_together(scores, groups=of_item, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)
    adjusted = benjamini_yekutieli_adjusted(p)
    beside = [
        {"annotator_id": n, **_named(one), "p_adjusted": a, "rejected": bool(r)}
        for n, one, a, r in zip(names, tests, adjusted, rejected, strict=True)
    ]
    each = [replace(e, n=one.n) for e, one in zip(found[1:], tests, strict=True)]
    winning = _winning(rejected, min_annotators, found[0], note)
    return AltTest(winning, found[0], _frame(each, beside), bool(winning.value >= 0.5))


class _Test(NamedTuple):
    """Test of one annotator over n items."""

    n: int
    human: float
    difference: float
    t: float
    p: float


def _named(one: _Test) -> dict[str, object]:
    return {"rho_human": one.human, "mean_difference": one.difference, "t": one.t, "p": one.p}


def _compared(
    run: pl.DataFrame, ratings: pl.DataFrame, columns: tuple[str, str, str, str], similarity: Similarity
) -> tuple[pl.DataFrame, str]:
    """Per annotator and item with others: whether the model, and whether the person, is at least as close to them."""
    item, label, rater, value = columns
    for frame, which, wanted in ((run, "run", (item, label)), (ratings, "ratings", (item, rater, value))):
        absent = [c for c in wanted if c not in frame.columns]
        if absent:
            raise ValueError(f'alt_test: {which} has no column "{absent[0]}"; found {", ".join(frame.columns)}')
    answers = run.select(pl.col(item).alias("item"), pl.col(label).alias("answer"))
    given = ratings.select(pl.col(item).alias("item"), pl.col(rater).alias("rater"), pl.col(value).alias("value"))
    given, lone = _several(given.drop_nulls("value"))
    if answers["item"].is_duplicated().any():
        raise TableError("alt_test: an item has two answers in the run; keep one sample.")
    answered = answers.drop_nulls("answer").join(given, on="item", how="inner")
    absent_answers = given["item"].n_unique() - answered["item"].n_unique()
    if len(given) and not len(answered):
        raise TableError("alt_test: no item that two people rated has an answer of the run; are these the same items?")
    said = [f"{lone} items with one rating left out" if lone else ""]
    said.append(f"{absent_answers} items without an answer left out" if absent_answers else "")
    closer = _by_agreement(answered) if similarity == "agreement" else _by_distance(answered)
    return closer, "; ".join(s for s in said if s)


def _several(given: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Ratings of items that at least two people rated, and how many items one person alone did."""
    twice = given.filter(pl.struct("item", "rater").is_duplicated()).sort("item", "rater")
    if len(twice):
        raise TableError(
            f"alt_test: {twice['rater'][0]!r} rates item {twice['item'][0]!r} twice; keep one rating each."
        )
    several = given.filter(pl.len().over("item") >= 2)
    return several, given["item"].n_unique() - several["item"].n_unique()


def _by_agreement(answered: pl.DataFrame) -> pl.DataFrame:
    if answered["answer"].dtype != answered["value"].dtype:
        left, right = answered["answer"].dtype, answered["value"].dtype
        if left.is_numeric() != right.is_numeric() or pl.Boolean in (left, right):
            raise ValueError(f"alt_test: answers are {left}, ratings are {right}; they must be alike")
    alike = answered["answer"] == answered["value"]
    with_model = answered.with_columns(alike=alike).with_columns(
        others=pl.col("alike").sum().over("item").cast(pl.Int64) - pl.col("alike").cast(pl.Int64),
        person=pl.len().over("item", "value").cast(pl.Int64) - 1,
    )
    model, person = pl.col("others"), pl.col("person")
    return with_model.select("item", "rater", (model >= person).alias("model"), (person >= model).alias("human"))


def _by_distance(answered: pl.DataFrame) -> pl.DataFrame:
    for column in ("answer", "value"):
        if not answered[column].dtype.is_numeric():
            raise TableError(f"alt_test: negative_rmse takes numbers, found {answered[column].dtype} as {column}.")
    rated = answered.with_columns(pl.col("answer", "value").cast(pl.Float64))
    # Centred by the item's mean: the squares then keep their digits.
    mean = pl.col("value").mean().over("item")
    rated = rated.with_columns(x=pl.col("value") - mean, a=pl.col("answer") - mean)
    first = pl.col("x").sum().over("item") - pl.col("x")
    second = (pl.col("x") ** 2).sum().over("item") - pl.col("x") ** 2
    m = pl.len().over("item") - 1
    squares = [
        (second - 2 * pl.col(c) * first + m * pl.col(c) ** 2).alias(name) for c, name in (("a", "far"), ("x", "near"))
    ]
    rated = rated.with_columns(squares)
    slack = _TIE * (1.0 + pl.max_horizontal("far", "near"))
    model, person = pl.col("far") <= pl.col("near") + slack, pl.col("near") <= pl.col("far") + slack
    return rated.select("item", "rater", model.alias("model"), person.alias("human"))


def _test(own: pl.DataFrame, epsilon: float, *, by_group: bool) -> _Test:
    """The one-sided t-test of one annotator, over items or over their groups."""
    from scipy.special import stdtr

    model, person = (own[c].to_numpy().astype(np.float64) for c in ("model", "human"))
    d = person - model
    mean, n, human = float(d.mean()), len(d), float(person.mean())
    sums = d - mean
    if by_group:
        sums = np.bincount(own["unit"].rank("dense").to_numpy().astype(np.int64) - 1, sums).astype(np.float64)
    units, gap = len(sums), mean - epsilon
    if units < 2:
        return _Test(n, human, mean, float("nan"), float("nan"))
    error = float(np.sqrt(units / (units - 1) * np.sum(sums**2))) / n
    if error <= _EQUAL:
        nothing = abs(gap) <= _EQUAL
        t = float("nan") if nothing else float(np.copysign(np.inf, gap))
        return _Test(n, human, mean, t, float("nan") if nothing else float(gap > 0))
    return _Test(n, human, mean, gap / error, float(stdtr(units - 1, gap / error)))


def _rows(tested: pl.DataFrame, names: pl.Series, note: str) -> tuple[list[Additive], pl.Series | None]:
    """The advantage and that of each annotator as additive statistics of the items, and the items' groups."""
    items = tested.select("item", "unit").unique().sort("item")
    place, who = (tested[c].rank("dense").to_numpy().astype(np.int64) - 1 for c in ("item", "rater"))
    wins, seen = np.zeros((len(items), len(names))), np.zeros((len(items), len(names)))
    wins[place, who], seen[place, who] = tested["model"].to_numpy().astype(np.float64), 1.0
    both, h = np.concatenate([wins, seen], axis=1), len(names)

    def advantage(sums: Floats) -> Floats:
        return np.asarray((sums[:, :h] / sums[:, h:]).mean(axis=1)) if h else np.full(len(sums), np.nan)

    why = "no annotator with enough items"
    said = "; ".join(s for s in (f"mean over {h} annotators, taken as fixed", note) if s)
    of_all = Additive("alt_test_advantage", "average advantage probability", both, advantage, why, said)
    each = [
        Additive("alt_test_advantage", "advantage probability", np.column_stack([wins[:, k], seen[:, k]]), _ratio)
        for k in range(h)
    ]
    return [of_all, *each], items["unit"] if len(items) else None


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _winning(rejected: npt.NDArray[np.bool_], least: int, advantage: Estimate, note: str) -> Estimate:
    nan, h = float("nan"), len(rejected)
    if h < least:
        value, said = nan, f"{h} annotators tested, {least} wanted"
    else:
        value, said = float(rejected.mean()), f"{h} annotators give {h + 1} possible values; no interval"
    said = "; ".join(s for s in (said, note) if s)
    blank = replace(advantage, name="winning rate", method="alt-test", n=h, low=nan, high=nan)
    return replace(blank, value=value, note=said)


def _frame(found: Sequence[Estimate], beside: Sequence[dict[str, object]]) -> pl.DataFrame:
    if found:
        return estimates_frame(found, beside=beside)
    numbers = ("rho_human", "mean_difference", "t", "p", "p_adjusted")
    naming = {"annotator_id": pl.String, **dict.fromkeys(numbers, pl.Float64), "rejected": pl.Boolean}
    return pl.concat([pl.DataFrame(schema=naming), estimates_frame([])], how="horizontal")


def _check(epsilon: float, q: float, similarity: str, min_items: int, min_annotators: int) -> None:
    if similarity not in get_args(Similarity):
        raise ValueError(f"alt_test: similarity must be one of {', '.join(get_args(Similarity))}, found {similarity!r}")
    if not 0 <= epsilon <= 1 or not 0 < q < 1:
        raise ValueError(f"alt_test: epsilon must lie in [0, 1] and q between 0 and 1, found {epsilon} and {q}")
    if min_items < 2 or min_annotators < 1:
        raise ValueError(
            f"alt_test: min_items must be at least 2 and min_annotators 1, found {min_items} and {min_annotators}"
        )
