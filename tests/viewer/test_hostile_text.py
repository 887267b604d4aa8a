"""Hostile text in every field, on every page: shown as it stands, and no page, link or label takes it for more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hostile_set import (
    ALL,
    LINE,
    LONG_ITEM,
    NAMES,
    PAYLOADS,
    STEM,
    Hostile,
    N,
    item_id,
    payload,
    write_hostile_set,
    write_round,
)
from page_sinks import CANARY, PageHtml, sinks_of, wrong_with
from shown_page import STREAMLIT_WARNINGS, html_of, query_of, show_page

from dfar_toolkit._viewer import faithfulness_data, scored
from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.paging import found_rows

pytestmark = STREAMLIT_WARNINGS
READ = ("overview", "items", "agreement", "runs", "compare", "errors", "faithfulness", "export")
LEFT_OUT = ("; left out.", "There is no", "there is no such", "not among those", "this run does not have")
PARAMETERS = (
    "text", "regex", "reason_regex", "gold", "given", "between", "annotator", "apart", "group", "source", "split",
    "leak",
    "finding", "prediction", "state", "differs", "beats", "judged_bad", "length", "disagreement", "probability",
    "has_reason", "flagged", "order", "page", "id", "diff", "words", "flag", "config", "shown", "raters", "rater",
    "part", "compute", "a", "b", "sort", "all", "show", "metrics", "run", "saved", "operator", "method", "step",
    "side", "metric", "over", "marked_by", "large", "k", "column", "judge", "reason", "wrong", "list", "token",
    "key", "nothing",
)  # fmt: skip


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Few draws, and nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        patch.setattr(faithfulness_data, "N_BOOT", 20)
        patch.setattr(scored, "score", partial(scored.score, n_boot=8))
        patch.setattr(scored, "run_comparison", partial(scored.run_comparison, n_boot=8))
        # What Streamlit looks for among all installed packages at the start of every test of a page.
        patch.setattr("streamlit.components.v2.manifest_scanner.scan_component_manifests", list)
        yield patch


@pytest.fixture(scope="module")
def many(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """Every payload is an option."""
    return write_hostile_set(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def few(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """Six options hold all payloads; with a round."""
    found = write_hostile_set(tmp_path_factory.mktemp("hostile"), options=NAMES)
    write_round(found)
    return found


class Seen:
    """A page whose every text was looked at."""

    def __init__(self, patch: pytest.MonkeyPatch, page: str, argv: Any, query: Any = None) -> None:
        self.test = show_page(patch, page, argv, query)
        sinks = sinks_of(self.test)
        assert wrong_with(sinks) == []
        self.read = [PageHtml(sink.text) for sink in sinks if sink.place == "html.body"]
        self.text = " ".join(" ".join(read.text for read in self.read).split())
        self.hrefs = [href for read in self.read for href in read.hrefs]
        plain = {sink.place for sink in sinks if sink.place != "html.body" and CANARY.search(sink.text)}
        self.sinks = plain | {p.place for read in self.read for p in read.pieces if CANARY.search(p.text)}

    def hides(self, *texts: str, longest: int = 100) -> list[str]:
        """Those of the texts whose beginning is not on the page as it stands."""
        return [text for text in texts if " ".join(text[:longest].split()) not in self.text]


SHOWN = {  # what each page must show as it stands; where lists are cut short, what comes first
    "overview": (ALL, *PAYLOADS), "agreement": PAYLOADS, "runs": (*NAMES[1:3], STEM, *PAYLOADS),
    "compare": (*NAMES[1:3], *PAYLOADS[1::6], *PAYLOADS[2::6]), "errors": (*NAMES[1:3], STEM),
    "faithfulness": (*NAMES[1:2], *PAYLOADS[1::6]), "export": NAMES[1:3], "items": (*NAMES[1:3], *PAYLOADS[8:40]),
}  # fmt: skip


@pytest.mark.parametrize("page", READ)
def test_pages_show_it_as_it_stands(patched: pytest.MonkeyPatch, few: Hostile, page: str) -> None:
    query = {"metrics": "all", "all": "yes"} if page == "compare" else {}
    seen = Seen(patched, page, few.argv(), query)
    assert seen.hides(*SHOWN[page], longest=60) == []
    assert seen.sinks


@pytest.mark.parametrize("page", ["items", "errors", "agreement"])
def test_every_payload_as_a_label(patched: pytest.MonkeyPatch, many: Hostile, page: str) -> None:
    seen = [Seen(patched, page, many.argv(), {"page": number}) for number in ("1", "2")]
    hidden = [set(one.hides(*PAYLOADS, longest=20)) for one in seen]
    assert set.intersection(*hidden) == set()


def test_every_item(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    """Each field of an item is given another payload, so over all items each is given all."""
    for k in range(N):
        seen = Seen(patched, "item", few.argv(), {"id": item_id(k), "flag": "item"})
        people = [payload(k + j) for j in range(3)]
        reasons = [payload(k + 9 + j) for j in range(3)]
        names = [payload(k + 7), payload(k + 1), payload(k + 3), payload(k + 6)]
        judged = [payload(k + j) for j in range(3)] + [payload(k + 5), payload(k + 6)]
        marked = [payload(k), payload(k + 2)]
        expected = [PAYLOADS[k], item_id(k), *people, *reasons, *names, *judged, *marked, *NAMES]
        assert seen.hides(*expected, longest=40) == [], k


def test_every_payload_as_a_reason_that_was_searched_for(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    for k in range(0, N, 3):
        reasons = [payload(k + 9 + j) for j in range(3)]
        query = {"id": item_id(k), "reason": reasons[0], "reason_regex": "(?s).+"}  # all of every reason is marked
        seen = Seen(patched, "item", few.argv(), query)
        assert seen.hides(*reasons, longest=40) == [], k
        assert html_of(seen.test).count('<mark class="i-found">') > 3, k
        assert "not among" not in seen.text


def test_two_reasons_and_two_rows_of_words_side_by_side(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    first = Seen(patched, "item", few.argv(), {"id": item_id(3)})
    for name in ("diff", "words"):
        href = next(h for h in first.hrefs if query_of(h).get(name))
        second = Seen(patched, "item", few.argv(), query_of(href))
        pair = next(h for h in second.hrefs if len(query_of(h).get(name, [""])[0]) > len(query_of(href)[name][0]))
        both = Seen(patched, "item", few.argv(), query_of(pair))
        assert both.hides(PAYLOADS[3]) == []
        assert "not among those" not in both.text


def test_a_line_of_a_megabyte(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    seen = Seen(patched, "item", few.argv(), {"id": LONG_ITEM})
    assert "all 1,048," in seen.text or "1,048," in seen.text
    listed = Seen(patched, "items", few.argv(), {"text": "long pwn long"})
    assert sum(len(sink.text) for sink in sinks_of(listed.test)) < 1_000_000
    assert LINE[:100] in listed.text


def test_names_in_addresses_come_back(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    """Every kind of link on every page leads where it says."""
    index = ItemIndex(few.items, runs=few.runs, judgements=few.judgements)
    kinds: dict[tuple[str, ...], str] = {}
    filters = set()
    pages = [(page, {}) for page in READ if page != "runs"] + [("item", {"id": item_id(k)}) for k in (1, 4)]
    for page, query in pages:
        for href in Seen(patched, page, few.argv(), query).hrefs:
            to, asked = href.partition("?")[0], query_of(href)
            kinds.setdefault((to, *sorted(asked)), href)
            filters.add(href)
    for href in filters:
        wanted, problems = ItemFilter.from_query(query_of(href))
        assert problems == []
        assert fitted(wanted, index) == (wanted, [])
        if href.startswith("item?") and "id" in query_of(href):
            assert index.row_of(query_of(href)["id"][0]) is not None
    assert len(kinds) >= 40
    for (page, *names), href in kinds.items():
        if page in ("item", "agreement", "compare", "errors", "faithfulness") or names in (["source"], ["beats"]):
            seen = Seen(patched, page, few.argv(), query_of(href))
            assert not [words for words in LEFT_OUT if words in seen.text.replace(ALL, "")], href
    assert all(len(found_rows(index, ItemFilter(source=(p,)))) for p in PAYLOADS)


@pytest.mark.parametrize("page", [*(p for p in READ if p != "runs"), "item", "judge"])
def test_hostile_addresses(patched: pytest.MonkeyPatch, few: Hostile, page: str) -> None:
    """Each parameter with each payload, in turns, alone and three times."""
    argv = few.to_judge() if page == "judge" else few.argv()
    for turn in range(0, N, {"items": 1, "item": 3}.get(page, 9)):
        own = {"id": item_id(3)} if page == "item" and turn % 2 else {}
        several = {name: [payload(turn + k), f"run:{payload(k)}"] for k, name in enumerate(PARAMETERS)}
        Seen(patched, page, argv, several | own)


def test_what_is_typed_and_written(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    for text in PAYLOADS[::5]:
        page = show_page(patched, "items", few.argv())
        page.text_input(key="text").set_value(text).run()
        assert page.query_params["text"] in (text, [text])
        assert not page.exception
        assert wrong_with(sinks_of(page)) == []
    page = show_page(patched, "item", few.argv(), {"id": item_id(7), "flag": "item"})
    page.text_area[0].set_value(ALL)
    page.text_input[-1].set_value(PAYLOADS[31])
    next(b for b in page.button if b.label == "Save").click().run()
    assert not page.exception
    assert wrong_with(sinks_of(page)) == []
    assert Seen(patched, "item", few.argv(), {"id": item_id(7)}).hides(ALL, longest=5000) == []
    assert any(b.label.startswith("Withdraw: ") for b in page.button)


def test_judging(patched: pytest.MonkeyPatch, few: Hostile) -> None:
    patched.setattr("dfar_toolkit._viewer.judge_form._SHORTEST", 0.0)
    assert Seen(patched, "judge", few.to_judge()).hides(ALL, longest=5000) == []
    for name in PAYLOADS[:6]:
        seen = Seen(patched, "judge", few.to_judge(), {"judge": name})
        assert seen.hides(ALL, name, longest=5000) == []
        page = seen.test
        for _ in range(2):  # the training item, then a reason
            page.text_area[0].set_value(ALL)
            next(b for b in page.button if str(b.key).startswith("reject-")).click().run()
            assert not page.exception
            assert wrong_with(sinks_of(page)) == []
            page = show_page(patched, "judge", few.to_judge(), {"judge": name})
    patched.setattr("dfar_toolkit._viewer.access.role", lambda given: "coordinator")
    for query in ({}, {"list": "notes"}):
        seen = Seen(patched, "coordinator", few.to_judge(), query)
        assert seen.hides(*PAYLOADS[:6]) == []
    assert seen.hides(ALL, longest=5000) == []


def test_hostile_names_of_configs_and_splits(patched: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foul = write_hostile_set(tmp_path, options=NAMES, foul=True)
    for page in (*READ, "app"):
        assert Seen(patched, page, foul.argv(judged=False)).sinks
    assert Seen(patched, "item", foul.argv(), {"id": item_id(1)}).hides(PAYLOADS[1], "<img src=x onerror=") == []


def test_half_characters_and_names_that_lead_elsewhere(patched: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What JSON can name and nothing can write down, and a manifest that names files outside of its folder."""
    made = write_hostile_set(tmp_path, options=NAMES)
    for name in ("manifest.json", "audit.json", "agreement.json"):
        text = (made.items / name).read_text(encoding="utf-8").replace("window.pwned", "window.\\ud800pwned")
        away = '"configs": {"../../..": {"splits": ["etc"]}, "d\\u0000": {"splits": ["x"]}, '
        (made.items / name).write_text(text.replace('"configs": {', away), encoding="utf-8")
    seen = Seen(patched, "overview", made.argv())
    assert "<script>window.\ufffdpwned=1</script>" in seen.text
    assert "'../../..' cannot be the name of a config or a split." in seen.text
    for page in ("items", "agreement", "errors", "export"):
        assert Seen(patched, page, made.argv()).sinks


def test_templates_and_pages_leave_no_way_around() -> None:
    viewer = files("dfar_toolkit._viewer")
    for template in (viewer / "templates").iterdir():
        text = template.read_text(encoding="utf-8")
        around = r"\|\s*safe|autoescape|Markup|<(script|style|iframe|svg|img|form)|\son\w+="
        assert not re.search(around, text), template
        bare = re.sub(r"\{\{.*?\}\}", "VALUE", re.sub(r"\{%.*?%\}", "", text), flags=re.DOTALL)
        assert not re.search(r"<[^<>]*\s[\w-]+=VALUE", bare), template  # an attribute without quotes
    for module in [*viewer.iterdir(), *(viewer / "views").iterdir()]:
        if module.name.endswith(".py") and module.name not in ("markup.py", "frame.py", "sinks.py"):
            text = module.read_text(encoding="utf-8")
            assert not re.search(r"st\.html\(|unsafe_allow|components\.|st\.iframe|Markup\(", text), module
