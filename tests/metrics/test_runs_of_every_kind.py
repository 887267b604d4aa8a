"""What several runs are compared by beside labels: ordered labels, calibration, reasons; and values of a column."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.answers import Answers, join_outputs
from dfar_toolkit.metrics.calibration.calibration_table import calibration_table
from dfar_toolkit.metrics.comparing.many_runs import ManyRuns, compare_many
from dfar_toolkit.metrics.comparing.runs_table import LINEARISED
from dfar_toolkit.metrics.judging.multiple_testing import holm
from dfar_toolkit.metrics.ordinal import ordinal_table
from dfar_toolkit.metrics.reasons.overlap import human_overlap
from dfar_toolkit.metrics.reasons.own_label import own_label_agreement
from dfar_toolkit.metrics.soft_labels.joined_pairs import joined_pairs
from small_tables import make_items, make_outputs

SCALE = ["low", "mid", "high"]
N = 40


def of(found: ManyRuns, metric: str, a: str = "a", b: str = "b", subset: str = "all") -> dict[str, object]:
    return found.differences.filter(metric=metric, run_a=a, run_b=b, subset=subset).row(0, named=True)


def drawn(name: str, gold: list[str], seed: int, *, probs: bool = True) -> pl.DataFrame:
    """A run that is right in three of four and puts .6 to .9 on its label."""
    rng = np.random.default_rng(seed)
    turned = {"e": "u", "u": "e"}
    labels = [g if rng.random() < 0.75 else turned[g] for g in gold]
    top = rng.uniform(0.6, 0.9, len(gold)).round(3)
    shares = [[p, 1 - p] if said == "e" else [1 - p, p] for p, said in zip(top, labels, strict=True)]
    columns = {"label_probs": shares} if probs else {}
    return make_outputs({f"i{k}": said for k, said in enumerate(labels)}, run=name, **columns)


@pytest.fixture(scope="module")
def voted() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    votes = rng.binomial(5, rng.choice([0.2, 0.8], N))
    gold = ["e" if v > 2 else "u" for v in votes]
    counts = [[int(v), int(5 - v)] for v in votes]
    return make_items(gold).with_columns(
        label_counts=pl.Series(counts), label_probs=pl.Series([[a / 5, b / 5] for a, b in counts]),
        part=pl.Series([f"p{k % 3}" for k in range(N)]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def three(voted: pl.DataFrame) -> Answers:
    gold = voted["label"].to_list()
    runs = [drawn("a", gold, 1), drawn("b", gold, 2), drawn("c", gold, 3, probs=False)]
    return join_outputs(pl.concat(runs, how="diagonal_relaxed"), voted, options=["e", "u"])


def test_calibration_is_the_difference_of_the_two_tables(three: Answers) -> None:
    found = compare_many(three, n_boot=50, n_perm=50)
    values = {}
    for run in "ab":
        own = three.frame.filter(run_id=run)
        codes = (own["label"] == "u").cast(pl.Int64).to_numpy()
        table = calibration_table(joined_pairs("t", own, ["e", "u"]), codes, n_boot=20)
        values[run] = dict(table.select("metric", "value").rows())
    for metric in ("human_calibration_error", "entropy_calibration_error", "rank_calibration", "aurc", "excess_aurc",
                   "squared_calibration_error_majority"):  # fmt: skip
        row = of(found, metric)
        assert row["value"] == pytest.approx(values["b"][metric] - values["a"][metric], abs=1e-12), metric
        assert row["family"] == "exploratory"
        assert row["p_holm"] is None
    assert not set(found.differences["metric"]) & {"ece_majority", "corp_miscalibration_majority"}


def test_what_hangs_on_all_answers_has_an_interval_and_no_test(three: Answers) -> None:
    found = compare_many(three, n_boot=200, n_perm=50)
    error = of(found, "human_calibration_error")
    assert (error["p_value"], error["test"], error["method"]) == (None, None, "linearised bootstrap")
    assert LINEARISED in str(error["note"])
    assert error["low"] < error["value"] < error["high"]  # type: ignore[operator]
    gap = of(found, "entropy_calibration_error")
    assert (gap["method"], gap["p_value"] is not None) == ("bootstrap", True)


def test_a_run_without_probabilities_leaves_the_others_to_be_compared(three: Answers) -> None:
    found = compare_many(three, primary="soft_cross_entropy", n_boot=50, n_perm=50)
    rows = found.differences.filter(metric="soft_cross_entropy")
    assert rows.select("run_a", "run_b").rows() == [("a", "b")]
    assert "without c: no probabilities" in rows["note"][0]
    assert rows["p_holm"][0] == rows["p_value"][0]
    assert found.ranks["run_id"].to_list() in (["a", "b"], ["b", "a"])


def test_few_bins_have_no_interval() -> None:
    items = make_items(["e", "u"] * 3).with_columns(label_probs=pl.Series([[0.6, 0.4]] * 6))
    runs = [make_outputs({f"i{k}": "e" for k in range(6)}, run=r, label_probs=[[p, 1 - p]] * 3 + [[0.9, 0.1]] * 3)
            for r, p in (("a", 0.7), ("b", 0.8))]  # fmt: skip
    found = compare_many(join_outputs(pl.concat(runs), items, options=["e", "u"]), n_boot=50, n_perm=50)
    row = of(found, "human_calibration_error")
    assert np.isnan(row["low"])  # type: ignore[call-overload]
    assert "no interval: 2 bins, at least 5 are needed (a)" in str(row["note"])


def test_a_measure_without_a_test_may_be_declared_and_a_signed_one_has_no_ranks(three: Answers) -> None:
    found = compare_many(three, primary="human_calibration_error", n_boot=200, n_perm=20)
    row = of(found, "human_calibration_error")
    assert (row["family"], row["p_holm"]) == ("primary", None)
    assert row["low_simultaneous"] is not None
    assert found.ranks.height == 2
    signed = compare_many(three, primary="entropy_calibration_error", n_boot=20, n_perm=20)
    assert signed.ranks.is_empty()
    assert set(signed.ranks.columns) == set(found.ranks.columns)


def test_ordered_labels_over_the_items_that_all_answered() -> None:
    gold = ["low", "mid", "high", "high", "low", "mid"]
    said = {"a": ["low", "low", "high", "mid", "mid", "mid"], "b": ["high", "mid", None, "high", "low", "low"]}
    runs = [make_outputs({f"i{k}": x for k, x in enumerate(labels)}, run=run) for run, labels in said.items()]
    answers = join_outputs(pl.concat(runs), make_items(gold), options=SCALE)
    found = compare_many(answers, ordered=True, n_boot=50, n_perm=50)
    kept = [k for k in range(6) if k != 2]
    places = {run: [SCALE.index(str(labels[k])) for k in kept] for run, labels in said.items()}
    people = [SCALE.index(gold[k]) for k in kept]
    tables = {run: dict(ordinal_table(gold=people, pred=pred, ci=None).select("metric", "value").rows())
              for run, pred in places.items()}  # fmt: skip
    for metric in ("mean_absolute_error", "root_mean_squared_error", "mean_signed_error", "quadratic_kappa",
                   "pearson_correlation"):  # fmt: skip
        row = of(found, metric)
        assert row["value"] == pytest.approx(tables["b"][metric] - tables["a"][metric]), metric
        assert (row["n"], row["family"]) == (5, "exploratory")
        assert "1 of 6 items not answered by all left out" in str(row["note"])
    within = of(found, "accuracy_within")
    assert (within["value"], within["n"]) == (pytest.approx((4 - 6) / 6), 6)  # no answer is a miss
    assert within["test"] == "exact McNemar"
    assert "mean_absolute_error" not in compare_many(answers, n_boot=20).differences["metric"]


def reasoned() -> tuple[Answers, pl.DataFrame]:
    people = [["it hurts people", "people are hurt"], ["a kind act"], ["that is unfair"], []]
    items = make_items(["ethical", "ethical", "unethical", "unethical"]).with_columns(
        reasons=pl.Series([[{"annotator_id": "x", "value": "v", "text": t} for t in texts] for texts in people])
    )
    labels = {f"i{k}": label for k, label in enumerate(["ethical", "ethical", "unethical", "unethical"])}
    a = make_outputs(labels, run="a", reason=["it hurts people", "ethical", "so it is unethical", "unethical"])
    b = make_outputs(labels, run="b", reason=["people are kind", "an unethical act", " ", "it is unethical"])
    c = make_outputs(labels, run="c")
    answers = join_outputs(pl.concat([a, b, c], how="diagonal_relaxed"), items, options=["ethical", "unethical"])
    return answers, items


def test_reasons_on_the_items_on_which_both_runs_gave_one() -> None:
    answers, items = reasoned()
    found = compare_many(answers, items=items, n_boot=50, n_perm=50)
    texts = {"a": ["it hurts people", "ethical", "unethical"], "b": ["people are kind", "an unethical act",
                                                                     "it is unethical"]}  # fmt: skip
    human = [["it hurts people", "people are hurt"], ["a kind act"], []]
    for metric in ("rouge_l", "token_f1"):
        own = {run: human_overlap(reason=said, human=human, metric=metric, ci=None).value  # type: ignore[arg-type]
               for run, said in texts.items()}  # fmt: skip
        row = of(found, f"{metric}_mean")
        assert row["value"] == pytest.approx(own["b"] - own["a"])
        assert row["n"] == 3
        assert "without c: no reasons" in str(row["note"])
    labels, options = ["ethical", "ethical", "unethical"], ["ethical", "unethical"]
    share = {run: own_label_agreement(reason=said, label=labels, options=options).value for run, said in texts.items()}
    row = of(found, "own_label_agreement")
    assert row["value"] == pytest.approx(share["b"] - share["a"]) == pytest.approx(-0.5)
    assert "a: names one side on 2 of 3 items; b: names one side on 2 of 3 items" in str(row["note"])
    assert set(found.differences.filter(metric="rouge_l_mean").select("run_a", "run_b").rows()) == {("a", "b")}


def test_samples_of_a_reason_count_as_their_mean() -> None:
    items = make_items(["e", "u"]).with_columns(
        reasons=pl.Series([[{"annotator_id": "x", "value": "v", "text": t}] for t in ("a b", "c d")])
    )
    once = make_outputs({"i0": "e", "i1": "u"}, run="b", reason=["a b", "c d"])
    twice = pl.concat([
        make_outputs({"i0": "e", "i1": "u"}, run="a", sample=[0, 0], reason=["a b", "c d"]),
        make_outputs({"i0": "e", "i1": "u"}, run="a", sample=[1, 1], reason=["x", "y"]),
    ])  # fmt: skip
    answers = join_outputs(pl.concat([once, twice], how="diagonal_relaxed"), items, options=["e", "u"])
    assert of(compare_many(answers, items=items, n_boot=20), "token_f1_mean")["value"] == pytest.approx(0.5)


def test_reasons_without_peoples_reasons_have_their_label_alone() -> None:
    answers, _ = reasoned()
    found = set(compare_many(answers, n_boot=20, n_perm=20).differences["metric"])
    assert "own_label_agreement" in found
    assert "token_f1_mean" not in found


def test_values_of_a_column_are_one_family(three: Answers, voted: pl.DataFrame) -> None:
    alone = compare_many(three, n_boot=400, n_perm=500)
    found = compare_many(three, by="part", items=voted, n_boot=400, n_perm=500)
    rows = found.differences.filter(metric="accuracy")
    of_values = rows.filter(pl.col("subset").str.starts_with("part="))
    assert len(of_values) == 9
    assert of_values["p_holm"].to_list() == pytest.approx(holm(of_values["p_value"].to_list()).tolist())
    assert of_values["note"].str.ends_with("Holm over 9 tests: pairs x values of part").all()
    whole = rows.filter(subset="all")
    assert whole["p_holm"].to_list() == alone.differences.filter(metric="accuracy")["p_holm"].to_list()
    # The error of the simultaneous intervals is shared: those of a value are wider than if it stood alone.
    first = three._replace(frame=three.frame.join(voted.filter(part="p0"), on="item_id", how="semi"))
    own = compare_many(first, n_boot=400, n_perm=50).differences.filter(metric="accuracy")
    shared = of_values.filter(subset="part=p0")
    assert (shared["low_simultaneous"] < own["low_simultaneous"]).all()
    assert shared["low"].to_list() == own["low"].to_list()


def test_metrics_asked_for_and_the_order_of_runs(three: Answers) -> None:
    found = compare_many(three, runs=["c", "a"], metrics=["macro_f1"], n_boot=20, n_perm=20)
    assert found.differences.select("metric", "run_a", "run_b").rows() == [
        ("accuracy", "c", "a"), ("macro_f1", "c", "a")
    ]  # fmt: skip
    assert found.notes == {"all": "no leak known"}
    with pytest.raises(TableError, match="no run 'd'"):
        compare_many(three, runs=["a", "d"])
