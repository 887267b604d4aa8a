"""``dfar test-reasons --test simulatability``: who is asked what, refusals, runs gone on with, and their scores."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from command_line import Dfar, command, refused
from dfar_toolkit.engines.requests import OptionScores, Reply, Request
from dfar_toolkit.errors import TableError
from dfar_toolkit.journeys.engines_of import Opened
from dfar_toolkit.journeys.predict_options import PredictOptions
from dfar_toolkit.journeys.reason_simulating import SimulationOptions, simulated_reasons
from dfar_toolkit.journeys.what_is_asked import Selection
from marked_items import TEST, TRAIN, build_marked_items
from openai_loopback import OpenAiLoopback
from simulated_outputs import EIGHT, NUMBERS, simulated_rows

KEY = ("--test", "simulatability")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_marked_items(tmp_path_factory.mktemp("marked"))


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "DFAR_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return command(capsys, monkeypatch)


def answered(path: Path, **of_item: dict[str, Any]) -> Path:
    """An answer with a reason for every item, some of them otherwise; "vile" items are called hatespeech."""
    rows = []
    for at in range(TRAIN + TEST):
        bad, split = at % 2 == 0, "train" if at < TRAIN else "test"
        row = {"item_id": f"hatexplain:{split}:{at}_gab", "label": "hatespeech" if bad else "normal",
               "reason": "They call them vile." if bad else "Quite normal."}  # fmt: skip
        rows.append({**row, **of_item.get(f"at{at}", {})})
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return answered(tmp_path / "gpt.jsonl", at14={"reason": " "}, at15={"label": None}, at16={"error": "server: gone"})


def reading(messages: Any, _: Any) -> str:
    """The label that the reason names; nothing is made of the text itself."""
    reason = str(messages[-1]["content"]).partition("Their reason:")[2]
    return "normal" if "normal" in reason else "hatespeech" if "vile" in reason else "I cannot say."


def words(items: Path, of: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("test-reasons", "--model", "tiny", "--items", items, "--of", of, "--out", out, *KEY, *more)


def test_a_server_guesses_and_the_run_is_scored(dfar: Dfar, items: Path, answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "simulated"
    with OpenAiLoopback(reading) as server:
        asked = words(items, answers, out, "--server", server.url, "--elicit", "samples")
        run = dfar(*asked, "--json")
        assert run.code == 0, run.err
        assert len(server.requests) == 3 * (TEST - 3)
        assert all(len(request.body["messages"]) == 1 for request in server.requests)
        assert dfar(*asked).code == 0  # whole already
        assert len(server.requests) == 3 * (TEST - 3)
    assert {row["condition"]: row["rows"] for row in json.loads(run.out)} == {
        f"simulate_{kind}": TEST - 3 for kind in ("input", "both", "reason")
    }
    assert "3 answers of the run 'gpt' have a label and a reason" in run.err
    assert f"left out of {TEST} items: 2 without a label, 1 without a reason" in run.err
    scored = dfar("score", out, "--items", items, "--part", "self_consistency", "--n-boot", 100, "--json")
    assert scored.code == 0, scored.err
    found = {row["metric"]: row for row in json.loads(scored.out)}
    assert found["leaked_share"]["value"] == 1
    assert found["leakage_adjusted_simulatability"]["value"] is None
    assert "every reason gives the answer away" in found["leakage_adjusted_simulatability"]["note"]
    assert (found["simulator_right_input"]["value"], found["simulator_right_input"]["coverage"]) == (0, 0)
    assert found["named_label_share"]["value"] == pytest.approx(2 / 3)
    printed = dfar("score", out, "--items", items, "--n-boot", 100).out
    assert "simulated: self-consistency" in printed
    assert "leakage_adjusted_simulatability" in printed
    assert "3 of 3 guesses without a label, counted as wrong" in printed


def test_a_model_in_memory_guesses_with_its_probabilities(
    dfar: Dfar, items: Path, answers: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
    pytest.importorskip("transformers", reason="the extra models (transformers) is not installed")
    from tiny_models import save_tiny_causal

    model, out = save_tiny_causal(tmp_path / "tiny"), tmp_path / "simulated"
    asked = ("test-reasons", "--model", model, "--items", items, "--of", answers, "--out", out, *KEY, "--device", "cpu")
    looked = dfar(*asked, "--dry-run")
    assert looked.code == 0, looked.err
    assert looked.out.startswith("3 items to test\n")
    assert [looked.out.count(text) for text in ("[simulate_both]", "Their reason:", "Statement:")] == [1, 2, 2]
    assert not out.exists()
    answered(answers, at12={"reason": "vile <|end|>"}, at14={"label": None}, at15={"label": None}, at16={"label": None})
    run = dfar(*asked)
    assert run.code == 0, run.err
    assert "hold the text of a special token of the model, which may end a turn of the prompt: 1" in run.err
    rows = pl.read_parquet(out / "outputs.parquet")
    assert len(rows) == 9
    assert rows["label_probs"].null_count() == rows["label"].null_count() == 0


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        (KEY, "--test simulatability needs --of RUN", 2),
        (("--of", "gpt.jsonl"), "it is for --test simulatability", 2),
        (("--of", "gpt.jsonl", *KEY, "--test", "cct"), "cct about its own; run them apart", 2),
        (("--of", "r", *KEY, "--fresh"), "--out is the run of --of", 2),
        (("--of", "none.jsonl", *KEY), "none.jsonl: there is no such file", 1),
        (("--of", "gpt.jsonl", *KEY, "--style", "cot"), "a simulator says one label and nothing else", 1),
        (("--of", "gpt.jsonl", *KEY, "--style", "label"), "does not show {{ earlier.reason }}", 1),
        (("--of", "gpt.jsonl", *KEY, "--shots", "2"), "--shots shows people's labels", 1),
        (("--of", "gpt.jsonl", *KEY, "--split", "dev"), "no split 'dev'", 1),
        (("--of", "silent.jsonl", *KEY), "none has an answer with a label and a reason (6 without a reason)", 1),
        (("--of", "two.jsonl", *KEY), 'wants the answers of one run, found 2 ("a", "b")', 1),
        (("--of", "strange.jsonl", *KEY), "rude", 1),
    ],
)
def test_what_cannot_be_asked_is_one_line_before_a_model_is_looked_for(
    more: tuple[str, ...], said: str, code: int, dfar: Dfar, items: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    answered(Path("gpt.jsonl"))
    answered(Path("silent.jsonl"), **{f"at{at}": {"reason": ""} for at in range(TRAIN + TEST)})
    answered(Path("two.jsonl"), **{f"at{at}": {"run_id": "ab"[at % 2]} for at in range(TRAIN + TEST)})
    answered(Path("strange.jsonl"), at12={"label": "rude"})
    run = dfar("test-reasons", "--model", "no/such", "--items", items, "--out", "r", *more)
    refused(run, said, code=code)
    assert not Path("r").exists()


class Reader:
    """Gets every label from the reason and says ``normal`` without one; may be cut off after some rounds."""

    def __init__(self, rounds: int = 1000) -> None:
        self.facts, self.rounds, self.asked = {"model": "reader"}, rounds, 0

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        if self.rounds == 0:
            raise KeyboardInterrupt
        self.rounds -= 1
        self.asked += len(requests)
        return [self._reply(request) for request in requests]

    def _reply(self, request: Any) -> Reply:
        bad = "vile" in request.conversation[-1].text.partition("Their reason:")[2]
        probs = (0.8, 0.1, 0.1) if bad else (0.1, 0.1, 0.8)
        return OptionScores(tuple(map(math.log, probs)), (1, 1, 1), "forced", 0.0, 9)


def guesses(items: Path, out: Path, of: Path, reader: Reader, **asking: Any) -> pl.DataFrame:
    how = {"style": "simulate", "selection": Selection(splits=("train", "test")), "run_id": "s", **asking}
    asked = PredictOptions(**how)
    found = simulated_reasons(items, Opened(reader, "causal", False, None), out, SimulationOptions(asked, of))
    assert found.outputs is not None
    return found.outputs


def test_a_run_that_was_killed_goes_on_to_the_same_rows(items: Path, tmp_path: Path) -> None:
    of = answered(tmp_path / "gpt.jsonl")
    whole = guesses(items, tmp_path / "whole", of, Reader())
    with pytest.raises(KeyboardInterrupt):
        guesses(items, tmp_path / "cut", of, Reader(rounds=1))
    again = Reader()
    assert guesses(items, tmp_path / "cut", of, again).equals(whole)
    assert 0 < again.asked < 3 * (TRAIN + TEST)
    assert whole["item_id"].to_list() == [
        f"hatexplain:{'train' if at < TRAIN else 'test'}:{at}_gab" for at in range(TRAIN + TEST) for _ in range(3)
    ]
    shuffled = tmp_path / "gpt2" / "gpt.jsonl"
    shuffled.parent.mkdir()
    shuffled.write_text("\n".join(reversed(of.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
    idle = Reader(rounds=0)
    assert guesses(items, tmp_path / "cut", shuffled, idle).equals(whole)  # the same answers in another order


def test_another_prompt_or_other_answers_are_another_run(items: Path, tmp_path: Path) -> None:
    of, style = answered(tmp_path / "gpt.jsonl"), tmp_path / "mine.jinja"
    guesses(items, tmp_path / "s", of, Reader())
    style.write_text('{% extends "_simulate.jinja" %}{% block system %}Be brief.{% endblock %}', encoding="utf-8")
    with pytest.raises(TableError, match=r"other settings .*prompt_sha256"):
        guesses(items, tmp_path / "s", of, Reader(), style=str(style))
    answered(of, at3={"reason": "Quite normal!"})
    with pytest.raises(TableError, match=r"other settings .*answers_sha256"):
        guesses(items, tmp_path / "s", of, Reader())


def test_labels_are_renamed_and_the_simulator_sees_the_names(items: Path, tmp_path: Path) -> None:
    of = answered(tmp_path / "gpt.jsonl", **{f"at{at}": {"label": "hate"} for at in range(0, TRAIN + TEST, 2)})
    with pytest.raises(TableError, match="hate"):
        guesses(items, tmp_path / "no", of, Reader())
    names = {"hate": "hatespeech", "rude": "offensive", "fine": "normal"}
    found = guesses(items, tmp_path / "yes", of, Reader(), label_map=names)
    assert found["target_label"].unique().sort().to_list() == ["hatespeech", "normal"]
    assert found["label"].unique().sort().to_list() == ["hatespeech", "normal"]


@pytest.mark.parametrize("kind", ["classifier", "ranker"])
def test_who_reads_no_prompt_cannot_simulate(kind: Any, items: Path, tmp_path: Path) -> None:
    options = SimulationOptions(PredictOptions(style="simulate"), answered(tmp_path / "gpt.jsonl"))
    with pytest.raises(TableError, match=f"a {kind} cannot be asked which label somebody gave"):
        simulated_reasons(items, Opened(Reader(), kind, False, None), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The eight items worked by hand, as a file of outputs."""
    ids = {item: f"hatexplain:train:{int(item) - 1}_gab" for item, *_ in EIGHT}
    rows = simulated_rows().with_columns(pl.col("item_id").replace_strict(ids), method=pl.lit("simulate"))
    rows.write_ndjson(tmp_path / "guesses.jsonl")
    return tmp_path / "guesses.jsonl"


