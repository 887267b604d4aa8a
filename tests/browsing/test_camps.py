from __future__ import annotations

import polars as pl

from dfar_toolkit.browsing.camps import question_camps
from dfar_toolkit.tables import conform


def rated(rows: list[tuple[str, str, str, str | None]]) -> pl.DataFrame:
    """Rows of annotator, question, value, reason."""
    frame = pl.DataFrame(
        [{"item_id": "i", "annotator_id": a, "question": q, "rating_id": f"{a}/{q}", "value": v, "reason": r}
         for a, q, v, r in rows],
        schema_overrides={"reason": pl.String},
    )  # fmt: skip
    return conform(frame, "annotations")


def test_those_who_say_why_come_first_and_few_options_keep_their_places() -> None:
    rows = rated([("a", "q", "no", None), ("b", "q", "yes", "  "), ("c", "q", "no", "Because."), ("d", "q", "?", "x")])
    (asked,) = question_camps(rows, {"q": ["yes", "no"]})
    assert [(c.value, [v.annotator_id for v in c.voices]) for c in asked.camps] == [
        ("yes", ["b"]), ("no", ["c", "a"]), ("?", ["d"])
    ]  # fmt: skip
    assert asked.n_ratings == 4
    assert asked.camps[0].voices[0].reason is None


def test_of_many_options_the_largest_camp_comes_first() -> None:
    rows = rated([("a", "q", "o1", None), ("b", "q", "o7", None), ("c", "q", "o7", None), ("d", "q", "o0", None)])
    (asked,) = question_camps(rows, {"q": [f"o{k}" for k in range(9)]})
    assert [camp.value for camp in asked.camps] == ["o7", "o0", "o1"]


def test_a_rating_of_several_values_is_in_each_of_its_camps_and_counts_once() -> None:
    rows = rated([("a", "q", "x", "Why x."), ("a", "q", "y", "Why y."), ("b", "q", "x", None)])
    (asked,) = question_camps(rows, {"q": ["x", "y"]})
    assert asked.n_ratings == 2
    assert [(c.value, [(v.annotator_id, v.reason, v.also) for v in c.voices]) for c in asked.camps] == [
        ("x", [("a", "Why x.", ("y",)), ("b", None, ())]), ("y", [("a", "Why y.", ("x",))])
    ]  # fmt: skip


def test_the_primary_question_comes_first_and_null_values_are_left_out() -> None:
    rows = rated([("a", "other", "1", None), ("a", "q", "x", None)])
    assert [asked.question for asked in question_camps(rows, {}, primary="q")] == ["q", "other"]
    assert question_camps(rows.with_columns(pl.lit(None, pl.String).alias("value")), {}) == []
    assert question_camps(pl.DataFrame(), {}) == []


def test_what_is_known_is_said_and_what_is_usual_is_not() -> None:
    rows = rated([("a", "q", "4", None)]).with_columns(
        pl.lit(4.0).alias("value_num"), pl.lit(0.5).alias("weight"), pl.lit(2).alias("occasion"),
        pl.lit(0.75).alias("confidence"), pl.lit("human").alias("kind of the rater"),
        pl.lit("18-29").alias("age band of the rater"), pl.lit(None, pl.String).alias("gender of the rater"),
        pl.lit("0").alias("foil"),
        pl.Series("evidence", [[{"field": "statement", "start": 1, "end": 3, "set": 0}]]),
    )  # fmt: skip
    voice = question_camps(rows, {})[0].camps[0].voices[0]
    assert voice.person == (("age band", "18-29"),)
    assert voice.facts == (("rather than", "0"), ("weight", "0.5"), ("occasion", "2"), ("confidence", "0.75"))
    assert voice.evidence == (("statement", 1, 3),)
