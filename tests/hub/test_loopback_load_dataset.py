"""The unmodified datasets client against the loopback Hub: load by config, split, tag, in a stream, and push."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from loopback_calls import ANN, USERS

from dfar_toolkit.hub.loopback import Fault, LoopbackHub, loopback_environment

CARD = """---
license: mit
configs:
- config_name: default
  default: true
  data_files:
  - {split: train, path: data/default/train.parquet}
  - {split: test, path: data/default/test.parquet}
- config_name: annotations
  data_files:
  - {split: annotations, path: data/annotations/annotations.parquet}
dataset_info:
- config_name: default
  features:
  - {name: item_id, dtype: string}
  - name: label
    dtype:
      class_label: {names: {'0': bad, '1': good}}
  splits:
  - {name: train, num_bytes: 100, num_examples: 3}
  - {name: test, num_bytes: 100, num_examples: 1}
---
# Data
"""

SCRIPT = """
import json
from datasets import Dataset, load_dataset
from huggingface_hub import HfApi

def rows(data):
    return [dict(row) for row in data]

told = {}
for name, repo, token in (("stranger", "ann/data", "bob-token"), ("gone", "ann/gone", None)):
    try:
        load_dataset(repo, token=token)
    except Exception as error:
        told[name] = type(error).__name__
whole = load_dataset("ann/data")
told["whole"] = {name: rows(split) for name, split in whole.items()}
told["names"] = whole["train"].features["label"].names
told["annotations"] = rows(load_dataset("ann/data", "annotations", split="annotations"))
told["tag"] = rows(load_dataset("ann/data", revision="v1.0.0", split="train"))
told["stream"] = rows(load_dataset("ann/data", split="train", streaming=True))
whole["train"].push_to_hub("ann/pushed", private=True)
again = load_dataset("ann/pushed", split="train")
told["pushed"] = [rows(again), again.features["label"].names, HfApi().dataset_info("ann/pushed").private]
print(json.dumps(told))
"""


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def child(hub: LoopbackHub, home: Path, script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "USE_TORCH": "0", **loopback_environment(hub, home, ANN)}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=home.parent, capture_output=True, text=True, timeout=120
    )


def test_load_dataset_gives_the_rows_that_were_put_there(tmp_path: Path) -> None:
    with LoopbackHub(USERS, page_size=2, cdn=True) as hub:
        repo = hub.repos.create("dataset", "ann/data", private=True)
        files = {
            "README.md": CARD.encode(),
            "data/default/train.parquet": parquet(item_id=["a", "b", "c"], label=[0, 1, 0]),
            "data/default/test.parquet": parquet(item_id=["d"], label=[1]),
            "data/annotations/annotations.parquet": parquet(item_id=["a"], value=["good"]),
        }
        repo.change({**files})
        repo.tags["v1.0.0"] = repo.branches["main"]
        repo.change({"data/default/train.parquet": parquet(item_id=["a", "b", "x"], label=[1, 1, 1])})
        done = child(hub, tmp_path / "home", SCRIPT)
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout.splitlines()[-1])
        new = [{"item_id": item, "label": 1} for item in "abx"]
        assert told["whole"] == {"train": new, "test": [{"item_id": "d", "label": 1}]}
        assert told["names"] == ["bad", "good"]
        assert told["annotations"] == [{"item_id": "a", "value": "good"}]
        assert told["tag"] == [{"item_id": item, "label": n} for item, n in zip("abc", (0, 1, 0), strict=True)]
        assert told["stream"] == new
        assert told["pushed"] == [new, ["bad", "good"], True]
        assert told["stranger"] == told["gone"] == "DatasetNotFoundError"
        assert not any(one.authorized for one in hub.log.asked(path="^/cdn/"))
        assert {one.status for one in hub.log} <= {200, 206, 302, 404}


@pytest.mark.slow  # the clients wait between their tries
def test_a_hub_that_is_down_means_the_copy_in_the_cache(tmp_path: Path) -> None:
    script = "from datasets import load_dataset\nprint(len(load_dataset('ann/data', split='train')))"
    with LoopbackHub(USERS) as hub:
        repo = hub.repos.create("dataset", "ann/data", private=True)
        repo.change({"train.parquet": parquet(item_id=["a", "b"])})
        assert child(hub, tmp_path / "ann", script).stdout == "2\n"
        hub.fail(Fault("status", times=None, status=503))
        seen = len(hub.log)
        assert child(hub, tmp_path / "ann", script).stdout == "2\n"
        assert {one.status for one in hub.log[seen:]} == {503}
