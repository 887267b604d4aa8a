from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit._viewer.data import arguments, plain_answers
from dfar_toolkit._viewer.filters import NO_LEAK, Filters, filtered
from dfar_toolkit._viewer.launch import command
from dfar_toolkit._viewer.sinks import label
from dfar_toolkit.errors import TableError
from viewer_example import IMAGE, LINK, OPTIONS, SCRIPT, item_id, write_example

pytestmark = [
    # Streamlit's and its dependencies' own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PAGES = ("browse", "metrics", "dataset")
Open = Callable[..., "AppTest"]  # noqa: F821


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("viewer")).parent


@pytest.fixture
def open_page(example: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    from streamlit.testing.v1 import AppTest

    def opened(
        script: str, /, *names: str, judgements: bool = True, items: str = "items", **query: str | list[str]
    ) -> AppTest:
        judged = ["--judgements", str(example / "judgements.csv")] if judgements else []
        monkeypatch.setattr(sys, "argv", ["app.py", *judged, str(example / items), *(str(example / n) for n in names)])
        test = AppTest.from_file(str(files("dfar_toolkit._viewer") / "views" / f"{script}.py"), default_timeout=60)
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return opened


def texts(test: object) -> list[str]:
    return [t.value for t in test.text]  # type: ignore[attr-defined]


def tables(test: object) -> list[list[list[str]]]:
    """The tables on the page as rows of cells, headings first."""
    pages = [h.value for h in test.get("html") if "<table" in h.value]  # type: ignore[attr-defined]
    return [
        [[html.unescape(c) for c in re.findall(r"<t[dh] [^>]*>(.*?)</t[dh]>", r, re.S)] for r in p.split("<tr>")[1:]]
        for p in pages
    ]


def shown_ids(test: object) -> list[str]:
    return list(test.dataframe[0].value["item_id"])  # type: ignore[attr-defined]


def test_list_is_paged(open_page: Open) -> None:
    test = open_page("browse", "plain.jsonl")
    assert not test.exception
    assert not test.error
    assert "120 items, 1 to 50 shown" in texts(test)
    assert len(shown_ids(test)) == 50
    test = open_page("browse", "plain.jsonl", page="3")
    assert "120 items, 101 to 120 shown" in texts(test)


def test_filters_come_from_the_address(open_page: Open) -> None:
    assert shown_ids(open_page("browse", q="NUMBER 21 that")) == [item_id(21)]
    assert open_page("browse", split=["test"]).dataframe[0].value["split"].unique().tolist() == ["test"]
    assert shown_ids(open_page("browse", leak=["exact"])) == [item_id(0)]
    least = open_page("browse", disagreement="0.5").dataframe[0].value["disagreement"]
    assert len(least) == 50
    assert (least >= 0.5).all()
    # Brackets and dots are text, not a pattern.
    assert shown_ids(open_page("browse", q="[x](")) == []
    assert shown_ids(open_page("browse", q="](http")) == [item_id(6)]


def test_filters_typed_on_the_page(open_page: Open) -> None:
    test = open_page("browse", "plain.jsonl", "reasons.jsonl")
    test.text_input(key="q").set_value("number 21 ").run()
    assert shown_ids(test) == [item_id(21)]
    test.text_input(key="q").set_value("").run()
    test.multiselect(key="label").set_value([OPTIONS[1]]).run()
    assert set(test.dataframe[0].value["label"]) == {OPTIONS[1]}


def test_one_run_right_and_the_other_wrong(open_page: Open) -> None:
    test = open_page("browse", "plain.jsonl", "reasons.jsonl", wrong=[f"plain {LINK}"], right=["reasons"])
    rows = test.dataframe[0].value
    assert len(rows) > 0
    assert (rows[f"plain {LINK}"] != rows["label"]).all()
    assert (rows["reasons"] == rows["label"]).all()


def test_an_item_in_detail_shows_everything_verbatim(open_page: Open) -> None:
    test = open_page("browse", "plain.jsonl", "reasons.jsonl", item=item_id(0))
    assert not test.exception
    assert [c.value for c in test.code] == [SCRIPT]
    assert all(c.language in (None, "", "plaintext") for c in test.code)
    said = texts(test)
    assert {"x:a · age_band 18-29", f"x:b · age_band {SCRIPT}", "x:c"} <= set(said)
    assert f"{item_id(0)}: number 81 of 120 in this list, marked ▶ on page 2" in said
    assert IMAGE in said  # a person's reason
    assert said.count(SCRIPT) == 2  # the reason of one run, the unparsed text of the other
    assert f"plain {LINK}" in said  # a run's name
    assert any(t.startswith("ethical 0.75") for t in said)
    judged = [t for t in said if t.startswith("judged")]
    assert judged[0] == "judged good 3\n  j0: good\n  j1: good\n  j2: good"
    assert judged[1] == f"judged bad 1, good 2\n  j0: bad – {LINK}\n  j1: good – {LINK}\n  j2: good – {LINK}"
    assert any("leak: exact of x:train:00001" in t for t in said)
    chips = [h.value for h in test.get("html")]
    assert chips
    assert not any("<script" in c or "<img" in c for c in chips)
    assert all(w in chips[0] for w in ("model: right", "model: wrong", "no gold, or unparsed"))


def test_an_explained_run_shows_its_words_and_not_a_card_for_every_row(open_page: Open, example: Path) -> None:
    words = [{"field": "statement", "start": 0, "end": 8}, {"field": "statement", "start": 8, "end": len(SCRIPT)}]
    key = {"item_id": item_id(0), "question": "label", "run_id": f"why {LINK}"}
    said = {"label": OPTIONS[0], "label_probs": [0.75, 0.25]}
    tried = [
        {**key, "condition": condition, "method": "leave_one_out", "operator": "mask", "k": k, **said}
        for condition in ("without_top", "only_top", "without_evidence", "only_evidence")
        for k in ((1, 2) if condition.endswith("top") else (-1,))
    ]
    rows = [
        {**key, **said},
        {**key, "condition": "empty", "operator": "mask", "label": OPTIONS[1], "label_probs": [0.125, 0.875]},
        {**key, "condition": "rationale", "method": "leave_one_out", "words": words, "word_scores": [-0.5, 1.0],
         "target": LINK},
        {**key, "condition": "rationale", "method": "human", "words": words,
         "evidence": [{**words[0], "set": 0}]},
        *tried,
    ]  # fmt: skip
    text = "".join(json.dumps({"label": None, "label_probs": None, **row}) + "\n" for row in rows)
    (example / "why.jsonl").write_text(text)
    test = open_page("browse", "why.jsonl", item=item_id(0))
    assert not test.exception
    listed = dict(zip(test.dataframe[0].value["item_id"], test.dataframe[0].value[f"why {LINK}"], strict=True))
    assert listed.get(item_id(0), OPTIONS[0]) == OPTIONS[0]  # its answer, not one without some words
    marked = [h.value for h in test.get("html") if "<mark" in h.value]
    assert len(marked) == 2  # one text per method
    assert all("<script" not in each and "&lt;script&gt;" in each for each in marked)
    by_score = next(each for each in marked if "0.28" in each)
    assert "rgba(238, 119, 51, 0.28)" in by_score  # -.5 of the largest, against the label
    assert "rgba(68, 119, 170, 0.55)" in by_score
    assert sum("border-bottom: 2px" in each for each in marked) == 1
    assert f"leave one out · of {LINK}" in texts(test)
    steps = next(table for table in tables(test) if table[0][0] == "method")
    assert ["(no word at all)", "mask", f"{OPTIONS[1]} (0.88)", ""] in steps
    assert ["leave_one_out", "mask", "ethical (0.75)", "ethical (0.75)"] in steps
    cards = [each for each in texts(test) if each.startswith(f"why {LINK}")]
    assert cards == [
        f"why {LINK}",
        f"why {LINK}: blue speaks for the label, orange against it; underlined words were chosen",
    ]


def test_the_open_item_is_marked_and_named_when_filters_leave_it_out(open_page: Open) -> None:
    rows = open_page("browse", item=item_id(3), split=["test"]).dataframe[0].value
    assert list(rows["item_id"][rows[" "] == "▶"]) == [item_id(3)]
    test = open_page("browse", item=item_id(3), q="number 21 ")
    assert f"{item_id(3)}: not in this list (the filters leave it out)" in texts(test)
    assert not test.exception


def test_searched_text_is_marked_and_stays_text(open_page: Open) -> None:
    test = open_page("browse", item=item_id(0), q="SCRIPT>")
    assert [c.value for c in test.code] == []
    marked = next(h.value for h in test.get("html") if "<mark>" in h.value)
    assert "&lt;<mark>script&gt;</mark>alert(1)&lt;/<mark>script&gt;</mark></div>" in marked


def test_no_data_reaches_a_sink_that_interprets(open_page: Open) -> None:
    for page in PAGES:
        test = open_page(page, "plain.jsonl", "reasons.jsonl", **({"item": item_id(0)} if page == "browse" else {}))
        assert not test.exception
        interpreted = [*test.markdown, *test.caption, *test.header, *test.subheader, *test.error, *test.title]
        for element in interpreted:
            assert "outside.example" not in element.value
            assert "<script" not in element.value


def test_next_and_previous(open_page: Open) -> None:
    test = open_page("browse", split=["test"])
    test.button[1].click().run()
    assert test.text_input(key="item").value == item_id(0)
    test.button[1].click().run()
    assert test.text_input(key="item").value == item_id(3)
    test.button[0].click().run()
    assert test.text_input(key="item").value == item_id(0)


def test_an_unknown_item_is_said(open_page: Open) -> None:
    test = open_page("browse", item="![x](http://outside.example)")
    assert not test.exception
    assert "no item has the id" in test.error[0].value
    assert "![x](" not in test.error[0].value


@pytest.mark.parametrize("page", ["browse", "metrics"])
def test_unreadable_outputs_are_shown(open_page: Open, page: str) -> None:
    test = open_page(page, "broken.jsonl", "absent.jsonl", "reasons.jsonl")
    assert not test.exception
    said = [e.value.replace("\\", "") for e in test.error]
    assert any("broken.jsonl" in e for e in said)
    assert any("absent.jsonl" in e and "found nothing there" in e for e in said)
    assert len(test.dataframe) > 0 or len(tables(test)) > 0


def test_the_same_run_twice_is_shown_once(open_page: Open, example: Path) -> None:
    (example / "again.jsonl").write_bytes((example / "reasons.jsonl").read_bytes())
    test = open_page("browse", "reasons.jsonl", "again.jsonl")
    assert any("was read from" in e.value.replace("\\", "") for e in test.error)


@pytest.mark.parametrize("page", PAGES)
def test_a_folder_that_is_not_there_is_said(open_page: Open, page: str) -> None:
    test = open_page(page, items="nowhere")
    assert not test.exception
    assert "nowhere" in test.error[0].value


def test_outputs_that_do_not_fit_are_said_and_the_others_scored(open_page: Open, example: Path) -> None:
    (example / "strange.jsonl").write_text('{"item_id": "elsewhere", "label": "ethical"}\n', encoding="utf-8")
    test = open_page("metrics", "strange.jsonl", "reasons.jsonl", judgements=False)
    assert not test.exception
    assert any("elsewhere" in e.value for e in test.error)
    assert {r[0] for r in tables(test)[0][1:]} == {"reasons"}


def test_metrics(open_page: Open) -> None:
    test = open_page("metrics", "plain.jsonl", "reasons.jsonl")
    assert not test.exception
    assert not test.error
    parts = ["Scores", "Distributions of votes", "Calibration", "The run as one more annotator", "Answers by label"]
    heads = [*parts, "Reasons", "Confusion matrices", "Comparison", "What the numbers mean"]
    assert [s.value for s in test.subheader] == heads
    head, *rows = tables(test)[0]
    row = dict(zip(head, next(r for r in rows if r[:3] == ["reasons", "all", "accuracy"]), strict=True))
    assert row["value"] == "1.000"
    assert row["interval"].startswith("[0.9")
    assert row["n"] == "40"
    assert row["over"].endswith("groups, Wilson (effective n)") or row["over"].endswith("items, Wilson")
    heads = [t[0] for t in tables(test)]
    assert ["gold \\ predicted", *OPTIONS, "unparsed"] in heads
    assert any("difference" in h for h in heads)
    assert ["name", "meaning"] in heads
    # Every label of an expander is escaped or ours.
    assert not any("outside.example" in e.label for e in test.expander)


def test_the_runs_are_those_of_the_report(open_page: Open) -> None:
    """A run of which nothing was judged is told, as in the report."""
    test = open_page("metrics", "plain.jsonl", "reasons.jsonl")
    assert f"plain {LINK} gave no reasons." in texts(test)
    reasons = next(t for t in tables(test) if any("mar_mean" in r for r in t))
    assert list(dict.fromkeys(r[0] for r in reasons[1:])) == ["reasons", "human"]


def test_every_part_of_the_scores_has_its_tables(open_page: Open) -> None:
    test = open_page("metrics", "plain.jsonl", "reasons.jsonl")
    found = tables(test)
    beside = ["uniform", "corpus mean", "hard majority", "perfect model", "BEST", "share of ceiling", "n"]
    soft = next(t for t in found if t[0][5:12] == beside)
    assert [r[0] for r in soft[1:] if r[1:3] == ["all", "soft_cross_entropy"]] == [
        "reasons"
    ]  # alone with probabilities
    calibration = next(t for t in found if any("ece_majority" in r for r in t))
    ece = next(dict(zip(calibration[0], r, strict=True)) for r in calibration if "ece_majority" in r)
    assert ece["interval"] == "–"
    assert "no interval" in ece["note"]
    people = next(t for t in found if any("kappa_run" in r for r in t))
    assert people[0][3:9] == ["the run", "interval", "people", "interval", "difference", "interval"]
    shares = next(t for t in found if "label" in t[0] and "difference" in t[0])
    assert {r[0] for r in shares[1:]} == {f"plain {LINK}", "reasons"}
    assert {r[2] for r in shares[1:]} == set(OPTIONS)
    # Measures of texts are slow: not on the page.
    assert not any("rouge_l_mean" in r for t in found for r in t)


def test_metrics_without_outputs(open_page: Open) -> None:
    test = open_page("metrics", judgements=False)
    assert texts(test) == ["No outputs to score. Give outputs files after the items folder."]


def test_data_set(open_page: Open) -> None:
    test = open_page("dataset")
    assert not test.exception
    heads = ["Data set", "Audit", "Agreement among annotators", "What the numbers mean"]
    assert [s.value for s in test.subheader] == heads
    facts, found, absent, agreement, names = tables(test)
    assert ["annotators by age_band", f"18-29 1, {SCRIPT} 1"] in facts
    assert ["audit", "failed: leak.exact; accepted: none"] in facts
    assert [r[-1] for r in found[1:]] == [SCRIPT]
    assert [r[0] for r in absent[1:]] == ["label.range"]
    assert [r[agreement[0].index("value")] for r in agreement[1:]] == ["0.400", "–"]
    assert agreement[2][-1] == "undefined: three raters"
    assert [r[0] for r in names[1:]] == ["krippendorff_alpha", "cohen_kappa"]


def test_the_app_starts_on_the_list(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.testing.v1 import AppTest

    monkeypatch.setattr(sys, "argv", ["app.py", str(example / "items")])
    test = AppTest.from_file(str(files("dfar_toolkit._viewer") / "app.py"), default_timeout=60).run()
    assert not test.exception
    assert "120 items, 1 to 50 shown" in texts(test)
    test.switch_page("views/dataset.py").run()
    assert "2 checks, 1 with findings." in texts(test)


def test_filters_on_their_own() -> None:
    listed = pl.DataFrame(
        {
            "statement": ["A.b", "axb", "c"], "label": ["x", "y", None], "split": ["train", "test", "test"],
            "leak_kind": ["near", None, None], "disagreement": [0.5, float("nan"), None],
            "has m": [True, True, None], "answer m": ["x", None, None],
        }
    )  # fmt: skip

    def kept(**wanted: object) -> list[str]:
        return filtered(listed, Filters(**wanted))["statement"].to_list()  # type: ignore[arg-type]

    assert kept() == ["A.b", "axb", "c"]
    assert kept(text="a.B") == ["A.b"]
    assert kept(labels=("y",)) == ["axb"]
    assert kept(leaks=(NO_LEAK,)) == ["axb", "c"]
    assert kept(disagreement=0.1) == ["A.b"]  # neither undefined nor unknown counts as disagreement
    assert kept(wrong_in=("m",)) == ["axb"]  # no label is not the right one; no output is neither
    assert kept(right_in=("m",)) == ["A.b"]


def test_plain_answers_take_the_first_sample_of_the_plain_condition() -> None:
    rows = [
        ("r", "i", "q", "full", "", 0, "cct", "within a test"),
        ("r", "i", "q", "full", "", 1, "", "late"),
        ("r", "i", "q", "full", "", 0, "", "first"),
        ("r", "i", "q", "empty", "", 0, "", "of another condition"),
        ("r", "j", "q", "full", "p", 0, "", "about one annotator"),
        ("r", "k", "z", "full", "", 0, "", "to another question"),
    ]
    names = ["run_id", "item_id", "question", "condition", "annotator_id", "sample", "method", "label"]
    outputs = pl.DataFrame(rows, schema=names, orient="row").with_columns(draw=0)
    assert plain_answers(outputs, "q")["label"].to_list() == ["first"]


def test_labels_of_widgets_are_escaped() -> None:
    assert label("![x](http://a.b/c)\n:red[*y*]") == r"\!\[x\]\(http\:\/\/a\.b\/c\) \:red\[\*y\*\]"


def test_arguments() -> None:
    found = arguments(["--judgements", "j.csv", "--", "-items", "a", "b"])
    assert (str(found.items), [str(p) for p in found.outputs], str(found.judgements)) == ("-items", ["a", "b"], "j.csv")
    with pytest.raises(TableError, match="wants an items folder"):
        arguments([])


def test_the_command_line_is_for_this_machine_only(tmp_path: Path) -> None:
    line = command(tmp_path / "items", [tmp_path / "-o.jsonl"], judgements=tmp_path / "j.csv", port=8765)
    assert line[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(line[4]).name == "app.py"
    assert Path(line[4]).is_file()
    assert {"--server.address=127.0.0.1", "--server.port=8765", "--browser.gatherUsageStats=false"} <= set(line)
    assert [a for a in line if "allowedHosts" in a] == [
        "--server.allowedHosts=localhost",
        "--server.allowedHosts=127.0.0.1",
    ]
    assert arguments(line[line.index("--") + 1 :]).outputs == (tmp_path / "-o.jsonl",)
