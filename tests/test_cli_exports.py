"""Building from what an annotation tool exported, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.files.items import read_items

TEXTS = ["I kept the change.", "My sister lied to us.", "They parked across two places.", "Nobody watered the plants."]


def export(path: Path) -> Path:
    def answer(k: int, who: int, choice: str) -> dict[str, object]:
        chosen = {"from_name": "verdict", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}
        why = {"from_name": "why", "to_name": "text", "type": "textarea", "value": {"text": [f"because {k}"]}}
        at = f"2024-05-0{k + 1}T10:00:00.000000Z"
        return {"id": 10 * k + who, "completed_by": who, "created_at": at, "lead_time": 8.5, "result": [chosen, why]}

    tasks = [
        {
            "id": k,
            "data": {"text": TEXTS[k]},
            "annotations": [answer(k, 1, "ok"), answer(k, 2, "bad")],
        }
        for k in range(4)
    ]
    path.write_text(json.dumps(tasks))
    return path


def test_a_label_studio_export_becomes_an_items_folder_split_by_time(tmp_path: Path) -> None:
    words = ["build", "label_studio:mine", "--raw", str(export(tmp_path / "export.json")), "--out", str(tmp_path / "o")]
    run = CliRunner().invoke(app, [*words, "--column", "options=ok,bad", "--split", "time", "--size", "test=0.25"])
    assert run.exit_code == 0, run.output
    read = read_items(tmp_path / "o")
    assert read.options == ["ok", "bad"]
    assert read.items["split"].to_list() == ["train"] * 3 + ["test"]
    assert read.items["item_id"].str.starts_with("mine:").all()
    assert read.annotations["seconds"].to_list() == [8.5] * 8
    assert read.annotations["reason"].null_count() == 0


def test_settings_that_fit_no_source_are_refused(tmp_path: Path) -> None:
    words = ["build", "label_studio", "--raw", str(export(tmp_path / "export.json")), "--out", str(tmp_path / "o")]
    for wrong, said in (
        (["--column", "optoins=a"], 'unknown setting "optoins"'),
        (["--mapping", "m.yaml"], "--mapping is for the source table"),
    ):
        run = CliRunner().invoke(app, [*words, *wrong])
        assert run.exit_code == 2
        assert said in run.stderr
    run = CliRunner().invoke(app, ["build", "dfar", "--raw", ".", "--out", "o", "--column", "statement=x"])
    assert run.exit_code == 2
