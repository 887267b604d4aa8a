"""A training leaves a card beside its run, whatever was stopped when, and what the card says to run runs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_training import OPTIONS, WORDING, tiny_items  # noqa: E402

from dfar_toolkit.engines.loaded import ModelSettings  # noqa: E402
from dfar_toolkit.engines.model_loading import load_model  # noqa: E402
from dfar_toolkit.errors import TableError  # noqa: E402
from dfar_toolkit.files.items import ItemsFolder  # noqa: E402
from dfar_toolkit.finetune.head_runs import delete_training  # noqa: E402
from dfar_toolkit.hub.adapter_folder import stage_adapter  # noqa: E402
from dfar_toolkit.hub.model_card import is_untouched  # noqa: E402
from dfar_toolkit.journeys import training  # noqa: E402
from dfar_toolkit.journeys.training import Head, Trained, TrainOptions, train_model  # noqa: E402
from file_identity import file_identity  # noqa: E402
from small_tables import make_items  # noqa: E402
from tiny_models import save_tiny_causal, tiny_tokenizer  # noqa: E402

LORA, WHOLE = {"objective": "L", "adapter": "lora"}, {"objective": "soft", "adapter": "none"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A language model ``llama`` and an encoder ``bert``, tiny, with random weights."""
    import transformers

    folder, before = tmp_path_factory.mktemp("bases"), torch.get_num_threads()
    torch.set_num_threads(1)
    save_tiny_causal(folder / "llama")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder / "bert")
    tiny_tokenizer().save_pretrained(folder / "bert")
    yield folder
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def folder_of(own: pl.DataFrame) -> ItemsFolder:
    """An items folder in memory."""
    items = make_items([None] * len(own)).drop(own.columns, strict=False).hstack(own)
    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [list(OPTIONS)], "wording": [WORDING]})
    none = pl.DataFrame()
    return ItemsFolder(Path("invented"), items, none, none, none, questions, {}, [], [])


def learned(bases: Path, out: Path, head: Head, settings: dict[str, Any]) -> Trained:
    """Eight items, learned once."""
    how = TrainOptions(
        head, {"epochs": 1, **settings}, evaluation=(), development=0.3, loading=ModelSettings(device="cpu")
    )
    base = bases / ("llama" if head == "language-model" else "bert")
    return train_model(folder_of(tiny_items()), str(base), out, how)


@pytest.mark.parametrize(
    ("head", "settings", "gives"),
    [
        ("language-model", LORA, "PeftModelForCausalLM"),
        ("language-model", WHOLE, "LlamaForCausalLM"),
        ("classifier", {"objective": "hard", "lora_rank": 2}, "PeftModelForSequenceClassification"),
        ("classifier", {"objective": "soft"}, "TextClassificationPipeline"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of libraries among themselves
def test_the_card_beside_a_run_loads_what_it_says(
    bases: Path, tmp_path: Path, head: Head, settings: dict[str, Any], gives: str
) -> None:
    out = learned(bases, tmp_path / "run", head, settings).folder
    card = (out / "README.md").read_text()
    assert is_untouched(card)
    assert str(tmp_path) not in card
    assert f"Objective `{settings['objective']}`" in card
    assert "| accuracy (items with a majority) |" in card
    (code,) = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    made: dict[str, Any] = {}
    exec(code.replace('"RUN"', repr(str(out))), made)  # as a reader of the card would
    found = made.get("model") or made["ask"]
    assert type(found).__name__ == gives
    names = found.config.id2label if head == "classifier" and "model" in made else None
    names = found.model.config.id2label if "ask" in made else names
    assert names in (None, dict(enumerate(OPTIONS)))
    delete_training(out)
    assert list(out.iterdir()) == []


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of libraries among themselves
def test_a_published_adapter_of_a_classifier_names_its_outputs_and_loads_as_before(bases: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = learned(bases, tmp_path / "run", "classifier", {"objective": "hard", "lora_rank": 2}).folder
    staged = tmp_path / "published"
    staged.mkdir()
    stage_adapter(run, staged, base_model="org/bert")
    shutil.copyfile(run / "adapter_config.json", staged / "adapter_config.json")  # its base model lies in a folder
    assert sorted(json.loads((staged / "run.json").read_text())) == ["id2label", "task"]
    assert load_model(str(staged), ModelSettings(device="cpu")).facts["classes"] == list(OPTIONS)
    assert type(AutoTokenizer.from_pretrained(staged)) is type(AutoTokenizer.from_pretrained(run))
    ids = torch.tensor([[5, 6, 7]])
    (staged.parent / "bare").mkdir()
    for path in staged.iterdir():
        if path.name != "run.json":
            shutil.copyfile(path, staged.parent / "bare" / path.name)
    for auto in (AutoPeftModelForSequenceClassification, AutoModelForSequenceClassification):
        with_names, without = (
            auto.from_pretrained(place, num_labels=2).eval()(ids).logits for place in (staged, staged.parent / "bare")
        )
        assert torch.equal(with_names, without)


def test_a_kill_before_the_card_leaves_it_to_the_same_command(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def killed(_: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_model_card", killed)
        with pytest.raises(KeyboardInterrupt):
            learned(bases, out, "language-model", LORA)
    weights = file_identity(out / "adapter_model.safetensors")
    assert not (out / "README.md").exists()
    with monkeypatch.context() as patch:
        patch.setenv("RANK", "1")  # the second of several processes
        learned(bases, out, "language-model", LORA)
    assert not (out / "README.md").exists()
    again = learned(bases, out, "language-model", LORA)
    assert "the run was whole already: nothing was trained" in again.notes
    card = file_identity(out / "README.md")
    assert file_identity(out / "adapter_model.safetensors") == weights
    learned(bases, out, "language-model", LORA)
    assert file_identity(out / "README.md") == card
    (out / "README.md").write_text("# By hand")
    assert any("written or edited by hand" in note for note in learned(bases, out, "language-model", LORA).notes)
    assert (out / "README.md").read_text() == "# By hand"


def test_a_card_that_cannot_be_written_is_a_note_of_a_whole_run(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> str:
        raise TableError("the disk is full.")

    monkeypatch.setattr(training, "write_model_card", full)
    run = learned(bases, tmp_path / "run", "classifier", {"objective": "hard"})
    assert run.notes[-1] == "no model card was written: the disk is full."
    assert (run.folder / "run.json").is_file()


def test_a_classical_run_has_outputs_and_no_card(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    splits = pl.Series("split", ["train"] * 6 + ["test"] * 2)
    folder = folder_of(tiny_items().with_columns(splits))
    run = train_model(folder, "classical:logistic", tmp_path / "run", TrainOptions(keep_leaked=True))
    assert run.kind == "outputs"
    assert not (run.folder / "README.md").exists()
