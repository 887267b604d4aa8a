from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsed_folder import OPTIONS, Browsed, small_set, write_folder, write_run
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.files.flags_log import FlagsLog, Mark, flags_of

pytestmark = STREAMLIT_WARNINGS
A, B = "run a", "b:\\$"
EVIL = '<img src=x onerror=a()>![m](//e.example)**b**"{{7*7}}'


def shown(patch: pytest.MonkeyPatch, browsed: Browsed, k: int, *flags: str | Path, **query: Any) -> Any:
    argv = [browsed.items, *browsed.runs, *flags]
    return show_page(patch, "item", argv, {"id": browsed.rows[k]["item_id"], **query})


def test_an_item_within_its_filter_has_neighbours_and_the_page_of_the_list_that_holds_it(
    monkeypatch: pytest.MonkeyPatch, browsed: Browsed
) -> None:
    page = shown(monkeypatch, browsed, 31, split="test", order="-length")
    assert "of 18 in split test" in words_of(page)
    links = links_of(page)
    assert {"Previous p", "Next n", "List l"} <= set(links)
    for name, where in (("Next n", "item"), ("List l", "items")):
        assert links[name].startswith(f"{where}?")
        assert query_of(links[name])["split"] == ["test"]
        assert query_of(links[name])["order"] == ["-length"]
    assert query_of(links["link to this item"]) == {"id": [browsed.rows[31]["item_id"]]}
    keys = html_of(page)
    assert [f'data-key="{key}"' in keys for key in "pnl"] == [True] * 3


def test_the_list_opens_where_the_item_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [_row(k, f"s{k}") for k in range(120)]
    items = write_folder(tmp_path / "items", rows, [])
    page = show_page(monkeypatch, "item", [items], {"id": "i099"})
    assert query_of(links_of(page)["List l"]) == {"page": ["2"]}
    assert "100 of 120" in words_of(page)
    assert "no model answers" not in words_of(page)


def test_an_item_outside_the_filter_and_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, browsed: Browsed
) -> None:
    page = shown(monkeypatch, browsed, 3, split="test")
    assert "not among the 18 items of the filter:" in words_of(page)
    assert query_of(links_of(page)["Next n"])["id"] == [browsed.rows[30]["item_id"]]
    page = show_page(monkeypatch, "item", [browsed.items], {"id": EVIL, "split": "test"})
    assert "There is no item" in words_of(page)
    assert "<img" not in html_of(page)
    assert query_of(links_of(page)["First of 18 n"])["id"] == [browsed.rows[30]["item_id"]]
    assert "No item is chosen." in words_of(show_page(monkeypatch, "item", [browsed.items]))


def test_people_and_models_stand_in_camps(monkeypatch: pytest.MonkeyPatch, demo: Path) -> None:
    argv = [demo / "items", demo / "runs/label-only.jsonl", demo / "runs/with-reasons.jsonl", "--judgements",
            demo / "judgements.csv"]  # fmt: skip
    page = show_page(monkeypatch, "item", argv, {"id": "everyday:test:s023"})
    words = words_of(page)
    assert "ethical people's label 3 of 4 people · 1 of 2 models" in words
    assert "unethical 1 of 4 people · 1 of 2 models" in words
    assert "disagreement 0.50 many disagree, n = 4" in words
    annotations = pl.read_parquet(demo / "items/annotations.parquet").filter(pl.col("item_id") == "everyday:test:s023")
    for name, reason in annotations.select("annotator_id", "reason").iter_rows():
        assert " ".join(str(reason).split()) in words
        assert query_of(links_of(page)[name]) == {"annotator": [name]}
    assert "age band 18-29" in words
    assert "✓ good 2" in words
    assert "✗ bad 1" in words
    assert "✗ wrong" in words


def test_every_kind_of_row_of_a_run_is_there(monkeypatch: pytest.MonkeyPatch, browsed: Browsed) -> None:
    words = words_of(shown(monkeypatch, browsed, 2, "--judgements", browsed.judgements))
    answer = browsed.answers[A][2]["label"]
    other = OPTIONS[answer != "good"]
    assert f"3 samples: {other} 2, {answer} 1" in words
    assert "in the place of 1 person" in words
    assert "1 other answer" in words
    assert "condition inserted" in words
    assert "Words that matter" in words
    assert f"⇄ {other}" in words
    assert "top 1" in words
    assert "rank 1, score 0.250" in html_of(shown(monkeypatch, browsed, 2))


