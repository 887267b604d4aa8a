"""What may be learned, what chooses a checkpoint, and a training from an items folder to answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("OMP_NUM_THREADS", "1")

from dfar_toolkit.errors import EngineError, TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.journeys.training import TrainOptions, train_model
from dfar_toolkit.journeys.training_items import leaking, leaks_into, training_items
from small_tables import make_items

CLEAR = (
    "I paid my neighbour for the work she did.", "I lied to my friend about the money.",
    "He returned the purse that he had found.", "She read her sister's diary without asking.",
    "They planted a tree in front of the school.", "We told the teacher who had broken the window.",
    "I left the dog alone in the hot car for hours.", "He gave his seat to a stranger on the night train.",
)  # fmt: skip
LONG = "I told the whole village that the mayor had taken money from the school, which I knew to be untrue"
STEM = "I deserve a rise because"


def row(split: str, statement: str, *, label: str | None = "good", stem: str | None = None, group: str = "",
        reason: str | None = None) -> dict[str, Any]:  # fmt: skip
    reasons = [] if reason is None else [{"annotator_id": "a", "value": label, "text": reason}]
    return {"split": split, "statement": statement, "label": label, "stem": stem, "group": group, "reasons": reasons}


def folder_of(rows: Sequence[dict[str, Any]]) -> ItemsFolder:
    """An items folder in memory, ids ``split-number``."""
    own = [{**each, "item_id": f"{each['split']}-{at}", "group": each["group"] or f"g{at}"}
           for at, each in enumerate(rows)]  # fmt: skip
    plain = make_items([None] * len(own)).drop(own[0].keys(), strict=False)
    items = plain.hstack(
        pl.DataFrame(own, infer_schema_length=None, schema_overrides={"label": pl.String, "stem": pl.String})
    )
    questions = pl.DataFrame({"question": ["q"], "kind": ["nominal"], "options": [["good", "bad"]], "wording": ["?"]})
    empty = pl.DataFrame()
    return ItemsFolder(Path("invented"), items, empty, empty, empty, questions, {}, [], [])


@pytest.fixture(scope="module")
def leaky() -> ItemsFolder:
    """Training rows that stand in the test byte for byte, but for case, nearly, by their beginning, and not at all."""
    return folder_of([
        row("train", CLEAR[0], reason="It is fair."),
        row("train", CLEAR[1].upper() + "!", label="bad"),
        row("train", LONG + ", and they believed me."),
        row("train", f"{STEM} I worked all weekend.", stem=STEM),
        row("train", CLEAR[2]),
        row("train", CLEAR[3], label=None),
        *[row("train", text) for text in CLEAR[4:]],
        row("test", CLEAR[0], reason="It is fair."),
        row("test", CLEAR[1], label="bad"),
        row("test", LONG + ", and they all believed me."),
        row("test", f"{STEM} my desk is tidy.", stem=STEM),
    ])  # fmt: skip


def test_kinds_of_leaks_are_told_apart_and_left_out(leaky: ItemsFolder) -> None:
    found = training_items(leaky, development=0.0)
    assert found.counts == {
        "train": 10, "without_label": 1, "leaked": 3, "leaked_identical_row": 1, "leaked_exact": 1, "leaked_near": 1,
        "shared_stem": 1, "learned": 6, "development": 0,
    }  # fmt: skip
    assert found.train["item_id"].to_list() == ["train-3", "train-4", "train-6", "train-7", "train-8", "train-9"]
    assert found.development is None
    assert found.notes == (
        "1 items of the training split have no label; they are left out",
        "3 items stand, word for word or nearly, in test too (1 identical_row, 1 exact, 1 near); left out",
        "1 items share a beginning or context with one of test (stem); they are other statements, and learned",
        "6 items are learned",
    )


def test_leaked_items_are_learned_when_asked_for_and_that_is_said(leaky: ItemsFolder) -> None:
    found = training_items(leaky, development=0.0, keep_leaked=True)
    assert found.counts["learned"] == 9
    assert found.counts["leaked"] == 3
    assert any(note.endswith("LEARNED ALL THE SAME (--keep-leaked)") for note in found.notes)


def test_leaks_are_looked_for_in_every_evaluated_split_and_in_none(leaky: ItemsFolder) -> None:
    moved = leaky.items.with_columns(
        split=pl.when(pl.col("item_id") == "test-10").then(pl.lit("hard")).otherwise("split")
    )
    two = replace(leaky, items=moved)
    assert training_items(two, development=0.0).counts["leaked"] == 2
    assert training_items(two, development=0.0, evaluation=("test", "hard")).counts["leaked"] == 3
    none = training_items(two, development=0.0, evaluation=())
    assert (none.counts["leaked"], none.counts["shared_stem"], none.counts["learned"]) == (0, 0, 9)


def test_order_is_kept_and_nothing_is_learned_twice(leaky: ItemsFolder) -> None:
    train, test = (leaky.items.filter(split=name) for name in ("train", "test"))
    assert leaks_into(train, test)["item_id"].to_list() == train["item_id"].to_list()
    assert leaking(train, test).to_list() == ["train-0", "train-1", "train-2"]
    assert leaking(train, test.clear()).to_list() == []


def test_a_development_split_of_its_own_is_kept_apart_too(leaky: ItemsFolder) -> None:
    dev = folder_of([row("dev", CLEAR[4]), row("dev", CLEAR[2].lower()), row("dev", "I sang.", label=None)]).items
    both = replace(leaky, items=pl.concat([leaky.items, dev.with_columns(item_id="dev/" + pl.col("item_id"))]))
    found = training_items(both, development="dev")
    assert found.counts["leaked_into_development"] == 2
    assert found.counts["development"] == 2
    assert found.train["item_id"].to_list() == ["train-3", "train-7", "train-8", "train-9"]
    assert found.development is not None
    assert found.development["split"].unique().to_list() == ["dev"]


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 4), min_size=4, max_size=9), seed=st.integers(0, 5), share=st.floats(0.2, 0.6))
def test_the_carved_part_is_whole_groups_of_train_alone(sizes: list[int], seed: int, share: float) -> None:
    rows = [
        row(
            "train", f"Deed {group}-{at} of the {'xyzuvw'[at]}", label="bad" if group % 2 else "good", group=f"s{group}"
        )
        for group, size in enumerate(sizes)
        for at in range(size)
    ]
    rows += [row("test", "Something else entirely, at the station.", group="s0")]
    folder = folder_of(rows)
    try:
        found = training_items(folder, development=share, seed=seed)
    except TableError:  # one of the two would get no item
        return
    assert found.development is not None
    parts = [set(part["group"]) for part in (found.train, found.development)]
    assert not parts[0] & parts[1]
    assert found.development["split"].unique().to_list() == ["train"]
    ids = [*found.train["item_id"], *found.development["item_id"]]
    assert sorted(ids) == sorted(folder.items.filter(split="train")["item_id"])
    again = training_items(folder, development=share, seed=seed)
    assert again.train.equals(found.train)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"development": "test"}, "a checkpoint that is chosen on it looks better than it is"),
        ({"development": "train"}, "every one looks good there"),
        ({"train": "test"}, "a model that learned it would only remember"),
        ({"development": "dev"}, "no split 'dev'; there are train, test"),
        ({"evaluation": ("tset",)}, "no split 'tset'"),
        ({"train": "more"}, "no split 'more'"),
    ],
)
def test_what_would_flatter_or_is_not_there_is_refused(leaky: ItemsFolder, given: dict[str, Any], said: str) -> None:
    with pytest.raises(TableError, match=said):
        training_items(leaky, **given)


def test_nothing_left_to_learn_says_why() -> None:
    folder = folder_of([row("train", CLEAR[0]), row("train", CLEAR[1], label=None), row("test", CLEAR[0])])
    with pytest.raises(TableError, match=r"left to learn from \(1 without a label, 1 in the evaluation too\)"):
        training_items(folder)


def test_a_question_without_options_is_refused(demo: Path, tmp_path: Path) -> None:
    folder = read_items(demo / "items")
    other = replace(folder, questions=folder.questions.with_columns(kind=pl.lit("set")))
    with pytest.raises(TableError, match="of kind set with 2 options"):
        train_model(other, "classical:svm", tmp_path / "run")


@pytest.fixture(scope="module")
def _one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
    pytest.importorskip("peft", reason="the extra models (peft) is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    from tiny_models import save_tiny_causal

    return str(save_tiny_causal(tmp_path_factory.mktemp("models") / "tiny"))


def options(**more: Any) -> TrainOptions:
    from dfar_toolkit.engines.loaded import ModelSettings

    given = {"objective": "L", "epochs": 3, "batch": 8, "learning_rate": "1e-2", "log_every": 1, **more}
    return TrainOptions(settings=given, loading=ModelSettings(device="cpu"))


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(demo: Path, tiny: str, tmp_path: Path) -> None:
    whole = train_model(demo / "items", tiny, tmp_path / "whole", options())

    def stop(state: Any) -> None:
        if state.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(demo / "items", tiny, tmp_path / "run", options(), progress=stop)
    assert not (tmp_path / "run" / "run.json").exists()
    torn = tmp_path / "run" / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 5, "ep')
    resumed = train_model(demo / "items", tiny, tmp_path / "run", options())
    assert "checkpoint 5 was left half-written, and is passed over" in resumed.notes
    assert "the run goes on after checkpoint 3" in resumed.notes
    weights = [tmp_path / name / "adapter_model.safetensors" for name in ("whole", "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    lines = [[{k: v for k, v in line.items() if k != "seconds"} for line in run.report["scores"]]
             for run in (whole, resumed)]  # fmt: skip
    assert lines[0] == lines[1]

    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert said["decides"]["splits"] == {"train": "train", "evaluation": ["test"], "development": 0.1}
    assert said["decides"]["counts"] == resumed.report["decides"]["counts"]
    again = train_model(demo / "items", tiny, tmp_path / "run", options())
    assert "the run was whole already: nothing was trained" in again.notes
    with pytest.raises(TableError, match=r"other settings \(settings\)"):
        train_model(demo / "items", tiny, tmp_path / "run", options(rank=4))


def test_a_run_that_cannot_begin_leaves_the_folder_free(demo: Path, tiny: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        train_model(demo / "items", str(tmp_path / "absent"), tmp_path / "run", options())
    how = options()._replace(head="classifier", settings={})
    other = how._replace(loading=how.loading._replace(device="cuda:1"))
    with pytest.raises(TableError, match="a classifier or ranker is trained on auto or cpu"):
        train_model(demo / "items", tiny, tmp_path / "run", other)
    train_model(demo / "items", tiny, tmp_path / "run", options(epochs=1))
    assert (tmp_path / "run" / "run.json").is_file()
