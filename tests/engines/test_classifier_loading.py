"""Loading classifiers: by their architecture, and as adapters with a head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from loading_models import load, logits, lora, save, tiny_bert

from dfar_toolkit.errors import EngineError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_classifier_is_found_by_its_architecture(tmp_path: Path) -> None:
    model = tiny_bert(2)
    model.config.id2label = {0: "ethical", 1: "unethical"}
    loaded = load(save(model, tmp_path / "bert"))
    assert (loaded.kind, loaded.chat, loaded.max_length) == ("classifier", False, 64)
    assert loaded.facts["classes"] == ["ethical", "unethical"]
    assert torch.allclose(logits(loaded.model), logits(model))


@pytest.mark.parametrize("names", ["run.json", "labels", "none"])
def test_the_head_of_a_classifying_adapter_says_the_number_of_classes(tmp_path: Path, names: str) -> None:
    base = save(tiny_bert(base=True), tmp_path / "encoder")
    torch.manual_seed(9)
    start = transformers.BertForSequenceClassification.from_pretrained(base, num_labels=3).eval()
    folder = lora(start, tmp_path / "run", base, task_type="SEQ_CLS", target_modules=["query", "value"])
    if names == "run.json":
        (folder / names).write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}))
    elif names == "labels":
        (folder / "run.json").write_text(json.dumps({"labels": ["a", "b", "c"]}))
    loaded = load(folder)
    assert loaded.kind == "classifier"
    assert loaded.facts["classes"] == (["LABEL_0", "LABEL_1", "LABEL_2"] if names == "none" else ["a", "b", "c"])
    assert torch.allclose(logits(loaded.model), logits(start), atol=1e-6)  # start holds the adapter by now
    (folder / "run.json").write_text(json.dumps({"labels": ["a", "b"]}))
    with pytest.raises(EngineError, match="names for the 3 classes"):
        load(folder)
