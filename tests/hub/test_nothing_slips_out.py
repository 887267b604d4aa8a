"""Links out of the folder, tokens in settings, and a folder that changes under the publisher."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from publish_stage import TOKEN, a_stage, no_pauses, small_folder

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.hub import publish as publishing
from dfar_toolkit.hub.adapter_folder import CONFIG
from dfar_toolkit.hub.connection import without_token
from dfar_toolkit.hub.models import _check_no_token
from dfar_toolkit.hub.one_commit import commit_plan
from dfar_toolkit.hub.publish import check_name
from dfar_toolkit.journeys.paper_trail import paper_trail


def test_a_card_that_is_a_link_to_elsewhere_is_not_staged(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo / "items", tmp_path / "items")
    (tmp_path / "secret").write_text("of the house")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(TableError, match="no path inside the folder"), paper_trail(folder, []):
        pass


def test_a_name_that_leads_out_is_not_staged(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo / "items", tmp_path / "items")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../x"] = manifest["files"]["audit.json"]
    shutil.copyfile(folder / "audit.json", tmp_path / "x")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TableError, match="no path inside the folder"), paper_trail(folder, []):
        pass


def test_a_token_of_another_shape_and_one_in_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "own-hub-secret")
    assert without_token("it says: own-hub-secret") == "it says: ***"
    with pytest.raises(TableError, match="looks like a token") as caught:
        _check_no_token(tmp_path, {CONFIG: f'{{"revision": "{TOKEN}"}}'})
    assert TOKEN not in str(caught.value)
    with pytest.raises(HubError, match="wanted ORG/NAME alone"):
        check_name("org/lora@v1")


def test_a_folder_that_changes_while_it_is_published(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back, folder = no_pauses(monkeypatch, tmp_path / "home"), small_folder(demo, tmp_path / "items")
    real = commit_plan

    def meanwhile(*args: object, **settings: object) -> object:
        made = real(*args, **settings)  # type: ignore[arg-type]
        (folder / "notes.txt").write_text("second")
        return made

    monkeypatch.setattr(publishing, "commit_plan", meanwhile)
    try:
        with a_stage() as stage, pytest.raises(HubError, match=r"changed while it was published.* no tag was set"):
            stage.publish(folder, tag="v1")
        assert not stage.repo.tags
    finally:
        back()


def test_a_tag_that_somebody_set_meanwhile(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back, folder = no_pauses(monkeypatch, tmp_path / "home"), small_folder(demo, tmp_path / "items")
    try:
        with a_stage() as stage:

            def meanwhile(*args: object, **settings: object) -> object:
                stage.repo.tags["v1"] = stage.repo.branches["main"]
                return commit_plan(*args, **settings)  # type: ignore[arg-type]

            monkeypatch.setattr(publishing, "commit_plan", meanwhile)
            with pytest.raises(HubError, match=r"never moved.* Commit \w{40} is there, .* only lacks the tag"):
                stage.publish(folder, tag="v1")
    finally:
        back()
