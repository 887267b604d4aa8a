import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.annotator_shortcut import annotator_shortcut
from dfar_toolkit.corpus.audit import audit
from dfar_toolkit.corpus.findings import AuditThresholds
from dfar_toolkit.corpus.leaks import mark_leaks, ordered_splits
from dfar_toolkit.corpus.length_areas import length_areas
from dfar_toolkit.metrics.bias.shortcuts import length_shortcut

QUESTIONS = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["good", "bad"]]})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("xyz")), min_size=2, max_size=12))
def test_areas_against_all_pairs(rows: list[tuple[int, str]]) -> None:
    lengths, labels = [n for n, _ in rows], [c for _, c in rows]
    found = length_areas(pl.Series(["w" * n for n in lengths]), pl.Series(labels), options=["x", "y", "z"])
    for label, value in found.select("label", "value").iter_rows():
        pairs = [(a > b) + (a == b) / 2 for a, u in rows for b, v in rows if u == label and v != label]
        assert value == pytest.approx(np.mean(pairs)) if pairs else np.isnan(value)


def test_area_and_interval_are_those_of_the_metric() -> None:
    rng = np.random.default_rng(3)
    texts = pl.Series(["w" * int(n) for n in rng.integers(1, 40, 200)])
    labels = pl.Series(np.where(rng.random(200) < 0.4, "a", "b"))
    groups = pl.Series(rng.integers(0, 60, 200))
    own = length_areas(texts, labels, options=["a", "b"], groups=groups).row(0, named=True)
    other = length_shortcut(text=texts, gold=labels, pred=labels, group=groups, options=["a", "b"], n_boot=100)
    want = other.filter(pl.col("metric") == "length_auc_gold").row(0, named=True)
    for field in ("value", "low", "high", "n", "n_units"):
        assert own[field] == pytest.approx(want[field], rel=1e-9)


def test_lengths_that_give_the_label_away_are_found() -> None:
    rng = np.random.default_rng(0)
    label = ["good", "bad"] * 100
    size = [int(n) for n in rng.integers(10, 30, 200)]
    items = pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(200)],
            "split": ["train"] * 200,
            "statement": [
                f"{k:05d}" + "w" * (n + 12 * (c == "bad")) for k, (n, c) in enumerate(zip(size, label, strict=True))
            ],
            "label": label,
        }
    )
    none = pl.DataFrame(schema=dict.fromkeys(("item_id", "annotator_id", "question", "rating_id", "value"), pl.String))
    found = {f.finding: f for f in audit(items, none, QUESTIONS)}
    length = found["shortcut.length"]
    assert (length.severity, length.count, length.total) == ("warn", 1, 1)
    assert length.examples[0].startswith('statement, "bad": 0.')
    assert found["shortcut.annotator"].note.startswith("not looked for")
    loose = {f.finding: f for f in audit(items, none, QUESTIONS, thresholds=AuditThresholds(length_area=0.99))}
    assert loose["shortcut.length"].count == 0


def test_annotators_that_give_the_value_away_are_found() -> None:
    rows = [(f"i{k}", f"s:{a}", v) for k in range(40) for a, v in (("p", "good"), ("q", "bad"), ("r", "bad"))]
    rated = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value"], orient="row")
    rated = rated.with_columns(question=pl.lit("q"), rating_id=pl.concat_str("item_id", "annotator_id"))
    items = pl.DataFrame({"item_id": [f"i{k}" for k in range(40)], "split": "train", "label": "bad",
                          "statement": [f"Statement {k}" for k in range(40)]})  # fmt: skip
    finding = next(f for f in audit(items, rated, QUESTIONS) if f.finding == "shortcut.annotator")
    assert (finding.severity, finding.count, finding.total) == ("info", 0, 1)  # every item gains a third: no interval
    assert "q: 1.000 against 0.667, gain 0.333" in finding.note
    swayed = rated.with_columns(
        pl.when((pl.col("annotator_id") == "s:p") & pl.col("item_id").is_in(["i1", "i2", "i3"]))
        .then(pl.lit("bad"))
        .otherwise("value")
        .alias("value")
    )
    again = next(f for f in audit(items, swayed, QUESTIONS) if f.finding == "shortcut.annotator")
    assert again.count == 1


def test_annotator_majority_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "item_id": [f"i{k // 3:02d}" for k in range(90)],
            "annotator_id": [f"s:{k}" for k in rng.integers(0, 6, 90)],
            "value": rng.choice(["a", "b", "c"], 90, p=[0.5, 0.3, 0.2]),
        }
    )
    groups = pl.DataFrame({"item_id": [f"i{k:02d}" for k in range(30)], "group": [f"g{k // 2:02d}" for k in range(30)]})
    found = annotator_shortcut(frame, groups, n_boot=100)
    group = dict(groups.iter_rows())
    names = sorted(set(group.values()))
    dealt = dict(zip(names, (np.random.default_rng(0).permutation(len(names)) % 5).tolist(), strict=True))

    def best(values: list[str], first: str | None) -> str | None:
        if not values:
            return first
        return min(set(values), key=lambda v: (-values.count(v), v != first, v))

    own = overall = 0
    for item, who, value in frame.iter_rows():
        rest = [(w, v) for i, w, v in frame.iter_rows() if dealt[group[i]] != dealt[group[item]]]
        everybody = best([v for _, v in rest], None)
        overall += everybody == value
        own += best([v for w, v in rest if w == who], everybody) == value
    assert found["annotator_accuracy"].value == pytest.approx(own / 90)
    assert found["majority_accuracy"].value == pytest.approx(overall / 90)
    assert found["annotator_gain"].unit == "groups"
    assert np.isnan(annotator_shortcut(frame.clear())["annotator_gain"].value)


def test_splits_in_their_order() -> None:
    names = ["test.hard", "fold10", "dev", "fold2", "test", "train.extra", "extra", "train", "validation"]
    want = ["train", "train.extra", "dev", "validation", "test", "test.hard", "extra", "fold2", "fold10"]
    assert ordered_splits(names) == want
    rows = [("p", "fold9", "I lied."), ("q", "fold10", "I lied.")]
    items = pl.DataFrame(rows, schema=["item_id", "split", "statement"], orient="row")
    assert mark_leaks(items)["leak_against"].to_list() == [None, "fold9"]
