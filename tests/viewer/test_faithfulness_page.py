"""The Faithfulness page: numbers as they are scored, links from numbers to items, and what there is to say of gaps."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsed_folder import Browsed
from explained_set import HOSTILE, METHODS, Explained, explained_set
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit._viewer.markup import number
from dfar_toolkit.browsing.explained_runs import explained_run
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.perturbed_items import perturbed_items
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.metrics.faithfulness import Step, perturbed_outputs
from dfar_toolkit.scoring.rationale_differences import rationale_differences
from dfar_toolkit.scoring.rationale_scores import rationale_scores

pytestmark = STREAMLIT_WARNINGS
DRAWS = 100  # instead of 1,000: the page and the scores it is held against


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Explained:
    return explained_set(tmp_path_factory.mktemp("explained") / "set")


@pytest.fixture(scope="module")
def scored(explained: Explained) -> pl.DataFrame:
    rows = read_outputs(explained.runs["why"], questions=explained.folder.questions)
    folder = explained.folder
    return rationale_scores(rows, folder.items, folder.annotations, options=folder.options, n_boot=DRAWS)


@pytest.fixture(autouse=True)
def charts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The charts of the page by their names, which tests of ``curve_plot`` draw."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr("dfar_toolkit._viewer.faithfulness_data.N_BOOT", DRAWS)
    monkeypatch.setattr("dfar_toolkit._viewer.sinks.show_chart", lambda chart, *, name: kept.update({name: chart}))
    return kept


def argv(explained: Explained, *names: str) -> list[str | Path]:
    return [explained.items, *(explained.runs[name] for name in names or explained.runs)]


def cells(test: Any) -> dict[tuple[str, str], tuple[str, str]]:
    """Number and words below it of every cell that leads to items, by method and step."""
    found = {}
    pattern = r'<td class="d-number"><a class="d-go" href="([^"]*)" data-top="1">([^<]*)</a>(.*?)</td>'
    for href, value, below in re.findall(pattern, html_of(test), re.DOTALL):
        query = query_of(html.unescape(href))
        words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", below)).split())
        found[query["method"][0], query["step"][0]] = (value, words)
    return found


def at_step(table: pl.DataFrame, step: str) -> pl.DataFrame:
    kind, _, value = step.partition(":")
    return table.filter(pl.col(kind) == (int(value) if kind == "k" else float(value) if kind == "share" else value))


@pytest.mark.parametrize(("metric", "over"), [("comprehensiveness", "random"), ("sufficiency", ""), ("nonsense", "x")])
def test_numbers_are_those_of_the_scores(
    explained: Explained, scored: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, metric: str, over: str
) -> None:
    test = show_page(monkeypatch, "faithfulness", argv(explained), {"run": "why", "metric": metric, "over": over})
    name = "flip_rate" if metric == "nonsense" else metric + ("_over_random" if over == "random" else "")
    shown = cells(test)
    assert {method for method, _ in shown} == {*METHODS, *([] if name.endswith("random") else ["random"])}
    assert {step for _, step in shown} >= {"k:1", "share:0.1", "share:0.5"}
    for (method, step), (value, below) in shown.items():
        row = at_step(scored.filter(metric=name, rationale_method=method), step).row(0, named=True)
        assert value == number(row["value"], 2)
        assert f"[{number(row['low'])}, {number(row['high'])}]" in below or "no interval" in below
        assert f"n {row['n']}" in below


def test_guard_rails_and_the_refusal_to_compare_stand_before_the_numbers(
    explained: Explained, scored: pl.DataFrame, charts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    test = show_page(monkeypatch, "faithfulness", argv(explained), {"run": "why"})
    words = words_of(test)
    assert words.index("Before any rationale is believed") < words.index("Curves of the methods")
    assert "<img" not in html_of(test)
    assert HOSTILE in words
    rails = scored.filter(rationale_method="")
    for heading, metric in (("Coverage", "coverage"), ("Accuracy", "accuracy"), ("Flippable", "flippable_share")):
        assert f"{heading} {100 * rails.filter(metric=metric)['value'][0]:.0f} %" in words
    assert f"p, no word left {rails.filter(metric='p_empty')['value'][0]:.2f}" in words
    assert "Noise margin 1e-05" in words
    assert "Random draws 2.0" in words
    assert "do not compare: only values minus random words do" in words
    assert "100 bootstrap draws" in words
    assert all(charts.values())
    assert list(charts) == ["flips by share of the words taken away",
                            "flips minus random words by share of the words taken away"]  # fmt: skip


def test_methods_are_tested_pairwise_and_held_against_people(
    explained: Explained, scored: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = explained.folder
    rows = read_outputs(explained.runs["why"], questions=folder.questions)
    tests = rationale_differences(rows, folder.items, folder.annotations, options=folder.options, n_boot=DRAWS)
    words = ""
    for rule in ("any", "majority"):
        query = {"run": "why", "marked_by": "" if rule == "majority" else rule}
        words = words_of(show_page(monkeypatch, "faithfulness", argv(explained), query))
        table = scored if rule == "majority" else rationale_scores(
            rows, folder.items, folder.annotations, options=folder.options, gold="any", n_boot=DRAWS,
            parts=["plausibility"],
        )  # fmt: skip
        value = table.filter(metric="token_f1", rationale_method="attention")["value"][0]
        assert f"attention {_of(table, 'token_f1_above_chance')}" in re.sub(r"(?<=\d\.\d\d) \d ", " ", words)
        assert number(value) in words
        assert "another person ceiling" in words
    assert "1 pair of aopc" in words
    assert len(tests) > 3
    for row in tests.iter_rows(named=True):
        assert f"{number(row['p_value'], 3)} {number(row['p_holm'], 3)}" in words


def _of(table: pl.DataFrame, metric: str) -> str:
    row = table.filter(metric=metric, rationale_method="attention").row(0, named=True)
    ends = f"[{number(row['low'])}, {number(row['high'])}]" if row["low"] == row["low"] else "no interval"
    return f"{number(row['value'])} {ends}"


def test_a_number_leads_to_its_items(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    test = show_page(monkeypatch, "faithfulness", argv(explained), {"run": "why"})
    hrefs = [
        html.unescape(h) for h in re.findall(r'<td class="d-number"><a class="d-go" href="([^"]*)"', html_of(test))
    ]
    folder = explained.folder
    rows = read_outputs(explained.runs["why"], questions=folder.questions)
    p = perturbed_outputs(rows, folder.items, options=folder.options)
    for href in (hrefs[2], hrefs[-1]):
        query = query_of(href)
        listed = show_page(monkeypatch, "faithfulness", argv(explained), dict(query.items()))
        kind, _, value = query["step"][0].partition(":")
        step = Step(k=int(value)) if kind == "k" else Step(share=float(value))
        wanted = perturbed_items(p, method=query["method"][0], operator="mask", step=step, margin=1e-5)
        ids = [query_of(html.unescape(h))["id"][0] for h in re.findall(r'href="(item\?[^"]*)"', html_of(listed))]
        assert ids == wanted["item_id"].to_list()
        words = words_of(listed)
        rate = wanted.filter(pl.col("n_answered") > 0).select((pl.col("n_flipped") / pl.col("n_answered")).mean())
        assert f"{100 * rate.item():.1f} % of" in words
        counts = wanted["state"].value_counts(sort=True)
        assert all(any(w.endswith(f"{s} {n}") for w in links_of(listed)) for s, n in counts.iter_rows())
        for state, count in counts.tail(1).iter_rows():
            link = next(h for w, h in links_of(listed).items() if w.endswith(f"{state} {count}"))
            less = show_page(monkeypatch, "faithfulness", argv(explained), dict(query_of(link).items()))
            assert html_of(less).count('<article class="f-item">') == count
        assert query_of(links_of(listed)["← All numbers of this run b"]) == {"run": ["why"], "operator": ["mask"]}


def test_draws_without_an_answer_are_not_called_another_label(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [
        words_of(show_page(monkeypatch, "item", argv(explained, "why", "early"), {"id": item_id}))
        for item_id in explained.folder.items.filter(split="test")["item_id"]
    ]
    assert any("no answer 1 of 2" in words for words in shown)
    assert any("⇄ 1 of 2" in words for words in shown)
    assert not any("⇄ 0 of" in words or " 1 edits" in words for words in shown)


def test_hidden_words_are_struck_out_and_kept_words_marked(
    explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"run": "why", "operator": "mask", "method": "attention", "step": "k:1", "side": "without"}
    body = html_of(show_page(monkeypatch, "faithfulness", argv(explained), query))
    struck = re.findall(r'<mark class="f-hid">([^<]*)</mark>', body)[1:]  # the first is the legend
    test = explained.folder.items.filter(split="test").sort("item_id")
    expected = {
        item_id: max(range(6), key=lambda at, n=n: ((3 * at + n) % 5, -at))  # type: ignore[misc]
        for n, item_id in enumerate(test["item_id"])
    }
    ids = [query_of(html.unescape(h))["id"][0] for h in re.findall(r'href="(item\?[^"]*)"', body)]
    texts = dict(test.select("item_id", "statement").iter_rows())
    assert [html.unescape(w) for w in struck] == [texts[i].split(" ")[expected[i]] for i in ids]
    alone = html_of(show_page(monkeypatch, "faithfulness", argv(explained), {**query, "side": "only"}))
    assert "f-hid" not in alone
    assert alone.count('<mark class="f-left">') == len(ids) + 1


def test_runs_without_such_rows_and_unknown_ones_are_said(
    explained: Explained, browsed: Browsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = show_page(monkeypatch, "faithfulness", argv(explained, "plain"))
    assert "None of these runs holds rationales" in words_of(alone)
    assert "dfar explain --model" in words_of(alone)
    asked = words_of(show_page(monkeypatch, "faithfulness", argv(explained), {"run": "plain"}))
    assert "The run plain holds no rationales" in asked
    assert "1 run without rationales: plain" in asked
    lost = words_of(show_page(monkeypatch, "faithfulness", argv(explained), {"run": "<b>"}))
    assert "There is no run <b> ." in lost
    odd = {"run": "why", "side": "up", "method": "attention", "step": "share:0.77"}
    assert "names a method or a step" in words_of(show_page(monkeypatch, "faithfulness", argv(explained), odd))
    other = words_of(show_page(monkeypatch, "faithfulness", [browsed.items, *browsed.runs]))
    assert "Before any rationale is believed" in other
    assert "People marked no words" in other


def test_words_alone_and_tests_of_reasons_have_their_own_parts(
    explained: Explained, charts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    only = words_of(show_page(monkeypatch, "faithfulness", argv(explained), {"run": "words"}))
    assert "Plausible: are they the words" in only
    assert "Curves of the methods" not in only
    test = show_page(monkeypatch, "faithfulness", argv(explained), {"run": "early"})
    assert "early answering same 50 % kept sentences" in words_of(test)
    assert "none looks inside the model" in words_of(test)
    assert len(charts) == 1


def test_hostile_names_are_text(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    query = {"run": "why", "operator": "mask", "method": HOSTILE, "step": "k:1"}
    listed = show_page(monkeypatch, "faithfulness", argv(explained), query)
    assert "<img" not in html_of(listed)
    assert query_of(links_of(listed)["with these words alone"])["method"] == [HOSTILE]
    assert not listed.get("markdown")


def test_a_broken_run_and_foreign_items_are_said(
    explained: Explained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(explained.runs["why"], broken)
    (broken / "outputs.parquet").write_bytes(b"PAR1 no more")
    words = words_of(show_page(monkeypatch, "faithfulness", [explained.items, broken, explained.runs["why"]]))
    assert "cannot be read" in words or "broken" in words
    assert "Curves of the methods" in words
    foreign = tmp_path / "foreign"
    shutil.copytree(explained.runs["why"], foreign)
    rows = pl.read_parquet(foreign / "outputs.parquet")
    rows.with_columns(pl.lit("nowhere").alias("item_id")).write_parquet(foreign / "outputs.parquet")
    said = words_of(show_page(monkeypatch, "faithfulness", [explained.items, foreign]))
    assert "no output is about one of these items" in said


def test_large_files_wait_to_be_asked(explained: Explained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfar_toolkit.browsing.explained_runs.ExplainedRun.n_rows", 3_000_000)
    test = show_page(monkeypatch, "faithfulness", argv(explained), {"run": "why"})
    assert "This run has 3,000,000 rows." in words_of(test)
    assert "Curves of the methods" not in words_of(test)
    asked = query_of(links_of(test)["Compute them now"])
    assert "Curves of the methods" in words_of(show_page(monkeypatch, "faithfulness", argv(explained), dict(asked)))


def test_what_a_run_holds_is_counted(explained: Explained) -> None:
    index = ItemIndex(explained.items, runs=list(explained.runs.values()))
    found = {run: explained_run(index, run) for run in index.runs}
    assert {run: one.parts for run, one in found.items()} == {
        "why": ("plausibility", "faithfulness"), "words": ("plausibility",), "early": ("self_consistency",), "plain": ()
    }  # fmt: skip
    rows = pl.read_parquet(explained.runs["why"] / "outputs.parquet")
    assert found["why"].n_rows == len(rows)
    assert found["why"].counts.filter(condition="without_top", method="attention")["items"].to_list() == [6]
    (explained.runs["plain"] / "outputs.parquet").rename(explained.runs["plain"] / "away.parquet")
    again = ItemIndex(explained.items, runs=[explained.runs["why"]])
    again.run_files["why"] = index.run_files["plain"]
    assert "cannot be read" in explained_run(again, "why").problem
    (explained.runs["plain"] / "away.parquet").rename(explained.runs["plain"] / "outputs.parquet")
