"""Findings about the people who rated: who they are, how fast they were, whether they gave one value in a row."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.corpus.annotator_behaviour import annotator_behaviour, known_annotators
from dfar_toolkit.corpus.findings import N_EXAMPLES, SEVERITIES, AuditThresholds, Finding, excerpt
from dfar_toolkit.tables import primary_questions

_NOBODY = "not looked for: no annotators known by name"


def annotator_findings(
    annotations: pl.DataFrame, questions: pl.DataFrame, raters: pl.DataFrame | None, thresholds: AuditThresholds
) -> list[Finding]:
    """``annotators.balance``, ``annotators.fast``, ``annotators.straight_line``, over the primary questions.

    Args:
        annotations: The annotations.
        questions: The questions.
        raters: Who rated, with their bands; None where that is not known.
        thresholds: When a finding is one.

    Returns:
        Three findings: ``total`` counts bands, annotators with enough timed ratings, annotators with enough ratings
        (an annotator of two primary questions counts for each).
    """
    asked = list(primary_questions(questions).values())
    primary = annotations.filter(pl.col("question").is_in(asked)) if asked else annotations
    known = known_annotators(primary)
    if raters is not None and "kind" in raters.columns:
        models = raters.filter(pl.col("kind").cast(pl.String) == "model").select("annotator_id")
        known = known.join(models, on="annotator_id", how="anti", maintain_order="left")
    behaviour = annotator_behaviour(known, min_ratings=thresholds.run_ratings)
    return [_balance(known, raters, thresholds), _fast(behaviour, thresholds), _straight_line(behaviour, thresholds)]


def rater_bands(raters: pl.DataFrame) -> list[str]:
    """Columns that tell groups of people apart: text, not an id, fewer values than people.

    Example:
        >>> rater_bands(pl.DataFrame({"annotator_id": ["a", "b", "c"], "kind": "human", "age": ["20", "20", "30"]}))
        ['age']
    """
    plain = [n for n, t in raters.schema.items() if t == pl.String and n not in ("annotator_id", "kind")]
    return [n for n in plain if 0 < raters[n].drop_nulls().n_unique() < max(2, raters.height)]


def band_shares(annotations: pl.DataFrame, raters: pl.DataFrame) -> pl.DataFrame:
    """People and ratings of each value of each band, largest share first; people of unknown band are one group.

    Args:
        annotations: ``annotator_id, item_id, question, rating_id``; a rating is counted once.
        raters: ``annotator_id`` and the bands, as :func:`rater_bands` finds them.

    Returns:
        Frame ``band, group, n_people, n_ratings, share`` (of the ratings by raters of the table).

    Example:
        >>> raters = pl.DataFrame({"annotator_id": ["a", "b", "c"], "age": ["young", "young", "old"]})
        >>> rows = pl.DataFrame({"annotator_id": ["a", "b", "c", "c"], "item_id": ["p", "p", "p", "q"], "question": "x",
        ...                      "rating_id": ["1", "2", "3", "4"]})
        >>> band_shares(rows, raters).rows()
        [('age', 'old', 1, 2, 0.5), ('age', 'young', 2, 2, 0.5)]
    """
    one = annotations.select("annotator_id", "item_id", "question", "rating_id").unique()
    counts = one.group_by("annotator_id").len("n")
    people = raters.unique("annotator_id", keep="first").join(counts, on="annotator_id")
    parts = [
        people.group_by(pl.col(band).fill_null("unknown").alias("group"))
        .agg(pl.len().cast(pl.Int64).alias("n_people"), pl.col("n").sum().cast(pl.Int64).alias("n_ratings"))
        .select(
            pl.lit(band).alias("band"), "group", "n_people", "n_ratings",
            (pl.col("n_ratings") / pl.col("n_ratings").sum()).alias("share"),
        )
        .sort("n_ratings", "group", descending=[True, False])
        for band in rater_bands(raters)
    ]  # fmt: skip
    schema = {"band": pl.String, "group": pl.String, "n_people": pl.Int64, "n_ratings": pl.Int64, "share": pl.Float64}
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _balance(known: pl.DataFrame, raters: pl.DataFrame | None, thresholds: AuditThresholds) -> Finding:
    name, bands = "annotators.balance", rater_bands(raters) if raters is not None else []
    if raters is None or not bands or known.is_empty():
        why = "not looked for: no bands of raters who are known by name"
        return Finding(name, SEVERITIES[name], 0, 0, (), why)
    top = band_shares(known, raters).unique("band", keep="first", maintain_order=True)
    much = top.filter(pl.col("share") > thresholds.band_share)
    examples = tuple(f"{excerpt(r['band'])}: {_of_band(r)}" for r in much.head(N_EXAMPLES).iter_rows(named=True))
    largest = "; ".join(f"{excerpt(r['band'], length=30)}: {_of_band(r)}" for r in top.iter_rows(named=True))
    note = f"bands in which one group gave more than {_percent(thresholds.band_share)} of the ratings; largest groups: "
    return Finding(name, SEVERITIES[name], much.height, len(bands), examples, note + largest)


def _of_band(row: dict[str, object]) -> str:
    share, people = row["share"], row["n_people"]
    return f"{excerpt(str(row['group']), length=30)} {_percent(float(str(share)))} of the ratings by {people} people"


def _fast(behaviour: pl.DataFrame, thresholds: AuditThresholds) -> Finding:
    name = "annotators.fast"
    if behaviour.is_empty():
        return Finding(name, SEVERITIES[name], 0, 0, (), _NOBODY)
    timed = behaviour.filter((pl.col("n_timed") >= thresholds.fast_ratings) & pl.col("speed").is_not_null())
    if timed.is_empty():
        why = f'not looked for: nobody has {thresholds.fast_ratings} ratings with "seconds" or "at"'
        return Finding(name, SEVERITIES[name], 0, 0, (), why)
    fast = timed.filter(pl.col("speed") < thresholds.fast_share).sort("speed", maintain_order=True)
    examples = tuple(
        f"{excerpt(r['annotator_id'])}: median {r['median_seconds']:.3g} s, {r['speed']:.2f} of that of all, "
        f"{r['n_timed']} ratings"
        for r in fast.head(N_EXAMPLES).iter_rows(named=True)
    )
    note = f"median time below {thresholds.fast_share:.2f} of that of all; {thresholds.fast_ratings} or more ratings"
    return Finding(name, SEVERITIES[name], fast.height, timed.height, examples, note)


def _straight_line(behaviour: pl.DataFrame, thresholds: AuditThresholds) -> Finding:
    name = "annotators.straight_line"
    if behaviour.is_empty():
        return Finding(name, SEVERITIES[name], 0, 0, (), _NOBODY)
    tested = behaviour.drop_nulls("p_holm")
    if tested.is_empty():
        why = f"not looked for: nobody has {thresholds.run_ratings} ratings"
        return Finding(name, SEVERITIES[name], 0, 0, (), why)
    runs = tested.filter(pl.col("p_holm") <= thresholds.run_p).sort("p_value", maintain_order=True)
    examples = tuple(
        f"{excerpt(r['annotator_id'])}: {excerpt(r['run_value'], length=30)} {r['longest_run']} times in a row of "
        f"{r['n_ratings']} ratings, p = {r['p_value']:.2g}"
        for r in runs.head(N_EXAMPLES).iter_rows(named=True)
    )
    in_time = int((tested["order"] == "at").sum())
    note = (
        f"longest run of one value against independent ratings with the same shares, Holm's p up to "
        f"{thresholds.run_p:g}, {thresholds.run_ratings} or more ratings; {in_time} of {tested.height} by time, the "
        "others by the order of the rows, where items sorted by content make runs that say nothing of people"
    )
    return Finding(name, SEVERITIES[name], runs.height, tested.height, examples, note)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
