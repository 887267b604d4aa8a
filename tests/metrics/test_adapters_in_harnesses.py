"""The adapters inside the tools that they are for: one small run of each, offline.

A tool that is not installed skips its test, and fails it where DFAR_HARNESSES=1 says that all must be there.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from functools import partial
from math import inf, isnan, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from dfar_toolkit.metrics import accuracy, coverage, macro_f1
from dfar_toolkit.metrics.adapters import compute_metrics, inspect_metric, label_scorer, to_evaluate
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy
from dfar_toolkit.prompts.parsing import parse_answers
from dfar_toolkit.readers.inspect_ai import read_inspect_ai
from dfar_toolkit.readers.lm_eval import read_lm_eval

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what the tools warn of is not ours

OPTIONS = ["ethical", "unethical"]


def tool(name: str) -> Any:
    """The tool's module, or the end of the test."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        said = f"{name} cannot be imported ({error}): pip install 'dfar-toolkit[harnesses]'"
        if os.environ.get("DFAR_HARNESSES") == "1":
            pytest.fail(f"DFAR_HARNESSES=1 wants every tool, but {said}")
        pytest.skip(said)


# inspect_ai

TARGETS = ["ethical", "unethical", "ethical", "unethical"]
SAID = [  # the answers to each statement, by epoch
    ["ethical. They agreed.", "Unethical"],
    ["unethical. She lied.", "unethical"],
    ["no idea", "ethical"],
    ["ethical", "not ethical"],
]
PREDICTED = [["ethical", "unethical"], ["unethical", "unethical"], [None, "ethical"], ["ethical", None]]


def mocked(broken: int | None) -> Any:
    """A mock model that gives each statement its answers in turn, and breaks at one of them."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    asked: dict[int, int] = {}

    def answer(messages: Any, *_: Any) -> Any:
        n = int(messages[-1].text.split()[-1])
        asked[n] = asked.get(n, -1) + 1
        if n == broken:
            raise RuntimeError("the model broke")
        output = ModelOutput.from_content("mockllm/model", SAID[n][asked[n] % 2])
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/model", custom_outputs=answer)


def inspected(folder: Path, scorer: Any, *, broken: int | None = None, **how: Any) -> Any:
    from inspect_ai import Task
    from inspect_ai import eval as run
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    samples = [
        Sample(id=f"s{n}", input=f"statement {n}", target=t, metadata={"people": [1 - n / 4, n / 4]})
        for n, t in enumerate(TARGETS)
    ]
    task = Task(dataset=samples, solver=generate(), scorer=scorer)
    return run(
        task, model=mocked(broken), display="none", log_dir=str(folder), log_format="eval", max_samples=1, **how
    )[0]


def numbers(done: Any) -> dict[str, float]:
    return {name: metric.value for score in done.results.scores for name, metric in score.metrics.items()}


@pytest.mark.parametrize("epochs", [1, 2])
def test_inspect_ai_scores_every_epoch(tmp_path: Path, epochs: int) -> None:
    tool("inspect_ai")
    from inspect_ai.log import read_eval_log
    from inspect_ai.scorer import accuracy as their_accuracy

    metrics = [accuracy, partial(macro_f1, options=OPTIONS, n_boot=200), coverage]
    done = inspected(tmp_path, label_scorer(OPTIONS, metrics=metrics), epochs=epochs)
    assert done.status == "success", done.error
    gold = [t for t in TARGETS for _ in range(epochs)]
    pred = [p for row in PREDICTED for p in row[:epochs]]
    names = [f"s{n}" for n in range(4) for _ in range(epochs)]
    expected = {}
    for metric in metrics:
        name = metric.func.__name__ if isinstance(metric, partial) else metric.__name__
        given = {} if name == "coverage" else {"gold": gold}
        e = metric(**given, pred=pred, group=names)
        expected |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
    assert numbers(done) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert numbers(read_eval_log(done.location)) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # their accuracy of means over epochs, through the same log
    from inspect_ai import score as rescore

    again = rescore(done, label_scorer(OPTIONS, metrics=[accuracy]), metrics=[their_accuracy()], display="none")
    assert numbers(again)["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-12)


def test_a_log_of_inspect_ai_has_our_labels(tmp_path: Path) -> None:
    tool("inspect_ai")
    done = inspected(tmp_path, label_scorer(OPTIONS, metrics=[accuracy]), epochs=2)
    rows = read_inspect_ai(done.location).rows.sort("key", "sample")
    assert rows["gold"].to_list() == [t for t in TARGETS for _ in range(2)]
    labels = rows["answer"].fill_null(parse_answers(rows["raw"], OPTIONS)["label"])
    assert labels.to_list() == [p for row in PREDICTED for p in row]
    [scorer] = done.eval.scorers
    assert scorer.options == {"options": OPTIONS, "label_map": None, "letters": False}


def test_samples_that_break_are_not_seen_by_metrics(tmp_path: Path) -> None:
    tool("inspect_ai")
    scorer = label_scorer(OPTIONS, metrics=[accuracy], intervals=False)
    done = inspected(tmp_path, scorer, broken=1, fail_on_error=False)
    assert numbers(done) == {"accuracy": pytest.approx(1 / 3)}
    assert read_inspect_ai(done.location).rows["error"].null_count() == 3  # the reader keeps it in the denominator


def test_soft_metrics_of_a_scorer_of_ones_own(tmp_path: Path) -> None:
    tool("inspect_ai")
    from inspect_ai.scorer import Score, scorer

    @scorer(metrics=[inspect_metric(soft_cross_entropy)])
    def shares() -> Any:
        async def score(state: Any, target: Any) -> Any:
            return Score(value=1, metadata={"gold": state.metadata["people"], "pred": [0.5, 0.5]})

        return score

    done = inspected(tmp_path, shares())
    assert done.status == "success", done.error
    assert numbers(done)["soft_cross_entropy"] == pytest.approx(log(2), abs=1e-12)


# lm-evaluation-harness

ROWS = [
    {"statement": "one", "label": 0, "people": [0.75, 0.25]},
    {"statement": "two", "label": 1, "people": [0.0, 1.0]},
    {"statement": "three", "label": 1, "people": [0.25, 0.75]},
    {"statement": "four", "label": 0, "people": None},
]
LIKELIHOODS = {"one": (-1.0, -2.0), "two": (-2.0, -2.0), "three": (-3.0, -1.0), "four": (-1.0, -inf)}
WRITTEN = {"one": "ethical. They agreed.", "two": "unethical", "three": "no idea", "four": "unethical"}
FUNCTIONS = """
from dfar_toolkit.metrics import accuracy, coverage, macro_f1
from dfar_toolkit.metrics.adapters import aggregation, process_answers, process_choices
from dfar_toolkit.metrics.soft_labels.cross_entropy import soft_cross_entropy

