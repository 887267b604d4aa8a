r"""With whom does a run agree? Its agreement with each group of annotators, and a test that permutes annotators.

Annotators, not items, are what a comparison of their groups has too few of: the test moves annotators between groups
and prints the smallest p that their number allows. Cost: splits x ratings for the majority, splits x annotators else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import comb
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.raters.rater_splits import PermutationTest, RaterSplits
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Additive, Estimate, Floats, estimate_together, estimates_frame
from dfar_toolkit.metrics.judging.multiple_testing import holm

Against = Literal["raters", "majority"]

_AGAINST: Final[tuple[Against, ...]] = ("raters", "majority")
_WORK: Final = 200_000_000  # splits x ratings of one test: about 10 s
_FEWEST: Final = 99  # random splits that are drawn whatever they cost
_FIXED: Final = "the interval is over items with these raters fixed; p is over raters"
_NO_ITEMS: Final = "the run answers no item of the group"


def annotator_group_gaps(
    predictions: pl.DataFrame,
    ratings: pl.DataFrame,
    *,
    by_rater: str,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    pred: str = "label",
    group: str | None = None,
    min_raters: int = 5,
    n_permutations: int = 9999,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""Agreement of a run with each group of annotators, and each group's minus that of all other annotators.

    Against ``raters``: share of the group's ratings, on items the run answers, that equal its answer. Against
    ``majority``: share of the items, of those where the group has a single most frequent value, on which it equals the
    run's answer. For the gap, group labels are given anew to the annotators: p is the share of splits of the same
    sizes, the real one among them, whose gap is at least as far from 0.

    Args:
        predictions: One row per item: the run's answers.
        ratings: Long ratings with a column that says which group the annotator of each row belongs to.
        by_rater: That column; annotators without a group are left out and counted.
        item: Column of the item, in both frames.
        rater: Column of the annotator.
        value: Column of the value; null is a missing rating.
        pred: Column of the run's answer; null is no answer, and its item is left out.
        group: Column of ``ratings`` with the resampling unit of the item; None: the item itself.
        min_raters: Annotators below which a group, or the rest, is described, not tested.
        n_permutations: Most splits looked at; fewer where they would take long, and the note says so.
        ci: ``bootstrap`` over items, the annotators fixed, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws and of the splits.

    Returns:
        ``against`` (raters, majority), ``comparison`` (agreement, gap), ``annotator_group``, Estimate's fields,
        ``p_value``, ``smallest_p``, ``p_holm`` (over the groups tested), ``n_raters``. ``n`` counts items.

    Undefined:
        A group none of whose items the run answers; p where the group or the rest has too few annotators.

    Raises:
        TableError: An annotator in two groups or twice on an item, an item predicted twice, several questions.
        ValueError: Fewer than two groups, or a missing column.

    Example:
        >>> rows = [(i, who, v, g) for who, g, vs in (("a", "x", "110"), ("b", "y", "000")) for i, v in enumerate(vs)]
        >>> ratings = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side"], orient="row")
        >>> run = pl.DataFrame({"item_id": [0, 1, 2], "label": ["1", "1", "1"]})
        >>> found = annotator_group_gaps(run, ratings, by_rater="side", ci=None)
        >>> found.select("comparison", "annotator_group", pl.col("value").round(3)).rows()[:2]
        [('agreement', 'x', 0.667), ('gap', 'x', 0.667)]

    Reference:
        Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39; Santurkar et al. (2023), ICML, arXiv
        2303.17548 (models beside groups of people).
    """
    if ci not in ("bootstrap", None):
        raise ValueError(f'annotator_group_gaps: ci must be "bootstrap" or None, found {ci!r}')
    if by_rater not in ratings.columns:
        found = ", ".join(f'"{c}"' for c in ratings.columns)
        raise ValueError(f'annotator_group_gaps: ratings have no column "{by_rater}" for by_rater; found {found}')
    panel = _panel(predictions, ratings, by_rater, (item, rater, value, pred, group))
    if len(panel.names) < 2:
        raise ValueError(
            f'annotator_group_gaps: wanted two or more groups of annotators, found {len(panel.names)} in "{by_rater}"'
        )
    rows = []
    for against in _AGAINST:
        for place in range(len(panel.names)):
            rows += _rows(panel, place, against,
                          _How(min_raters, n_permutations, ci, confidence, n_boot, seed))  # fmt: skip
    return _frame(rows, panel)


class _How(NamedTuple):
    min_raters: int
    n_permutations: int
    ci: str | None
    confidence: float
    n_boot: int
    seed: int


class _Panel(NamedTuple):
    """Ratings of answered items by annotators with a group; ``hit`` (E,) equals the run, ``side`` (R,) the group."""

    cells: Cells
    hit: Floats
    answer: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]
    names: list[str]
    note: str


class _Row(NamedTuple):
    against: str
    comparison: str
    name: str
    estimate: Estimate
    test: PermutationTest
    n_raters: int


