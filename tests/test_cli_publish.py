"""`dfar publish`: the rehearsal without a network, the real way against a loopback Hub, and its refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from command_line import Dfar, command, refused
from dfar_toolkit.files.items import file_facts, read_manifest
from dfar_toolkit.hub.loopback import LoopbackHub, User

TOKEN = "hf_secretOfTheCommandLine"


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http, disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    with LoopbackHub({TOKEN: User("ann", orgs=("org",))}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
    set_client_factory(_http.default_client_factory)
    enable_progress_bars()


def test_rehearsal(dfar: Dfar, demo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    folder = demo / "items"
    run = dfar("publish", folder, "--repo", "org/demo", "--tag", "v1.0.0", "--rehearse", "--json")
    assert run.code == 0, run.err
    (told,) = json.loads(run.out)
    manifest = read_manifest(folder)
    assert {row["path"]: row["sha256"] for row in told["files"] if row["path"] != "manifest.json"} == {
        name: fact["sha256"] for name, fact in manifest["files"].items()
    }
    assert [(row["config"], row["split"], row["rows"]) for row in told["loaded"]] == [
        ("default", "train", 20), ("default", "test", 60), ("annotations", "annotations", 319),
        ("raters", "raters", 8), ("targets", "targets", 80), ("questions", "questions", 1),
    ]  # fmt: skip
    assert (told["verified"], told["tag"], told["public"]) == (True, "v1.0.0", False)
    assert "stops a publish: card.unwritten: 8 places" in run.err
    assert "loading annotations ..." in run.err


@pytest.mark.slow
def test_rehearsal_of_a_card_that_does_not_load(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo / "items", tmp_path / "items"))
    card = folder / "README.md"
    card.write_text(card.read_text().replace("num_examples: 319", "num_examples: 318"))
    facts = json.loads((folder / "manifest.json").read_text())
    facts["files"] = file_facts(folder)
    (folder / "manifest.json").write_text(json.dumps(facts))
    run = dfar("publish", folder, "--repo", "org/demo", "--rehearse")
    assert run.code == 1
    assert "dfar: rehearsal: load_dataset cannot load annotations: " in run.err.splitlines()[-1]


def test_publish(dfar: Dfar, demo: Path, hub: LoopbackHub) -> None:
    folder = demo / "items"
    refused(dfar("publish", folder, "--repo", "org/demo"), "not published, 1 thing stands", "card.unwritten: 8 places")
    assert not hub.log
    run = dfar("publish", folder, "--repo", "org/demo", "--dry-run")
    assert (run.code, "dry run: org/demo would be made; 17 add; nothing was sent" in run.out) == (1, True)
    assert not hub.log.writing()
    words = ("publish", folder, "--repo", "org/demo", "--accept", "card.unwritten", "--tag", "v1.0.0")
    run = dfar(*words)
    assert run.code == 0, run.err
    commit = hub.repos["dataset", "org/demo"].branches["main"]
    assert f"published in commit {commit} (17 add), tagged v1.0.0; read back and the same" in run.out
    assert "note: annotators.small_cells" in run.err
    assert "Accepted findings: card.unwritten" in hub.repos["dataset", "org/demo"].history()[0].description
    again = dfar(*words)
    assert f"unchanged, commit {commit}, tag v1.0.0; read back and the same" in again.out
    assert len(hub.repos["dataset", "org/demo"].commits) == 2
    assert TOKEN not in run.out + run.err + again.out + again.err
    refused(dfar(*words, "--public", "--allow-small-cells"), "org/demo is private")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--repo", "org/demo", "--accept", "card.unwriten"], "is it card.unwritten?", 2),
        (["--repo", "org/demo", "--tag", "main"], "would be taken for something else", 2),
        (["--repo", "org/demo", "--tag", "v1", "--pr"], "a tag is set on the main branch", 2),
        (["--repo", "org/demo", "--rehearse", "--dry-run"], "--dry-run does not go with it", 2),
        (["--repo", "demo", "--rehearse"], "wanted the id of a data set on the Hub", 1),
        ([], "--repo", 2),
    ],
)
def test_wrong_words(dfar: Dfar, demo: Path, words: list[str], said: str, code: int) -> None:
    refused(dfar("publish", demo / "items", *words), said, code=code)


def test_no_token(dfar: Dfar, demo: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    run = dfar("publish", demo / "items", "--repo", "org/demo", "--accept", "card.unwritten")
    refused(run, "no token was found; log in with `hf auth login`, or set HF_TOKEN")
    assert pl.read_parquet(demo / "items" / "raters.parquet").height == 8


def test_outputs_go_beside_the_data_and_are_not_dropped_by_the_next_publish(
    dfar: Dfar, demo: Path, hub: LoopbackHub
) -> None:
    words = ("publish", demo / "items", "--repo", "org/trail", "--accept", "card.unwritten")
    given = ("--with", demo / "runs" / "with-reasons.jsonl", "--with", demo / "judgements.csv")
    run = dfar(*words, *given)
    assert run.code == 0, run.err
    assert "judges got pseudonyms" in run.err
    files = hub.repos["dataset", "org/trail"].history()[0]
    assert {"outputs/with-reasons.parquet", "judgements/judgements.parquet"} <= set(files.files)
    refused(dfar(*words), "hub.trail: 2 files of outputs and judgements", "give them again by --with")
    assert dfar(*words, "--accept", "hub.trail").code == 0
    assert "outputs/with-reasons.parquet" not in hub.repos["dataset", "org/trail"].history()[0].files


def test_a_rehearsal_loads_the_outputs_too(dfar: Dfar, demo: Path) -> None:
    run = dfar(
        "publish", demo / "items", "--repo", "org/demo", "--rehearse", "--with", demo / "runs/with-reasons.jsonl"
    )
    assert run.code == 0, run.err
    assert "loading outputs" in run.err
    assert "7 splits of 6 configs" in run.out
    refused(dfar("publish", demo / "items", "--repo", "org/demo", "--config", "x"), "--with", code=2)
