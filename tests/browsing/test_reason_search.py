from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsed_folder import HOSTILE, Browsed, write_folder, write_run

from dfar_toolkit.browsing.export_view import export_view
from dfar_toolkit.browsing.facets import facets
from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows, neighbours
from dfar_toolkit.browsing.reason_search import read_reasons, reason_mask, reasons_are_read
from dfar_toolkit.browsing.slices import error_slices

ROOM, BLOCK = (f"dfar_toolkit.browsing.reason_search.{name}" for name in ("_KEPT", "_BLOCK"))


def opened(browsed: Browsed) -> ItemIndex:
    return ItemIndex(browsed.items, runs=browsed.runs, judgements=browsed.judgements)


def every_reason(browsed: Browsed) -> list[tuple[int, str]]:
    """Row and reason of people, and of models about the item as it stands; read row by row."""
    found = [(row, text) for row, _, _, text in browsed.ratings if text is not None]
    rows = {row["item_id"]: k for k, row in enumerate(browsed.rows)}
    for run in browsed.runs:
        for row in pl.read_parquet(run / "outputs.parquet").iter_rows(named=True):
            if row["condition"] == "full" and row["reason"] is not None:
                found.append((rows[row["item_id"]], row["reason"]))
    return [(row, text) for row, text in found if text.strip()]


def rows_with(browsed: Browsed, text: str) -> list[int]:
    return sorted({row for row, reason in every_reason(browsed) if text.lower() in reason.lower()})


def rows_of(index: ItemIndex, wanted: ItemFilter) -> list[int]:
    return found_rows(index, wanted).rows.tolist()


@pytest.mark.parametrize("text", ["BECAUSE", "because 1", "because 41", "alert", "nowhere at all", "x" * 3000,
                                  *(text for text in HOSTILE if text.strip() and len(text) < 99)])  # fmt: skip
def test_words_are_found_in_any_reason_of_people_and_models(index: ItemIndex, browsed: Browsed, text: str) -> None:
    assert rows_of(index, ItemFilter(reason=text)) == rows_with(browsed, text)


@pytest.mark.parametrize(
    "pattern", [r"^because 1\d$", r"\Aalert|\)</script>$", "(?s)^.*$", r"^\s*$", "BECAUSE", "x{99}"]
)
def test_patterns_are_matched_against_each_reason_alone(index: ItemIndex, browsed: Browsed, pattern: str) -> None:
    naive = {row for row, reason in every_reason(browsed) if re.search(pattern, reason)}
    assert rows_of(index, ItemFilter(reason_regex=pattern)) == sorted(naive)


@pytest.mark.parametrize("room", [0, 700, 10**9])
def test_what_is_kept_and_how_it_is_read_changes_nothing(
    browsed: Browsed, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(ROOM, room)
    monkeypatch.setattr(BLOCK, 7)
    index = opened(browsed)
    for text in ("because 1", "alert", "evil"):
        assert rows_of(index, ItemFilter(reason=text)) == rows_with(browsed, text)


def test_reasons_are_read_when_they_are_asked_for(browsed: Browsed) -> None:
    index = opened(browsed)
    index.read_all()
    assert not reasons_are_read(index)
    found_rows(index, ItemFilter(text="i", has_reason=True))
    assert not reasons_are_read(index)
    read_reasons(index)
    assert reasons_are_read(index)
    index.flag([])
    assert reasons_are_read(index)


def test_it_goes_with_everything_else(index: ItemIndex, browsed: Browsed, tmp_path: Path) -> None:
    wanted = ItemFilter(reason="because 1", reason_regex="1$|3$", split=("train",))
    rows = rows_of(index, wanted)
    alone = (ItemFilter(reason="because 1"), ItemFilter(reason_regex="1$|3$"), ItemFilter(split=("train",)))
    assert rows == sorted(set.intersection(*({*rows_of(index, one)} for one in alone)))
    assert len(rows) > 2
    counted = facets(index, wanted, only=[("split", ""), ("gold", "")])
    assert len(counted) > 2
    for facet, _, value, count, _ in counted.iter_rows():
        assert count == len(rows_of(index, replace(wanted, **{facet: (value,)})))
    assert neighbours(found_rows(index, wanted), rows[1]) == (1, rows[0], rows[2])
    export_view(index, wanted, tmp_path / "out.jsonl", kind="jsonl", columns=["item_id"])
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["item_id"] for line in lines] == [browsed.rows[row]["item_id"] for row in rows]
    error_slices(index, index.runs[0], wanted=wanted)


