"""Scores of a corpus of several sources: of one config at a time, named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.sources import Mapping, read_source


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    made = []
    for name, options in (("first", ("fair", "unfair")), ("third", ("hate", "none"))):
        lines = ["no,split,text,who,says"]
        lines += [f"{k},test,Sentence {k} of {name} {'xyz'[k % 3] * 7},p{k % 2},{options[k % 2]}" for k in range(6)]
        (root / f"{name}.csv").write_text("\n".join(lines) + "\n")
        mapping = Mapping(name=name, id="no", split="split", statement="text", annotator="who", label="says",
                          question="verdict", options=options, licence="mit")  # fmt: skip
        made.append(read_source("table", root / f"{name}.csv", mapping=mapping))
    build_items(made, root / "items", options=BuildOptions(n_boot=10))
    (root / "run.csv").write_text("item_id,label\n" + "".join(f"third:test:{k},hate\n" for k in range(6)))
    return root


def test_outputs_are_scored_against_the_config_that_is_named(corpus: Path) -> None:
    words = ["score", str(corpus / "run.csv"), "--items", str(corpus / "items"), "--part", "labels", "--json"]
    run = CliRunner().invoke(app, [*words, "--config", "third"])
    assert run.exit_code == 0, run.output
    assert '"value": 0.5' in run.stdout
    run = CliRunner().invoke(app, words)
    assert run.exit_code != 0
    assert "2 configs (default, third)" in str(run.exception)
    run = CliRunner().invoke(app, [*words, "--config", "second"])
    assert "found 'second'; there are default, third" in str(run.exception)
