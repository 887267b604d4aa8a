"""All tests of free-text reasons once on a tiny model in memory: rows that the table and the metrics take."""

from __future__ import annotations

import math
import os
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers", reason="the extra models (transformers) is not installed")

from dfar_toolkit.engines.loaded import LoadedModel  # noqa: E402
from dfar_toolkit.engines.local import LocalEngine  # noqa: E402
from dfar_toolkit.engines.requests import Generate, Generated, Reply, Request  # noqa: E402
from dfar_toolkit.metrics.self_consistency.mentions import with_mentions  # noqa: E402
from dfar_toolkit.metrics.self_consistency.self_consistency_table import self_consistency_table  # noqa: E402
from dfar_toolkit.prompts.asking import Asked  # noqa: E402
from dfar_toolkit.prompts.styles import load_style  # noqa: E402
from dfar_toolkit.runners.answers import Reading  # noqa: E402
from dfar_toolkit.runners.driving import run_locally  # noqa: E402
from dfar_toolkit.runners.prompting import Manner  # noqa: E402
from dfar_toolkit.runners.rationales.explained_table import explained_table  # noqa: E402
from dfar_toolkit.runners.self_consistency.reason_testing import TESTS, ReasonTesting  # noqa: E402
from dfar_toolkit.runners.self_consistency.units import self_consistency_units  # noqa: E402
from dfar_toolkit.runners.units import Row  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

OPTIONS = ("ethical", "unethical")
STATEMENTS = ("I lied 🙂.", "আমি মিথ্যা", "我 说谎了")


class Rows(dict[str, list[Row]]):
    """Rows by unit."""

    done: tuple[str, ...] = ()

    def add(self, unit: str, rows: list[Row]) -> None:
        self[unit] = rows


class Closed:
    """The tiny model, whose noise is given the form of an answer: it never writes a label of its own."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    def ask(self, requests: Any) -> list[Reply]:
        return [
            self._formed(request, reply) for request, reply in zip(requests, self.engine.ask(requests), strict=True)
        ]

    def _formed(self, request: Request, reply: Reply) -> Reply:
        if isinstance(request, Generate) and isinstance(reply, Generated):
            text = " ".join(reply.texts[0].split())[:20]
            return reply._replace(texts=(f"Thus {text} it is.\nLabel: {OPTIONS[len(text) % 2]}",))
        return reply


@pytest.mark.parametrize(("chat", "attribution"), [(False, "leave_one_out"), (True, "input_x_gradient")])
def test_every_test_on_a_model_in_memory(chat: bool, attribution: Any) -> None:
    torch.set_num_threads(1)
    engine = LocalEngine(LoadedModel(tiny_causal(), tiny_tokenizer(), "causal", chat, 1024))
    items = [(f"i{at}", Asked(text, options=OPTIONS, wording="Is it ethical?")) for at, text in enumerate(STATEMENTS)]
    manner = Manner(load_style("reason_first"), chat=chat, max_new_tokens=8)
    how = ReasonTesting(manner, tests=TESTS, places=2, words_per_place=1, edit_tokens=8, attribution=attribution)
    rows = Rows()
    run_locally(self_consistency_units(items, how), Closed(engine), rows)
    said = pl.DataFrame([row for own in rows.values() for row in own], infer_schema_length=None)
    outputs = with_mentions(explained_table(said, Reading("r", "q", OPTIONS, answer="reason_and_label")))
    assert outputs["error"].null_count() == len(outputs)
    key = ["item_id", "sample", "method", "condition", "operator", "k", "draw"]
    assert outputs.select(key).is_unique().all()
    scored = outputs.filter(~pl.col("condition").is_in(["rationale"]))
    assert scored["label_probs"].null_count() == 0
    assert scored["label"].null_count() == 0
    sizes = outputs.filter(pl.col("condition") == "rationale").select(
        pl.col("word_scores").list.len() == pl.col("words").list.len()
    )
    assert sizes.to_series().all()
    table = self_consistency_table(outputs, n_boot=20)
    values = dict(table.filter(pl.col("share").is_null()).select("metric", "value").rows())
    assert set(values) >= {"cct", "counterfactual_test", "cc_shap", "early_answering_area", "cot_mistake_change_rate"}
    assert -1 <= values["cc_shap"] <= 1
    assert not math.isnan(values["early_answering_area"])
    assert table.filter(pl.col("metric") == "early_answering_same")["value"].to_list()[-1] == 1.0