def test_two_reasons_are_compared_word_by_word(monkeypatch: pytest.MonkeyPatch, demo: Path) -> None:
    argv = [demo / "items", demo / "runs/with-reasons.jsonl"]
    item = {"id": "everyday:test:s023"}
    first = links_of(show_page(monkeypatch, "item", argv, item))["compare"]
    page = show_page(monkeypatch, "item", argv, {k: v[0] for k, v in query_of(first).items()})
    assert "choose “compare with this” at another reason" in words_of(page)
    second = links_of(page)["compare with this"]
    assert query_of(second)["diff"][0].count("|") == 1
    page = show_page(monkeypatch, "item", argv, {k: v[0] for k, v in query_of(second).items()})
    assert " in common, of " in words_of(page)
    assert '<del class="i-only">' in html_of(page)
    assert '<ins class="i-only">' in html_of(page)
    page = show_page(monkeypatch, "item", argv, item | {"diff": "x|y"})
    assert "not among those of this item" in words_of(page)


def test_two_rows_of_words_are_compared(monkeypatch: pytest.MonkeyPatch, browsed: Browsed) -> None:
    keys = [f"{run}/{browsed.rows[2]['item_id']}/q/0/method=attention/condition=rationale" for run in (A, B)]
    page = shown(monkeypatch, browsed, 2, words="|".join(keys))
    assert "both 1 only 1: 0 only 2: 0" in words_of(page)
    assert '<mark class="i-both" title="both">I</mark>' in html_of(page)


def test_what_was_searched_for_is_marked(monkeypatch: pytest.MonkeyPatch, browsed: Browsed) -> None:
    page = shown(monkeypatch, browsed, 2, text="stole", regex=r"sa\w+")
    assert '<mark class="i-found">Stole</mark>' in html_of(page)
    page = shown(monkeypatch, browsed, 2, regex=r"\d+ \w+,")
    assert '<mark class="i-found">2 times,</mark>' in html_of(page)


def test_what_was_searched_for_in_reasons_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = f"{'so ' * 400}it was Just"
    people = [(0, f"p{k:02d}", "good", "It was just." if k == 13 else "It was so.") for k in range(14)]
    items = write_folder(tmp_path / "items", [_row(0, "It was just bread."), _row(1, "s")], people)
    first = {"run_id": "r", "item_id": "i000", "label": "good", "label_probs": [0.2, 0.8], "error": None, "sample": 0,
             "annotator_id": "", "reason": long}  # fmt: skip
    run = write_run(tmp_path / "run", [first, {**first, "sample": 1, "reason": "so, just so"},
                                       {**first, "annotator_id": "p01", "reason": "unlike"}])  # fmt: skip
    argv = [items, run]
    page = html_of(show_page(monkeypatch, "item", argv, {"id": "i000", "reason": "JUST"}))
    assert page.count('<mark class="i-found">') == 3
    assert 'It was <mark class="i-found">just</mark>.</div>' in page
    assert 'it was <mark class="i-found">Just</mark></div></details>' in page
    assert 'so, <mark class="i-found">just</mark> so</div>' in page
    # What is folded is opened where it holds a match, and only there.
    assert "<details open><summary>2 more people" in page
    assert "<details open><summary>all 1,211 characters" in page
    assert '<details class="d-small" open><summary>2 samples' in page
    assert '<details class="d-small"><summary>in the place of 1 person' in page
    plain = html_of(show_page(monkeypatch, "item", argv, {"id": "i000", "text": "just", "reason_regex": "("}))
    assert plain.count('<mark class="i-found">') == 1
    assert "no pattern: unclosed group" in plain
    assert "<details open>" not in plain
    both = html_of(show_page(monkeypatch, "item", argv, {"id": "i000", "reason": "bread", "reason_regex": "was so"}))
    assert both.count('It <mark class="i-found">was so</mark>.') == 13
    assert words_of(show_page(monkeypatch, "item", argv, {"id": "i000", "reason": "just"})).startswith("1 of 1 in")