def _panel(
    predictions: pl.DataFrame, ratings: pl.DataFrame, by_rater: str, columns: tuple[str, str, str, str, str | None]
) -> _Panel:
    item, rater, value, pred, group = columns
    answers = answers_of("annotator_group_gaps", predictions, item=item, pred=pred)
    named = ratings.filter(pl.col(by_rater).is_not_null())
    lost = ratings[rater].n_unique() - named[rater].n_unique() if rater in ratings.columns else 0
    shared = named.with_columns(pl.col(item).cast(pl.String)).join(
        answers.rename({"item": item}), on=item, how="inner", maintain_order="left"
    )
    shared = shared.with_columns(pl.col(value).cast(pl.String))
    cells = read_cells(shared, item=item, rater=rater, value=value, group=group, beside=(by_rater, "_answer"))
    label = cells.beside[by_rater].cast(pl.String)
    torn = pl.DataFrame({"r": cells.rater, "g": label}).group_by("r").agg(n=pl.col("g").n_unique(), g=pl.first("g"))
    if (torn["n"] > 1).any():
        who = cells.raters[torn.filter(pl.col("n") > 1).sort("r")["r"][0]]
        raise TableError(f"annotator_group_gaps: an annotator must stand in one group on all rows; {who!r} does not.")
    names = label.unique().sort().to_list()
    side = torn.sort("r")["g"].cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
    given = cells.values.gather(cells.value)
    check_shared_labels("annotator_group_gaps", given, cells.beside["_answer"])
    answer = cells.beside["_answer"]
    code = answer.replace_strict(cells.values, np.arange(len(cells.values)), default=-1, return_dtype=pl.Int64)
    note = f"{lost} annotator{'s' if lost != 1 else ''} without a group left out" if lost else ""
    hit = (given == answer).cast(pl.Float64).to_numpy()
    return _Panel(cells, hit, code.to_numpy(), side, names, note)


def answers_of(name: str, predictions: pl.DataFrame, *, item: str, pred: str) -> pl.DataFrame:
    """The run's answers as text: ``item``, ``_answer``; items without an answer left out, an item twice refused."""
    for column in (item, pred):
        if column not in predictions.columns:
            found = ", ".join(f'"{c}"' for c in predictions.columns)
            raise ValueError(f'{name}: predictions have no column "{column}"; found {found}')
    answers = predictions.select(item=pl.col(item).cast(pl.String), _answer=pl.col(pred).cast(pl.String))
    twice = answers.filter(pl.col("item").is_duplicated())
    if len(twice):
        raise TableError(f"{name}: one answer per item is wanted; item {twice['item'][0]!r} has several; keep one.")
    return answers.drop_nulls()


def check_shared_labels(name: str, given: pl.Series, answer: pl.Series) -> None:
    """Refuse answers none of which is a value that anybody gave: two spellings would pass for total disagreement."""
    if len(given) and not answer.is_in(given.unique().to_list()).any():
        sides = [", ".join(repr(x) for x in s.unique().sort().head(4)) for s in (answer, given)]
        raise TableError(
            f"{name}: the run's answers and the ratings' values must be the same labels; the answers are {sides[0]}, "
            f"the values {sides[1]}; rename one side."
        )


def _rows(panel: _Panel, place: int, against: Against, how: _How) -> list[_Row]:
    member = (panel.side == place).astype(np.float64)
    n_raters, rest = int(member.sum()), int((1 - member).sum())
    own, others = (_per_item(panel, against, m) for m in (member, 1 - member))
    cells, name = panel.cells, panel.names[place]
    groups = None if cells.group is None else pl.Series(cells.group)
    what = "ratings" if against == "raters" else "majority"
    both = np.column_stack([own, others])
    scores = [
        Additive("agreement", f"agreement with the {what} of {name}", own, _share, _NO_ITEMS),
        Additive("gap", f"agreement with the {what} of {name} minus all others", both, _gap, _NO_ITEMS),
    ]
    found = estimate_together(
        scores, groups=groups, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed
    )
    rated = [int((own[:, 1] > 0).sum()), int((both[:, [1, 3]] > 0).any(axis=1).sum())]
    test = _test(panel, against, member, how, n_raters, rest)
    untested = PermutationTest(float("nan"), float("nan"), "")
    rows = []
    for comparison, e, n, t in zip(("agreement", "gap"), found, rated, (untested, test), strict=True):
        fixed = _FIXED if comparison == "gap" and how.ci else ""
        note = "; ".join(filter(None, [e.note, t.note, fixed, panel.note]))
        rows.append(_Row(against, comparison, name, replace(e, n=n, note=note), t, n_raters))
    return rows


def _share(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1], dtype=np.float64)


def _gap(sums: Floats) -> Floats:
    return np.asarray(sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3], dtype=np.float64)


