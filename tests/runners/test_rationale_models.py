"""A real, tiny model explains its answers; the rows become a table of outputs."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from dfar_toolkit.engines.loaded import LoadedModel  # noqa: E402
from dfar_toolkit.engines.local import LocalEngine  # noqa: E402
from dfar_toolkit.engines.requests import OptionScores, ScoreOptions  # noqa: E402
from dfar_toolkit.files.growing_run import GrowingRun  # noqa: E402
from dfar_toolkit.prompts.asking import Asked  # noqa: E402
from dfar_toolkit.prompts.item_words import item_words, without_words  # noqa: E402
from dfar_toolkit.prompts.styles import load_style  # noqa: E402
from dfar_toolkit.runners.answers import Reading  # noqa: E402
from dfar_toolkit.runners.driving import run_locally  # noqa: E402
from dfar_toolkit.runners.prompting import Manner, spelled  # noqa: E402
from dfar_toolkit.runners.rationales.explained_table import explained_table  # noqa: E402
from dfar_toolkit.runners.rationales.explaining import Explaining  # noqa: E402
from dfar_toolkit.runners.rationales.unit import explained  # noqa: E402
from planted_model import KeptRows  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

MANNER = Manner(load_style("label"))
OPTIONS = ("ethical", "unethical")
TEXTS = {"i1": "I lied to my friend because I wanted to.", "i2": "আমি তাকে ঘৃণা করি 😀", "i3": "", "i4": "word " * 600}


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    torch.set_num_threads(1)
    return LocalEngine(LoadedModel(tiny_causal(), tiny_tokenizer(), "causal", chat=False, max_length=512))


def test_rows_of_a_model_are_a_table_of_outputs(engine: LocalEngine, tmp_path: Path) -> None:
    methods = ("attention", "input_x_gradient", "integrated_gradients", "leave_one_out", "prompted_top_k", "random")
    how = Explaining(MANNER, methods, operators=("remove", "mask", "attention_mask"), shares=(0.2, 0.5), draws=2,
                     baseline="unk", top_k=2)  # fmt: skip
    units = [explained(item, Asked(text, options=OPTIONS), None, None, how) for item, text in TEXTS.items()]
    about = pl.DataFrame({"question": ["label"], "kind": ["nominal"], "options": [list(OPTIONS)]})
    reading = Reading("run", "label", OPTIONS)
    with GrowingRun.open(tmp_path / "run", {"model": "tiny"}) as run:
        run_locally(units, engine, run)
        table = run.finish(list(TEXTS), {}, questions=about, transform=lambda said: explained_table(said, reading))
    assert table.filter(pl.col("item_id") == "i4").select("condition", "label").rows() == [("full", None)]
    assert table.filter(pl.col("item_id") == "i4")["error"][0].startswith("too_long")
    answers = table.filter(pl.col("condition") != "rationale", pl.col("item_id") != "i4")
    assert answers["error"].null_count() == answers["label_probs"].list.len().eq(2).sum() == len(answers)
    empty = answers.filter(pl.col("condition") == "empty", pl.col("operator") == "remove")["label_probs"].to_list()
    assert empty[0] == pytest.approx(empty[1], abs=1e-5)  # nothing is left of either
    scores = table.filter(pl.col("condition") == "rationale", pl.col("item_id") != "i4")
    lengths = {item: len(text.split()) for item, text in TEXTS.items()}
    assert scores["error"].null_count() == len(scores) == 3 * 7
    scored = scores.filter(pl.col("method") != "prompted_top_k")
    assert all(len(own) == lengths[item] for item, own in scored.select("item_id", "word_scores").iter_rows())
    gaps = scored.filter(pl.col("method") == "integrated_gradients", pl.col("item_id") != "i3")
    assert (gaps["gap"] >= 0).all()
    assert gaps["gap"].null_count() == 0
    assert gaps.select("dtype", "reduction", "target_kind").unique().rows() == [("float32", "sum", "log_prob")]


def test_a_word_left_out_is_the_difference_of_two_answers(engine: LocalEngine) -> None:
    asked = Asked(TEXTS["i1"], options=OPTIONS)
    kept = KeptRows()
    how = Explaining(MANNER, ("leave_one_out",), target="unethical", contrast="ethical")
    run_locally([explained("i1", asked, None, None, how)], engine, kept)
    [row] = [row for row in kept["i1"] if row["condition"] == "rationale"]
    words = item_words(asked)

    def value(one: Asked) -> float:
        prompt = MANNER.style.conversation(one, chat=False, up_to_label=True)
        [reply] = engine.ask([ScoreOptions(prompt, spelled(OPTIONS, MANNER))])
        assert isinstance(reply, OptionScores)
        return reply.logprobs[1] - reply.logprobs[0]

    expected = [value(asked) - value(without_words(asked, words, {at})) for at in range(len(words))]
    assert row["word_scores"] == pytest.approx(expected, abs=1e-4)
    assert max(map(abs, expected)) > 1e-3
    assert math.isfinite(row["value"])