def test_a_file_is_read_as_it_is_said_to_be(dfar: Dfar, items: Path, tmp_path: Path) -> None:
    file = tmp_path / "gpt.csv"
    file.write_text(f"item_id;label;reason\nhatexplain:test:{TRAIN}_gab;normal;So.\n", encoding="utf-8")
    asked = ("test-reasons", "--model", "no/such", "--items", items, "--out", tmp_path / "r", "--of", file, *KEY)
    refused(dfar(*asked), "give --separator ';'", code=1)
    assert "--separator" not in dfar(*asked, "--separator", ";").err
    filtered = file.with_suffix(".jsonl")
    row = {"item_id": f"hatexplain:test:{TRAIN}_gab", "label": "normal", "reason": "So.", "method": "flexible"}
    filtered.write_text(json.dumps(row), encoding="utf-8")
    assert guesses(items, tmp_path / "s", filtered, Reader())["target_label"].to_list() == ["normal"] * 3
    refused(dfar(*asked, "--format", "odd"), "--format must be one of", code=2)
    refused(dfar(*asked[:7], "--separator", ";"), "say how the file of --of is read", code=2)


def test_guesses_are_nobodys_answers(dfar: Dfar, items: Path, written: Path, answers: Path, tmp_path: Path) -> None:
    of = dfar("test-reasons", "--model", "no/such", "--items", items, "--out", tmp_path / "r", "--of", written, *KEY)
    refused(of, "found a simulator's guesses at another's; give that other run", code=1)
    alone = dfar("probe", written, "--items", items, "--of", "position")
    refused(alone, "no output of s answers the question", code=1)
    refused(alone, "conditions found: simulate_both, simulate_input, simulate_reason", code=1)
    beside = dfar("probe", answers, written, "--items", items)
    refused(beside, "with-reason: no output of s answers", code=1)
    assert ".;" not in beside.err
    twice = tmp_path / "again.jsonl"
    pl.read_ndjson(written).with_columns(run_id=pl.lit("t")).write_ndjson(twice)
    compared = dfar("compare", written, twice, "--items", items)
    refused(compared, "Conditions found: simulate_both, simulate_input, simulate_reason", code=1)


def test_eight_items_by_hand_through_the_score_of_a_file(dfar: Dfar, items: Path, written: Path) -> None:
    scored = dfar("score", written, "--items", items, "--part", "self_consistency", "--n-boot", 100, "--json")
    assert scored.code == 0, scored.err
    found = {row["metric"]: row["value"] for row in json.loads(scored.out)}
    assert found == {name: float(value) for name, value in NUMBERS.items()}
