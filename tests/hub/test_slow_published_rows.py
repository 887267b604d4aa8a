"""What a reader of a published set gets from `load_dataset`: exactly the built rows, in each way of asking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from publish_stage import TOKEN, a_stage, no_pauses

from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.loopback import loopback_environment

CODE = """
import json
from datasets import ClassLabel, load_dataset

def rows(part):
    return [dict(row) for row in part]

main, tag = load_dataset("org/data"), load_dataset("org/data", revision="v1.0.0")
stream = load_dataset("org/data", streaming=True)
label = main["train"].features["label"]
assert isinstance(label, ClassLabel) and isinstance(stream["train"].features["label"], ClassLabel)
assert isinstance(tag["train"].features["label"], ClassLabel)
print(json.dumps({
    "names": label.names,
    "ways": [[rows(way[split]) for split in ("train", "test")] for way in (main, tag, stream)],
    "annotations": rows(load_dataset("org/data", "annotations", split="annotations")),
}))
"""


@pytest.mark.slow
def test_load_dataset_gives_the_built_rows(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back = no_pauses(monkeypatch, tmp_path / "home")
    with a_stage(page_size=3) as stage:
        stage.publish(demo / "items", tag="v1.0.0")
        environment = {**os.environ, **loopback_environment(stage.hub, tmp_path / "other", TOKEN)}
        call = [sys.executable, "-W", "ignore", "-c", CODE]
        run = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    back()
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    built = read_items(demo / "items")
    names = built.options
    assert told["names"] == names
    for way in told["ways"]:
        for split, found in zip(("train", "test"), way, strict=True):
            wanted = built.items.filter(split=split).to_dicts()
            for row in found:
                row["label"] = None if row["label"] is None else names[row["label"]]
            assert found == json.loads(json.dumps(wanted))
    assert told["annotations"] == json.loads(json.dumps(built.annotations.to_dicts()))
