"""Items explained by a planted model, and the rows that come of them, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.styles import load_style
from dfar_toolkit.runners.driving import run_locally
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.runners.rationales.explaining import Explaining
from dfar_toolkit.runners.rationales.human_words import HumanWords
from dfar_toolkit.runners.rationales.unit import explained
from dfar_toolkit.runners.units import Row, Unit
from planted_model import KeptRows, PlantedModel

OPTIONS = ("good", "bad")
LABEL = Manner(load_style("label"))
TEXT = "I stole a loaf for my hungry child last night"  # ten words; "stole" makes it bad, "hungry" less so
PLANTED = {"stole": 3.0, "hungry": -1.0}
ASKED = Asked(TEXT, options=OPTIONS)


def how(*methods: str, manner: Manner | None = LABEL, **other: Any) -> Explaining:
    return Explaining(manner, methods, **{"shares": (0.2, 0.5), "ks": (1,), "draws": 2, **other})


def people(*marked: set[int], n: int = 10) -> HumanWords:
    import numpy as np

    masks = np.array([[at in own for at in range(n)] for own in marked], dtype=np.bool_).reshape(len(marked), n)
    return HumanWords(tuple(map(str, range(len(marked)))), masks, tuple((frozenset(own),) for own in marked))


def run(unit: Unit, model: PlantedModel) -> list[Row]:
    kept = KeptRows()
    run_locally([unit], model, kept)
    return kept[unit.name]


def explain(
    model: PlantedModel, asked: Asked, settled: Explaining, human: HumanWords | None = None, **other: Any
) -> list[Row]:
    return run(explained("i1", asked, other.pop("gold", None), human, settled, **other), model)


def of(rows: Sequence[Row], condition: str, method: str | None = None, **key: Any) -> list[Row]:
    return [
        row for row in rows
        if row["condition"] == condition and method in (None, row["method"])
        and all(row[c] == v for c, v in key.items())
    ]  # fmt: skip


def label(row: Row) -> str:
    logs = row["option_logprobs"]
    return str(row["shown"][logs.index(max(logs))])


def keys(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return [tuple(row[c] for c in ("condition", "method", "operator", "k", "draw")) for row in rows]


def same(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Rows as they compare, whatever their order."""
    return sorted(tuple(f"{name}={value}" for name, value in sorted(row.items())) for row in rows)
