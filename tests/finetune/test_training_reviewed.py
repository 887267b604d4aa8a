"""Faults that a review of the training found: each test failed before it was mended."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_training import OPTIONS, WORDING, tiny_items, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.token_ids import option_ids_many  # noqa: E402
from dfar_toolkit.errors import EngineError, TableError  # noqa: E402
from dfar_toolkit.files.items import ItemsFolder  # noqa: E402
from dfar_toolkit.finetune.documents import documents_of  # noqa: E402
from dfar_toolkit.finetune.examples import examples_of  # noqa: E402
from dfar_toolkit.finetune.finite_weights import check_finite  # noqa: E402
from dfar_toolkit.finetune.head_runs import (  # noqa: E402
    begin_training,
    delete_training,
    last_checkpoint,
    leave_nothing,
    torn_checkpoints,
)
from dfar_toolkit.finetune.head_settings import HeadSettings  # noqa: E402
from dfar_toolkit.finetune.recipe import train  # noqa: E402
from dfar_toolkit.finetune.settings import TrainSettings  # noqa: E402
from dfar_toolkit.journeys.training_items import training_items  # noqa: E402
from small_tables import make_items  # noqa: E402
from tiny_models import save_tiny_causal, tiny_tokenizer  # noqa: E402

# As Mistral's and Llama 2's: the model's turn opens without the blank that stands before every answer.
_BLANK_BEFORE_ANSWERS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("objective", ["L", "L+R", "R+L", "soft", "soft+R"])
def test_the_answer_that_is_learned_is_the_one_that_predict_asks_for(objective: Any) -> None:
    tokenizer = copy.copy(tiny_tokenizer())
    tokenizer.chat_template = _BLANK_BEFORE_ANSWERS
    loaded = tiny_loaded(chat=True, tokenizer=tokenizer)
    settings = TrainSettings(objective=objective)
    examples = examples_of(tiny_items(4), OPTIONS, settings, wording=WORDING, chat=True).examples
    made = documents_of(examples, loaded, settings).documents
    spellings = [tuple((name,) for name in each.options) for each in examples]
    asked = option_ids_many([each.before_label for each in examples], spellings, loaded)
    for example, document, own in zip(examples, made, asked, strict=True):
        tail, start = list(own.tails[example.chosen][0]), len(own.common)
        whole = [*document.pieces[0], int(document.learned[-1, 2])]
        assert whole[:start] == own.common
        assert whole[start : start + len(tail)] == tail
        assert tokenizer.decode(whole).endswith(f"[/INST] {example.answer}</s>")
        # With shares the option's own tokens, its blank among them, are not learned a second time.
        places = {int(place) + 1 for place in document.learned[:, 1]}
        assert bool(places & set(range(start, start + len(tail)))) == (not settings.soft)


def test_an_option_that_does_not_fit_the_model_counts_as_too_long() -> None:
    items = tiny_items(2).with_columns(label=pl.lit("good"), label_probs=pl.lit([0.9, 0.1], dtype=pl.List(pl.Float64)))
    options = ("good", "bad, and so it goes on and on for many more words")
    loaded, settings = tiny_loaded(), TrainSettings(objective="soft")
    examples = examples_of(items, options, settings).examples
    longest = documents_of(examples, loaded, settings).facts["longest"]
    with pytest.raises(EngineError, match=rf"more than {longest - 1} tokens \(the longest, {longest}"):
        documents_of(examples, loaded, settings.replace(max_length=longest - 1))
    assert documents_of(examples, loaded, settings.replace(max_length=longest)).facts["too_long"] == 0


def test_the_end_that_is_noted_is_the_end_that_is_learned() -> None:
    loaded, settings = tiny_loaded(chat=True), TrainSettings(objective="L", style="dfar-llama2-label")
    examples = examples_of(tiny_items(1), OPTIONS, settings, chat=True).examples
    made = documents_of(examples, loaded, settings)
    assert made.facts["end"] == made.documents[0].learned[-1, 2] == tiny_tokenizer().eos_token_id


def _ties() -> ItemsFolder:
    said: list[tuple[str, str | None, list[int] | None]] = [
        ("train", "ethical", [3, 1]), ("train", None, [2, 2]), ("train", None, None), ("test", "ethical", [4, 0]),
    ]  # fmt: skip
    own = pl.DataFrame(
        {
            "item_id": [f"i{at}" for at in range(4)], "split": [split for split, _, _ in said],
            "statement": ["I paid a baker.", "He lied to her.", "We left at noon.", "They sang in the street."],
            "label": [label for _, label, _ in said], "label_counts": [votes for _, _, votes in said],
            "label_probs": [None if votes is None else [vote / 4 for vote in votes] for _, _, votes in said],
        }
    )  # fmt: skip
    items = make_items([None] * 4).drop(own.columns, strict=False).hstack(own)
    empty = pl.DataFrame()
    return ItemsFolder(Path("invented"), items, empty, empty, empty, empty, {}, [], [])


def test_ties_teach_shares_and_no_label() -> None:
    hard, soft = (training_items(_ties(), development=0.0, shares=shares) for shares in (False, True))
    assert hard.train["item_id"].to_list() == ["i0"]
    assert soft.train["item_id"].to_list() == ["i0", "i1"]
    assert (hard.counts["without_label"], soft.counts["without_label"]) == (2, 1)


def test_a_diverged_model_is_not_written() -> None:
    layer = torch.nn.Linear(2, 2)
    check_finite(layer, step=1)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    with pytest.raises(EngineError, match=r"weights such as weight are no finite numbers after step 7.*learning_rate"):
        check_finite(layer, step=7)
    layer.weight.requires_grad_(False)
    check_finite(layer, step=1)  # not ours to judge


def test_a_classifier_whose_loss_is_no_number_stops(tmp_path: Path) -> None:
    from dfar_toolkit.finetune.classifiers import train_classifier

    model = str(save_tiny_causal(tmp_path / "tiny"))
    settings = HeadSettings(epochs=2, lora_rank=2, learning_rate=1e25, device="cpu", batch_size=2)
    with pytest.raises(EngineError, match="the loss is not a finite number at step"):
        train_classifier(tiny_items(4), options=OPTIONS, model=model, out=tmp_path / "run", settings=settings)


def test_fresh_deletes_a_training_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    delete_training(run)
    begin_training(run, {"settings": {"rank": 4}})
    (run / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(TableError, match=r"other settings \(settings\): rank is 4 there, 8 now.*--fresh"):
        begin_training(run, {"settings": {"rank": 8}})
    (run / "mine.txt").write_text("x")
    with pytest.raises(TableError, match=r"did not write \(such as mine.txt\).*Nothing was deleted"):
        delete_training(run)
    (run / "mine.txt").rename(run / "checkpoints" / "mine.txt")
    with pytest.raises(TableError, match=r"such as checkpoints.mine.txt"):
        delete_training(run)
    assert (run / "training.json").is_file()
    (run / "checkpoints" / "mine.txt").unlink()
    (run / "tensorboard").mkdir()
    delete_training(run)
    assert list(run.iterdir()) == []
    (run / "run.json").write_text('{"format": "another"}')
    with pytest.raises(TableError, match="wanted a training run"):
        delete_training(run)


def test_a_run_without_a_checkpoint_makes_way_and_one_with_a_checkpoint_stays(tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin_training(run, {"settings": {}})
    (run / "log.jsonl").write_text('{"kind": "start", "step": 0}\n')
    state = run / "checkpoints" / "checkpoint-3" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"global_step": 3}')
    leave_nothing(run)
    assert state.is_file()
    state.unlink()
    leave_nothing(run)
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("torn", ["", '{"global_step": 12, "ep', "[]", '{"global_step": 9}', "\x00" * 9])
def test_a_checkpoint_that_was_torn_is_passed_over_and_named(tmp_path: Path, torn: str) -> None:
    begin_training(tmp_path, {"settings": {}})
    for step, text in ((3, '{"global_step": 3}'), (12, torn)):
        (tmp_path / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
        (tmp_path / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    (tmp_path / "checkpoints" / "checkpoint-x").mkdir()
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-3"
    assert [path.name for path in torn_checkpoints(tmp_path)] == ["checkpoint-12"]


def test_what_the_memory_advice_says_may_be_changed_in_a_run(tmp_path: Path) -> None:
    settings = TrainSettings(objective="L", epochs=1, rank=2, batch=4, patience=2, evaluate_every=1, dtype="fp32")
    out = tmp_path / "run"
    first = train(tiny_items(4), None, options=OPTIONS, model=tiny_loaded(), out=out, settings=settings)
    assert {note.split(" ")[0] for note in first.notes if "changes nothing" in note} == {"patience", "evaluate_every"}
    assert first.report["labels"] == list(OPTIONS)  # where the card of a model looks
    changed = settings.replace(checkpointing=True, pass_tokens=64)
    again = train(tiny_items(4), None, options=OPTIONS, model=tiny_loaded(), out=out, settings=changed)
    assert again.loaded is None
    with pytest.raises(TableError, match="rank is 2 there, 4 now"):
        train(tiny_items(4), None, options=OPTIONS, model=tiny_loaded(), out=out, settings=settings.replace(rank=4))


def test_a_trained_model_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    import json

    from dfar_toolkit.journeys.training import asked_as_trained

    assert asked_as_trained("org/model") == ("label", None)
    said = {"format": "dfar-training", "format_version": 1, "decides": {}, "task": "causal"}
    for settings, asked in (
        ({"objective": "L+R", "style": None, "chat": None}, ("label_and_reason", None)),
        ({"objective": "R+L", "style": None, "chat": False}, ("reason_first", False)),
        ({"objective": "L", "style": "dfar-llama2-label", "chat": None}, ("dfar-llama2-label", None)),
    ):
        (tmp_path / "run.json").write_text(json.dumps({**said, "settings": settings}), encoding="utf-8")
        assert asked_as_trained(str(tmp_path)) == asked
    for other in ({**said, "task": "classifier"}, {"format": "another"}):
        (tmp_path / "run.json").write_text(json.dumps(other), encoding="utf-8")
        assert asked_as_trained(str(tmp_path)) == ("label", None)
