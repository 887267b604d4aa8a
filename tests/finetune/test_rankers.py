"""Rankers: one score per text, softmax over the options, saved and loaded again, answers as outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.engines.model_loading import loaded_model
from dfar_toolkit.errors import EngineError, TableError
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.finetune.classifiers import class_probabilities
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.outputs_rows import write_outputs
from dfar_toolkit.finetune.rankers import Ranker, is_ranker, load_ranker, option_scores, ranked_outputs, train_ranker
from small_tables import make_items
from tiny_models import tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own

OPTIONS = ["first", "second"]
CPU = ModelSettings(device="cpu", dtype="fp32")
BAD, GOOD = "I lied to my friend.", "I paid my neighbour for the work, as it is fair."


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def encoder(outputs: int = 1) -> Any:
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, initializer_range=0.3, num_labels=outputs,
        )
    )  # fmt: skip


def dilemmas(n: int = 24) -> pl.DataFrame:
    """The worse action stands first in every second item; most people say so."""
    pairs = [[f"{BAD} {'x' * (k % 4)}", GOOD][:: 1 if k % 2 else -1] for k in range(n)]
    return make_items([OPTIONS[0] if k % 2 else OPTIONS[1] for k in range(n)]).with_columns(
        option_texts=pl.Series(pairs),
        label_counts=pl.Series([[4, 1] if k % 2 else [1, 4] for k in range(n)]),
        label_probs=pl.Series([[0.8, 0.2] if k % 2 else [0.2, 0.8] for k in range(n)]),
    )


def train(out: Path, items: pl.DataFrame, *, model: Any = None, **more: Any) -> Any:
    settings = HeadSettings(**{"epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "device": "cpu", **more})
    return train_ranker(
        items, options=OPTIONS, model=encoder() if model is None else model, out=out, dev_items=items.head(8),
        settings=settings, tokenizer=tiny_tokenizer(),
    )  # fmt: skip


def alone(model: Any, *texts: str) -> float:
    with torch.no_grad():
        return float(model.eval()(**tiny_tokenizer()(*texts, return_tensors="pt")).logits[0, 0])


@pytest.mark.parametrize(("objective", "rank"), [("hard", 0), ("dirichlet", 2)])
def test_it_learns_is_loaded_again_and_answers(tmp_path: Path, objective: Any, rank: int) -> None:
    items = dilemmas()
    trained = train(tmp_path / "run", items, objective=objective, lora_rank=rank)
    assert trained.report["epochs"][-1]["accuracy"] == 1
    assert is_ranker(tmp_path / "run")
    ranker = load_ranker(tmp_path / "run", CPU)
    outputs = ranked_outputs(ranker, items, options=OPTIONS, question="q", run_id="r")
    assert outputs["label"].to_list() == items["label"].to_list()
    assert outputs["probs_kind"].unique().to_list() == ["classifier"]
    for k in (0, 1, 5):  # each text by itself, in the model that was trained
        z = np.asarray([alone(trained.model, text) for text in items["option_texts"][k]])
        assert outputs["option_scores"][k].to_list() == pytest.approx(z, abs=1e-4)
        assert outputs["label_probs"][k].to_list() == pytest.approx(np.exp(z) / np.exp(z).sum(), abs=1e-5)
    turned = items.with_columns(pl.col("option_texts").list.reverse())
    again = ranked_outputs(ranker, turned, options=OPTIONS, question="q", run_id="r", budget=1)
    assert np.asarray(again["label_probs"].to_list())[:, ::-1] == pytest.approx(
        np.asarray(outputs["label_probs"].to_list()), abs=1e-5
    )
    if objective == "hard":
        questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [OPTIONS], "wording": [""]})
        write_outputs(outputs, tmp_path / "outputs", settings={"model": "run"}, questions=questions)
        read = read_outputs(tmp_path / "outputs", questions=questions)
        assert read.select(outputs.columns).equals(outputs)


def test_the_first_loss_is_that_of_the_softmax_over_the_texts(tmp_path: Path) -> None:
    items, model = dilemmas(6), encoder()
    model.config.hidden_dropout_prob = 0.0
    scores = np.asarray([[alone(model, text) for text in texts] for texts in items["option_texts"].to_list()])
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -(np.asarray(items["label_probs"].to_list()) * logs).sum(axis=1).mean()
    trained = train(tmp_path / "run", items, objective="soft", epochs=1, learning_rate=1e-9, batch_size=6)
    assert trained.report["epochs"][0]["soft_cross_entropy"] == pytest.approx(expected, rel=1e-5)


def test_contexts_and_statements_stand_before_each_text(tmp_path: Path) -> None:
    context = [[{"field": "c", "role": "", "text": "At work."}]] * 4
    items = dilemmas(4).with_columns(context=pl.Series(context), statement=pl.lit("Which is worse?"))
    trained = train(tmp_path / "run", items, epochs=1, with_statement=True)
    ranker = load_ranker(tmp_path / "run", CPU)
    assert ranker.with_statement
    outputs = ranked_outputs(ranker, items, options=OPTIONS, question="q", run_id="r")
    z = [alone(trained.model, "At work.\nWhich is worse?", text) for text in items["option_texts"][0]]
    assert outputs["option_scores"][0].to_list() == pytest.approx(z, abs=1e-4)


def test_texts_that_are_too_long_are_an_error_of_their_row(tmp_path: Path) -> None:
    ranker = Ranker(train(tmp_path / "run", dilemmas(4), epochs=1).loaded, tuple(OPTIONS), False, {})
    items = dilemmas(3).with_columns(option_texts=pl.Series([["a", "b"], ["a", "x" * 300], ["c", "d"]]))
    outputs = ranked_outputs(ranker, items, options=OPTIONS, question="q", run_id="r")
    assert [error is None for error in outputs["error"]] == [True, False, True]
    assert outputs["error"][1].startswith("too_long: ")
    assert outputs.row(1, named=True)["label_probs"] is None
    assert option_scores(ranker.loaded, []).shape == (0, 0)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(("outputs", "answer"), [(1, option_scores), (2, class_probabilities)])
def test_a_model_cut_among_processes_is_left_able_to_train(outputs: int, answer: Any, cut: bool) -> None:
    model, modes = encoder(outputs), []
    model.register_forward_hook(lambda *_: modes.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled())))
    if cut:
        next(iter(model.parameters())).placements = ()  # as the weights of such a model have
    answer(loaded_model(model, tiny_tokenizer()), [((GOOD, None),)])
    assert modes == [(not cut, False)]


def test_what_is_no_ranker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"head of 1 outputs \(score\), found one of 2"):
        train(tmp_path / "run", dilemmas(4), model=encoder(2))
    with pytest.raises(TableError, match="1 of 4 items have none or other texts"):
        train(
            tmp_path / "run",
            dilemmas(4).with_columns(option_texts=pl.Series([["a", "b"], ["a"], ["a", "b"], ["c", "d"]])),
        )
    with pytest.raises(TableError, match="wanted the training run of a ranker"):
        load_ranker(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "other"}')
    assert not is_ranker(tmp_path)