choices = process_choices(gold="label", shares="people", labels=[macro_f1, coverage], soft=[soft_cross_entropy])
answers = process_answers(["ethical", "unethical"], gold="label", labels=[accuracy, coverage])
of_accuracy, of_coverage = aggregation(accuracy), aggregation(coverage)
of_macro_f1, of_soft_cross_entropy = aggregation(macro_f1), aggregation(soft_cross_entropy)
"""
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{statement}}}} The statement is"
doc_to_target: label
process_results: !function task_functions.{process}
metric_list:
"""
METRIC = """  - metric: {name}
    aggregation: !function task_functions.of_{name}
    higher_is_better: true
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "task_functions.py").write_text(FUNCTIONS)
    for name, kind, process, metrics in (
        ("dfar_choices", "multiple_choice", "choices", ["macro_f1", "coverage", "soft_cross_entropy"]),
        ("dfar_answers", "generate_until", "answers", ["accuracy", "coverage"]),
    ):
        task = TASK.format(name=name, folder=tmp_path, kind=kind, process=process)
        task += "".join(METRIC.format(name=metric) for metric in metrics)
        task += "doc_to_choice: [ethical, unethical]\n" if process == "choices" else ""
        (folder / f"{name}.yaml").write_text(task)
    return folder


def test_a_task_of_lm_eval(tasks: Path) -> None:
    lm_eval = tool("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Canned(LM):
        def loglikelihood(self, requests: Any, **_: Any) -> Any:
            return [(LIKELIHOODS[r.args[0].split()[0]]["un" in r.args[1]], False) for r in requests]

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            raise NotImplementedError

        def generate_until(self, requests: Any, **_: Any) -> Any:
            return [WRITTEN[r.args[0].split()[0]] for r in requests]

    known = TaskManager(include_path=str(tasks), include_defaults=False)
    found = lm_eval.simple_evaluate(model=Canned(), tasks=["dfar_choices", "dfar_answers"], task_manager=known)
    choices, answers = found["results"]["dfar_choices"], found["results"]["dfar_answers"]
    # labels 0, none (a tie), 1, 0 against 0, 1, 1, 0: F1 2 x 2 / (2 + 2) and 2 x 1 / (2 + 1)
    assert choices["macro_f1,none"] == pytest.approx(5 / 6, abs=1e-12)
    assert choices["coverage,none"] == 0.75
    near, far = (float(softmax([0.0, -d])[1]) for d in (1.0, 2.0))
    losses = [-0.75 * log(1 - near) - 0.25 * log(near), log(2), -0.25 * log(far) - 0.75 * log(1 - far)]
    assert choices["soft_cross_entropy,none"] == pytest.approx(sum(losses) / 3, abs=1e-12)
    assert answers["accuracy,none"] == 0.5
    assert answers["coverage,none"] == 0.75
    assert choices["macro_f1_stderr,none"] == "N/A"  # the harness knows no error of aggregations that are not its own


def test_the_samples_of_lm_eval_are_read(tasks: Path, tmp_path: Path) -> None:
    tool("lm_eval")
    out = tmp_path / "out"
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--tasks", "dfar_choices", "--log_samples",
         "--include_path", str(tasks), "--output_path", str(out)],
        check=True, capture_output=True, cwd=tmp_path, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    [samples] = out.rglob("samples_dfar_choices_*.jsonl")
    assert read_lm_eval(samples).rows["gold"].to_list() == ["ethical", "unethical", "unethical", "ethical"]


# evaluate


def test_beside_metrics_of_evaluate() -> None:
    evaluate = tool("evaluate")
    import datasets

    class Hits(evaluate.Metric):
        def _info(self) -> Any:
            features = datasets.Features({n: datasets.Value("int32") for n in ("predictions", "references")})
            return evaluate.MetricInfo(description="", citation="", features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return {"hits": float(sum(p == r for p, r in zip(predictions, references, strict=True)))}

    both = evaluate.combine([Hits(), to_evaluate(accuracy, intervals=False)])
    assert both.compute(predictions=[0, 1], references=[0, 0]) == {"hits": 1.0, "accuracy": 0.5}
    both.add_batch(predictions=np.array([0, 1]), references=np.array([0, 0]))
    both.add(1, 1)
    assert both.compute() == {"hits": 2.0, "accuracy": pytest.approx(2 / 3)}
    ours = {"a": to_evaluate(accuracy, intervals=False), "b": to_evaluate(accuracy, intervals=False)}
    rows = datasets.Dataset.from_dict({"label": ["x", "y"]})
    found = evaluate.combine(ours).compute(predictions=["x", "x"], references=rows["label"])
    assert found == {"a_accuracy": 0.5, "b_accuracy": 0.5}


# The Trainer


@pytest.mark.parametrize("people", [False, True])
def test_evaluation_by_the_trainer(tmp_path: Path, people: bool) -> None:
    tool("torch")
    tool("accelerate")
    transformers = tool("transformers")
    import datasets
    import torch

    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    model = transformers.BertForSequenceClassification(config).eval()
    rng = np.random.default_rng(0)
    tokens, shares = rng.integers(1, 32, (8, 5)), rng.dirichlet([1, 1], 8).astype(np.float32)
    codes = [0, 1, 0, 1, -100, 1, 0, 1]
    rows = datasets.Dataset.from_dict({"input_ids": tokens, "labels": shares if people else codes})
    soft = [soft_cross_entropy] if people else []
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path), use_cpu=True, report_to=[], per_device_eval_batch_size=3, disable_tqdm=True
        ),
        eval_dataset=rows,
        compute_metrics=compute_metrics(OPTIONS, labels=[accuracy, macro_f1], soft=soft),
    )
    found = trainer.evaluate()
    with torch.no_grad():
        logits = model(torch.tensor(tokens)).logits.numpy()
    scored = [i for i in range(8) if people or codes[i] >= 0]
    gold = [OPTIONS[int(shares[i].argmax()) if people else codes[i]] for i in scored]
    pred = [OPTIONS[int(logits[i].argmax())] for i in scored]
    assert found["eval_accuracy"] == accuracy(gold=gold, pred=pred).value
    assert found["eval_macro_f1"] == pytest.approx(macro_f1(gold=gold, pred=pred).value, nan_ok=True)
    assert found["eval_no_gold"] == 8 - len(scored)
    if people:
        expected = soft_cross_entropy(gold=shares, pred=softmax(logits.astype(float), axis=1)).value
        assert found["eval_soft_cross_entropy"] == pytest.approx(expected, abs=1e-5)  # float32, other batches
    assert not any(isnan(v) for name, v in found.items() if name in ("eval_accuracy", "eval_no_prediction"))
