"""The command predict: exit codes, one line for each mistake, what it prints where, and scoring what it wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from command_line import Dfar, command, refused
from openai_loopback import Fault, OpenAiLoopback


def reasoned(messages: Any, body: Any) -> str:
    return "ethical. It is fair."


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "DFAR_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return command(capsys, monkeypatch)


@pytest.fixture
def server() -> Iterator[OpenAiLoopback]:
    with OpenAiLoopback(reasoned, logprobs=lambda *_: [("eth", -0.5), ("un", -1.5)]) as found:
        yield found


def words(demo: Path, server: OpenAiLoopback, out: Path, *more: object) -> tuple[object, ...]:
    return ("predict", "--model", "tiny", "--server", server.url, "--items", demo / "items", "--out", out, *more)


def test_styles_are_listed_without_a_model(dfar: Dfar, tmp_path: Path) -> None:
    run = dfar("predict", "--model", "none", "--items", "none", "--out", tmp_path / "x", "--style", "list")
    assert run.code == 0
    named = [line.split()[0] for line in run.out.splitlines() if line.strip()]
    assert {"label", "label_and_reason", "cot", "rephrase", "aggregate", "shares"} <= set(named)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (("--orders", "sideways"), "--orders must be one of none, reverse, rotations, all, found 'sideways'", 2),
        (("--calibrate", "yes"), "--calibrate must be one of none, contextual, batch", 2),
        (("--elicit", "guess"), "--elicit must be one of forced, samples, found 'guess'", 2),
        (("--spellings", "odd"), "--spellings must be one of joined, all", 2),
        (("--dtype", "int3"), "--dtype must be one of auto, fp32", 2),
        (("--prices", "1"), "--prices wants two numbers, as 0.15,0.60, found '1'", 2),
        (("--prices", "1,-2"), "--prices wants two numbers of 0 or more", 2),
        (("--samples", "0"), "--samples", 2),
        (("--limit", "0"), "--limit", 2),
        (("--describe-by", "age_band"), "give --as-annotators with it", 2),
        (("--revision", "main"), "a server knows its model by the name alone", 2),
        (("--map", "a"), "--map", 2),
        (("--style", "nosuch"), "unknown style 'nosuch'", 1),
        (("--style", "aggregate"), "give --samples 2 or more", 1),
        (("--split", "dev"), "no split 'dev'; there are train, test", 1),
        (("--question", "q"), "no question 'q'", 1),
        (("--map", "a=b"), "--map carries to 'b', which is no option", 1),
        (("--key-from", "NO_SUCH_KEY"), "NO_SUCH_KEY should hold the server's key; it is empty", 1),
        (("--config", "other"), "other", 1),
        (("--server", "ftp://x"), "--server wants an address", 2),
    ],
)
def test_a_wrong_option_is_one_line(
    given: tuple[str, ...], said: str, code: int, dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path
) -> None:
    refused(dfar(*words(demo, server, tmp_path / "run", *given)), said, code=code)
    assert server.requests == []
    assert not (tmp_path / "run").exists()


def test_files_and_processes_that_are_not_there(
    dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    refused(dfar(*words(demo, server, tmp_path / "file")), "--out wants a folder, found the file", code=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    refused(dfar(*words(demo, server, tmp_path / "mine")), "found other files (such as 'notes.txt')")
    refused(dfar(*words(tmp_path / "none", server, tmp_path / "run")), str(tmp_path / "none"))
    (tmp_path / "a").mkdir()
    for place in (tmp_path, tmp_path / "a"):
        (place / "own.jinja").write_text('{% extends "label.jinja" %}')
    both = ("--style", tmp_path / "own.jinja", "--style", tmp_path / "a" / "own.jinja")
    refused(dfar(*words(demo, server, tmp_path / "run", *both)), "two --style files have one name", code=2)
    monkeypatch.setenv("RANK", "1")
    refused(dfar(*words(demo, server, tmp_path / "run")), "RANK is set in the environment and WORLD_SIZE is not")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(dfar(*words(demo, server, tmp_path / "run", "--fresh")), "--fresh works with one process; found 2")
    assert server.requests == []


def test_a_model_that_is_not_there(dfar: Dfar, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = ("predict", "--items", demo / "items", "--out", tmp_path / "run", "--model")
    refused(dfar(*given, tmp_path / "none"), "none")
    (tmp_path / "empty").mkdir()
    refused(dfar(*given, tmp_path / "empty"), "empty")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_asks_nothing_and_writes_nothing(
    dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path
) -> None:
    given = ("--dry-run", "--style", "label", "--style", "cot", "--limit", "7")
    run = dfar(*words(demo, server, tmp_path / "run", *given))
    assert run.code == 0, run.err
    assert run.out.startswith("label:\n7 questions to ask, ")
    assert "cot:\n7 questions to ask, " in run.out
    assert run.out.count("Statement: ") == 2
    assert server.requests == []
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_orders_and_samples(dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path) -> None:
    given = ("--dry-run", "--elicit", "samples", "--samples", 3, "--orders", "all", "--limit", 7)
    run = dfar(*words(demo, server, tmp_path / "run", "--style", "label", *given))
    assert run.out.startswith("label:\n7 questions to ask, each in 2 orders of the options, 3 answers to each, "), (
        run.err
    )


def test_nothing_in_a_text_steers_the_terminal(dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text('{% extends "label.jinja" %}{% set task = "\x1b]0;title\x07 one of these:" %}')
    run = dfar(*words(demo, server, tmp_path / "run", "--dry-run", "--style", own))
    assert run.code == 0, run.err
    assert "\\x1b]0;title\\x07 one of these:" in run.out
    assert "\x1b" not in run.out


def test_several_styles_are_a_run_each_and_score_reads_them(
    dfar: Dfar, demo: Path, server: OpenAiLoopback, tmp_path: Path
) -> None:
    given = ("--style", "label", "--style", "label_and_reason", "--prices", "1,2", "--run-id", "tiny", "--json")
    run = dfar(*words(demo, server, tmp_path / "runs", *given))
    assert run.code == 0, run.err
    rows = json.loads(run.out)
    assert [(row["style"], row["rows"], row["with label"], row["failed"]) for row in rows] == [
        ("label", 60, 60, 0), ("label_and_reason", 60, 60, 0),
    ]  # fmt: skip
    assert "label: 60 of 60" in run.err
    assert "2 items have no gold label" in run.err
    assert server.asked_twice() == []
    for name, n in (("label", 60), ("label_and_reason", 120)):
        folder = tmp_path / "runs" / name
        assert sorted(p.name for p in folder.iterdir()) == [
            "answers.parquet", "outputs.parquet", "run.json", "settings.json",
        ]  # fmt: skip
        usage = json.loads((folder / "run.json").read_text())["usage"]
        # the first request of all finds out whether the server tells whole options
        assert usage["answered"] == n
        assert usage["cost"] == pytest.approx((usage["tokens_in"] + 2 * usage["tokens_out"]) / 1e6)
        assert pl.read_parquet(folder / "outputs.parquet")["run_id"].unique().to_list() == [f"tiny-{name}"]
    scored = dfar("score", tmp_path / "runs" / "label_and_reason", "--items", demo / "items", "--json", "--n-boot", 100)
    assert scored.code == 0, scored.err
    accuracy = [row for row in json.loads(scored.out) if row["metric"] == "accuracy"]
    assert accuracy
    assert 0 < accuracy[0]["value"] < 1
    text = dfar(*words(demo, server, tmp_path / "runs", *given[:-1]))  # whole already
    assert text.code == 0
    header, *lines = [line.split() for line in text.out.splitlines() if line.strip(" ─")]
    assert header == ["run", "style", "rows", "with", "label", "with", "probabilities", "failed"]
    numbers = [cells[-4:] for cells in lines if cells[-4:] == ["60", "60", "60", "0"]]  # long paths are folded
    assert len(numbers) == 2


def test_a_refused_key_is_one_line_and_exit_1(
    dfar: Dfar, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-wrong")
    with OpenAiLoopback(reasoned, api_key="right") as server:
        given = words(demo, server, tmp_path / "run", "--style", "shares", "--key-from", "MY_KEY", "--concurrency", "1")
        refused(dfar(*given), server.url.removesuffix("/v1"), "does not accept the key")
        assert len(server.requests) == 1
        monkeypatch.setenv("MY_KEY", "right")
        run = dfar(*given, "--json")
    assert run.code == 0, run.err
    assert json.loads(run.out)[0]["rows"] == 60
    assert "no shares could be read from 60 of 60 texts" in run.err


def test_what_failed_is_counted_and_asked_again(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    faults = [Fault("status", status=400, message="no", matching="wedding", times=99)]
    with OpenAiLoopback(reasoned, faults=faults) as server:
        given = words(demo, server, tmp_path / "run", "--style", "label_and_reason", "--elicit", "samples", "--json")
        first = dfar(*given)
        failed = json.loads(first.out)[0]["failed"]
        assert first.code == 0
        assert failed >= 1
        assert f"{failed} of 60 rows have no answer ({failed} refused); --retry-failed asks them again" in first.err
        assert f"{failed} failed" in first.err
        faults[0].times = 0
        refused(dfar(*given, "--seed", "1"), "seed: 0 there, 1 now", "--fresh")
        before = len(server.requests)
        again = dfar(*given, "--retry-failed")
        assert len(server.requests) == before + failed
        assert json.loads(again.out)[0]["failed"] == 0
        fresh = dfar(*given, "--seed", "1", "--fresh", "--limit", "5")
        assert json.loads(fresh.out)[0]["rows"] == 5
