"""An adapter on the Hub: only what may leave the run, a card that is right, one commit, the same call twice."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_everyday import QUICK, client_of, quick_api, users
from typer.testing import CliRunner

from dfar_toolkit.cli import app
from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.hub.adapter_folder import stage_adapter
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.loopback import Fault, LoopbackHub
from dfar_toolkit.hub.model_card import is_untouched
from dfar_toolkit.hub.models import ModelOptions, PublishedModel, publish_model
from dfar_toolkit.hub.publish import PublishOptions
from dfar_toolkit.hub.repository import Repository

pytest.importorskip("huggingface_hub")
MODEL, COMMIT = "org/lora", "a" * 40
PUSHED = {".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json",
          "tokenizer_config.json"}  # fmt: skip


def safetensors(*shapes: tuple[int, ...]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for k, shape in enumerate(shapes):
        size = 2
        for n in shape:
            size *= n
        header[f"t{k}"] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 64, "lora_alpha": 16, "lora_dropout": 0.1,
              "target_modules": ["v_proj", "q_proj"], "base_model_name_or_path": "org/base-7b"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(safetensors((64, 3), (3, 64)))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"name_or_path": "/home/mary/base", "pad_token": "x"}')
    (folder / "training_args.bin").write_bytes(pickle.dumps({}))
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1/optimizer.pt").write_bytes(b"x")
    notes = {"settings": {"objective": "L+R", "learning_rate": 2e-4}, "labels": ["ethical", "un|ethical"],
             "licence": "apache-2.0"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(notes))
    score = {"metric": "accuracy", "subset": "all", "run_id": "lora", "label": None, "predictor": None, "value": 0.75,
             "low": 0.5, "high": 0.875, "n": 8, "n_units": 7, "unit": "groups", "note": "",
             "confidence": 0.95}  # fmt: skip
    rows = [score, {**score, "metric": "macro_f1", "value": None, "low": None, "high": None, "note": "n < 2"},
            {**score, "label": "ethical"}, {**score, "metric": "obscure"}]  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub(users()) as running, client_of(monkeypatch, tmp_path, running):
        yield running


def sent(hub: LoopbackHub, run: Path, about: ModelOptions | None = None, **options: Any) -> PublishedModel:
    place = Repository(quick_api(hub), MODEL, QUICK, kind="model")
    about = about or ModelOptions(data=Address("org/everyday", COMMIT))
    return publish_model(run, place, PublishOptions(**options), about=about)


def test_only_what_may_leave_goes_in_one_private_commit(hub: LoopbackHub, run: Path) -> None:
    found = sent(hub, run, tag="v1.0.0")
    repo = hub.repos["model", MODEL]
    assert repo.private
    assert set(repo.find("main").files) == PUSHED
    assert len(repo.history()) == 2  # the Hub's own first commit, and ours
    assert repo.tags == {"v1.0.0": repo.branches["main"]}
    assert found.adapter.left_out == ("checkpoint-1/optimizer.pt", "run.json", "scores.json", "training_args.bin")
    assert json.loads(repo.read("tokenizer_config.json")) == {"pad_token": "x"}
    assert found.published.verified is not None
    assert found.published.verified.same


def test_the_card_says_where_it_comes_from_and_how_it_scored(hub: LoopbackHub, run: Path) -> None:
    sent(hub, run)
    card = hub.repos["model", MODEL].read("README.md").decode()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "base_model": "org/base-7b", "base_model_relation": "adapter", "datasets": ["org/everyday"],
        "library_name": "peft", "license": "apache-2.0", "pipeline_tag": "text-generation",
        "tags": ["lora", "human-label-variation"],
    }  # fmt: skip
    for line in (
        f"Trained on `org/everyday` at commit `{COMMIT}`.",
        "Labels: `ethical`, un\\|ethical",
        "| lora\\_alpha | 16 |",
        "| target\\_modules | q\\_proj, v\\_proj |",
        "| trained numbers | 384 (BF16) |",
        "| learning\\_rate | 0.0002 |",
        "| lora | all | accuracy | 0.750 | \\[0.500, 0.875\\] over 7 groups | 8 |  |",
        "| lora | all | macro\\_f1 | undefined |  | 8 | n &lt; 2 |",
        "Intervals cover 95 %.",
    ):
        assert line in body, line
    assert "obscure" not in body
    assert "mary" not in card
    assert is_untouched(card)


def test_the_second_time_changes_nothing_and_sets_a_missing_tag(hub: LoopbackHub, run: Path) -> None:
    first = sent(hub, run).published
    again = sent(hub, run, tag="v1").published
    assert (again.committed, again.commit, again.tagged) == (False, first.commit, True)
    (run / "tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(HubError, match="never moved"):
        sent(hub, run, tag="v1")
    assert [r.path for r in sent(hub, run, tag="v2").published.plan.of("update")] == ["tokenizer.json"]


def test_a_card_edited_on_the_hub_is_not_overwritten(hub: LoopbackHub, run: Path) -> None:
    sent(hub, run)
    repo = hub.repos["model", MODEL]
    repo.change({"README.md": repo.read("README.md").replace(b"guesses", b"very good guesses"), "plot.png": b"x"})
    with pytest.raises(HubError, match=r"somebody has written or edited README.md there; --keep-card"):
        sent(hub, run)
    (run / "tokenizer.json").write_text('{"a": 1}')
    sent(hub, run, ModelOptions(keep_card=True))
    assert b"very good" in repo.read("README.md")
    assert repo.read("plot.png") == b"x"


def test_a_dry_run_sends_nothing(hub: LoopbackHub, run: Path) -> None:
    found = sent(hub, run, dry_run=True)
    assert not len(hub.repos)
    assert {r.method for r in hub.log} <= {"GET", "HEAD"}
    assert len(found.published.plan.of("add")) == 5


def test_a_lost_answer_makes_no_second_commit(hub: LoopbackHub, run: Path) -> None:
    lost = hub.fail(Fault("drop_after", path="/commit/main"))
    sent(hub, run)
    assert (lost.fired, len(hub.repos["model", MODEL].history())) == (1, 2)


def test_a_public_model_needs_a_licence_and_visibility_is_kept(hub: LoopbackHub, run: Path) -> None:
    (run / "run.json").unlink()
    with pytest.raises(HubError, match="licence of the model is unknown"):
        sent(hub, run, public=True)
    sent(hub, run)
    with pytest.raises(HubError, match="is private: leave --public out"):
        sent(hub, run, ModelOptions(licence="mit"), public=True)


def spoil(run: Path, name: str, content: bytes | None) -> None:
    (run / name).unlink(missing_ok=True)
    if content is not None:
        (run / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("adapter_config.json", None, "found no adapter_config.json"),
        ("adapter_config.json", b"[]", "wanted a JSON object, found a list"),
        ("adapter_config.json", b'{"base_model_name_or_path": "/models/base"}', "--base-model ORG/NAME"),
        ("adapter_config.json", b'{"base_model_name_or_path": null}', "found None"),
        ("adapter_model.safetensors", None, "found none; save it again with safe_serialization=True"),
        ("adapter_model.safetensors", pickle.dumps([1] * 50), "wanted a safetensors file"),
        ("adapter_model.safetensors", b"", "wanted a safetensors file"),
        ("adapter_model.safetensors", safetensors((8,))[:-1], "the file is not whole"),
        ("adapter_model.safetensors", struct.pack("<Q", 2) + b"[]", "wanted a safetensors file"),
        ("tokenizer.model", pickle.dumps([1]), "this is a pickle or an archive"),
        ("tokenizer.json", b"\x80\x04x", "wanted a JSON object"),
    ],
)
def test_what_is_no_adapter_is_refused(run: Path, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    spoil(run, name, content)
    (tmp_path / "staged").mkdir()
    with pytest.raises(TableError, match=said) as raised:
        stage_adapter(run, tmp_path / "staged")
    assert "\n" not in str(raised.value)


def test_a_pickled_adapter_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    (run / "adapter_model.safetensors").rename(run / "adapter_model.bin")
    with pytest.raises(TableError, match=r"found adapter_model.bin, a pickle"):
        stage_adapter(run, tmp_path)


def test_the_command(hub: LoopbackHub, run: Path) -> None:
    args = ["publish-model", str(run), "--repo", MODEL]
    done = CliRunner().invoke(app, [*args, "--tag", "v1", "--data", f"org/everyday@{COMMIT}", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["tag"] == "v1"
    assert "not published: checkpoint-1/optimizer.pt" in done.stderr
    for wrong in (["--licence", "free for all"], ["--data", "org/everyday@main"]):
        assert CliRunner().invoke(app, [*args, *wrong]).exit_code == 2
    bare = CliRunner().invoke(app, ["publish-model", str(run), "--repo", "lora"])
    assert isinstance(bare.exception, HubError)
    assert "lora: wanted the id of a model on the Hub" in str(bare.exception)
    assert "ann-token" not in done.output
