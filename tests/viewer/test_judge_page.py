"""The page Judge: blind, in an order of each judge's own, resumed and undone, training and attention, hostile texts."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shown_page import STREAMLIT_WARNINGS, html_of, links_of, query_of, show_page, words_of

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.judge_log import answers_of
from dfar_toolkit.journeys.judge_session import JudgeSession, JudgingRound
from judged_rounds import TRAINING, judging
from viewer_example import LINK, SCRIPT

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

pytestmark = STREAMLIT_WARNINGS
FORM = "dfar_toolkit._viewer.judge_form"


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFAR_VIEWER_SERVED", "1")
    monkeypatch.setattr(f"{FORM}._SHORTEST", 0.0)


class Desk:
    """A round on the page; one call opens a browser of a judge."""

    def __init__(self, patch: pytest.MonkeyPatch, demo: Path, folder: Path, **said: Any) -> None:
        self.folder = judging(folder / "round", **said)
        validity = said.get("round") == "validity"
        self.runs = [] if validity else [demo / "runs" / "with-reasons.jsonl"]
        self._argv = ["--judge", self.folder, demo / "items", *self.runs]
        self._patch, self._items = patch, demo / "items"

    def __call__(self, judge: str = "ann", **query: str | list[str]) -> AppTest:
        return show_page(self._patch, "judge", self._argv, {"judge": judge, **query} if judge else {**query})

    def session(self, judge: str = "ann") -> JudgeSession:
        """What the files say, read anew."""
        return JudgingRound.open(self.folder, self.runs, items=self._items).session(judge)


def blind_on(page: AppTest) -> str:
    found = re.search(r'data-blind="(r\d+)"', html_of(page))
    return found[1] if found else ""


def kept_on(page: AppTest) -> tuple[int, str]:
    found = re.search(r'data-acknowledged="(\d+)" data-kept="(r?\d*)"', html_of(page))
    assert found is not None
    return int(found[1]), found[2]


def press(page: AppTest, kind: str) -> AppTest:
    page.button(key=f"{kind}-{blind_on(page)}").click().run()
    assert not page.exception
    return page


def everything_of(page: AppTest) -> str:
    """All that reaches the browser: HTML, labels, keys, values, the address."""
    return repr(page) + html_of(page) + repr(page.query_params)


def test_without_a_round_the_page_says_how_to_begin_one(monkeypatch: pytest.MonkeyPatch, demo: Path) -> None:
    page = show_page(monkeypatch, "judge", [demo / "items"])
    assert "protocol.yaml" in words_of(page)
    assert "dfar view ITEMS RUNS --judge FOLDER" in words_of(page)


def test_judges_of_the_protocol_choose_their_name(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, judges=["ann", "Bób"])
    page = desk("")
    assert query_of(links_of(page)["Bób"]) == {"judge": ["Bób"]}
    assert not page.text_input
    assert kept_on(desk("Bób")) == (0, "")
    stranger = desk("mallory")
    assert "not among them" in stranger.error[0].value.replace("\\", "")
    assert set(links_of(stranger)) == {"ann", "Bób"}


def test_whoever_comes_types_a_name(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    page = Desk(monkeypatch, demo, tmp_path)("")
    page.text_input(key="judge-name").set_value("  Ann Lee ").run()
    assert "".join(page.query_params["judge"]) == "Ann Lee"
    assert blind_on(page)
    assert "Ann Lee" in words_of(page)


def test_nothing_tells_whose_the_reason_is(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    checks = [{"statement": "I stole bikes.", "label": "unethical", "reason": "Bananas.", "value": "bad"}]
    desk = Desk(monkeypatch, demo, tmp_path, reasons_per_judge=9, attention={"every": 3, "items": checks})
    page = desk()
    shapes = set()
    for _ in range(10):
        assert not re.search(r"with-reasons|human|everyday|attention|gold|(?<![a-z])run(?![a-z])", everything_of(page))
        shapes.add(re.sub(r'(<div class="d-text[^>]*>).*?(</div>)', r"\1\2", html_of(page), flags=re.DOTALL).count("<"))
        press(page, "accept")
    assert len(shapes) <= 2  # the first answer brings a link back; else an attention check looks like any other
    assert {row[0] for row in answers_of(desk.folder).frame.select("role").unique().rows()} == {"judging", "attention"}
    assert "All 10 are answered" in words_of(page)


def test_each_judge_has_an_order(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    orders = []
    for judge in ("ann", "bob"):
        page, seen = desk(judge), []
        for _ in range(4):
            seen.append(blind_on(page))
            press(page, "accept")
        orders.append(seen)
    assert orders[0] != orders[1]


def test_an_answer_is_acknowledged_once_it_is_kept(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    page = desk()
    first = blind_on(page)
    press(page, "reject")
    assert kept_on(page) == (1, first)
    assert "1 of 112" in words_of(page)
    second = blind_on(page)
    with monkeypatch.context() as broken:

        def fails(*_: object, **__: object) -> None:
            raise TableError("ann.jsonl: this answer could not be kept (No space left on device).")

        broken.setattr("dfar_toolkit.files.judge_log.JudgeLog.record", fails)
        press(page, "accept")
        assert "not kept" in page.error[0].value
        assert (kept_on(page), blind_on(page)) == ((1, first), second)
    press(page, "skip")
    assert not page.error
    assert "2 of 112 , 1 skipped" in words_of(page)
    assert [g.value for g in desk.session().given()] == ["bad", None]


def test_a_click_too_many_counts_once(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    monkeypatch.setattr(f"{FORM}._SHORTEST", 60.0)
    page = desk()
    press(page, "accept")  # sooner than anybody reads
    assert kept_on(page) == (0, "")
    monkeypatch.setattr(f"{FORM}._SHORTEST", 0.0)
    calls: list[tuple[Any, ...]] = []
    record = JudgeSession.record

    def twice(self: JudgeSession, *given: Any, **named: Any) -> Any:
        calls.append(given)
        record(self, *given, **named)
        return record(self, *given, **named)  # sent again with the token of the same page

    monkeypatch.setattr(JudgeSession, "record", twice)
    press(page, "accept")
    assert kept_on(page)[0] == 1
    assert len(calls) == 1
    lines = next((desk.folder / "answers").glob("*.jsonl")).read_text().splitlines()
    assert len(lines) == 1


def test_two_tabs_and_a_reload_go_on_at_the_same_place(
    monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path
) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    one, other = desk(), desk()
    first = blind_on(one)
    assert blind_on(other) == first
    press(one, "accept")
    press(other, "reject")  # the same reason, still shown in the other tab: the last word counts
    assert blind_on(one) == blind_on(other) == blind_on(desk())
    assert kept_on(desk()) == (1, first)
    assert [(g.blind_id, g.value) for g in desk.session().given()] == [(first, "bad")]


def test_error_types_and_a_note_go_with_the_answer(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, error_types=["circular", "off *topic*", "unclear"])
    page = desk()
    assert 'data-key="2"' in html_of(page)
    wrong = query_of(links_of(page)["off *topic* 2"])["wrong"][0]
    page = desk(wrong=wrong)
    both = query_of(links_of(page)["unclear 3"])["wrong"][0]
    page = desk(wrong=both)
    assert query_of(links_of(page)["✓ off *topic* 2"])["wrong"] == [f"{blind_on(page)}.2"]
    first = blind_on(page)
    page.text_area(key=f"note-{first}").set_value("it says\nnothing ").run()
    press(page, "reject")
    assert "wrong" not in page.query_params
    given = desk.session().given()[0]
    assert given[1:4] == ("bad", ("off *topic*", "unclear"), "it says\nnothing")
    page = desk(wrong=f"{blind_on(page)}.0.77.x.9999999999")
    assert "✓ circular 1" in links_of(page)
    press(page, "accept")  # nothing is wrong with what is accepted
    assert desk.session().given()[1].error_types == ()
    page = desk(reason=first)
    assert page.text_area(key=f"note-{first}").value == "it says\nnothing"
    assert {"✓ off *topic* 2", "✓ unclear 3", "circular 1"} <= set(links_of(page))


def test_back_and_on_and_another_answer(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    page = desk()
    seen = []
    for kind in ("accept", "reject", "skip"):
        seen.append(blind_on(page))
        press(page, kind)
    assert query_of(links_of(page)["← Answer before"])["reason"] == [seen[2]]
    page = desk(reason=seen[1])
    assert query_of(links_of(page)["← Answer before"])["reason"] == [seen[0]]
    assert query_of(links_of(page)["On →"])["reason"] == [seen[2]]
    assert "another answer changes it" in words_of(page)
    press(page, "accept")
    assert "reason" not in page.query_params
    assert kept_on(page) == (3, seen[1])
    assert [g.value for g in desk.session().given()] == ["good", None, "good"]
    page = desk(reason="r9999")
    assert "no reason" in page.error[0].value
    assert blind_on(page) == blind_on(desk())


def test_undo_takes_back_and_keeps_what_was_written(
    monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path
) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, error_types=["circular", "unclear"])
    page = desk()
    assert not [b for b in page.button if b.label == "Undo"]
    first = blind_on(page)
    page = desk(wrong=f"{first}.1")
    page.text_area(key=f"note-{first}").set_value("a note").run()
    press(page, "reject")
    page.button(key="undo-1").click().run()
    assert (blind_on(page), kept_on(page)) == (first, (0, ""))
    assert page.text_area(key=f"note-{first}").value == "a note"
    assert "✓ unclear 2" in links_of(page)
    press(page, "accept")
    assert [(g.value, g.note) for g in desk.session().given()] == [("good", "a note")]
    assert kept_on(page) == (1, first)


def test_training_comes_first_with_feedback(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, training=TRAINING, instructions="Read <first>.")
    page = desk()
    assert "Practice 1 of 2" in words_of(page)
    assert '<details class="j-instructions" open>' in html_of(page)
    assert "Read <first>." in words_of(page)
    first = blind_on(page)
    press(page, "reject")
    assert "✗ Not quite. The answer is good ; you said bad ." in words_of(page)
    assert "It is about it." in words_of(page)
    assert not page.button
    assert "Not quite" in words_of(desk(reason=first))  # after a reload too
    page = desk(**query_of(links_of(page)["Go on →"]) | {"judge": "ann"})
    assert "Practice 2 of 2" in words_of(page)
    press(page, "reject")
    assert "✓ So it is." in words_of(page)
    page = desk()
    assert "0 of 112" in words_of(page)
    assert "open" not in re.findall(r'<details class="j-instructions"([^>]*)>', html_of(page))[0]
    assert not [b for b in page.button if b.label == "Undo"]


def test_the_end_leads_back_to_what_was_skipped(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, reasons_per_judge=2)
    page = desk()
    skipped = blind_on(page)
    press(press(page, "skip"), "accept")
    assert "All 2 are answered. Thank you." in words_of(page)
    assert query_of(links_of(page)[skipped])["reason"] == [skipped]
    page = press(desk(reason=skipped), "accept")
    assert "You can close this page" in words_of(page)


def test_a_protocol_that_cannot_be_is_one_line(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    page = Desk(monkeypatch, demo, tmp_path, scale=["good"])()
    assert "protocol.yaml: scale must be two different values" in words_of(page)
    assert str(tmp_path) not in everything_of(page)
    desk = Desk(monkeypatch, demo, tmp_path / "b")
    desk._argv.append(tmp_path / "secret-model.jsonl")  # a run that is not there: its name is not for judges
    page = desk()
    assert "cannot be opened" in words_of(page)
    assert "secret-model" not in everything_of(page)
    desk = Desk(monkeypatch, demo, tmp_path / "c")
    press(desk(), "accept")
    judging(desk.folder, question="Another?")
    assert "1 answers were given under another protocol" in words_of(desk())


def test_hostile_words_stay_words(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    texts = {"statement": f"{SCRIPT} statement", "label": f"{LINK} \u202elabel", "reason": f"</div>{SCRIPT}\n=cmd()|A1"}
    desk = Desk(
        monkeypatch, demo, tmp_path, training=[{**texts, "value": f"{LINK} yes", "why": SCRIPT}], question=SCRIPT,
        scale=[f"{LINK} yes", f"{SCRIPT} no"], error_types=[SCRIPT, LINK], instructions=LINK, judges=[f"ann {SCRIPT}"],
    )  # fmt: skip
    ann = f"ann {SCRIPT}"
    for page in (desk(""), desk(ann), desk(LINK), press(desk(ann), "reject"), desk(ann)):
        assert "<script" not in html_of(page)
        assert "<img" not in html_of(page)
        for words in [b.label for b in page.button] + [e.value for e in page.error]:
            assert not re.search(r"(?<!\\)[<\[!]", words)
    page = desk(ann, reason=blind_on(desk(ann)))
    assert SCRIPT in words_of(desk(""))
    assert SCRIPT in words_of(page)


def test_the_protocol_decides_what_stands_beside(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    said = {"shown": ["statement", "label", "reason", "gold", "human_reasons"], "human_reasons": 2}
    page = Desk(monkeypatch, demo, tmp_path, **said, blinded=False)()
    for words in ("Other people's reasons, to compare", "What most people said", "Given by"):
        assert words in words_of(page)


def test_a_validity_round_has_its_own_words_and_keys(
    monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path
) -> None:
    desk = Desk(monkeypatch, demo, tmp_path, round="validity")
    page = desk()
    assert "Could a person who understood the statement" in words_of(page)
    assert [b.label for b in page.button] == ["voice", "error", "Skip"]
    assert [b.proto.shortcut for b in page.button] == ["v", "e", "s"]
    press(page, "reject")
    assert desk.session().given()[0].value == "error"


def test_answers_are_quick(monkeypatch: pytest.MonkeyPatch, demo: Path, tmp_path: Path) -> None:
    desk = Desk(monkeypatch, demo, tmp_path)
    opened: list[float] = []
    whole = JudgingRound.open

    def counted(*given: Any, **named: Any) -> JudgingRound:
        opened.append(time.monotonic())
        return whole(*given, **named)

    monkeypatch.setattr(JudgingRound, "open", counted)
    page = desk()
    for _ in range(3):
        press(page, "accept")
    desk("bob")
    assert len(opened) == 1  # read once, whatever is answered and whoever comes
