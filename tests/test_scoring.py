"""Scores of outputs against items: the join, its denominator, its refusals, and the published DFAR split."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfar_toolkit import metrics
from dfar_toolkit.errors import TableError
from dfar_toolkit.metrics.answers import join_outputs
from dfar_toolkit.metrics.subsets import leak_subsets
from dfar_toolkit.scoring import COLUMNS, confusions, score, scores_json
from dfar_toolkit.tables import conform
from small_tables import make_items, make_judgements, make_outputs

LEAKS = ["exact", None, "near", "stem", "identical_row", None]
ITEMS = make_items(["e", "e", "u", "u", "e", None], leaks=LEAKS)
# right, wrong, right, unparsed, (missing), no gold
OUTPUTS = make_outputs({"i0": "e", "i1": "u", "i2": "u", "i3": None, "i5": "e"})


def value(frame: pl.DataFrame, metric: str, subset: str = "all", run: str = "m", label: str | None = None) -> float:
    rows = frame.filter(metric=metric, subset=subset, run_id=run)
    rows = rows.filter(pl.col("label").is_null() if label is None else pl.col("label") == label)
    return float(rows["value"].item())


def test_by_hand() -> None:
    found = score(OUTPUTS, ITEMS)
    assert tuple(found.columns) == COLUMNS
    expected = {
        "accuracy": 2 / 5, "accuracy_answered": 2 / 3, "coverage": 3 / 5, "unparsed_share": 1 / 5,
        "missing_outputs": 1, "failed_outputs": 0, "no_gold": 1, "majority_baseline": 3 / 5, "minority_baseline": 2 / 5,
        "balanced_accuracy": (1 / 3 + 1 / 2) / 2, "macro_f1": (2 / (3 + 1) + 2 / (2 + 2)) / 2,
    }  # fmt: skip
    for metric, want in expected.items():
        assert value(found, metric) == pytest.approx(want, abs=1e-12), metric
    assert value(found, "label_share", label="u") == pytest.approx(2 / 5, abs=1e-12)
    assert value(found, "recall", label="e") == pytest.approx(1 / 3, abs=1e-12)
    note = found.filter(metric="accuracy", subset="all")["note"].item()
    assert note == "1 unparsed, 1 missing"


def test_leaked_clean_and_stem_stand_beside_their_own_majority() -> None:
    found = score(OUTPUTS, ITEMS)
    assert found["subset"].unique(maintain_order=True).to_list() == ["all", "leaked", "clean", "stem"]
    assert value(found, "accuracy", "leaked") == pytest.approx(2 / 3, abs=1e-12)
    assert value(found, "accuracy", "clean") == 0
    assert value(found, "majority_baseline", "leaked") == pytest.approx(2 / 3, abs=1e-12)
    note = found.filter(metric="accuracy", subset="clean")["note"].item()
    assert "clean: neither exact nor near, 3 of 6 (4 if only exact leaks count, 2 if stems count too)" in note


def test_without_a_leak_there_is_only_all() -> None:
    found = score(OUTPUTS, ITEMS.with_columns(leak_kind=pl.lit(None, dtype=pl.String)))
    assert found["subset"].unique().to_list() == ["all"]
    assert "no leak known" in found.filter(metric="accuracy")["note"].item()
    assert leak_subsets(ITEMS.filter(pl.col("leak_kind") == "exact"))[-1].name == "leaked"


def test_the_four_states_share_the_denominator() -> None:
    items = make_items(["e"] * 4)
    outputs = make_outputs({"i0": "e", "i1": None, "i2": "e"}, error=[None, None, "timeout"])
    found = score(outputs, items)
    assert value(found, "accuracy") == 1 / 4
    assert (value(found, "coverage"), value(found, "unparsed_share")) == (1 / 4, 1 / 4)
    assert (value(found, "missing_outputs"), value(found, "failed_outputs")) == (1, 1)
    assert join_outputs(outputs, items).frame["state"].to_list() == ["answered", "unparsed", "failed", "missing"]


def test_splits_that_occur_are_the_denominator_unless_asked() -> None:
    items = make_items(["e"] * 6, splits=["train"] * 3 + ["test"] * 3)
    outputs = make_outputs({"i3": "e", "i4": "e"})
    assert value(score(outputs, items, options=["e", "u"]), "accuracy") == pytest.approx(2 / 3, abs=1e-12)
    both = score(outputs, items, options=["e", "u"], split=["train", "test"])
    assert value(both, "accuracy") == pytest.approx(2 / 6, abs=1e-12)
    train = score(outputs, items, options=["e", "u"], split="train")
    assert value(train, "accuracy") == 0
    assert "2 outputs of other splits set aside" in train.filter(metric="accuracy")["note"].item()
    with pytest.raises(TableError, match='no split "dev"; found test, train'):
        score(outputs, items, split="dev")


def test_runs_in_one_file_are_scored_apart() -> None:
    both = pl.concat([OUTPUTS, make_outputs({"i0": "u"}, run="other")])
    found = score(both, ITEMS)
    assert value(found, "accuracy", run="m") == pytest.approx(2 / 5, abs=1e-12)
    assert value(found, "accuracy", run="other") == 0
    assert value(found, "missing_outputs", run="other") == 4


def test_labels_are_renamed_and_the_renaming_is_printed() -> None:
    outputs = make_outputs({"i0": "ethical", "i1": "unethical", "i2": "unethical"})
    found = score(outputs, ITEMS, label_map={"ethical": "e", "unethical": "u"})
    assert value(found, "accuracy") == pytest.approx(2 / 5, abs=1e-12)
    assert (
        "labels renamed: ethical -> e, unethical -> u" in found.filter(metric="accuracy", subset="all")["note"].item()
    )
    message = r"must be one of e, u; found 'unethical' \(2 times\), 'ethical' \(1 times\)\. Rename .*GIVEN=OPTION"
    with pytest.raises(TableError, match=message):
        score(outputs, ITEMS)


def test_probabilities_stand_in_for_labels_only_where_a_run_has_none() -> None:
    probs = [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]
    names = {"i0": None, "i1": None, "i2": None}
    outputs = make_outputs(names, label_probs=probs)
    assert join_outputs(outputs, ITEMS).frame["label_pred"].to_list()[:3] == ["e", None, "u"]
    turned = make_outputs(names, label_probs=probs, options=[["u", "e"]] * 3)
    assert join_outputs(turned, ITEMS).frame["label_pred"].to_list()[:3] == ["u", None, "e"]
    labelled = make_outputs({"i0": "e", "i1": None, "i2": None}, label_probs=probs)
    assert join_outputs(labelled, ITEMS).frame["label_pred"].to_list()[:3] == ["e", None, None]
    unread = make_outputs(names, label_probs=probs, raw=["I cannot say.", None, "No."])  # texts without a label
    assert join_outputs(unread, ITEMS).frame["label_pred"].null_count() == len(ITEMS)
    assert value(score(unread, ITEMS), "coverage") == 0


def test_the_lowest_sample_stands_for_several_and_the_rest_is_counted() -> None:
    more = make_outputs({"i0": "u", "i1": "e"}, sample=[1, 2])
    found = score(pl.concat([OUTPUTS, more]), ITEMS)
    assert value(found, "accuracy") == pytest.approx(2 / 5, abs=1e-12)
    note = found.filter(metric="accuracy", subset="all")["note"].item()
    assert "2 outputs beside the lowest sample of each item set aside" in note


def test_samples_that_begin_at_one_are_answers() -> None:
    # i0 has samples 1 and 2 and is right at 1; i2 has samples 2 and 3 and is right at 2; i1 has sample 1 alone.
    parts = [({"i0": "e", "i1": "u"}, [1, 1]), ({"i0": "u", "i2": "u"}, [2, 2]), ({"i2": "e"}, [3])]
    outputs = pl.concat([make_outputs(labels, sample=samples) for labels, samples in parts])  # type: ignore[arg-type]
    found = score(outputs, ITEMS)
    assert value(found, "accuracy") == pytest.approx(2 / 5, abs=1e-12)
    assert value(found, "missing_outputs") == 2
    note = found.filter(metric="accuracy", subset="all")["note"].item()
    assert "2 outputs beside the lowest sample of each item set aside" in note
    only = pl.concat([make_outputs({"i0": "e"}, sample=[k]) for k in (1, 2)])
    assert value(score(only, ITEMS), "accuracy") == pytest.approx(1 / 5, abs=1e-12)


def test_labels_below_the_most_probable_option_are_counted() -> None:
    # i0: the other option is more probable; i1: a tie; i2: the most probable in an order of its own; i3: unknown.
    probs = [[0.1, 0.9], [0.5, 0.5], [0.9, 0.1], None]
    options = [["e", "u"], ["e", "u"], ["u", "e"], None]
    outputs = make_outputs({"i0": "e", "i1": "u", "i2": "u", "i3": "e"}, label_probs=probs, options=options)
    notes = score(outputs, ITEMS).filter(metric="accuracy").select("subset", "note").rows()
    assert "1 label is not the most probable option" in dict(notes)["all"]
    assert "most probable" not in dict(notes)["clean"]
    renamed = outputs.with_columns(pl.col("label").replace({"e": "E"}))
    note = score(renamed, ITEMS, label_map={"E": "e"}).filter(metric="accuracy", subset="all")["note"].item()
    assert "1 label is not the most probable option" in note


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Wrong", 'Rename them with --map "Wrong=wrong".'),
        (" FINE ", 'Rename them with --map " FINE =fine".'),
        ("wrnog", 'Rename them with --map "wrnog=wrong".'),
        ("not wrong", 'Rename them with --map "GIVEN=OPTION"; text from which no label can be read belongs into raw'),
        ("unfine", 'Rename them with --map "GIVEN=OPTION"; text'),
        ("I cannot say.\nSorry" * 20, 'Rename them with --map "GIVEN=OPTION"; text'),
    ],
)
def test_only_the_same_word_in_other_letters_is_proposed_as_a_rename(given: str, message: str) -> None:
    items = make_items(["fine", "wrong"])
    with pytest.raises(TableError) as caught:
        score(make_outputs({"i0": given}), items)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_rename_is_proposed_beside_what_has_none() -> None:
    with pytest.raises(TableError, match='with --map "Wrong=wrong", the others with --map "GIVEN=OPTION"'):
        score(make_outputs({"i0": "Wrong", "i1": "no idea"}), make_items(["fine", "wrong"]))


def test_other_conditions_are_set_aside_and_counted() -> None:
    empty = make_outputs({"i0": "u"}).with_columns(condition=pl.lit("empty"))
    found = score(pl.concat([OUTPUTS, empty]), ITEMS)
    assert "1 output of another condition" in found.filter(metric="accuracy", subset="all")["note"].item()
    with pytest.raises(TableError, match='no output has the condition "full"'):
        score(empty, ITEMS)


def test_targets_give_the_gold_of_another_question() -> None:
    targets = pl.DataFrame({"item_id": ["i0", "i1"], "question": ["q", "q"], "label": ["u", "u"]})
    found = score(OUTPUTS, ITEMS, targets=targets, options=["e", "u"])
    assert value(found, "accuracy") == 1 / 2
    assert value(found, "no_gold") == 4
    with pytest.raises(TableError, match='targets hold nothing for the question "q"; found no rows'):
        score(OUTPUTS, ITEMS, targets=targets.head(0))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (OUTPUTS.head(0), "outputs must have at least one row"),
        (make_outputs({"x1": "e", "i0": "e"}), r"1 item id is not among them, e\.g\. 'x1'; .* such as 'i0'"),
        (pl.concat([OUTPUTS, OUTPUTS.with_columns(question=pl.lit("r"))]), r"2 questions \(q, r\); choose one"),
        (
            pl.concat([OUTPUTS.with_columns(method=pl.lit(name)) for name in "xy"]),
            "item 'i0' of run 'm' occurs twice",
        ),
    ],
)
def test_outputs_that_do_not_fit_are_refused(outputs: pl.DataFrame, message: str) -> None:
    with pytest.raises(TableError, match=message):
        score(outputs, ITEMS)
    with pytest.raises(TableError, match='no output answers the question "z"'):
        score(OUTPUTS, ITEMS, question="z")


def test_answers_without_a_method_stand_before_those_within_a_test() -> None:
    within = OUTPUTS.with_columns(method=pl.lit("cct"), label=pl.lit("e"))
    joined = join_outputs(pl.concat([within, OUTPUTS]), ITEMS)
    assert joined.frame["label_pred"].to_list() == join_outputs(OUTPUTS, ITEMS).frame["label_pred"].to_list()
    assert f"{len(OUTPUTS)} outputs of another condition" in joined.note


def test_judgements_bring_the_misalignment_rate_of_every_subset() -> None:
    judgements = pl.concat([make_judgements({"i0": "bg", "i1": "bb"}), make_judgements({"i0": "gg"}, run="human")])
    found = score(OUTPUTS, ITEMS, judgements=judgements)
    assert value(found, "mar_mean") == pytest.approx(3 / 4, abs=1e-12)
    assert value(found, "mar_mean", "leaked") == 1 / 2
    assert value(found, "mar_mean_given_wrong") == 1
    assert value(found, "mar_mean", run="human") == 0
    assert value(found, "judge_percent_agreement") == 1 / 2


def test_judgements_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TableError, match="about the run 'm' or 'human'; found judgements of 'other'"):
        score(OUTPUTS, ITEMS, judgements=make_judgements({"i0": "b"}, run="other"))
    human = make_judgements({"i0": "g"}, run="human")
    other = make_judgements({"i0": "b"}, run="other")
    with pytest.raises(TableError, match="about the run 'm' or 'human'; found judgements of 'human', 'other'"):
        score(OUTPUTS, ITEMS, judgements=pl.concat([human, other]))
    with pytest.raises(TableError, match=r"1 item id is not among them, e\.g\. 'x'"):
        score(OUTPUTS, ITEMS, judgements=make_judgements({"x": "b"}))
    strange = pl.concat([make_judgements({"i0": "b"}), make_judgements({"x": "g"}, run="human")])
    with pytest.raises(TableError, match=r"1 item id is not among them, e\.g\. 'x'"):
        score(OUTPUTS, ITEMS, judgements=strange)
    with pytest.raises(TableError, match=r"1 judged output ids are not in the outputs, e\.g\. 'm/i4/q/0'"):
        score(OUTPUTS, ITEMS, judgements=make_judgements({"i4": "b"}))


def test_a_samples_reason_is_beside_its_own_label_and_what_gave_none_is_counted() -> None:
    # i0 answers twice, each reason naming its own label; i1 failed, i2 is blank, i3 and i4 have no output.
    ids, samples = ["i0", "i0", "i1", "i2"], [0, 1, 0, 0]
    frame = pl.DataFrame({
        "item_id": ids, "sample": samples, "label": ["e", "u", None, "u"], "error": [None, None, "timeout", None],
        "reason": ["I find it ethical.", "It is unethical.", "half a sen", " "],
    })  # fmt: skip
    frame = frame.with_columns(pl.col("label").replace({"e": "ethical", "u": "unethical"}), run_id=pl.lit("m"))
    frame = frame.with_columns(question=pl.lit("q"), output_id=pl.format("m/{}/{}", "item_id", "sample"))
    outputs = conform(frame, "outputs")
    items = make_items(["ethical", "ethical", "unethical", "unethical", "ethical"])
    found = score(outputs, items, parts=["reasons"], n_boot=100)
    assert value(found, "own_label_agreement") == 1
    assert value(found, "reason_share") == pytest.approx(2 / 6, abs=1e-12)


def test_one_run_of_several_judged_ones_is_scored_and_the_rest_is_counted() -> None:
    judgements = pl.concat([make_judgements({"i0": "bg"}), make_judgements({"i0": "bbb", "x": "g"}, run="other")])
    found = score(OUTPUTS, ITEMS, judgements=judgements)
    assert value(found, "mar_mean") == pytest.approx(1 / 2, abs=1e-12)
    assert set(found["run_id"]) == {"m"}
    notes = found.filter(metric="mar_mean")["note"]
    assert notes.str.contains("4 judgements of other runs set aside", literal=True).all()


def test_judgements_of_other_splits_and_of_outputs_that_are_not_scored_are_counted() -> None:
    items = make_items(["e"] * 3, splits=["dev", "test", "test"])
    empty_text = make_outputs({"i1": "e"}).with_columns(condition=pl.lit("empty"), output_id=pl.lit("m/i1/empty"))
    outputs = pl.concat([make_outputs({"i0": "e", "i1": "e"}), empty_text])
    judgements = make_judgements({"i0": "b", "i1": "g"})
    unscored = make_judgements({"i1": "bb"}).with_columns(output_id=pl.lit("m/i1/empty"))
    found = score(outputs, items, judgements=pl.concat([judgements, unscored]), split="test", options=["e", "u"])
    note = found.filter(metric="mar_mean")["note"].item()
    assert "1 judgements about items of other splits set aside" in note
    assert "2 judgements of outputs that are not scored set aside" in note
    assert value(found, "mar_mean") == 0


def test_judged_human_reasons_must_be_ratings_of_the_item() -> None:
    ratings = pl.DataFrame({"item_id": ["i0", "i1"], "rating_id": ["i0#1", "i1#1"], "annotator_id": ["p", "p"]})
    annotations = conform(ratings.with_columns(question=pl.lit("q"), value=pl.lit("e")), "annotations")
    model = make_judgements({"i0": "b"})
    human = make_judgements({"i0": "g"}, run="human").with_columns(output_id=pl.lit("human/i0#1"))
    found = score(OUTPUTS, ITEMS, judgements=pl.concat([model, human]), annotations=annotations)
    assert value(found, "mar_mean", run="human") == 0
    for wrong in ("human/i0#2", "human/i1#1", "i0#1"):  # no such rating, another item's, not written so
        judged = pl.concat([model, human.with_columns(output_id=pl.lit(wrong))])
        with pytest.raises(TableError, match=f"1 judged human reasons are no ratings of the items, e.g. '{wrong}'"):
            score(OUTPUTS, ITEMS, judgements=judged, annotations=annotations)


def test_confusions_add_up_to_the_items_with_gold() -> None:
    found = confusions(OUTPUTS, ITEMS)
    assert found.filter(subset="all")["count"].sum() == 5
    assert found.filter(subset="all", gold="e")["count"].to_list() == [1, 1, 1]


def test_no_item_has_gold() -> None:
    items = make_items([None, None])
    found = score(make_outputs({"i0": "e"}), items, options=["e", "u"])
    assert isnan(value(found, "accuracy"))
    assert found.filter(metric="accuracy")["note"].item().startswith("no items")
    assert value(found, "no_gold") == 2


def test_json_has_null_for_what_is_undefined() -> None:
    rows = scores_json(score(make_outputs({"i0": "e"}), make_items(["e"])))
    text = json.dumps(rows, allow_nan=False)
    assert {"metric", "subset", "value", "low", "high", "n", "note"} <= set(rows[0])
    assert next(r for r in rows if r["metric"] == "matthews_correlation")["value"] is None
    assert "NaN" not in text


@given(data=st.data(), n=st.integers(1, 8))
def test_row_order_never_matters(data: st.DataObject, n: int) -> None:
    labels = data.draw(st.lists(st.sampled_from(["e", "u", None]), min_size=n, max_size=n))
    preds = data.draw(st.lists(st.sampled_from(["e", "u", None]), min_size=n, max_size=n))
    items = make_items(labels, groups=[f"g{k // 2}" for k in range(n)])
    outputs = make_outputs({f"i{k}": p for k, p in enumerate(preds)})
    seed = data.draw(st.integers(0, 9))
    once = score(outputs, items, options=["e", "u"], n_boot=20)
    again = score(
        outputs.sample(fraction=1, shuffle=True, seed=seed),
        items.sample(fraction=1, shuffle=True, seed=seed),
        options=["e", "u"],
        n_boot=20,
    )
    assert once.equals(again, null_equal=True)


@pytest.mark.real
def test_the_published_dfar_split(shared_data: Path) -> None:
    """TF-IDF and logistic regression: 67.8 on all 500, 74.6 on the 189 that stand in train, 63.7 on the other 311."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    read = {s: pl.read_csv(shared_data / "dfar" / f"DFAR_{s}set.csv") for s in ("train", "test")}
    train, test = read["train"], read["test"]
    words = TfidfVectorizer()
    whole = LogisticRegression(max_iter=2000).fit(words.fit_transform(train["Statement"].to_list()), train["Label"])
    predicted = whole.predict(words.transform(test["Statement"].to_list()))
    names = {0: "ethical", 1: "unethical"}
    leaked = test["Statement"].is_in(train["Statement"].implode())
    items = make_items([names[k] for k in test["Label"]], leaks=["exact" if flag else None for flag in leaked])
    outputs = make_outputs({f"i{k}": names[int(p)] for k, p in enumerate(predicted)})
    found = score(outputs, items, options=["ethical", "unethical"])
    for subset, n, accuracy, majority in (
        ("all", 500, 67.8, 59.6),
        ("leaked", 189, 74.6, 51.3),
        ("clean", 311, 63.7, 64.6),
    ):
        assert found.filter(metric="accuracy", subset=subset)["n"].item() == n
        assert round(100 * value(found, "accuracy", subset), 1) == accuracy
        assert round(100 * value(found, "majority_baseline", subset), 1) == majority
    seen = train.filter(~pl.col("Statement").is_in(test["Statement"].implode()))
    words = TfidfVectorizer()
    honest = LogisticRegression(max_iter=2000).fit(words.fit_transform(seen["Statement"].to_list()), seen["Label"])
    second = honest.predict(words.transform(test["Statement"].to_list()))
    without = make_outputs({f"i{k}": names[int(p)] for k, p in enumerate(second)}, run="without-leaks")
    difference = metrics.compare(outputs, without, items).differences.filter(metric="accuracy", subset="all")
    assert round(100 * difference["value"].item(), 1) == -6.4
    assert difference["test"].item() == "exact McNemar"


def test_the_page_about_scores_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "scores.md").read_text(encoding="utf-8")
    for block in page.split("```python\n")[1:]:
        exec(compile(block.split("```")[0], "docs/scores.md", "exec"), {})
    assert "\n0.5\n" in capsys.readouterr().out