def test_a_long_statement_is_folded_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = " ".join(f"word{k}" for k in range(10_000))
    line = "x" * 1_000_000
    items = write_folder(tmp_path / "items", [_row(0, long), _row(1, line), _row(2, "שלום עולם")], [])
    page = html_of(show_page(monkeypatch, "item", [items], {"id": "i000"}))
    assert f"the whole statement, {len(long):,} characters" in page
    assert f">{long}</div></details>" in page
    assert "<details open>" not in page
    found = html_of(show_page(monkeypatch, "item", [items], {"id": "i000", "text": "word9999"}))
    assert "<details open><summary>the whole statement" in found
    assert '<mark class="i-found">word9999</mark></div></details>' in found
    assert f">{line}</div></details>" in html_of(show_page(monkeypatch, "item", [items], {"id": "i001"}))
    hebrew = html_of(show_page(monkeypatch, "item", [items], {"id": "i002"}))
    assert 'd-text" dir="auto">שלום עולם</div>' in hebrew


def _row(k: int, text: str) -> dict[str, Any]:
    return {"item_id": f"i{k:03d}", "group": f"g{k}", "statement": text, "label": None, "source": "s", "split": "test",
            "leak_kind": None}  # fmt: skip


def hostile(root: Path) -> list[str | Path]:
    """One item in which every text is a payload of its own number."""
    texts = iter(f"{EVIL}#{n};" for n in range(100))
    row = {**_row(0, next(texts)), "item_id": EVIL, "group": next(texts), "source": next(texts), "leak_kind": "near",
           "context": [{"field": next(texts), "role": next(texts), "text": next(texts)}]}  # fmt: skip
    twin = {**_row(1, "twin"), "group": row["group"]}
    items = write_folder(root / "items", [row, twin], [(0, next(texts), "good", next(texts))],
                         audit=[{"finding": next(texts), "examples": ["i001: twin"]}])  # fmt: skip
    file = items / "annotations.parquet"
    places = [{"field": "statement", "start": 0, "end": 20, "set": 0}]
    pl.read_parquet(file).with_columns(
        pl.lit(next(texts)).alias("foil"), pl.lit(next(texts)).alias("at"), pl.lit(next(texts)).alias("confidence"),
        pl.Series("evidence", [places]),
    ).write_parquet(file)  # fmt: skip
    raters = items / "raters.parquet"
    pl.read_parquet(raters).with_columns(pl.lit(next(texts)).alias("age_band")).write_parquet(raters)
    data = items / "data/default/test.parquet"
    pl.read_parquet(data).with_columns(pl.Series("leak_of", [[next(texts)], None])).write_parquet(data)
    first = {
        "run_id": "r", "item_id": EVIL, "reason": next(texts), "raw": next(texts), "sample": 0, "annotator_id": "",
        "method": "", "condition": "full", "operator": "", "k": -1, "draw": 0, "label": "good", "error": None,
        "label_probs": [0.2, 0.8], "how": next(texts),
    }  # fmt: skip
    rows = [
        first, {**first, "sample": 1, "reason": next(texts), "method": next(texts)},
        {**first, "annotator_id": next(texts), "reason": next(texts)},
        {**first, "condition": "without_top", "method": next(texts), "operator": next(texts), "k": 1, "label": "bad"},
        {**first, "condition": next(texts), "reason": None, "error": next(texts), "label": None},
    ]  # fmt: skip
    (root / EVIL.replace("/", "")).mkdir()
    run = write_run(root / EVIL.replace("/", "") / "run", [{**r, "run_id": EVIL} for r in rows])
    failed = write_run(root / "failed", [{**first, "run_id": "failed", "label": None, "label_probs": None,
                                          "reason": None, "error": next(texts)}])  # fmt: skip
    output = f"{EVIL}/{EVIL}/q/0"
    judged = root / "judged.jsonl"
    judged.write_text(json.dumps({"judge_id": next(texts), "run_id": EVIL, "item_id": EVIL, "question": "ok",
                                  "output_id": output, "value": next(texts), "error_type": next(texts),
                                  "note": next(texts)}) + "\n")  # fmt: skip
    FlagsLog(root / "marks", next(texts)).add(Mark(EVIL, flag=next(texts), comment=next(texts)))
    return [items, run, failed, "--judgements", judged, "--marks", root / "marks", next(texts)]


def test_hostile_text_is_shown_verbatim_in_every_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    *argv, last = hostile(tmp_path)
    human = f"human/r0|{EVIL}/{EVIL}/q/0"
    page = show_page(monkeypatch, "item", argv, {"id": EVIL, "diff": human, "text": "<img", "flag": "item"})
    raw = html_of(page)
    assert "<img" not in raw
    assert "<script" not in raw
    read = html.unescape("".join(part.split(">", 1)[-1] for part in raw.split("<")))
    numbers = range(int(str(last).rsplit("#", 1)[1].rstrip(";")))
    # A context is shown by its role, not its field; the audit's finding is about another item.
    assert [n for n in numbers if f"{EVIL}#{n};" not in read] == [3, 8]
    assert not any(EVIL in text.value for kind in ("markdown", "caption", "title", "header") for text in page.get(kind))


