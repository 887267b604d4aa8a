"""Exported tasks inside lm-evaluation-harness and inspect_ai: run offline, and every log matched with the items.

A tool that is not installed skips its test, and fails it where DFAR_HARNESSES=1 says that all must be there.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from export_sample import OPTIONS, TEST, odd_items

from dfar_toolkit.files.items import read_items
from dfar_toolkit.journeys.exporting import ExportOptions, export
from dfar_toolkit.journeys.outputs import ReadOutputs, read_any_outputs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what the tools warn of is not ours


def tool(name: str) -> Any:
    """The tool's module, or the end of the test."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        said = f"{name} cannot be imported ({error}): pip install 'dfar-toolkit[harnesses]'"
        if os.environ.get("DFAR_HARNESSES") == "1":
            pytest.fail(f"DFAR_HARNESSES=1 wants every tool, but {said}")
        pytest.skip(said)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_items(tmp_path_factory.mktemp("odd"))


def all_matched(items: Path, log: Path, *, per_item: int = 1) -> ReadOutputs:
    """The log, each labelled test item in it once, by its id."""
    folder = read_items(items)
    read = read_any_outputs(log, folder)
    asked = folder.items.filter(split="test").drop_nulls("label")["item_id"].sort().to_list()
    assert sorted(read.outputs["item_id"]) == sorted(asked * per_item)
    assert read.unmatched.is_empty()
    assert any(f"{len(asked) * per_item} by key" in note for note in read.notes), read.notes
    return read


def tiny_llama(folder: Path) -> Path:
    """A seeded random Llama of one layer that reads bytes."""
    tokenizers, torch, transformers = (tool(name) for name in ("tokenizers", "torch", "transformers"))
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = {letter: k + 2 for k, letter in enumerate(letters)} | {"<s>": 0, "</s>": 1}
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[]))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_lm_eval_runs_the_tasks_and_every_document_is_matched(items: Path, tmp_path: Path) -> None:
    tool("lm_eval")
    export(items, tmp_path / "task", "lm-eval", options=ExportOptions(style="label_and_reason"))
    model, out = tiny_llama(tmp_path / "model"), tmp_path / "out"
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "task").rename(elsewhere)  # a folder that was moved still finds its documents
    names = ["odd_texts_test_choices", "odd_texts_test_answers"]
    run = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model}",
         "--include_path", str(elsewhere), "--tasks", *names, "--log_samples", "--output_path", str(out),
         "--device", "cpu", "--batch_size", "4"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    [choices] = out.rglob("samples_odd_texts_test_choices_*.jsonl")
    read = all_matched(items, choices)
    assert read.outputs["label"].is_in(OPTIONS).all()
    assert read.outputs["label_probs"].null_count() == 0
    [answers] = out.rglob("samples_odd_texts_test_answers_*.jsonl")
    all_matched(items, answers)
    asked = {}
    for line in choices.read_text(encoding="utf-8").split("\n")[:-1]:
        record = json.loads(line)
        asked[record["doc"]["item_id"].rpartition(":")[2]] = record["arguments"]["gen_args_0"]["arg_0"]
    assert all(text in asked[name] for name, text in TEST.items() if name in asked)  # no template was rendered
    [results] = out.rglob("results_*.json")
    found = json.loads(results.read_text())["results"]
    gold = read_items(items).items.select("item_id", gold="label")
    right = read.outputs.join(gold, on="item_id")
    assert found[names[0]]["acc,none"] == pytest.approx((right["label"] == right["gold"]).mean())
    assert 0 <= found[names[1]]["coverage,none"] <= 1


@pytest.mark.parametrize("task", ["dfar_answers", "dfar_choices"])
@pytest.mark.parametrize("log_format", ["eval", "json"])
def test_inspect_ai_runs_the_task_and_every_sample_is_matched(
    items: Path, tmp_path: Path, task: str, log_format: str
) -> None:
    tool("inspect_ai")
    from inspect_ai import eval as run
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    export(items, tmp_path / "task", "inspect")
    said = "Unethical. They lied." if task == "dfar_answers" else "ANSWER: B"

    def answer(messages: Any, *_: Any) -> Any:
        assert any(text in messages[-1].text for text in TEST.values())  # as it is
        output = ModelOutput.from_content("mockllm/model", said)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # else it would count them online
        return output

    [done] = run(
        f"{tmp_path / 'task' / 'dfar_task.py'}@{task}", model=get_model("mockllm/model", custom_outputs=answer),
        display="none", log_dir=str(tmp_path / "logs"), log_format=log_format,
    )  # fmt: skip
    assert done.status == "success", done.error
    read = all_matched(items, Path(done.location.removeprefix("file://")))
    assert set(read.outputs["label"]) == {"unethical"}
    gold = read_items(items).items.filter(split="test").drop_nulls("label")["label"]
    accuracy = done.results.scores[0].metrics["accuracy"].value
    assert accuracy == pytest.approx((gold == "unethical").mean())
