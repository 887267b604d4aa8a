"""How annotators work: how fast, and whether they give one value in long runs. Description, never a verdict."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.corpus.longest_run import longest_run_p
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.tables import UNKNOWN_ANNOTATOR

_KEY: Final = ["annotator_id", "question"]
_SECOND: Final = 1_000_000  # microseconds
_TIMES: Final = (  # how ``at`` is written
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
)  # fmt: skip


def annotator_behaviour(annotations: pl.DataFrame, *, min_ratings: int = 20) -> pl.DataFrame:
    r"""Speed and longest run of one value, per annotator and question.

    Seconds are the column ``seconds``, or the time between an annotator's successive items by ``at`` (so that a break
    is one long gap: medians are given). The longest run counts successive ratings of the same value, by ``at`` where
    all of an annotator's ratings have it, else in the order of the rows. ``p_value`` is the probability of a run as
    long under independent draws with the annotator's own shares (``longest_run_p``);
    for one who gave a single value throughout, of giving it each time under the shares of all annotators together.

    Args:
        annotations: ``item_id, annotator_id, question, rating_id, value`` and, where present, ``at, seconds``.
        min_ratings: Ratings below which no probability is given.

    Returns:
        Sorted rows ``annotator_id, question, n_ratings, n_timed, median_seconds, speed`` (median over the median of
        all ratings of the question), ``order`` (``at`` or ``row``), ``longest_run, run_value, top_share`` (of the
        annotator's commonest value), ``p_value, p_holm`` (over all rows that have one). Unknown annotators are left
        out. Values that share a rating_id are one value.

    Undefined:
        ``median_seconds`` and ``speed`` null without times; ``p_value`` null below ``min_ratings``.

    Example:
        >>> rows = pl.DataFrame({"item_id": [str(i) for i in range(24)], "annotator_id": "s:1", "question": "q",
        ...                      "rating_id": [str(i) for i in range(24)], "value": ["a"] * 12 + ["b"] * 12})
        >>> annotator_behaviour(rows).select("longest_run", pl.col("p_value").round(4)).rows()
        [(12, 0.0034)]
    """
    ratings = _ratings(annotations)
    runs = _runs(ratings)
    speed = _speed(ratings)
    frame = runs.join(speed, on=_KEY, how="left", maintain_order="left").sort(_KEY)
    frame = frame.with_columns(pl.col("n_timed").fill_null(0))
    tested = frame.with_row_index("row").filter(pl.col("n_ratings") >= min_ratings)
    p = _probabilities(ratings, tested)
    found = pl.DataFrame(
        {"row": tested["row"], "p_value": p, "p_holm": holm(p) if len(p) else p},
        schema={"row": pl.UInt32, "p_value": pl.Float64, "p_holm": pl.Float64},
    )
    frame = frame.with_row_index("row").join(found, on="row", how="left", maintain_order="left")
    return frame.select(
        *_KEY, "n_ratings", "n_timed", "median_seconds", "speed", "order", "longest_run", "run_value", "top_share",
        "p_value", "p_holm",
    )  # fmt: skip


def known_annotators(annotations: pl.DataFrame) -> pl.DataFrame:
    """The rows of annotators known by name.

    Example:
        >>> known_annotators(pl.DataFrame({"annotator_id": ["s:unknown", "s:1"]})).height
        1
    """
    return annotations.filter(~pl.col("annotator_id").str.ends_with(f":{UNKNOWN_ANNOTATOR}"))


def _ratings(annotations: pl.DataFrame) -> pl.DataFrame:
    """One row per rating in the order of work: annotator, question, item, value, order, moment, seconds."""
    known = known_annotators(annotations)
    moment = _moment(known["at"]) if "at" in known.columns else pl.lit(None, dtype=pl.Int64)
    timed = "seconds" in known.columns and known["seconds"].dtype.is_numeric()
    seconds = pl.col("seconds").cast(pl.Float64) if timed else pl.lit(None, dtype=pl.Float64)
    seconds = pl.when(seconds.is_finite() & (seconds >= 0)).then(seconds)
    value = pl.col("value").cast(pl.String)
    frame = known.with_columns(moment.alias("_moment")) if isinstance(moment, pl.Series) else known
    rows = frame.with_row_index("row").select(
        *_KEY, "item_id", "rating_id", "row", value.alias("value"), seconds.alias("seconds"),
        (pl.col("_moment") if isinstance(moment, pl.Series) else moment).alias("moment"),
    )  # fmt: skip
    one = ["item_id", *_KEY, "rating_id"]
    if rows["rating_id"].n_unique() < rows.height and rows.select(pl.struct(one).is_duplicated().any()).item():
        rows = rows.group_by(one, maintain_order=True).agg(
            pl.col("row").min(), pl.col("value").unique().sort().str.join("|"), pl.col("seconds", "moment").max()
        )
    by_time = pl.col("moment").is_not_null().all().over(_KEY)
    rows = rows.with_columns(pl.when(by_time).then(pl.lit("at")).otherwise(pl.lit("row")).alias("order"))
    place = pl.when(pl.col("order") == "at").then("moment").otherwise(pl.col("row").cast(pl.Int64))
    return rows.drop_nulls("value").sort(*_KEY, place, "row")


def _moment(at: pl.Series) -> pl.Series:
    """Microseconds since 1970 of texts, dates or numbers of seconds; all null where only days are known."""
    if at.dtype == pl.String:
        number = at.str.strip_chars().cast(pl.Float64, strict=False)
        if number.null_count() == at.null_count():
            return _moment(number)
        text = pl.col("t").str.strip_chars().str.replace("Z$", "+0000")
        parsed = [_parsed(text, form) for form in _TIMES]
        moment = pl.DataFrame({"t": at}).select(pl.coalesce(parsed)).to_series()
    elif isinstance(at.dtype, pl.Datetime):
        moment = at.cast(pl.Datetime("us", at.dtype.time_zone)).to_physical()
    elif at.dtype.is_numeric():
        known = at.cast(pl.Float64)
        size = known.abs().median()
        unit = 1000 if isinstance(size, float) and size > 1e11 else _SECOND  # milliseconds, as JavaScript gives them
        return (known.fill_nan(None) * unit).round().cast(pl.Int64, strict=False)
    else:
        return pl.Series("moment", [None] * at.len(), dtype=pl.Int64)
    only_days = bool(((moment % (86_400 * _SECOND)) == 0).all())
    return pl.Series("moment", [None] * at.len(), dtype=pl.Int64) if only_days else moment


def _parsed(text: pl.Expr, form: str) -> pl.Expr:
    if form.endswith("z"):
        return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False).to_physical()
    return text.str.to_datetime(form, time_unit="us", strict=False).to_physical()


def _speed(ratings: pl.DataFrame) -> pl.DataFrame:
    """Median seconds of each annotator, and that over the median of all."""
    if ratings["seconds"].null_count() < ratings.height:
        rows = ratings.select(*_KEY, "seconds")
    else:
        items = ratings.drop_nulls("moment").group_by("annotator_id", "item_id").agg(pl.col("moment").max())
        gap = (pl.col("moment").diff().over("annotator_id", order_by="moment") / _SECOND).alias("seconds")
        gaps = items.with_columns(gap).drop("moment")
        rows = ratings.join(gaps, on=["annotator_id", "item_id"], how="left", suffix="_gap").select(
            *_KEY, pl.col("seconds_gap").alias("seconds")
        )
    known = rows.drop_nulls("seconds")
    overall = known.group_by("question").agg(pl.col("seconds").median().alias("overall"))
    per = known.group_by(_KEY).agg(
        pl.len().cast(pl.Int64).alias("n_timed"), pl.col("seconds").median().alias("median_seconds")
    )
    speed = pl.when(pl.col("overall") > 0).then(pl.col("median_seconds") / pl.col("overall"))
    return per.join(overall, on="question", how="left").select(*_KEY, "n_timed", "median_seconds", speed.alias("speed"))


def _runs(ratings: pl.DataFrame) -> pl.DataFrame:
    """Number of ratings, longest run with its value, and the share of the commonest value."""
    of_run = pl.struct(*_KEY, "value").rle_id()
    runs = ratings.select(*_KEY, "value", "order", of_run.alias("run"))
    lengths = runs.group_by("run").agg(pl.col(*_KEY, "value", "order").first(), pl.len().alias("n")).sort("run")
    longest = pl.col("n").arg_max()
    per = lengths.group_by(_KEY, maintain_order=True).agg(
        pl.col("n").sum().cast(pl.Int64).alias("n_ratings"),
        pl.col("order").first(),
        pl.col("n").max().cast(pl.Int64).alias("longest_run"),
        pl.col("value").gather(longest).first().alias("run_value"),
    )
    per = per.with_columns(pl.col("run_value").cast(pl.String))  # without any ratings its type is lost
    top = ratings.group_by(*_KEY, "value").len().group_by(_KEY).agg(pl.col("len").max() / pl.col("len").sum())
    return per.join(top.rename({"len": "top_share"}), on=_KEY, how="left", maintain_order="left")


def _probabilities(ratings: pl.DataFrame, tested: pl.DataFrame) -> np.typing.NDArray[np.float64]:
    """P-value of the longest run of each tested row."""
    out = np.full(tested.height, np.nan)
    counts = ratings.group_by(*_KEY, "value").len()
    pooled = counts.group_by("question", "value").agg(pl.col("len").sum())
    pooled = pooled.with_columns(share=pl.col("len") / pl.col("len").sum().over("question")).drop("len")
    constant = tested.join(pooled, left_on=["question", "run_value"], right_on=["question", "value"], how="left",
                           maintain_order="left")  # fmt: skip
    alone = (tested["longest_run"] == tested["n_ratings"]).to_numpy()
    out[alone] = (constant["share"] ** constant["n_ratings"]).to_numpy()[alone]
    of = tested.select(*_KEY, pl.int_range(pl.len()).alias("at")).join(counts, on=_KEY)
    place = pl.col("value").rank("ordinal").over("at").cast(pl.Int64) - 1  # shares are a person's own, in any order
    of = of.with_columns(place.alias("k"))
    shares = np.zeros((tested.height, int(of["k"].max() or 0) + 1))  # type: ignore[arg-type]
    shares[of["at"].to_numpy(), of["k"].to_numpy()] = of["len"].to_numpy()
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    rest = np.flatnonzero(~alone)
    out[rest] = longest_run_p(
        shares[rest], tested["n_ratings"].to_numpy()[rest], tested["longest_run"].to_numpy()[rest]
    )
    return out
