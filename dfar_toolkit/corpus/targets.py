"""Each question's aggregate over its annotators: counts, shares, the label most people gave, the mean."""

from __future__ import annotations

from typing import Any

import polars as pl

from dfar_toolkit.agreement.labels.votes import Method, votes
from dfar_toolkit.errors import TableError
from dfar_toolkit.tables import conform


def aggregate(annotations: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """The targets table: one row per item and question that has annotations.

    ``label_counts`` counts the people who gave each option, in the order of the options. ``label_probs`` are shares of
    ratings; a person who gave s values in one set-valued rating adds 1/s to each. ``label`` is the option with the
    largest share, null where several share it (``method`` says "majority" or "tie"). ``value`` is the mean of
    ``value_num`` where there is one, over ratings: a set-valued rating counts once, with the mean of its values.
    ``n_ratings`` counts ratings, not values. Where no value of an item is an option its shares are null.

    Args:
        annotations: The table of that name.
        questions: The table of that name; options give the order.

    Returns:
        The targets, sorted by item and question.

    Example:
        >>> from dfar_toolkit.tables import empty
        >>> aggregate(empty("annotations"), empty("questions")).height
        0
    """
    parts = [
        _one_question(annotations.filter(pl.col("question") == row["question"]), row["question"], list(row["options"]))
        for row in questions.iter_rows(named=True)
    ]
    targets = pl.concat(parts) if parts else _one_question(annotations.clear(), "", [])
    return conform(targets.sort("item_id", "question"), "targets", where="aggregate")


def with_published(targets: pl.DataFrame, published: pl.DataFrame | None, *, where: str = "") -> pl.DataFrame:
    """The targets, and those that a source published of items and questions that nobody's ratings are known of.

    Args:
        targets: What :func:`aggregate` returned.
        published: Targets as the source gives them; None where it gives none.
        where: Source named in an error.

    Returns:
        The targets, sorted by item and question.

    Raises:
        TableError: The published rows are no targets.

    Example:
        >>> from dfar_toolkit.tables import empty
        >>> rows = pl.DataFrame({"item_id": ["a"], "question": ["q"], "n_ratings": [0], "method": ["published"]})
        >>> with_published(empty("targets"), rows).height
        1
    """
    if published is None:
        return targets
    checked = conform(published, "targets", where=where)
    further = checked.join(targets, on=["item_id", "question"], how="anti")
    return pl.concat([targets, further], how="diagonal").sort("item_id", "question")


def relabelled(
    targets: pl.DataFrame, annotations: pl.DataFrame, questions: pl.DataFrame, *, method: Method, seed: int = 0
) -> pl.DataFrame:
    """The targets with the labels of another method than the plain majority, where a question has single labels.

    ``label_counts`` and ``label_probs`` stay the votes of people; a model's probabilities stand beside them as
    ``label_posterior``. ``method`` says which method gave the label, "tie" where it gave none. Further questions of
    numbers and of sets, and items without a value among the options, stay as they are.

    Args:
        targets: What :func:`aggregate` returned.
        annotations: The table of that name.
        questions: The table of that name.
        method: The way from ratings to labels.
        seed: Seed of methods that draw.

    Returns:
        The targets, sorted by item and question.

    Raises:
        TableError: The primary question is none of single labels, or the method cannot be used, e.g. because annotators
            are unknown.
    """
    primary = questions.row(0, named=True)
    if not _single_labels(primary):
        raise TableError(
            f"labels by {method} want one value per person from a list of options; the primary question "
            f"{primary['question']!r} is of kind {primary['kind']}; use majority."
        )
    parts = []
    for asked in questions.iter_rows(named=True):
        name, options = asked["question"], list(asked["options"])
        mine = targets.filter(pl.col("question") == name)
        given = annotations.filter((pl.col("question") == name) & pl.col("value").is_in(options))
        if _single_labels(asked) and given.height:
            made = votes(given, method=method, options=options, seed=seed)
            chosen = made.select(
                "item_id",
                pl.col("label").alias("chosen"),
                pl.col("label_probs").alias("label_posterior"),
                pl.when(pl.col("label").is_null()).then(pl.lit("tie")).otherwise("method").alias("chosen_by"),
            )
            joined = mine.join(chosen, on="item_id", how="left", maintain_order="left")
            known = pl.col("chosen_by").is_not_null()
            mine = joined.with_columns(
                pl.when(known).then("chosen").otherwise("label").alias("label"),
                pl.when(known).then("chosen_by").otherwise("method").alias("method"),
            ).drop("chosen", "chosen_by")
        parts.append(mine)
    return conform(pl.concat(parts, how="diagonal").sort("item_id", "question"), "targets", where="relabelled")


def label_methods(questions: pl.DataFrame, method: Method) -> dict[str, str]:
    """The way from ratings to labels of each question, when ``method`` is asked for."""
    plain = {"nominal": "majority", "ordinal": "majority", "set": "majority", "pair": "majority"}
    return {
        asked["question"]: method if _single_labels(asked) else plain.get(asked["kind"], "mean")
        for asked in questions.iter_rows(named=True)
    }


def _single_labels(asked: dict[str, Any]) -> bool:
    return asked["kind"] in ("nominal", "ordinal") and len(asked["options"]) > 0


def _one_question(rows: pl.DataFrame, question: str, options: list[str]) -> pl.DataFrame:
    rating = ["item_id", "rating_id"]
    given = pl.col("value_num").is_not_null()
    values = rows.with_columns(
        (1 / pl.len().over(rating)).alias("share"),
        pl.when(given).then(1 / given.sum().over(rating)).alias("part"),
    )
    of = {name: pl.col("value") == name for name in options}
    counts = (
        pl.concat_list([of[n].sum().cast(pl.Int64) for n in options]) if options else pl.lit([]).cast(pl.List(pl.Int64))
    )
    shares = pl.concat_list([pl.col("share").filter(of[n]).sum() for n in options]) if options else None
    agreed = values.group_by("item_id").agg(
        counts.alias("label_counts"),
        (shares if shares is not None else pl.lit([]).cast(pl.List(pl.Float64))).alias("share_sums"),
        (pl.col("value_num") * pl.col("part")).sort().sum().alias("value_sum"),
        pl.col("part").sort().sum().alias("rated"),
        pl.col("rating_id").n_unique().cast(pl.Int64).alias("n_ratings"),
    )
    # Sums of 1/s carry rounding; ties are ties up to far less than one part of a vote.
    at_top = pl.col("share_sums").list.eval(pl.element() > pl.element().max() - 1e-9)
    total = pl.col("share_sums").list.sum()
    unique = (at_top.list.sum() == 1) & (total > 0)
    names = pl.lit(options, dtype=pl.List(pl.String))
    label = pl.when(unique).then(names.list.get(pl.col("share_sums").list.arg_max(), null_on_oob=True))
    known = pl.lit(bool(options))
    return agreed.select(
        "item_id",
        pl.lit(question).alias("question"),
        label.otherwise(None).cast(pl.String).alias("label"),
        pl.when(known).then(pl.col("label_counts")).alias("label_counts"),
        pl.when(known & (total > 0)).then(pl.col("share_sums") / total).alias("label_probs"),
        pl.when(pl.col("rated") > 0).then(pl.col("value_sum") / pl.col("rated")).alias("value"),
        "n_ratings",
        pl.when(known & unique)
        .then(pl.lit("majority"))
        .when(known)
        .then(pl.lit("tie"))
        .otherwise(pl.lit("mean"))
        .alias("method"),
    )
