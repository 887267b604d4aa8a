"""From what a model said to the table of outputs: texts are parsed, probabilities renormalised, orders averaged.

All rows of a run at once: reading a million answers costs one pass of patterns, not a million calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.parsing import parse_answers
from dfar_toolkit.prompts.shares import parse_shares
from dfar_toolkit.runners.label_calibration import (
    Calibration,
    batch,
    batch_prior,
    contextual,
    contextual_prior,
)
from dfar_toolkit.runners.label_probabilities import label_of, length_normalised, renormalised
from dfar_toolkit.runners.option_averages import BETWEEN, PERMUTED, averaged_over_orders
from dfar_toolkit.runners.prompting import DRAFT

_LISTED: Final = 0.02  # probabilities that a server lists are rounded, and may come from narrow types
_BESIDE: Final[dict[str, pl.DataType]] = {
    "seed": pl.Int64(), "finish": pl.String(), "option_logprobs": pl.List(pl.Float64),
    "option_tokens": pl.List(pl.Int64), "missing_mass": pl.Float64(), "probs_error": pl.String(),
    "tokens_in": pl.Int64(), "tokens_out": pl.Int64(),
}  # fmt: skip
_SAID: Final[dict[str, pl.DataType]] = {
    "item_id": pl.String(), "annotator_id": pl.String(), "condition": pl.String(), "operator": pl.String(),
    "sample": pl.Int64(), "raw": pl.String(), "temperature": pl.Float64(), "probs_kind": pl.String(),
    "error": pl.String(), "unit": pl.String(), "shown": pl.List(pl.String()), **_BESIDE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """How what was said is read.

    Attributes:
        run_id: Name of the run.
        question: What was asked.
        options: Its options, in order.
        says: From the names that the model was shown to the options.
        answer: What an answer of the style holds: ``label``, ``label_and_reason``, ``reason_and_label``, ``shares``,
            ``text``.
        letters: Whether letters name the options in the order shown.
        calibration: ``none``, ``contextual`` (``content_free`` is then needed) or ``batch``.
        per_token: Whether the log-probability of an option is divided by its number of tokens.
        content_free: Rows as of items, about inputs without content.
    """

    run_id: str
    question: str
    options: tuple[str, ...]
    says: Mapping[str, str] = field(default_factory=dict)
    answer: str = "label"
    letters: bool = False
    calibration: Calibration = "none"
    per_token: bool = False
    content_free: pl.DataFrame | None = None

    @property
    def shown(self) -> list[str]:
        """The names that the model was shown."""
        return list(self.says) or list(self.options)


def answers_table(said: pl.DataFrame, reading: Reading, *, told: Callable[[str], None] | None = None) -> pl.DataFrame:
    """The outputs of a run.

    Args:
        said: Rows of the units of :mod:`dfar_toolkit.runners.prompting`, in any order.
        reading: How they are read.
        told: Called with what must be known of a calibration.

    Returns:
        Rows of the table outputs in the order given, the means over orders of the options after them.

    Raises:
        TableError: A class of a classifier that is no option.
    """
    rows = _typed(said)
    parsed = _parsed(rows, reading)
    probs = _probabilities(rows, reading, told or (lambda _: None))
    frame = rows.hstack(parsed).hstack(probs)
    verbal = reading.answer == "shares"
    written = pl.col("raw").is_not_null()
    frame = frame.with_columns(
        label=pl.when(written & ~pl.lit(verbal)).then("label_said").otherwise("label_likely"),
        label_probs=pl.col("probs_said") if verbal else pl.col("probs_likely"),
        probs_kind=pl.when(pl.col("probs_said").is_not_null()).then(pl.lit("verbalised")).otherwise("probs_kind")
        if verbal
        else pl.when(pl.col("probs_likely").is_not_null()).then("probs_kind"),
    )
    frame = frame.with_columns(
        pl.when(pl.col("error").is_null()).then(c).alias(c) for c in ("label", "label_probs", "reason", "label_mass")
    ).drop("label_said", "label_likely", "probs_said", "probs_likely")
    frame = frame.with_columns(run_id=pl.lit(reading.run_id), question=pl.lit(reading.question))
    if (frame["condition"] == PERMUTED).any():
        frame = _in_options(frame, reading)
        means = averaged_over_orders(frame.filter(pl.col("condition") == PERMUTED), list(reading.options))
        frame = pl.concat([frame, means], how="diagonal_relaxed")
    return frame.with_columns(options=pl.lit(list(reading.options), dtype=pl.List(pl.String)))


def _in_options(frame: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Orders named by the options instead of what was shown for them, where one name says each."""
    if not reading.says or len(reading.says) > len(reading.options):
        return frame
    orders = frame.filter(pl.col("condition") == PERMUTED)["operator"].unique().to_list()
    named = {order: BETWEEN.join(reading.says.get(name, name) for name in order.split(BETWEEN)) for order in orders}
    permuted = pl.col("condition") == PERMUTED
    return frame.with_columns(
        pl.when(permuted).then(pl.col("operator").replace(named)).otherwise("operator").alias("operator")
    )


