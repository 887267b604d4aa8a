"""The recipe: what can be learned is learned and answered, and the folder is what the other rooms read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_training import OPTIONS, WORDING, tiny_items, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.loaded import ModelSettings  # noqa: E402
from dfar_toolkit.engines.local import LocalEngine  # noqa: E402
from dfar_toolkit.engines.model_loading import load_model  # noqa: E402
from dfar_toolkit.engines.requests import Generate, Generated, OptionScores, ScoreOptions  # noqa: E402
from dfar_toolkit.errors import EngineError, TableError  # noqa: E402
from dfar_toolkit.finetune.development_scores import DevelopmentScores  # noqa: E402
from dfar_toolkit.finetune.examples import examples_of  # noqa: E402
from dfar_toolkit.finetune.recipe import TrainedRun, train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.finetune.training_log import read_log  # noqa: E402
from dfar_toolkit.prompts.styles import load_style  # noqa: E402
from tiny_models import save_tiny_causal, tiny_causal  # noqa: E402

FULL = TrainSettings(
    adapter="none", learning_rate=1e-2, schedule="linear", warmup=0.0, batch=4, epochs=25, log_every=5,
    best_by="last",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _train(out: Path, settings: TrainSettings, **changes: Any) -> TrainedRun:
    call: dict[str, Any] = {"options": OPTIONS, "wording": WORDING, "model": None, "out": out, "settings": settings}
    call |= changes
    call["model"] = call["model"] or tiny_loaded(tiny_causal(), chat=bool(settings.chat))
    return train(call.pop("train", tiny_items()), call.pop("dev", None), **call)


@pytest.mark.parametrize(
    ("objective", "chat"), [("L", False), ("L+R", True), ("R+L", False), ("soft", True), ("soft+R", False)]
)
def test_what_can_be_learned_is_learned_and_answered(tmp_path: Path, objective: Any, chat: bool) -> None:
    settings = FULL.replace(objective=objective, chat=chat)
    run = _train(tmp_path / "run", settings)
    losses = [line for line in read_log(run.folder / "log.jsonl") if line["kind"] == "train"]
    entropy = 0.5867  # of the shares: the mean of H(.6, .4) and H(.2, .8)
    assert losses[0]["loss"] > 2
    assert losses[-1]["loss"] < (entropy + 0.1 if settings.soft else 0.1)
    # The folder alone, loaded as any model, answers as it was taught, and stops.
    loaded = load_model(str(run.folder), ModelSettings(device="cpu", chat=chat))
    engine = LocalEngine(loaded)
    examples = examples_of(tiny_items(), OPTIONS, settings, wording=WORDING, chat=chat).examples
    scored = engine.ask([ScoreOptions(each.before_label, tuple((name,) for name in each.options)) for each in examples])
    for example, reply in zip(examples, scored, strict=True):
        assert isinstance(reply, OptionScores)
        probs = [float(torch.tensor(log).exp()) for log in reply.logprobs]
        wanted = example.shares if settings.soft else [float(k == example.chosen) for k in (0, 1)]
        assert probs == pytest.approx(wanted, abs=0.12)
    if settings.soft and not settings.with_reasons:
        return
    written = engine.ask([Generate(example.prompt, max_new_tokens=40) for example in examples])
    for example, reply in zip(examples, written, strict=True):
        assert isinstance(reply, Generated)
        assert reply.finish == ("stop",)
        assert reply.texts[0].strip() == example.answer.strip()


def test_an_adapter_and_its_folder(tmp_path: Path) -> None:
    base = save_tiny_causal(tmp_path / "base")
    settings = TrainSettings(
        objective="L", adapter="rslora", rank=4, batch=4, epochs=2, best_by="accuracy", learning_rate=1e-2, log_every=1
    )
    development = tiny_items(4).with_columns(split=pl.lit("development"))
    call: dict[str, Any] = {"model": str(base), "dev": development, "loading": ModelSettings(device="cpu")}
    run = _train(tmp_path / "run", settings, facts={"items_digest": "abc"}, **call)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "log.jsonl", "run.json",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    report = json.loads((run.folder / "run.json").read_text())
    assert (report["format"], report["task"], report["processes"]) == ("dfar-training", "causal", 1)
    assert report["settings"] == settings.as_json()
    assert report["decides"]["items_digest"] == "abc"
    assert report["items"]["documents"] == 8
    assert report["packing"]["packed"] is True
    assert report["chosen"]["by"] == "accuracy"
    assert [line["step"] for line in report["scores"]] == [2, 4]
    assert {"accuracy", "soft_cross_entropy", "label_mass"} <= report["scores"][0].keys()
    assert report["measured"]["tokens"] == 2 * report["items"]["tokens"]
    assert report["model"]["trainable"] < report["model"]["parameters"]
    adapter = json.loads((run.folder / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(base)
    # The folder alone gives the model in memory.
    loaded = load_model(str(run.folder), ModelSettings(device="cpu"))
    assert run.loaded is not None
    ids = torch.tensor([[1, 20, 30, 40]])
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, run.loaded.model(ids).logits)
    # The same call again trains nothing; another one is refused.
    again = _train(tmp_path / "run", settings, facts={"items_digest": "abc"}, **call)
    assert (again.loaded, again.report["measured"]) == (None, report["measured"])
    with pytest.raises(TableError, match="other settings"):
        _train(tmp_path / "run", settings.replace(rank=8), facts={"items_digest": "abc"}, **call)
    with pytest.raises(TableError, match="test"):
        _train(tmp_path / "other", settings, **{**call, "dev": development.with_columns(split=pl.lit("test"))})


def test_the_best_checkpoint_is_kept_and_training_stops(tmp_path: Path) -> None:
    development = tiny_items(8).with_columns(split=pl.lit("development"))
    settings = FULL.replace(objective="L", epochs=12, evaluate_every=2, patience=2, best_by="accuracy", chat=False)
    run = _train(tmp_path / "run", settings, dev=development)
    scores = {line["step"]: line["accuracy"] for line in run.report["scores"]}
    best = run.report["chosen"]
    assert best["value"] == max(scores.values()) == scores[best["step"]]
    assert max(scores) == best["step"] + 4 < 24  # stopped after two evaluations without gain


def test_the_weights_that_stay_are_those_of_the_best_step(tmp_path: Path) -> None:
    """Labels alone are learned: the model grows surer than people are, and its soft cross-entropy rises again."""
    development = tiny_items(8).with_columns(split=pl.lit("development"))
    settings = FULL.replace(objective="L", evaluate_every=2, patience=2, best_by="soft_cross_entropy", chat=False)
    run = _train(tmp_path / "run", settings, dev=development)
    scored = {line["step"]: line["soft_cross_entropy"] for line in run.report["scores"]}
    best = run.report["chosen"]["step"]
    assert scored[best] == min(scored.values()) < scored[max(scored)]
    assert max(scored) == best + 4 < 50
    scores = DevelopmentScores(
        development, options=OPTIONS, style=load_style("label"), wording=WORDING, chat=False, max_length=512
    )
    loaded = load_model(str(run.folder), ModelSettings(device="cpu", chat=False))
    assert scores(loaded.model, loaded.tokenizer)["eval_soft_cross_entropy"] == pytest.approx(scored[best], rel=1e-5)


def test_a_run_is_not_gone_on_with_from_other_weights_of_the_same_name(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "run"
    save_tiny_causal(base)
    settings = TrainSettings(objective="L", rank=2, batch=4, epochs=2, best_by="last", save_every=1)
    call: dict[str, Any] = {"model": str(base), "loading": ModelSettings(device="cpu")}

    class Killer(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_save(self, *_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(out, settings, callbacks=[Killer()], **call)
    begun = (out / "training.json").read_bytes()
    tiny_causal(1).save_pretrained(base)
    with pytest.raises(TableError, match=r"other settings \(model\): the model's files are not those that it") as said:
        _train(out, settings, **call)
    assert "\n" not in str(said.value)
    assert (out / "training.json").read_bytes() == begun
    tiny_causal(0).save_pretrained(base)
    assert _train(out, settings, **call).report["decides"]["model"]["model_fingerprint"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    items = tiny_items().with_columns(
        label=pl.when(pl.int_range(8) == 0).then(None).otherwise(pl.col("label")),
        statement=pl.when(pl.int_range(8) == 1).then(pl.lit("I lied.</s> " * 9)).otherwise(pl.col("statement")),
    )
    settings = FULL.replace(objective="L", max_steps=1, max_length=70, too_long="drop")
    run = _train(tmp_path / "run", settings, train=items)
    assert (run.report["items"]["left_out"], run.report["items"]["too_long"]) == ({"no label": 1}, 1)
    assert run.report["items"]["special_texts"] == 1
    assert run.notes[:2] == ("1 items were left out: no label", "1 examples were too long and left out")


def test_a_chat_template_that_is_not_there(tmp_path: Path) -> None:
    loaded = tiny_loaded(tiny_causal())
    bare = dataclasses.replace(loaded, tokenizer=SimpleNamespace(chat_template=None))
    with pytest.raises(EngineError, match="wanted the chat template"):
        _train(tmp_path / "run", FULL.replace(chat=True), model=bare)
