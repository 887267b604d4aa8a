"""Sets that ask several questions, and runs on other splits: no number pools them, and links open what is counted."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of
from two_questions import two_questions, write_answers

from dfar_toolkit.browsing.error_table import errors_of, scored_of
from dfar_toolkit.browsing.facets import facets
from dfar_toolkit.browsing.filter_joining import joined
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.one_question import answered_configs, chosen_config, within_config
from dfar_toolkit.browsing.paging import found_rows
from dfar_toolkit.browsing.run_standing import answered_splits, run_accuracy, run_states

pytestmark = STREAMLIT_WARNINGS
Set = tuple[Path, list[dict[str, Any]], list[Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Set:
    folder = tmp_path_factory.mktemp("questions")
    items, rows = two_questions(folder / "items")
    ours = [row for row in rows if row["config"] == "default"]
    runs = [
        write_answers(folder / "whole.jsonl", rows, splits=("train", "test")),
        write_answers(folder / "testing.jsonl", rows, splits=("test",)),
        write_answers(folder / "first one.jsonl", ours, splits=("test", "train")),
    ]
    return items, rows, runs


@pytest.fixture(scope="module")
def index(made: Set) -> ItemIndex:
    return ItemIndex(made[0], runs=made[2])


def opens(index: ItemIndex, href: str) -> int:
    wanted, problems = ItemFilter.from_query(query_of(href))
    assert not problems
    return len(found_rows(index, wanted))


def counted_links(page: str) -> list[tuple[str, int]]:
    """Links to items that end in a count, or in a count and a share."""
    found = re.findall(r'<a [^>]*?href="(items\?[^"]*)"[^>]*>(.*?)</a>', page, re.DOTALL)
    plain = [(html.unescape(href), " ".join(re.sub(r"<[^>]*>", " ", words).split())) for href, words in found]
    ends = [(href, re.search(r"(?:^| )([\d,]+)(?: ·)?(?: \d+ %)?$", words)) for href, words in plain]
    return [(href, int(end[1].replace(",", ""))) for href, end in ends if end]


def test_configs_are_a_filter_and_a_facet(made: Set, index: ItemIndex) -> None:
    _, rows, _ = made
    wanted = ItemFilter(config=("other",), split=("test",))
    assert wanted.words() == ["config other", "split test"]
    expected = [row["item_id"] for row in rows if row["config"] == "other" and row["split"] == "test"]
    assert index.column("item_id").gather(found_rows(index, wanted).rows).to_list() == expected
    counts = facets(index, wanted).filter(facet="config").select("value", "count", "chosen").rows()
    assert {value: n for value, n, _ in counts} == Counter(r["config"] for r in rows if r["split"] == "test")
    assert joined(wanted, ItemFilter(config=("default", "other"))) == wanted
    assert joined(wanted, ItemFilter(config=("default",))) is None


def test_a_config_is_chosen_that_the_runs_answer(index: ItemIndex, browsed: Any) -> None:
    assert answered_configs(index, "first one") == ["default"]
    assert chosen_config(index, ["whole", "first one"]) == "default"
    assert chosen_config(index, ["whole"], "other") == "other"
    assert chosen_config(index, ["whole"], "nowhere") == "default"
    alone = ItemIndex(browsed.items, runs=browsed.runs)
    assert chosen_config(alone, alone.runs, "default") == ""
    assert within_config("") == ItemFilter()


def test_accuracy_is_of_one_question_on_the_splits_that_the_run_answers(made: Set, index: ItemIndex) -> None:
    _, rows, _ = made
    states = dict(zip(index.column("item_id"), index.column("state testing"), strict=True))
    assert answered_splits(index, "testing") == ["test"]
    for config in ("default", "other"):
        asked = [r for r in rows if r["config"] == config and r["split"] == "test" and r["label"] is not None]
        right = sum(states[row["item_id"]] == "right" for row in asked)
        found = run_accuracy(index, "testing", config=config)
        assert (found.n, found.value) == (len(asked), pytest.approx(right / len(asked), abs=1e-12))
        own = Counter(states[row["item_id"]] for row in rows if row["config"] == config)
        assert run_states(index, "testing", config=config) == own


def test_overview_and_runs_say_the_same_accuracy(made: Set, index: ItemIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    items, _, runs = made
    overview = words_of(show_page(monkeypatch, "overview", [items, *runs]))
    for config in ("default", "other"):
        page = words_of(show_page(monkeypatch, "runs", [items, *runs], {"config": config}))
        for run in index.runs:
            if config in answered_configs(index, run):
                one = run_accuracy(index, run, config=config)
                said = f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] n = {one.n}"
                assert f"accuracy on {config} {said}" in overview
                assert f"{run} {said}" in page


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("overview", {}),
        ("runs", {"config": "other"}),
        ("errors", {"run": "testing", "config": "other"}),
        ("errors", {"run": "whole"}),
        ("compare", {"a": "whole", "b": "testing", "all": "yes"}),
        ("compare", {"a": "testing", "b": "whole", "config": "other", "all": "yes"}),
    ],
)
def test_every_count_is_what_its_link_opens(
    made: Set, index: ItemIndex, monkeypatch: pytest.MonkeyPatch, page: str, query: dict[str, str | list[str]]
) -> None:
    items, _, runs = made
    links = counted_links(html_of(show_page(monkeypatch, page, [items, *runs], query)))
    assert len(links) > 5
    for href, n in links:
        if "length=" not in href or page != "compare":
            assert opens(index, href) == n, href


def test_runs_on_other_splits_are_compared_on_those_of_both(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    items, rows, runs = made
    page = show_page(monkeypatch, "compare", [items, *runs], {"a": "whole", "b": "testing", "config": "other"})
    assert "cannot be set side by side" not in words_of(page)
    assert "of the splits that both answer: test" in words_of(page)
    assert query_of(links_of(page)["default"])["config"] == ["default"]
    n = sum(r["config"] == "other" and r["split"] == "test" and r["label"] is not None for r in rows)
    assert f" {n} " in words_of(page)


def test_filters_of_what_is_counted_name_only_labels_that_occur(index: ItemIndex) -> None:
    for run in index.runs:
        wanted = errors_of(index, run, ItemFilter(config=("default",)))
        assert set(wanted.gold) <= {"bad", "good"}
    wanted = scored_of(index, ["whole", "testing"], ItemFilter(config=("other",)))
    rows = found_rows(index, wanted).rows
    assert index.column("label").gather(rows).null_count() == 0
    for run in ("whole", "testing"):
        assert not index.column(f"state {run}").gather(rows).is_in(["missing", "answered"]).any()


def test_agreement_opens_items_of_its_own_question(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    items, _, runs = made
    page = html_of(show_page(monkeypatch, "agreement", [items, *runs], {"config": "other"}))
    links = re.findall(r'href="(items\?[^"]*)"', page)
    assert links
    assert all(query_of(html.unescape(href))["config"] == ["other"] for href in links)