def _per_item(panel: _Panel, against: Against, member: Floats) -> Floats:
    """Of each item (N, 2): hits and ratings of the members, or whether their majority agrees, and is single."""
    cells, n = panel.cells, len(panel.cells.items)
    weight = member[cells.rater]
    if against == "raters":
        return np.column_stack(
            [np.bincount(cells.item, weight * panel.hit, minlength=n), np.bincount(cells.item, weight, minlength=n)]
        )
    agrees, decided = _majority(panel, weight[None, :])
    return np.column_stack([agrees[0], decided[0]])


def _majority(panel: _Panel, weights: Floats) -> tuple[Floats, Floats]:
    """For weights (B, E) of ratings: whether the majority of each item agrees with the run, and is single (B, N)."""
    cells, width = panel.cells, max(1, len(panel.cells.values))
    key = cells.item * width + cells.value
    order = np.argsort(key, kind="stable")
    used, starts = np.unique(key[order], return_index=True)
    counts = np.add.reduceat(weights[:, order], starts, axis=1) if len(used) else np.zeros((len(weights), 0))
    item = used // width
    first = np.flatnonzero(np.diff(item, prepend=-1))
    if not len(first):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    most = np.maximum.reduceat(counts, first, axis=1)
    top = (counts == most[:, item]) & (counts > 0)
    single = np.add.reduceat(top, first, axis=1, dtype=np.int64) == 1
    answer = np.zeros(len(cells.items), dtype=np.int64)
    answer[cells.item] = panel.answer
    said = used % width == answer[item]
    agrees = np.add.reduceat(top & said, first, axis=1, dtype=np.int64) > 0
    return (agrees & single).astype(np.float64), single.astype(np.float64)


def _test(panel: _Panel, against: Against, member: Floats, how: _How, n_a: int, n_b: int) -> PermutationTest:
    nan, n, least = float("nan"), len(member), max(1, how.min_raters)
    if min(n_a, n_b) < least:
        splits = RaterSplits(n, n_a, how.n_permutations, how.seed)
        few = f"the group has {n_a}, the rest {n_b} annotators, {least} needed"
        return PermutationTest(nan, splits.least, f"described, not tested: {few}")
    asked = min(how.n_permutations, comb(n, n_a))
    cost = len(panel.hit) if against == "majority" else n
    drawn = min(asked, max(_FEWEST, _WORK // max(1, cost)))
    splits = RaterSplits(n, n_a, drawn, how.seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        real = float(_gaps(panel, against, member[None, :])[0])
        test = splits.test(real, np.concatenate([_gaps(panel, against, block) for block in splits.blocks()]))
    fewer = f"not {asked} splits: they are bounded by splits times ratings" if drawn < asked else ""
    return test._replace(note="; ".join(filter(None, [test.note, fewer])))


def _gaps(panel: _Panel, against: Against, members: Floats) -> Floats:
    """The gap of each split (B, R) to (B,)."""
    n_raters = members.shape[1]
    if against == "raters":
        hits = np.bincount(panel.cells.rater, panel.hit, minlength=n_raters)
        given = np.bincount(panel.cells.rater, minlength=n_raters).astype(np.float64)
        ours = (members @ hits) / (members @ given)
        return np.asarray(ours - ((1 - members) @ hits) / ((1 - members) @ given), dtype=np.float64)
    found = []
    for start in range(0, len(members), step := max(1, 4_000_000 // max(1, len(panel.hit)))):
        shares = []
        for side in (members[start : start + step], 1 - members[start : start + step]):
            agrees, decided = _majority(panel, side[:, panel.cells.rater])
            shares.append(agrees.sum(axis=1) / decided.sum(axis=1))
        found.append(shares[0] - shares[1])
    return np.concatenate(found)


def _frame(rows: Sequence[_Row], panel: _Panel) -> pl.DataFrame:
    beside = [{"against": r.against, "comparison": r.comparison, "annotator_group": r.name} for r in rows]
    p = np.array([r.test.p for r in rows])
    corrected = np.full(len(rows), np.nan)
    for against in _AGAINST:
        family = [k for k, r in enumerate(rows) if r.against == against and np.isfinite(r.test.p)]
        # Of two groups one gap is the other's mirror image: one test.
        corrected[family] = p[family] if len(panel.names) == 2 else holm(p[family])
    tests = pl.DataFrame(
        {
            "p_value": p,
            "smallest_p": [r.test.smallest_p for r in rows],
            "p_holm": corrected,
            "n_raters": [r.n_raters for r in rows],
        },
        schema={"p_value": pl.Float64, "smallest_p": pl.Float64, "p_holm": pl.Float64, "n_raters": pl.Int64},
    ).with_columns(pl.col("p_value", "smallest_p", "p_holm").fill_nan(None))
    return pl.concat([estimates_frame([r.estimate for r in rows], beside=beside), tests], how="horizontal")
