"""From other tools' rows to outputs: labels, probabilities in the question's order, reasons; odd numbers counted."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign, foreign_rows
from dfar_toolkit.readers.lm_eval import read_lm_eval
from dfar_toolkit.readers.outputs_table import Converted, to_outputs
from dfar_toolkit.readers.plain_table import plain_foreign
from dfar_toolkit.tables import conform

ETHICAL = ["ethical", "unethical"]
INF = math.inf


def _questions(options: list[str]) -> pl.DataFrame:
    return conform(pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [options]}), "questions")


def _items(labels: list[str | None]) -> pl.DataFrame:
    n = len(labels)
    return pl.DataFrame(
        {
            "item_id": [f"x:test:{k}" for k in range(n)], "split": ["test"] * n,
            "statement": [f"s{k}" for k in range(n)], "label": labels,
        },
        schema_overrides={"label": pl.String},
    )  # fmt: skip


def _convert(rows: list[dict[str, object]], options: list[str] = ETHICAL, **more: object) -> Converted:
    filled = [{"key": f"x:test:{k}", "run_id": "m", **row} for k, row in enumerate(rows)]
    foreign = Foreign("made", foreign_rows(filled), ("a note",))
    return to_outputs(foreign, _items([options[0]] * len(rows)), _questions(options), **more)  # type: ignore[arg-type]


def _one(row: dict[str, object], options: list[str] = ETHICAL, **more: object) -> dict[str, object]:
    return _convert([row], options, **more).outputs.row(0, named=True)


def test_log_probabilities_of_choices_by_hand() -> None:
    """Weights 1/4 (ethical) and 1/8 + 1/8 (unethical, two spellings): probabilities 1/2 and 1/2, mass 1/2, a tie."""
    row = {"choices": [" unethical", " Ethical", "Unethical"], "logprobs": [math.log(x) for x in (1 / 8, 1 / 4, 1 / 8)],
           "probs_kind": "forced"}  # fmt: skip
    found = _convert([row])
    out = found.outputs.row(0, named=True)
    assert out["label_probs"] == pytest.approx([1 / 2, 1 / 2], abs=1e-12)
    assert out["label_mass"] == pytest.approx(1 / 2, abs=1e-12)
    assert (out["label"], out["probs_kind"], out["options"]) == (None, "forced", ETHICAL)
    assert "rows without a label because several options are equally probable: 1" in found.notes
    assert out["output_id"] == "m/x:test:0/q/0"
    assert found.notes[0] == "a note"


def test_far_log_probabilities_do_not_underflow() -> None:
    out = _one({"choices": ["unethical", "ethical"], "logprobs": [-2000.0, -2001.0], "probs_kind": "forced"})
    assert out["label"] == "unethical"
    assert out["label_probs"] == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)], abs=1e-12)
    assert out["label_mass"] == 0.0


@settings(max_examples=8)
@given(order=st.permutations(range(3)), probs=st.lists(st.floats(0.01, 0.3), min_size=3, max_size=3))
def test_the_order_of_the_choices_never_counts(order: list[int], probs: list[float]) -> None:
    options = ["fine", "wrong", "no idea 😀"]
    total = math.fsum(probs)
    for kind, given_numbers in (("probs", probs), ("logprobs", [math.log(p) for p in probs])):
        row = {"choices": [options[k] for k in order], kind: [given_numbers[k] for k in order], "probs_kind": "forced"}
        out = _one(row, options)
        assert out["label_probs"] == pytest.approx([p / total for p in probs], abs=1e-12)
        assert out["label_mass"] == pytest.approx(total, abs=1e-12)


def test_a_map_names_choices_and_a_classifier_has_no_mass() -> None:
    row = {"choices": ["0", "1"], "logprobs": [3.0, 3.0 + math.log(3)], "probs_kind": "classifier"}
    out = _one(row, label_map={"0": "ethical", "1": "unethical"})
    assert out["label_probs"] == pytest.approx([1 / 4, 3 / 4], abs=1e-12)
    assert (out["label"], out["label_mass"]) == ("unethical", None)
    with pytest.raises(TableError, match=r'choices must be .* found "0", "1".*--map "0=OPTION,1=OPTION"'):
        _one(row)
    with pytest.raises(TableError, match="label_map carries '0' to 'bad'"):
        _one(row, label_map={"0": "bad"})


@pytest.mark.parametrize(
    ("numbers", "said", "label"),
    [
        ({"logprobs": [0.5, -1.0]}, "a negative probability or a positive log-probability", None),
        ({"logprobs": [-0.1, -0.1]}, "add up to more than 1", None),
        ({"logprobs": [-0.1, -0.2]}, "add up to more than 1", "ethical"),
        ({"probs": [-0.1, 0.5]}, "a negative probability", None),
        ({"probs": [3.0, 1.0]}, "add up to more than 1 (are these scores?)", "ethical"),
        ({"probs": [0.0, 0.0]}, "every option has the probability 0", None),
        ({"logprobs": [-INF, -INF]}, "every option has the probability 0", None),
        ({"probs": [0.5, None]}, "not every option has a number", None),
        ({"probs": [0.5], "choices": ["ethical"]}, "not every option has a number", None),
        ({"probs": [0.5, 0.1, 0.1], "choices": ["ethical", "unethical", "unethical"]}, "a choice stands twice", None),
    ],
)
def test_numbers_that_are_no_probabilities(numbers: dict[str, object], said: str, label: str | None) -> None:
    found = _convert([{"choices": ETHICAL, "probs_kind": "forced", **numbers}])
    assert found.outputs.select("label", "label_probs", "label_mass", "probs_kind").row(0) == (label, None, None, None)
    assert any(said in note and note.endswith(": 1") for note in found.notes)


@pytest.mark.parametrize("bad", [math.nan, INF])
@pytest.mark.parametrize("kind", ["logprobs", "probs"])
def test_nan_and_infinity_are_refused(bad: float, kind: str) -> None:
    with pytest.raises(TableError, match=r'position 1 \(item "x:test:1"\): the number of the choice "unethical" is'):
        _convert([{}, {"choices": ETHICAL, kind: [0.0, bad]}])


def test_a_choice_of_zero_probability_is_fine() -> None:
    assert _one({"choices": ETHICAL, "logprobs": [-INF, -1.0]})["label_probs"] == [0.0, 1.0]


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(TableError, match="wanted one of probs per choice, found 1 for 2 choices"):
        _one({"choices": ETHICAL, "probs": [1.0]})
    with pytest.raises(TableError, match="wanted logprobs or probs, found both"):
        _one({"choices": ETHICAL, "probs": [1.0, 0.0], "logprobs": [0.0, -1.0]})


def test_first_tokens_are_summed_by_spelling_and_others_left() -> None:
    row = {"raw": "unethical. It is not ethical.", "choices": [" ethical", "Ethical", "unethical", "si"],
           "logprobs": [math.log(p) for p in (0.3, 0.3, 0.2, 0.1)], "probs_kind": "first_token"}  # fmt: skip
    out = _one(row)
    assert (out["label"], out["reason"]) == ("unethical", "It is not ethical.")  # what was said, not the likeliest
    assert out["label_probs"] == pytest.approx([3 / 4, 1 / 4], abs=1e-12)
    assert out["label_mass"] == pytest.approx(0.8, abs=1e-12)
    found = _convert([row | {"choices": ["si", " flu"], "logprobs": [-1.0, -2.0]}])
    assert found.outputs["label_probs"].to_list() == [None]
    assert "rows without probabilities, in which not every option has a number: 1" in found.notes


def test_options_that_begin_alike_have_no_first_token() -> None:
    row = {"choices": ["hate", "hate speech"], "logprobs": [-1.0, -2.0], "probs_kind": "first_token"}
    assert _one(row, ["hate", "hate speech"])["label_probs"] is not None  # letters, as inspect_ai's choices are
    row["choices"] = [" hate", "un"]
    with pytest.raises(TableError, match='"hate" is the beginning of "hate speech"'):
        _one(row, ["hate", "hate speech"])
    row["choices"] = ["hate", "hate speech"]
    found = _convert([row | {"probs_kind": "forced"}], ["hate", "hate speech"])
    assert found.outputs.select("label", "label_probs").row(0) == ("hate", None)
    assert any("one choice is the beginning of another" in note for note in found.notes)
    ended = row | {"probs_kind": "forced", "choices": ["hate.", "hate speech."]}
    more = {"label_map": {"hate.": "hate", "hate speech.": "hate speech"}}
    assert _one(ended, ["hate", "hate speech"], **more)["label_probs"] is not None


def test_answers_texts_and_reasons() -> None:
    rows: list[dict[str, object]] = [
        {"answer": " Unethical ", "raw": "unethical. Lying hurts."},
        {"answer": "unethical", "raw": "ethical. No.", "reason": "kept"},
        {"answer": "unethical", "raw": "ethical. No."},
        {"answer": "unethical. Because"},
        {"raw": "The statement is ethical.Fine"},
        {"raw": "=cmd() __proto__"},
        {"raw": "ethical", "error": "timeout"},
        {"raw": "ethical", "choices": ETHICAL, "logprobs": [-3.0, -1.0], "probs_kind": "forced"},
    ]
    found = _convert(rows)
    assert found.outputs["label"].to_list() == [
        "unethical", "unethical", "unethical", "unethical", "ethical", None, None, "unethical",
    ]  # fmt: skip
    assert found.outputs["reason"].to_list() == ["Lying hurts.", "kept", None, "Because", "Fine", None, None, None]
    assert found.outputs["raw"][5] == "=cmd() __proto__"
    assert found.outputs["error"][6] == "timeout"
    assert "no label could be read from 1 of 3 texts: 1 no label at the label position" in found.notes
    assert "rows without an answer (errors): 1" in found.notes


def test_answers_of_other_names_ask_for_a_map() -> None:
    rows: list[dict[str, object]] = [{"answer": "wrong"}, {"answer": "fine"}, {"answer": "wrong"}]
    with pytest.raises(TableError, match=r'answers must be .* found "wrong", "fine".*--map "wrong=OPTION,fine=OPTION"'):
        _convert(rows)
    labels = _convert(rows, label_map={"wrong": "unethical", "fine": "ethical"}).outputs["label"].to_list()
    assert labels == ["unethical", "ethical", "unethical"]
    with pytest.raises(TableError, match=r'choices must be .* found "wrong"'):
        _convert([*rows[:1], {"answer": "ethical"}, {"answer": "wrong", "choices": ["fine", "wrong"]}])


def test_items_with_options_of_their_own() -> None:
    items = _items(["first", "second"]).with_columns(option_texts=pl.Series([["lie", "steal"], ["steal", "lie"]]))
    rows = [{"key": f"x:test:{k}", "run_id": "m", "choices": ["lie", " steal"], "probs": [0.75, 0.25], "gold": "lie"}
            for k in range(2)]  # fmt: skip
    found = to_outputs(Foreign("made", foreign_rows(rows)), items, _questions(["first", "second"]))
    assert found.outputs["label"].to_list() == ["first", "second"]
    assert found.outputs["label_probs"].to_list() == [pytest.approx([0.75, 0.25]), pytest.approx([0.25, 0.75])]
    assert not any("gold" in note for note in found.notes)


def test_gold_is_compared_and_never_scored() -> None:
    golds = ["unethical", "Ethical", "ethical. Because it is not unethical", "1", None]
    found = _convert([{"answer": "ethical", "gold": g} for g in golds])
    assert found.notes[-2:] == (
        'gold of the file differs from the items\' on 1 of 3 matched rows (e.g. item x:test:0: file "unethical", '
        'items "ethical")',
        'gold of the file that is no option and was not compared: 1 rows (e.g. "1")',
    )
    assert found.outputs["label"].to_list() == ["ethical"] * 5


def test_several_methods_need_a_choice() -> None:
    rows: list[dict[str, object]] = [
        {"key": "x:test:0", "method": m, "answer": a} for m, a in (("strict", "ethical"), ("loose", "unethical"))
    ]
    with pytest.raises(TableError, match=r'2 filters or scorers \("loose", "strict"\); choose one'):
        _convert(rows)
    with pytest.raises(TableError, match='no filter or scorer "x"; found "loose", "strict"'):
        _convert(rows, method="x")
    out = _one(rows[1], method="loose")
    assert (out["label"], out["method"], out["output_id"]) == ("unethical", "loose", "m/x:test:0/q/0/method=loose")
    plain = _one({"method": "none", "answer": "ethical", "sample": 3, "temperature": 0.5})
    assert (plain["method"], plain["output_id"], plain["temperature"]) == ("", "m/x:test:0/q/3", 0.5)


def test_runs_and_repeats() -> None:
    with pytest.raises(TableError, match="1 rows name no run or model"):
        _one({"run_id": None, "answer": "ethical"})
    assert _one({"run_id": None, "answer": "ethical"}, run_id="mine")["run_id"] == "mine"
    with pytest.raises(TableError, match="kept for people's own reasons"):
        _one({"run_id": "human", "answer": "ethical"})
    twice: list[dict[str, object]] = [{"key": "x:test:0", "answer": "ethical"}] * 2
    with pytest.raises(TableError, match=r"two answers for item x:test:0 \(run m, sample 0\), at the positions 0, 1;"):
        _convert(twice)
    samples = _convert([twice[0], twice[0] | {"sample": 1}])
    assert samples.outputs["sample"].to_list() == [0, 1]


def test_nothing_matched_says_what_was_looked_for() -> None:
    with pytest.raises(TableError, match='none of the 1 rows matches an item: the first has key "__proto__"'):
        _convert([{"key": "__proto__", "answer": "ethical"}])
    part = _convert([{"answer": "ethical"}, {"key": "?", "texts": ["😀" * 200], "answer": "ethical"}])
    assert part.outputs.height == 1
    assert part.unmatched.select("key", pl.col("text").str.len_chars()).row(0) == ("?", 80)


def test_a_megabyte_of_text() -> None:
    out = _one({"raw": "unethical. " + "é" * 1_000_000})
    assert out["label"] == "unethical"
    assert len(str(out["reason"])) == 1_000_000


def test_a_plain_table_becomes_outputs() -> None:
    frame = pl.DataFrame({"id": ["x:test:0", "x:test:1"], "model": ["m", "m"], "p_ethical": ["0.9", "0.2"],
                          "p_unethical": ["0.1", "0.8"], "gold": ["ethical", "ethical"]})  # fmt: skip
    found = to_outputs(plain_foreign(frame, where="a.csv"), _items(["ethical"] * 2), _questions(ETHICAL))
    assert found.outputs["label"].to_list() == ["ethical", "unethical"]
    assert found.outputs["label_probs"].to_list() == [pytest.approx([0.9, 0.1]), pytest.approx([0.2, 0.8])]


@pytest.mark.real
def test_the_real_multiple_choice_samples_of_lm_eval(shared_cases: Path) -> None:
    """The probabilities that the harness itself wrote into its brier_score (softmax of the same numbers)."""
    folder = shared_cases / "output_formats"
    six = pl.read_csv(folder / "dfar6.csv")
    items = _items(["unethical", *["ethical"] * 5]).with_columns(statement=six["Statement"])
    file = next((folder / "lm_eval").glob("samples_dfar_mc_*.jsonl"))
    for split, by in ((None, "by text"), ("test", "by the last part of the item id")):
        found = to_outputs(read_lm_eval(file), items, _questions(ETHICAL), run_id="tiny", split=split)
        assert found.outputs["label_probs"][0].to_list() == pytest.approx([0.58324416, 0.41675584], abs=1e-7)
        mass = math.exp(-8.824203491210938) + math.exp(-9.160308837890625)
        assert found.outputs["label_mass"][0] == pytest.approx(mass, abs=1e-15)
        assert any(f"6 {by}" in note for note in found.notes)
