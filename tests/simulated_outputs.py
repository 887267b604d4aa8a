"""Eight answers whose labels a simulator guessed three times each, and the numbers of these guesses worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import polars as pl

from dfar_toolkit.metrics.self_consistency.simulation import SIMULATED

OPTIONS = ("hatespeech", "offensive", "normal")
H, F, N = OPTIONS
# Item, label, guesses from the input, from both, from the reason, and the reason. Leaked are 1, 2, 6 and 8.
EIGHT: tuple[tuple[Any, ...], ...] = (
    ("1", H, H, H, H, "It is hatespeech."),
    ("2", H, N, H, H, "Slurs."),
    ("3", H, N, H, N, "They call them vile."),
    ("4", N, N, F, H, "Odd."),
    ("5", N, N, N, None, "A normal thing."),
    ("6", N, H, N, N, "normal talk 😀"),
    ("7", F, H, H, H, "নোংরা কথা।"),
    ("8", F, F, None, F, "Offensive!"),
)
NUMBERS = {
    "simulator_right_input": Fraction(4, 8),  # 1, 4, 5, 8
    "simulator_right_both": Fraction(5, 8),  # 1, 2, 3, 5, 6
    # leaked gain 0, 1, 1, -1; the others 1, -1, 0, 0
    "leakage_adjusted_simulatability": (Fraction(1, 4) + Fraction(0, 4)) / 2,
    "simulatability_leaked": Fraction(1, 4),
    "simulatability_not_leaked": Fraction(0, 4),
    "leaked_share": Fraction(4, 8),
    "giveaway_over_majority": Fraction(4, 8) - Fraction(3, 8),  # three of eight are hatespeech
    "giveaway_unnamed": Fraction(1, 4),  # of 2, 3, 4 and 7, which name no label, only 2
    "named_label_share": Fraction(4, 8),  # 1, 5, 6, 8
}


def simulated_rows(items: Sequence[Sequence[Any]] = EIGHT) -> pl.DataFrame:
    """Rows of the table outputs of a run ``s`` that guessed the answers of the run ``gpt``."""
    rows = [
        {"run_id": "s", "item_id": item, "condition": condition, "sample": 0, "label": guess, "target_label": label,
         "target_run": "gpt", "shown_reason": None if condition == SIMULATED[0] else reason}
        for item, label, *guesses, reason in items
        for condition, guess in zip(SIMULATED, guesses, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"label": pl.String, "sample": pl.Int64})
