"""Other people's tables: what each column is, by well-known names, and said."""

from __future__ import annotations

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import FOREIGN_SCHEMA
from dfar_toolkit.readers.plain_table import plain_foreign


def _row(**columns: object) -> dict[str, object]:
    frame = pl.DataFrame({name: [value] for name, value in columns.items()}, strict=False)
    return plain_foreign(frame, where="a.csv").rows.row(0, named=True)


@pytest.mark.parametrize("name", ["prediction", "pred", "label", "Answer", "y_pred", "Predicted Label"])
def test_names_of_the_answer(name: str) -> None:
    assert _row(**{name: "ethical", "id": "a"})["answer"] == "ethical"


@pytest.mark.parametrize("name", ["output", "response", "generated_text", "Completion", "model-output"])
def test_names_of_the_text(name: str) -> None:
    assert _row(**{name: "unethical. Lying", "id": "a"})["raw"] == "unethical. Lying"


def test_everything_at_once_in_the_declared_columns() -> None:
    frame = pl.DataFrame(
        {
            "example_id": [3, 1], "statement": ["I lied.", "=cmd()"], "prediction": ["unethical", " "],
            "response": ["unethical. x", None], "explanation": ["x", ""], "gold": [1, 0], "model": ["m", "m"],
            "epoch": ["0", None], "temperature": ["0.7", None], "error": [None, "timeout"], "prob_ethical": [0.2, None],
            "prob_un-ethical": [0.8, None], "__proto__": ["x", "y"],
        }
    )  # fmt: skip
    found = plain_foreign(frame, where="a.csv")
    assert found.rows.schema == FOREIGN_SCHEMA
    assert found.format == "plain"
    first, second = found.rows.drop("probs_kind", "logprobs", "method").rows()
    names = ["ethical", "un-ethical"]
    assert first == (0, "3", ["I lied."], "m", 0, names, [0.2, 0.8], "unethical", "unethical. x", "x", "1", None, 0.7)
    assert second == (1, "1", ["=cmd()"], "m", 0, None, None, None, None, None, "0", "timeout", None)
    assert found.notes == (
        'read "example_id" as key, "prediction" as answer, "response" as raw, "explanation" as reason, '
        '"gold" as gold, "model" as run_id, "epoch" as sample, "error" as error, "temperature" as temperature, '
        '"statement" as texts, "prob_ethical", "prob_un-ethical" as probs',
        'columns not read: "__proto__"',
    )


def test_repeats_of_an_item_share_its_position() -> None:
    frame = pl.DataFrame({"id": ["b", "a", "b", None], "sample": [0, 0, 1, 0], "pred": ["x"] * 4})
    assert plain_foreign(frame, where="a").rows["position"].to_list() == [0, 1, 0, 2]


def test_numbers_as_ids_and_labels_are_written_whole() -> None:
    frame = pl.DataFrame({"id": [1.0, None, 1e300], "pred": [True, False, None]})
    assert plain_foreign(frame, where="a").rows["key"].to_list() == ["1.0", None, "1e+300"]
    assert plain_foreign(frame.head(2), where="a").rows["key"].to_list() == ["1", None]
    assert plain_foreign(frame, where="a").rows["answer"].to_list() == ["true", "false", None]


def test_log_probabilities_and_a_lone_number() -> None:
    found = _row(**{"logprob_hate speech": -1.0, "logprob_no hate": "-2", "p_value": 0.5, "text": "t"})
    assert (found["choices"], found["logprobs"], found["probs"]) == (["hate speech", "no hate"], [-1.0, -2.0], None)


def test_without_an_id_only_positions_can_match() -> None:
    found = plain_foreign(pl.DataFrame({"pred": ["a", "b"]}), where="a.csv")
    assert found.notes[-1] == "no column is an id or a statement: only positions can match its rows"
    assert found.rows["position"].to_list() == [0, 1]
    assert plain_foreign(pl.DataFrame({"pred": []}, schema={"pred": pl.String}), where="a.csv").rows.height == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": "a", "label": "x", "prediction": "x"}, 'one column as answer, found "label", "prediction"; .*"gold"'),
        ({"id": "a", "item_id": "x", "pred": "x"}, 'one column as key, found "id", "item_id"'),
        ({"id": "a", "Pred": "x", "pred ": "x"}, 'one column as answer, found "Pred", "pred "'),
        ({"id": "a", "__proto__": "x"}, 'a column with the answer.*found "id", "__proto__"'),
        ({"response": ["x"]}, "must hold one text per row"),
        ({"pred": "x", "sample": "1.5"}, 'must hold whole numbers, found "1.5"'),
        ({"pred": "x", "temperature": "hot"}, 'must hold numbers, found "hot"'),
        ({"prob_a": "high", "prob_b": "1"}, '"prob_a" must hold numbers, found "high"'),
        ({"prob_a": [1], "prob_b": [1]}, '"prob_a" must hold numbers'),
        ({"prob_a": 0.1, "prob_b": 0.9, "score_a": 1, "score_b": 2}, 'one set of numbers per option, found "prob_a"'),
    ],
)
def test_what_is_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(TableError, match=message):
        _row(**columns)