def _typed(said: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, dtype=kind).alias(name) for name, kind in _SAID.items() if name not in said.columns]
    return said.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in _SAID.items())


def _parsed(rows: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """``label_said``, ``reason``, ``how`` and ``probs_said`` of each row, null where nothing was written."""
    empty: dict[str, pl.DataType] = {
        "label_said": pl.String(), "reason": pl.String(), "how": pl.String(), "probs_said": pl.List(pl.Float64),
    }  # fmt: skip
    read = pl.col("raw").is_not_null() & ~pl.col("operator").str.starts_with("rephrase")
    numbered = rows.select("raw", "operator", "condition", read=read).with_row_index("place").filter("read")
    found: list[pl.DataFrame] = []
    if reading.answer == "shares":
        own = numbered.filter(pl.col("condition") != DRAFT)
        shares = parse_shares(own["raw"], reading.shown)
        probs = _to_options(_matrix(shares["label_probs"], len(reading.shown)), reading.shown, reading, np.add)
        known = shares["label_probs"].is_not_null()
        listed = pl.when(known).then(pl.Series("probs_said", probs, dtype=pl.List(pl.Float64)))
        found.append(own.select("place").hstack(shares.select(listed, "how")))
        numbered = numbered.filter(pl.col("condition") == DRAFT)
    elif reading.answer == "text":
        numbered = numbered.clear()
    for names, own in _by_order(numbered, reading):
        answers = parse_answers(own["raw"], names, letters=reading.letters)
        label = pl.col("label").replace(dict(reading.says)).alias("label_said")
        found.append(own.select("place").hstack(answers.select(label, "reason", "how")))
    parsed = pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame({"place": []})
    beside = pl.DataFrame({"place": range(len(rows))}).join(
        parsed.with_columns(pl.col("place").cast(pl.Int64)), on="place", how="left", maintain_order="left"
    )
    lost = [pl.lit(None, dtype=kind).alias(name) for name, kind in empty.items() if name not in beside.columns]
    return beside.with_columns(lost).select(pl.col(name).cast(kind) for name, kind in empty.items())


def _by_order(numbered: pl.DataFrame, reading: Reading) -> list[tuple[list[str], pl.DataFrame]]:
    """Where letters name the options, the rows of each order shown; else all rows, with the names as they are."""
    if not reading.letters:
        return [(reading.shown, numbered)] if len(numbered) else []
    return [
        (str(operator).split("|") if operator else reading.shown, own)
        for (operator,), own in numbered.group_by("operator", maintain_order=True)
    ]


def _probabilities(rows: pl.DataFrame, reading: Reading, told: Callable[[str], None]) -> pl.DataFrame:
    """``probs_likely`` in the order of the question, ``label_mass`` and ``label_likely``."""
    n = len(rows)
    given = rows["option_logprobs"].is_not_null().to_numpy()
    if not given.any():
        kinds: dict[str, pl.DataType] = {
            "probs_likely": pl.List(pl.Float64), "label_mass": pl.Float64(), "label_likely": pl.String(),
        }  # fmt: skip
        return pl.DataFrame({name: pl.Series(name, [None] * n, dtype=kind) for name, kind in kinds.items()})
    scored = rows.filter(given)
    probs, mass = _renormalised(scored, reading)
    probs = _calibrated(probs, scored, reading, told)
    answered = np.isfinite(probs).all(axis=1)
    label = label_of(probs, list(reading.options))
    known = pl.Series(answered)
    frame = pl.DataFrame(
        {
            "place": np.flatnonzero(given),
            "probs_likely": pl.select(pl.when(known).then(pl.Series(probs, dtype=pl.List(pl.Float64)))).to_series(),
            "label_mass": np.minimum(mass, 1.0),
            "label_likely": label,
        }
    )
    return (
        pl.DataFrame({"place": np.arange(n)}).join(frame, on="place", how="left", maintain_order="left").drop("place")
    )


def _renormalised(scored: pl.DataFrame, reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the options, and the mass that they had."""
    logs = _in_order(scored, reading)
    listed = (scored["probs_kind"] == "first_token").any()
    probs, mass = renormalised(logs, rounding=_LISTED) if listed else renormalised(logs)
    if reading.per_token:
        probs = length_normalised(logs, _tokens_in_order(scored, reading))
    return probs, mass


def _in_order(scored: pl.DataFrame, reading: Reading) -> np.ndarray:
    """Logarithms of probabilities, (rows, options) in the order of the question; names that say one option added."""
    logs = np.full((len(scored), len(reading.options)), -np.inf)
    for (names,), own in scored.with_row_index("place").group_by("shown", maintain_order=True):
        found = _matrix(own["option_logprobs"], len(names))
        logs[own["place"].to_numpy()] = _to_options(found, list(names), reading, np.logaddexp)
    return logs


def _tokens_in_order(scored: pl.DataFrame, reading: Reading) -> np.ndarray:
    tokens = np.ones((len(scored), len(reading.options)))
    for (names,), own in scored.with_row_index("place").group_by("shown", maintain_order=True):
        found = _matrix(own["option_tokens"], len(names))
        tokens[own["place"].to_numpy()] = _to_options(found, list(names), reading, np.fmax)
    return tokens


def says_of(names: Sequence[str], reading: Reading) -> dict[str, str]:
    """From the names that a model answers with to the options.

    Args:
        names: The names, such as those of a classifier's classes.
        reading: How they are read.

    Returns:
        The option of each name that was shown.

    Raises:
        TableError: A name that says no option.

    Example:
        >>> says_of(["no", "yes"], Reading("run", "q", ("yes", "no")))
        {'yes': 'yes', 'no': 'no'}
    """
    says = dict(reading.says) or {name: name for name in reading.options}
    unknown = [name for name in names if name not in says]
    if unknown:
        known, wanted = ", ".join(names), ", ".join(reading.options)
        raise TableError(
            f"the model answers with {unknown[0]!r} (of {known}), the question {reading.question!r} has {wanted}; "
            f"say which is which: --map {unknown[0]}={reading.options[0]},..."
        )
    return says


def _to_options(found: np.ndarray, names: list[str], reading: Reading, together: np.ufunc) -> np.ndarray:
    """Columns by the names shown to columns by option."""
    says = says_of(names, reading)
    start = 0.0 if together is np.add else -np.inf if together is np.logaddexp else np.nan
    result = np.full((len(found), len(reading.options)), start)
    for column, name in enumerate(names):
        place = reading.options.index(says[name])
        with np.errstate(invalid="ignore"):
            result[:, place] = together(result[:, place], found[:, column])
    return result


def _matrix(lists: pl.Series, k: int) -> np.ndarray:
    """Lists of ``k`` numbers as rows of a matrix; null lists are rows of nan."""
    filled = lists.cast(pl.List(pl.Float64)).fill_null(pl.Series([[np.nan] * k], dtype=pl.List(pl.Float64)))
    return filled.explode(empty_as_null=False).to_numpy().reshape(-1, k)


def _calibrated(probs: np.ndarray, scored: pl.DataFrame, reading: Reading, told: Callable[[str], None]) -> np.ndarray:
    if reading.calibration == "none":
        return probs
    order = scored["operator"].to_numpy()
    if reading.calibration == "batch":
        told(batch_prior(probs, groups=order).note)
        return batch(probs, groups=order)
    if reading.content_free is None:
        raise ValueError("answers_table: contextual calibration needs content_free, found None")
    free = _typed(reading.content_free).filter(pl.col("option_logprobs").is_not_null())
    priors, _ = _renormalised(free, reading)
    told(contextual_prior(priors).note)
    result = probs.copy()
    for name in np.unique(order):
        own = (free["operator"] == name).to_numpy()
        result[order == name] = contextual(probs[order == name], priors[own])
    return result
