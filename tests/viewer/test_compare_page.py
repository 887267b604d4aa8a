"""Compare: the fourfold table, subgroups and examples of two runs, and what leads where."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from browsed_folder import write_run
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows
from viewer_example import write_example

pytestmark = STREAMLIT_WARNINGS
RUNS = ("label-only", "with-reasons")


@pytest.fixture
def argv(demo: Path) -> list[Path]:
    return [demo / "items", *(demo / "runs" / f"{run}.jsonl" for run in RUNS)]


def test_the_table_counts_the_items_that_it_opens(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "compare", argv)
    words = words_of(page)
    assert "The same 58 items" in words
    assert "0.138 [0.000, 0.291]" in words
    assert "2 without a label that runs could have right" in words
    assert "20 without an output of either" in words
    index = ItemIndex(argv[0], runs=argv[1:])
    cells = [(words, href) for words, href in links_of(page).items() if words.endswith("%")]
    assert [words.split()[0] for words, _ in cells] == ["33", "5", "13", "7"]
    for words, href in cells:
        wanted, problems = ItemFilter.from_query(query_of(href))
        assert problems == []
        assert len(found_rows(index, wanted)) == int(words.split()[0])
    assert "macro-F1" in words_of(page)
    assert "soft cross-entropy (nats) lower is better" in words_of(page)


def test_other_runs_and_swapped_ones_have_addresses(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "compare", argv, {"a": RUNS[1], "b": RUNS[0]})
    assert "-0.138" in words_of(page)
    swap = next(href for words, href in links_of(page).items() if words.startswith("Swap"))
    assert query_of(swap) == {"a": [RUNS[0]], "b": [RUNS[1]]}
    odd = words_of(show_page(monkeypatch, "compare", argv, {"a": "<b>ghost</b>", "b": RUNS[0]}))
    assert 'There is no run "<b>ghost</b>".' in odd
    same = words_of(show_page(monkeypatch, "compare", argv, {"a": RUNS[1], "b": RUNS[1]}))
    assert "Both runs of the address are the same" in same


def test_subgroups_are_sorted_and_lead_to_their_items(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    page = show_page(monkeypatch, "compare", argv)
    shown = html_of(page)
    assert shown.index("89 to 97 characters") < shown.index("label ethical") < shown.index("label unethical")
    index = ItemIndex(argv[0], runs=argv[1:])
    wanted, _ = ItemFilter.from_query(query_of(links_of(page)["label ethical"]))
    assert wanted.gold == ("ethical",)
    assert f">{len(found_rows(index, wanted))}</td>" in shown.split("label ethical</a>")[1][:60]
    kind = html_of(show_page(monkeypatch, "compare", argv, {"sort": "kind"}))
    assert kind.index("label unethical") < kind.index("89 to 97 characters")


def test_examples_stand_with_both_reasons_and_lead_to_the_item_within_its_filter(
    monkeypatch: pytest.MonkeyPatch, argv: list[Path]
) -> None:
    page = show_page(monkeypatch, "compare", argv)
    assert "Leaving without notice breaks a contract" in words_of(page)
    assert words_of(page).count("no reason given") >= 5
    href = next(href for words, href in links_of(page).items() if words.startswith("I walked out"))
    assert query_of(href) == {"id": ["everyday:test:s023"], "beats": ["label-only:with-reasons"]}
    other = show_page(monkeypatch, "compare", argv, {"show": "second"})
    assert "All 13 items that B with-reasons alone has right" in words_of(other)
    assert html_of(other).count("<article") == 10


def test_runs_about_different_items_are_compared_on_the_common_ones(
    monkeypatch: pytest.MonkeyPatch, browsed: Any, tmp_path: Path
) -> None:
    rows = [
        {"run_id": "few", "item_id": browsed.rows[k]["item_id"], "label": "bad", "label_probs": [0.9, 0.1],
         "error": None}
        for k in range(0, 30, 2)
    ]  # fmt: skip
    few = write_run(tmp_path / "few", rows)
    page = show_page(monkeypatch, "compare", [browsed.items, browsed.runs[0], few])
    assert "without an output of few" in words_of(page)
    assert "of the splits that both answer: train" in words_of(page)
    nothing = write_run(tmp_path / "nothing", [rows[0] | {"run_id": "nothing"}])
    lone = words_of(show_page(monkeypatch, "compare", [browsed.items, nothing, few]))
    assert "The same 1 items" in lone or "there is nothing to compare them on" in lone


def test_accuracy_that_counts_missing_outputs_is_told_from_that_of_the_table(
    monkeypatch: pytest.MonkeyPatch, demo: Path, argv: list[Path], tmp_path: Path
) -> None:
    said = "an item without an output counts as wrong"
    assert said not in words_of(show_page(monkeypatch, "compare", argv))
    lines = (demo / "runs" / "with-reasons.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "short.jsonl").write_text("".join(lines[:30]))
    assert said in words_of(show_page(monkeypatch, "compare", [*argv[:2], tmp_path / "short.jsonl"]))


def test_fewer_than_two_runs_is_said(monkeypatch: pytest.MonkeyPatch, argv: list[Path]) -> None:
    assert "There is one run only" in words_of(show_page(monkeypatch, "compare", argv[:2]))
    assert "There are no runs" in words_of(show_page(monkeypatch, "compare", argv[:1]))


def test_hostile_texts_are_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, browsed: Any) -> None:
    folder = write_example(tmp_path)
    runs = [tmp_path / f"{name}.jsonl" for name in ("plain", "reasons", "broken")]
    for argv, which in (([folder, *runs], "first"), ([browsed.items, *browsed.runs], "second")):
        shown = html_of(show_page(monkeypatch, "compare", argv, {"show": which, "all": "yes"}))
        assert "<script" not in shown
        assert "<img" not in shown
    assert html.escape("b:\\$") in shown


def test_a_run_that_was_cut_off_leaves_the_rest_standing(
    monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path
) -> None:
    for run in RUNS:
        shutil.copy(demo / "runs" / f"{run}.jsonl", tmp_path)
    (tmp_path / "with-reasons.jsonl").write_text(json.dumps({"run_id": "x"}) + "\n")
    argv = [demo / "items", *(tmp_path / f"{run}.jsonl" for run in RUNS)]
    assert "There is one run only" in words_of(show_page(monkeypatch, "compare", argv))