def test_hostile_items_of_the_small_set_run_clean(monkeypatch: pytest.MonkeyPatch, browsed: Browsed) -> None:
    for k in (1, 27, 31, 45):
        page = shown(monkeypatch, browsed, k)
        assert "<script" not in html_of(page)
        assert " ".join(browsed.rows[k]["statement"][:200].split()) in words_of(page)


def test_files_that_are_missing_or_torn_leave_a_calm_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = small_set(tmp_path)
    (small.items / "annotations.parquet").write_bytes(b"torn")
    (small.items / "raters.parquet").unlink()
    (small.runs[0] / "outputs.parquet").write_bytes(b"torn")
    page = shown(monkeypatch, small, 2, tmp_path / "nothing.jsonl")
    assert "cannot be read" in words_of(page)
    assert "disagreement – (no ratings)" in words_of(page)
    assert "No person rated this item." in words_of(page)


def test_without_a_folder_for_marks_one_line_says_how(monkeypatch: pytest.MonkeyPatch, browsed: Browsed) -> None:
    page = shown(monkeypatch, browsed, 2, flag="item")
    assert "start with --marks FOLDER" in words_of(page)
    assert not page.radio


def test_marks_are_written_once_and_withdrawn(
    monkeypatch: pytest.MonkeyPatch, browsed: Browsed, tmp_path: Path
) -> None:
    page = shown(
        monkeypatch, browsed, 2, "--marks", tmp_path, split="train", flag=f"{A}/{browsed.rows[2]['item_id']}/q/1"
    )
    assert f"about the reason of {A}" in words_of(page)
    page.radio[0].set_value("bad reason")
    page.text_area[0].set_value("It names " + EVIL)
    page.button[0].click().run()
    assert "Your name is needed" in page.error[0].value
    assert not len(flags_of(tmp_path))
    page.text_input[0].set_value("Ann")
    page.button[0].click().run()
    assert not page.exception
    (row,) = flags_of(tmp_path).rows(named=True)
    assert (row["person"], row["item_id"], row["flag"]) == ("Ann", browsed.rows[2]["item_id"], "bad reason")
    assert row["output_id"] == f"{A}/{row['item_id']}/q/1"
    assert row["comment"] == "It names " + EVIL
    assert page.query_params["split"] == "train"
    assert "flag" not in page.query_params
    assert "bad reason reason of run a It names" in words_of(page)
    assert "<img" not in html_of(page)
    page.query_params["flag"] = row["output_id"]  # the same once more, as a second click sends it
    page.run()
    assert page.text_input[0].value == "Ann"
    page.radio[0].set_value("bad reason")
    page.text_area[0].set_value("It names " + EVIL)
    page.button[0].click().run()
    assert len(flags_of(tmp_path)) == 1
    withdraw = next(b for b in page.button if b.label.startswith("Withdraw"))
    withdraw.click().run()
    assert not len(flags_of(tmp_path))
    assert "It names" not in words_of(page)


def test_marks_of_others_are_shown_and_the_index_learns_them(
    monkeypatch: pytest.MonkeyPatch, browsed: Browsed, tmp_path: Path
) -> None:
    FlagsLog(tmp_path, "Bob").add(Mark(browsed.rows[2]["item_id"], flag="unclear"))
    page = shown(monkeypatch, browsed, 2, "--marks", tmp_path, flagged="yes")
    assert "unclear Bob" in words_of(page)
    assert "1 of 1 in flagged" in words_of(page)
    assert not [b for b in page.button if b.label.startswith("Withdraw")]
    assert 'data-key="f"' in html_of(page)


def test_hundreds_of_people_are_folded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ratings: list[tuple[int, str, str, str | None]] = [
        (0, f"p{n:03d}", OPTIONS[n % 2], f"Reason {n}.") for n in range(900)
    ]
    items = write_folder(tmp_path / "items", [_row(0, "Many.")], ratings)
    page = show_page(monkeypatch, "item", [items], {"id": "i000"})
    words = words_of(page)
    assert words.count("438 more people") == 2
    assert words.count("50 further people are not shown") == 2
    assert html_of(page).count('class="i-voice"') == 800
