"""Items folders load with the real `datasets` library, unchanged and without a network."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

CODE = """
    import json, sys
    import datasets
    from dfar_toolkit.files.digest import content_digest
    folder = sys.argv[1]
    items = datasets.load_dataset(folder)
    assert isinstance(items["test"].features["label"], datasets.ClassLabel), items["test"].features
    names = items["test"].features["label"].names
    rows = [row for split in items.values() for row in split]
    for row in rows:
        row["label"] = None if row["label"] is None else names[row["label"]]
    annotations = datasets.load_dataset(folder, "annotations")
    assert list(annotations) == ["annotations"]
    print(json.dumps({
        "names": names,
        "rows": {split: len(part) for split, part in items.items()},
        "reason": items["test"][0]["reasons"][0]["text"],
        "annotations": len(annotations["annotations"]),
        "digest": content_digest(sorted(rows, key=lambda row: row["item_id"])),
        "others": [len(datasets.load_dataset(folder, name)[name]) for name in ("raters", "targets", "questions")],
    }))
"""


def test_it_loads_and_the_digest_can_be_checked(demo: Path, tmp_path: Path) -> None:
    import json
    import os

    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"),
        "HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CODE), str(demo / "items")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    manifest = json.loads((demo / "items" / "manifest.json").read_text())
    assert found["names"] == ["ethical", "unethical"]
    assert found["rows"] == {"train": 20, "test": 60}
    assert found["annotations"] == manifest["rows"]["annotations"]
    assert found["others"] == [8, 80, 1]
    assert len(found["reason"]) > 10
    assert found["digest"] == manifest["content_digest"]["default"]
