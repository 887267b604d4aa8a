"""The command probe: tables and JSON on stdout, what was left out on stderr, exit codes; own keys through score."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from dfar_toolkit.cli import main
from dfar_toolkit.cli.probing import _NEEDS
from dfar_toolkit.journeys.probes import PROBES


class Run(NamedTuple):
    code: int
    out: str
    err: str


Dfar = Callable[..., Run]


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    def run(*words: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["dfar", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Run(int(stopped.value.code or 0), printed.out, printed.err)

    return run


def test_the_command_knows_every_probe() -> None:
    assert list(_NEEDS) == list(PROBES)


def test_everything_that_the_demo_allows(dfar: Dfar, demo: Path) -> None:
    runs = sorted((demo / "runs").iterdir())
    words = ["probe", *runs, "--items", demo / "items", "--judgements", demo / "judgements.csv", "--n-boot", 100]
    run = dfar(*words, "--by", "gender")
    assert run.code == 0
    assert "Label alone (label-only) and with a reason (with-reasons)" in run.out
    assert "Groups of annotators by gender" in run.out
    left = [line.split(":")[0] for line in run.err.splitlines()]
    assert left == ["left out position", "left out prompts", "left out subgroups"]
    rows = json.loads(dfar(*words, "--by", "gender", "--json").out)
    assert {row["probe"] for row in rows} == set(PROBES) - {"position", "prompts", "subgroups"}
    assert all({"metric", "value", "n", "note"} <= set(row) for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--of", "length"], 2, "dfar: --of must be among position, prompts"),
        (["--of", "subgroups"], 2, "dfar: --of subgroups needs --by COLUMN of the items"),
        (["--of", "judges"], 2, "dfar: --of judges needs --judgements FILE"),
        (["--judge-model", "gpt"], 2, "dfar: --judge-model is about judgements"),
        (["--of", "position"], 1, "dfar: probe of position: no item is shown in two orders"),
        (["--of", "subgroups", "--by", "steem"], 1, "the column 'steem' of the items is not there"),
    ],
)
def test_what_cannot_be_probed(dfar: Dfar, demo: Path, words: list[str], code: int, said: str) -> None:
    run = dfar("probe", demo / "runs" / "label-only.jsonl", "--items", demo / "items", *words)
    assert (run.code, run.out) == (code, "")
    assert len(run.err.splitlines()) == 1
    assert said in run.err


def test_own_keys_are_matched_and_said(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    whole = demo / "runs" / "label-only.jsonl"
    path = tmp_path / "label-only.jsonl"
    path.write_text(whole.read_text().replace("everyday:test:", ""))
    words = ["--items", demo / "items", "--part", "labels", "--n-boot", 100, "--json"]
    run = dfar("score", path, *words)
    assert json.loads(run.out) == json.loads(dfar("score", whole, *words).out)
    assert run.err.startswith(
        f'{path}: 60 rows matched by the own key of an item (e.g. "s021" for "everyday:test:s021")'
    )
    path.write_text(path.read_text().replace('"s0', '"z0'))
    run = dfar("score", path, *words)
    assert (run.code, run.out) == (1, "")
    assert "e.g. 'z021', 'z022', 'z023', 'z024', 'z025'; the items have ids such as" in run.err
