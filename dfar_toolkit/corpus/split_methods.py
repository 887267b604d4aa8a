"""Further ways to split: at random, by annotator, by time, by source, in folds, a part carved from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dfar_toolkit.corpus.split import DEFAULT_SIZES, SPLIT_NAME, GroupedSplit, grouped_split
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR
from dfar_toolkit.tabular import quoted

_MOMENT: Final = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_SECONDS: Final = r"^\d{9,10}(\.\d+)?$"
_FEWEST: Final = 0.5  # of the size asked for: a split by annotator that reaches less is refused


def random_split(items: pl.DataFrame, *, sizes: Mapping[str, float] | None = None, seed: int = 0) -> GroupedSplit:
    """Deal single items at random, the mix of labels as in the whole; related items may part.

    Args:
        items: ``item_id, label``, (n,).
        sizes: As in :func:`~dfar_toolkit.corpus.split.grouped_split`.
        seed: Decides which items go where.

    Returns:
        The split, frame (n, 2).

    Raises:
        ValueError: Sizes that do not add up.
        TableError: A column is missing.

    Example:
        >>> items = pl.DataFrame({"item_id": list("pqrs"), "label": ["a", "a", "b", "b"]})
        >>> random_split(items, sizes={"train": 0.5, "test": 0.5}).achieved["count"].to_list()
        [1, 1, 1, 1]
    """
    if "item_id" not in items.columns:
        raise TableError(f'a random split needs the column "item_id"; found {", ".join(items.columns)}.')
    return grouped_split(items.with_columns(group="item_id"), sizes=sizes, seed=seed)


def fold_split(items: pl.DataFrame, *, folds: int, group: str = "group", seed: int = 0) -> GroupedSplit:
    """Deal whole groups into ``folds`` splits of one size, called ``fold1``, ``fold2``, ..., for cross-validation.

    Args:
        items: ``item_id, label`` and the group column, (n,).
        folds: How many, 2 to n.
        group: Column that must not straddle folds.
        seed: Decides which groups go where.

    Returns:
        The split, frame (n, 2).

    Raises:
        ValueError: Fewer than two folds, or more than there are groups.

    Example:
        >>> items = pl.DataFrame({"item_id": list("pqrs"), "group": list("ppqr"), "label": ["a"] * 4})
        >>> fold_split(items, folds=2).note
        'fold1: 2 items, 2 wanted; fold2: 2 items, 2 wanted'
    """
    n_groups = items[group].n_unique()
    if not 2 <= folds <= n_groups:
        raise ValueError(f"fold_split: folds must be from 2 to the {n_groups} groups; found {folds}.")
    share = 1 / folds
    return grouped_split(items, sizes={f"fold{k + 1}": share for k in range(folds)}, group=group, seed=seed)


def annotator_split(
    items: pl.DataFrame, annotations: pl.DataFrame, *, sizes: Mapping[str, float] | None = None, seed: int = 0
) -> GroupedSplit:
    """Deal items so that no annotator stands in two splits: whoever shares an item, directly or by others, stays whole.

    Units are the connected components of the graph of groups and annotators. Where they are few and large, sizes are
    kept and the mix of labels is not; where nearly everybody is connected no such split exists, which is an error.

    Args:
        items: ``item_id, label, group``, (n,).
        annotations: ``item_id, annotator_id``.
        sizes: As in :func:`~dfar_toolkit.corpus.split.grouped_split`.
        seed: Decides which components go where.

    Returns:
        The split, frame (n, 2).

    Raises:
        TableError: Annotators are not known, or they are so connected that a split gets less than half of its size.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "group": ["p", "q"], "label": ["a", "a"]})
        >>> rated = pl.DataFrame({"item_id": ["p", "q"], "annotator_id": ["x:1", "x:2"]})
        >>> annotator_split(items, rated, sizes={"train": 0.5, "test": 0.5}).frame["split"].n_unique()
        2
    """
    known = annotations.filter(~pl.col("annotator_id").str.ends_with(f":{UNKNOWN_ANNOTATOR}"))
    rated = known.select("item_id", "annotator_id").unique().join(items.select("item_id", "group"), on="item_id")
    unrated = items.join(rated, on="item_id", how="anti").height
    if unrated:
        raise TableError(
            f"a split by annotator needs known annotators of every item; {unrated} of {items.height} items have none."
        )
    groups = items["group"].unique().sort()
    people = rated["annotator_id"].unique().sort()
    edges = rated.select(
        pl.col("group").replace_strict(groups, list(range(len(groups))), return_dtype=pl.Int64),
        pl.col("annotator_id").replace_strict(people, list(range(len(people))), return_dtype=pl.Int64),
    ).unique()
    a, b = edges["group"].to_numpy(), edges["annotator_id"].to_numpy() + len(groups)
    size = len(groups) + len(people)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    n_components, component = connected_components(graph, directed=False)
    of_group = dict(zip(groups, component[: len(groups)].tolist(), strict=True))
    unit = pl.col("group").replace_strict(of_group, return_dtype=pl.Int64).cast(pl.String)
    whole = items.with_columns(component=unit)
    dealt = grouped_split(whole, sizes=sizes, group="component", seed=seed)
    short = _far_short(dealt)
    if short.height:  # few large components: sizes first, the mix of labels as it falls
        plain = whole.with_columns(label=pl.lit(None, dtype=pl.String))
        by_size = grouped_split(plain, sizes=sizes, group="component", seed=seed)
        dealt = GroupedSplit(by_size.frame, by_size.achieved, f"{by_size.note}; not stratified by label")
        short = _far_short(dealt)
    if short.height:
        name, n, wanted = short.row(0)
        largest = int(items.select(unit.alias("u"))["u"].value_counts()["count"].max() or 0)  # type: ignore[arg-type]
        raise TableError(
            f"no split by annotator comes near these sizes: the annotators form {n_components} sets that share no "
            f"item, the largest with {largest} of {items.height} items, so {name} would get {n} of {wanted:.0f}. "
            "Ask for a grouped split."
        )
    return dealt


def time_split(
    items: pl.DataFrame, annotations: pl.DataFrame, *, sizes: Mapping[str, float] | None = None
) -> GroupedSplit:
    """Earlier groups into the earlier splits: models are then tested on what was judged after what they learnt from.

    A group's time is that of its latest first judgement, so that all of it is known when a later split begins. Times
    are ISO 8601 or seconds since 1970; equal times fall by the name of the group.

    Args:
        items: ``item_id, label, group``, (n,).
        annotations: ``item_id, at``.
        sizes: Split to share, in the order of time.

    Returns:
        The split, frame (n, 2); sizes are met as nearly as whole groups allow.

    Raises:
        TableError: An item has no time, or times are of another form.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "group": ["p", "q"], "label": ["a", "a"]})
        >>> rated = pl.DataFrame({"item_id": ["p", "q"], "at": ["2024-05-02T10:00:00", "2024-05-01T09:00:00"]})
        >>> time_split(items, rated, sizes={"train": 0.5, "test": 0.5}).frame["split"].to_list()
        ['test', 'train']
    """
    chosen = DEFAULT_SIZES if sizes is None else sizes
    said = annotations.drop_nulls("at").select("item_id", "at")
    odd = said.filter(~pl.col("at").str.contains(f"{_MOMENT}|{_SECONDS}") | _utc(pl.col("at")).is_null())
    if odd.height:
        raise TableError(
            f"a split by time needs times such as 2024-05-01T09:30:00 or seconds since 1970; found "
            f"{quoted(odd['at'].unique().sort(), most=3)} in {odd.height} of {said.height} judgements."
        )
    at = said.with_columns(_utc(pl.col("at")).alias("at")).group_by("item_id").agg(pl.col("at").min())
    timed = items.select("item_id", "label", "group").join(at, on="item_id", how="left", maintain_order="left")
    untimed = timed["at"].null_count()
    if untimed:
        raise TableError(
            f"a split by time needs a time (`at`) for every item; {untimed} of {items.height} items have none."
        )
    groups = timed.group_by("group").agg(pl.col("at").max(), pl.len()).sort("at", "group")
    total = sum(chosen.values())
    ends = np.cumsum([share / total for share in chosen.values()]) * items.height
    middle = groups["len"].cum_sum().to_numpy() - groups["len"].to_numpy() / 2
    place = np.minimum(np.searchsorted(ends, middle, side="left"), len(ends) - 1)
    names = list(chosen)
    dealt = groups.select("group", pl.Series("split", [names[k] for k in place], dtype=pl.String))
    frame = timed.join(dealt, on="group", how="left", maintain_order="left")
    first = groups.with_columns(dealt["split"]).group_by("split", maintain_order=True).agg(pl.col("at").min())
    note = "; ".join(f"{s} from {t:%Y-%m-%d}" for s, t in first.iter_rows())
    return GroupedSplit(frame.select("item_id", "split"), _achieved(frame, chosen), note)


def source_split(items: pl.DataFrame, *, places: Mapping[str, Sequence[str]]) -> GroupedSplit:
    """Whole sources into splits, to test on a source that was not trained on.

    Args:
        items: ``item_id, label, source``, (n,).
        places: Split to the sources that go there; every source of the items once.

    Returns:
        The split, frame (n, 2).

    Raises:
        TableError: A source is left out, named twice, or unknown.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "source": ["x", "y"], "label": ["a", "a"]})
        >>> source_split(items, places={"train": ["x"], "test": ["y"]}).frame["split"].to_list()
        ['train', 'test']
    """
    bad = [s for s in places if not SPLIT_NAME.fullmatch(s) or s == "all"]
    if bad:
        raise TableError(f'a split by source needs names that are words, not "all"; found {quoted(bad)}.')
    named = [source for group in places.values() for source in group]
    there = items["source"].unique().sort().to_list()
    twice = sorted({source for source in named if named.count(source) > 1})
    lost, unknown = [s for s in there if s not in named], [s for s in named if s not in there]
    for wrong, how in ((twice, "named twice"), (lost, "left out"), (unknown, "unknown")):
        if wrong:
            raise TableError(f"a split by source needs every source once ({quoted(there)}); {quoted(wrong)} {how}.")
    of_source = {source: split for split, group in places.items() for source in group}
    frame = items.with_columns(pl.col("source").replace_strict(of_source, return_dtype=pl.String).alias("split"))
    sizes = {split: max(frame.filter(split=split).height, 0) for split in places}
    note = "; ".join(f"{split}: {', '.join(group)}" for split, group in places.items())
    return GroupedSplit(frame.select("item_id", "split"), _achieved(frame, sizes), note)


def carve_split(
    items: pl.DataFrame, *, share: float, name: str = "dev", out_of: str = "train", group: str = "group", seed: int = 0
) -> GroupedSplit:
    """Take a part of one split by whole groups, such as a development split from train; other splits stay.

    Args:
        items: ``item_id, label, split`` and the group column, (n,).
        share: Part of ``out_of`` that is taken, above 0 and below 1.
        name: What the new split is called.
        out_of: The split that loses items.
        group: Column that must not straddle the two.
        seed: Decides which groups go.

    Returns:
        The split, frame (n, 2).

    Raises:
        TableError: There is no split ``out_of``, one is called ``name`` already, or one of the two gets no item.
        ValueError: A share that is not between 0 and 1.

    Example:
        >>> items = pl.DataFrame({"item_id": list("pqrs"), "group": list("pqrs"), "label": ["a"] * 4,
        ...                       "split": ["train"] * 3 + ["test"]})
        >>> carve_split(items, share=1 / 3).frame["split"].value_counts().sort("split").rows()
        [('dev', 1), ('test', 1), ('train', 2)]
    """
    splits = items["split"].unique(maintain_order=True).to_list()
    if not 0 < share < 1:
        raise ValueError(f"carve_split: the share must be above 0 and below 1; found {share:g}.")
    if out_of not in splits:
        raise TableError(f"wanted a split {out_of!r} to take {name!r} from; found {quoted(splits)}.")
    if name in splits:
        raise TableError(f"a split {name!r} is there already; found {quoted(splits)}.")
    part = items.filter(pl.col("split") == out_of)
    dealt = grouped_split(part, sizes={out_of: 1 - share, name: share}, group=group, seed=seed)
    bare = {out_of, name} - set(dealt.frame["split"])
    if bare:
        raise TableError(
            f"{share:g} of the {part.height} items of {out_of!r}, dealt by whole groups, leave {quoted(sorted(bare))} "
            "without an item; ask for another share."
        )
    fresh = dealt.frame.rename({"split": "fresh"})
    frame = items.select("item_id", "split").join(fresh, on="item_id", how="left", maintain_order="left")
    split = pl.coalesce("fresh", "split").alias("split")
    return GroupedSplit(frame.select("item_id", split), dealt.achieved, f"of {out_of}: {dealt.note}")


def _far_short(dealt: GroupedSplit) -> pl.DataFrame:
    """Splits that got less than half of their size: ``split, count, wanted``."""
    got = dealt.achieved.group_by("split", maintain_order=True).agg(pl.col("count").sum(), pl.col("wanted").sum())
    return got.filter(pl.col("count") < _FEWEST * pl.col("wanted"))


def _utc(at: pl.Expr) -> pl.Expr:
    """A moment of a text; one without a zone is taken as UTC, one without a clock time as midnight."""
    seconds = pl.when(at.str.contains(_SECONDS)).then(at.cast(pl.Float64, strict=False))
    zoned = at.str.replace("Z$", "+0000").str.replace(r"([+-]\d{2}):(\d{2})$", "$1$2").str.replace("T", " ")
    return pl.coalesce(
        (seconds * 1e6).cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", strict=False, time_unit="us"),
        zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us").dt.replace_time_zone("UTC"),
        zoned.str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="us").dt.replace_time_zone("UTC"),
        zoned.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    )


def _achieved(frame: pl.DataFrame, sizes: Mapping[str, float]) -> pl.DataFrame:
    """``split, label, count, wanted`` as :class:`GroupedSplit` has it."""
    total = sum(sizes.values())
    of_label = frame.group_by("label").len().rename({"len": "n"})
    shares = pl.DataFrame({"split": list(sizes), "share": [s / total for s in sizes.values()]})
    counted = frame.group_by("split", "label").len().rename({"len": "count"})
    table = shares.join(of_label, how="cross").join(counted, on=["split", "label"], how="left", nulls_equal=True)
    wanted = (pl.col("n") * pl.col("share")).alias("wanted")
    return table.select("split", pl.col("label").cast(pl.String), pl.col("count").fill_null(0).cast(pl.Int64), wanted)
