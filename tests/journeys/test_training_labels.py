"""Labels under other names before they are learned: each item's label, votes, shares and reasons go along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.training import TrainOptions, predict_options, train_model
from dfar_toolkit.journeys.training_labels import back_to_options, whole_map, with_other_labels
from small_tables import make_items

OPTIONS = ["never", "seldom", "often"]


def folder_of(labels: list[str | None], counts: list[list[int] | None], **more: Any) -> ItemsFolder:
    shares = [None if row is None else [count / sum(row) for count in row] for row in counts]
    reasons = [[{"annotator_id": "a", "value": name, "text": "So it is."}] if name else [] for name in OPTIONS]
    items = make_items(labels).with_columns(
        label_counts=pl.Series(counts, dtype=pl.List(pl.Int64)),
        label_probs=pl.Series(shares, dtype=pl.List(pl.Float64)),
        reasons=pl.Series([reasons[at % 3] for at in range(len(labels))]),
        **more,
    )
    questions = pl.DataFrame(
        {"question": ["q", "r"], "kind": ["ordinal", "nominal"], "options": [OPTIONS, ["no", "yes"]], "wording": "?"}
    )
    empty = pl.DataFrame()
    return ItemsFolder(Path("invented"), items, empty, empty, empty, questions, {}, [], [])


def test_a_label_under_another_name_is_the_same_label() -> None:
    folder = folder_of(["often", None, "never"], [[0, 1, 2], [2, 2, 0], None])
    found = with_other_labels(folder, {"never": "often", "often": "never"})  # both at once
    assert found.options == ["often", "seldom", "never"]
    assert found.items["label"].to_list() == ["never", None, "often"]
    assert found.items["label_counts"].to_list() == [[0, 1, 2], [2, 2, 0], None]
    assert [row[0]["value"] for row in found.items["reasons"].to_list()] == ["often", "seldom", "never"]
    assert found.items["reasons"][0][0]["text"] == "So it is."
    assert found.questions["options"].to_list()[1] == ["no", "yes"]
    assert folder.options == OPTIONS


def test_labels_that_become_one_are_added_up() -> None:
    """[2, 2, 0] was even and is 4 to 0; of [2, 2, 3] most said often, and now 4 of 7 the other; 1:1 stays even."""
    counts = [[2, 2, 0], [2, 2, 3], [1, 0, 1], [0, 3, 1], [0, 1, 3], None]
    folder = folder_of([None, "often", None, "seldom", "never", "never"], counts)
    found = with_other_labels(folder, {"never": "not often", "seldom": "not often"})
    assert found.options == ["not often", "often"]
    assert found.items["label_counts"].to_list() == [[4, 0], [4, 3], [1, 1], [3, 1], [1, 3], None]
    # The fifth label was published against the votes: it stays as it was published.
    assert found.items["label"].to_list() == ["not often", "not often", None, "not often", "not often", "not often"]
    assert found.items["label_probs"][1].to_list() == pytest.approx([4 / 7, 3 / 7])
    assert {row[0]["value"] for row in found.items["reasons"].to_list()} == {"not often", "often"}
    assert found.items.schema == folder.items.schema


@settings(max_examples=25)
@given(
    counts=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(sum), min_size=1, max_size=6),
    names=st.lists(st.sampled_from("xyz"), min_size=3, max_size=3).filter(lambda names: len(set(names)) > 1),
)
def test_no_vote_is_lost_and_the_majority_is_that_of_the_sums(counts: list[list[int]], names: list[str]) -> None:
    labels = [OPTIONS[row.index(max(row))] if row.count(max(row)) == 1 else None for row in counts]
    found = with_other_labels(folder_of(labels, counts), dict(zip(OPTIONS, names, strict=True)))
    for row, own, label in zip(counts, found.items["label_counts"].to_list(), found.items["label"], strict=True):
        sums = {name: sum(n for n, one in zip(row, names, strict=True) if one == name) for name in names}
        assert dict(zip(found.options, own, strict=True)) == sums
        best = [name for name in sums if sums[name] == max(sums.values())]
        assert label == (best[0] if len(best) == 1 else None)


@pytest.mark.parametrize(
    ("label_map", "said"),
    [
        ({"oftn": "x"}, r"--map renames 'oftn', which is no label of the items. Is it \"often\"\?"),
        ({"zzzzz": "x"}, "The labels are never, seldom, often, always"),
        ({"always": "x"}, "--map carries to 'x', which is no option; the options are never, seldom, often"),
        (dict.fromkeys(OPTIONS, "x"), "--map leaves the one option 'x'"),
    ],
)
def test_names_that_do_not_fit_are_one_line(label_map: dict[str, str], said: str) -> None:
    folder = folder_of(["often", "always"], [None, None])
    with pytest.raises(TableError, match=said) as refused:
        with_other_labels(folder, label_map)
    assert "\n" not in str(refused.value)
    assert with_other_labels(folder, {"always": "often"}).items["label"].to_list() == ["often", "often"]


def test_options_with_texts_of_their_own_and_classical_models() -> None:
    folder = folder_of(["often"], [[0, 0, 1]], option_texts=pl.Series([["a", "b", "c"]]))
    with pytest.raises(TableError, match="the items have one text for each option"):
        with_other_labels(folder, {"never": "seldom"})
    assert with_other_labels(folder, {"never": "x"}).options[0] == "x"
    with pytest.raises(TableError, match="classical:svm answers the items under their own options; leave out --map"):
        train_model(folder, "classical:svm", Path("nowhere"), TrainOptions(label_map={"never": "x"}))


def test_the_way_back_for_predict() -> None:
    whole = whole_map(OPTIONS, {"never": "no", "often": "yes"})
    assert back_to_options(whole) == "no=never,seldom=seldom,yes=often"
    assert predict_options({"task": "ranker", "decides": {"label_map": whole}})[0] == "--map"
    for lost in ({"never": "seldom"}, {"never": "a,b"}):
        assert back_to_options(whole_map(OPTIONS, lost)) is None
    assert predict_options({"task": "ranker", "decides": {"label_map": None}}) == []


def test_items_without_any_reason() -> None:
    folder = folder_of(["often"], [[0, 0, 1]])
    bare = replace(folder, items=folder.items.with_columns(reasons=pl.lit(None, dtype=pl.List(pl.Null))))
    assert with_other_labels(bare, {"often": "x"}).items["label"].to_list() == ["x"]
