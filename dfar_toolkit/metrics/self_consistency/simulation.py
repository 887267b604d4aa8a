"""What a simulator said of each item: the label that somebody gave, from input, input and reason, or reason alone.

The simulator reads somebody else's reasons, so that its rows say nothing about its own. A guess that could not be read,
or that failed, is wrong and counted; only an item that was not asked in all three ways is left out. Cost: one grouping
of the rows, and the words of the reasons once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import ESTIMATE_SCHEMA, Estimate, Floats
from dfar_toolkit.metrics.faithfulness.directions import higher_is_better
from dfar_toolkit.metrics.faithfulness.label_leakage import giveaway_table, named_label_share
from dfar_toolkit.metrics.faithfulness.simulatability import simulatability_table
from dfar_toolkit.metrics.reasons.named_labels import readable_labels
from dfar_toolkit.metrics.reasons.own_label import own_label_namings
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons
from dfar_toolkit.metrics.self_consistency.answer_changes import IDENT, said_label, typed_rows

INPUT: Final = "simulate_input"
BOTH: Final = "simulate_both"
REASON: Final = "simulate_reason"
SIMULATED: Final = (INPUT, BOTH, REASON)
_FIRST: Final = ("simulator_right_input", "simulator_right_both", "leaked_share")  # in the order of SIMULATED
_UNNAMED: Final = "the labels cannot be found in running text, so whether reasons name them is not counted"


class SimulatedNumber(NamedTuple):
    """One number, and the share of the items whose guesses behind it could be read."""

    metric: str
    higher_is_better: bool | None
    coverage: float
    estimate: Estimate


def simulated_items(name: str, outputs: pl.DataFrame) -> pl.DataFrame:
    """The guesses about each item beside the label that was to be guessed.

    Args:
        name: Function named in errors.
        outputs: Rows of one run with the conditions ``SIMULATED``: ``target_label``, ``shown_reason`` and, where it is
            known, the run that both are of, ``target_run``.

    Returns:
        A row per item, sorted by key: ``group``, ``target_label``, ``target_run``, ``reason``, and by condition
        ``guess_...`` (null where unread; of several samples the one said most often) and ``right_...`` (null where the
        item was not asked in this way).

    Raises:
        TableError: No column ``target_label``, or several target labels or reasons for one item.

    Example:
        >>> rows = pl.DataFrame({"item_id": ["a"] * 3, "condition": list(SIMULATED), "target_label": ["x"] * 3,
        ...                      "shown_reason": [None, "So.", "So."], "label": ["y", "x", None]})
        >>> found = simulated_items("example", rows)
        >>> found.select("right_simulate_input", "right_simulate_both", "right_simulate_reason").row(0)
        (False, True, False)
    """
    if "target_label" not in outputs.columns:
        raise TableError(f'{name}: rows of a simulator need the column "target_label", the label to be guessed.')
    rows = typed_rows(name, outputs.filter(pl.col("condition").is_in(SIMULATED)))
    absent = [pl.lit(None, dtype=pl.String).alias(c) for c in ("shown_reason", "target_run") if c not in rows.columns]
    rows = rows.with_columns(absent).with_columns(pl.col("target_label", "shown_reason", "target_run").cast(pl.String))
    known = {"target_label": "target_label", "reason": "shown_reason"}
    found = rows.group_by(IDENT).agg(
        pl.col("group").first(), pl.col("target_run").drop_nulls().min(),
        *(pl.col(column).drop_nulls().min().alias(kind) for kind, column in known.items()),
        *(pl.col(column).drop_nulls().n_unique().alias(f"n_{kind}") for kind, column in known.items()),
        *(said_label(pl.col("condition") == c).alias(f"guess_{c}") for c in SIMULATED),
        *((pl.col("condition") == c).any().alias(f"asked_{c}") for c in SIMULATED),
    ).sort(IDENT)  # fmt: skip
    for kind, column in known.items():
        several = found.filter(pl.col(f"n_{kind}") > 1)
        if len(several):
            raise TableError(
                f"{name}: a simulated item has one {column}, found {several[f'n_{kind}'][0]} of "
                f"{several['item_id'][0]!r}."
            )
    return found.with_columns(_right(c) for c in SIMULATED)


def _right(condition: str) -> pl.Expr:
    asked = pl.col(f"asked_{condition}") & pl.col("target_label").is_not_null()
    hit = (pl.col(f"guess_{condition}") == pl.col("target_label")).fill_null(value=False)
    return pl.when(asked).then(hit).alias(f"right_{condition}")


def simulated_numbers(
    name: str,
    outputs: pl.DataFrame,
    *,
    options: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[SimulatedNumber]:
    """How often the simulator is right, leakage-adjusted simulatability, and whether reasons give their labels away.

    Args:
        name: Function named in errors.
        outputs: As for :func:`simulated_items`.
        options: Names of the labels, to find them in the reasons; None: those of the column ``options``.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The numbers; empty where no row is a simulator's.

    Raises:
        TableError: As :func:`simulated_items`; a label that is no option.
    """
    if not outputs["condition"].is_in(SIMULATED).any():
        return []
    items = simulated_items(name, outputs)
    whole = items.filter(pl.all_horizontal(pl.col(f"right_{c}").is_not_null() for c in SIMULATED))
    how = {"confidence": confidence, "n_boot": n_boot, "seed": seed}
    right = {c: items[f"right_{c}"] for c in SIMULATED}
    table = simulatability_table(
        with_both=right[BOTH], with_input=right[INPUT], with_reason=right[REASON], group=items["group"], **how  # type: ignore[arg-type]
    )  # fmt: skip
    found = sorted(_numbers(table, _read_share(items, SIMULATED)), key=_place)
    found = [_with_notes(one, items, whole) for one in found]
    names = list(options) if options is not None else _options_of(outputs)
    readable, groups = readable_labels(names), whole["group"]
    named = _naming(name, whole, names) if readable else None
    given = giveaway_table(
        label=whole["target_label"], guess=whole[f"guess_{REASON}"], named=named, group=groups, **how  # type: ignore[arg-type]
    )  # fmt: skip
    away = [
        _noted(one, "" if readable else _UNNAMED)
        for one in _numbers(given, _read_share(items, (REASON,)))
        if one.metric != "giveaway_rate"  # here leaked_share by another name
    ]
    if readable:
        share = named_label_share(
            reason=whole["reason"], label=whole["target_label"], options=names, group=groups, confidence=confidence
        )
        own, better = whole["reason"].count() / len(items), higher_is_better("named_label_share")
        away.append(SimulatedNumber("named_label_share", better, own, share))
    lost = len(items) - len(whole)
    left_out = f"{lost} of {len(items)} items without all three answers left out" if lost else ""
    return [*found, *(_noted(one, left_out) for one in away)]


def _numbers(table: pl.DataFrame, coverage: float) -> Iterator[SimulatedNumber]:
    for row in table.iter_rows(named=True):
        estimate = Estimate(**{name: row[name] for name in ESTIMATE_SCHEMA})
        yield SimulatedNumber(row["metric"], row["higher_is_better"], coverage, estimate)


def _place(number: SimulatedNumber) -> int:
    return _FIRST.index(number.metric) if number.metric in _FIRST else len(_FIRST)


def _read_share(items: pl.DataFrame, conditions: Sequence[str]) -> float:
    """The share of the items whose guesses under these conditions could all be read."""
    read = items.select(pl.all_horizontal(pl.col(f"guess_{c}").is_not_null() for c in conditions)).to_series()
    return float(read.sum()) / len(read)


def _with_notes(number: SimulatedNumber, items: pl.DataFrame, whole: pl.DataFrame) -> SimulatedNumber:
    """A right-or-wrong number says its own unread guesses and coverage, the others all of them and whose answers."""
    if number.metric in _FIRST:
        own = SIMULATED[_FIRST.index(number.metric)]
        return _noted(number._replace(coverage=_read_share(items, (own,))), _unread(whole, (own,)))
    if number.metric != "leakage_adjusted_simulatability":
        return number
    runs = items["target_run"].drop_nulls().unique().sort().to_list()
    whose = f"the answers guessed are those of {', '.join(runs)}" if runs else ""
    return _noted(_noted(number, whose), _unread(whole, SIMULATED))


def _unread(whole: pl.DataFrame, conditions: Sequence[str]) -> str:
    asked = len(whole) * len(conditions)
    unread = sum(whole[f"guess_{c}"].null_count() for c in conditions)
    return f"{unread} of {asked} guesses without a label, counted as wrong" if unread else ""


def _noted(number: SimulatedNumber, note: str) -> SimulatedNumber:
    said = "; ".join(n for n in (number.estimate.note, note) if n)
    return number._replace(estimate=replace(number.estimate, note=said))


def _options_of(outputs: pl.DataFrame) -> list[str]:
    """The options that the rows name, in any order; none where they name none or several sets."""
    if "options" not in outputs.columns:
        return []
    found = outputs["options"].drop_nulls().unique().to_list()
    return sorted(found[0]) if len({tuple(sorted(names)) for names in found}) == 1 else []


def _naming(name: str, items: pl.DataFrame, options: Sequence[str]) -> pl.Series:
    """Whether each reason names its label (N,), null where it has none."""
    pairs = pair_reasons(name, items, reason="reason", label="target_label", group="group")
    naming = own_label_namings(pairs, options=options, rule="words").is_in(["own", "both"])
    found: Floats = np.full(len(items), np.nan)
    found[pairs.rows.to_numpy()] = naming.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return pl.Series("named", found).fill_nan(None)