def test_a_bad_pattern_is_said_and_left_out(index: ItemIndex) -> None:
    wanted = ItemFilter(reason_regex="(", reason="(")
    assert fitted(wanted, index) == (
        ItemFilter(reason="("), ['a reason matches "(": no pattern: unclosed group; left out.'],
    )  # fmt: skip
    with pytest.raises(ValueError, match="unclosed group"):
        found_rows(index, wanted)


def write_reasons(folder: Path, people: list[str | None]) -> Path:
    """One item for each reason of a person."""
    rows = [{"item_id": f"i{k}", "group": f"g{k}", "statement": "s", "label": None, "source": "s", "split": "test",
             "leak_kind": None} for k in range(len(people))]  # fmt: skip
    return write_folder(folder / "items", rows, [(k, "a", "good", text) for k, text in enumerate(people)])


def output(row: int, reason: str, **more: Any) -> dict[str, Any]:
    return {
        "run_id": "r", "item_id": f"i{row}", "reason": reason, "sample": 0, "annotator_id": "", "method": "",
        "condition": "full", "operator": "", "k": -1, "draw": 0, "label": "good", "label_probs": [0.2, 0.8],
        "error": None, **more,
    }  # fmt: skip


def test_which_rows_of_a_run_count(tmp_path: Path) -> None:
    items = write_reasons(tmp_path, [None] * 7)
    run = write_run(tmp_path / "run", [
        output(6, "word"), output(5, "none"), output(5, "word", sample=1), output(4, "word", annotator_id="a"),
        output(3, "word", condition="without_top", operator="remove", k=1), output(0, "word", run_id="s"),
        output(2, "word", label=None, label_probs=None, error="cut"), output(99, "word"),
    ])  # fmt: skip
    assert rows_of(ItemIndex(items, runs=[run]), ItemFilter(reason="word")) == [0, 2, 4, 5, 6]


def test_outputs_of_other_formats_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ROOM, 0)
    items = write_reasons(tmp_path, ["Word", "no", None, "  "])
    lines = [
        {"item_id": f"i{k}", "label": "good", "reason": text} for k, text in ((3, "a WORD"), (1, "no"), (2, "word"))
    ]
    (tmp_path / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    index = ItemIndex(items, runs=[tmp_path / "run.jsonl"])
    assert rows_of(index, ItemFilter(reason="word")) == [0, 2, 3]
    assert rows_of(index, ItemFilter(reason_regex="^no$")) == [1]


def test_a_file_that_cannot_be_read_is_said_and_the_others_are_searched(browsed: Browsed, tmp_path: Path) -> None:
    items = Path(shutil.copytree(browsed.items, tmp_path / "items"))
    file = items / "annotations.parquet"
    pl.read_parquet(file).drop("reason").write_parquet(file)
    index = ItemIndex(items, runs=browsed.runs)
    assert reason_mask(index, "because 1").any()
    assert not reason_mask(index, "alert").any()
    assert [said for said in index.problems if "annotations.parquet: reasons cannot be read" in said]


def test_a_file_that_has_gone_since_has_nothing(
    browsed: Browsed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ROOM, 0)
    items = Path(shutil.copytree(browsed.items, tmp_path / "items"))
    index = ItemIndex(items)
    assert reason_mask(index, "alert").any()
    file = items / "annotations.parquet"
    pl.read_parquet(file).head(3).write_parquet(file)
    assert not reason_mask(index, "alert").any()
    file.unlink()
    assert not reason_mask(index, "alert").any()


def test_no_items_and_no_reasons(tmp_path: Path) -> None:
    assert rows_of(ItemIndex(write_folder(tmp_path / "none" / "items", [], [])), ItemFilter(reason="a")) == []
    index = ItemIndex(write_reasons(tmp_path, [None, ""]))
    assert rows_of(index, ItemFilter(reason_regex="")) == [0, 1]
    assert rows_of(index, ItemFilter(reason_regex=".*")) == []
