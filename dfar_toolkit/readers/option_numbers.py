"""Numbers per choice of another tool's file, as probabilities in the order of a question's options.

With x_c the number of choice c and C_k the choices that are spellings of option k, an option's weight is
w_k = sum over C_k of exp(x_c) (x log-probabilities) or of x_c (x probabilities), its probability w_k / sum_j w_j, and
the mass sum_j w_j; logarithms are added as max + log sum exp(x - max). Cost: linear in rows x choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.tabular import quoted

_ROUNDING: Final = 1e-6  # a mass may exceed 1 by so much
_EQUAL: Final = 1e-9  # probabilities that differ by less are equally probable
_CONTINUED: Final = ("forced", "first_token")  # kinds whose numbers are probabilities of a text's beginning


class Numbered(NamedTuple):
    """Probabilities per row.

    ``frame`` has, in the order of the rows, ``label_probs`` (in the order of the options; null where they are not
    known), ``label_mass`` (null for a classifier) and ``top`` (the most probable option; null where several are or an
    option lacks a number); ``notes`` count what was set aside.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]


def option_probabilities(rows: pl.DataFrame, named: pl.DataFrame, options: Sequence[str]) -> Numbered:
    """Probabilities of the options from the numbers of the choices.

    Args:
        rows: ``row`` (unique), ``item_id`` and the columns of ``FOREIGN_SCHEMA``.
        named: ``row, place, option``: the option (or null) that the choice at each zero-based place is a spelling of.
        options: Names of the options in order.

    Returns:
        The probabilities, with what was set aside.

    Raises:
        TableError: NaN or +infinity among the numbers, other numbers of choices than choices, a row with both kinds
            of numbers, or first-token probabilities of options that begin alike.
    """
    _check_lengths(rows)
    _check_beginnings(rows, named, options)
    numbers = _numbers(rows).join(named, on=["row", "place"], how="left", maintain_order="left")
    _check_finite(numbers, rows)
    repeated = _repeated(numbers)
    summed = _by_option(numbers.drop_nulls("option"), rows.select("row"), options)
    states = rows.select("row", "probs_kind", given=_given()).join(summed, on="row", how="left", maintain_order="left")
    states = states.with_columns(
        out=pl.col("row").is_in(numbers.filter(pl.col("outside"))["row"].unique().implode()),
        twice=pl.col("row").is_in(repeated.implode()),
        alike=pl.col("row").is_in(_alike(numbers).implode()),
    )
    return _judged(states, options)


def _given() -> pl.Expr:
    return pl.col("choices").is_not_null() & (pl.col("logprobs").is_not_null() | pl.col("probs").is_not_null())


def _check_lengths(rows: pl.DataFrame) -> None:
    both = rows.filter(pl.col("logprobs").is_not_null() & pl.col("probs").is_not_null())
    if both.height:
        raise _at(both.row(0, named=True), "wanted logprobs or probs, found both")
    for name in ("logprobs", "probs"):
        wrong = rows.filter(pl.col(name).is_not_null() & (pl.col(name).list.len() != pl.col("choices").list.len()))
        if wrong.height:
            row = wrong.row(0, named=True)
            raise _at(row, f"wanted one of {name} per choice, found {len(row[name])} for {len(row['choices'])} choices")


def _at(row: Mapping[str, object], what: str) -> TableError:
    return TableError(f"position {row['position']} (item {quoted([row['item_id']])}): {what}.")


def _check_beginnings(rows: pl.DataFrame, named: pl.DataFrame, options: Sequence[str]) -> None:
    """Refuse first tokens where one option is the beginning of another: its token stands for both.

    Rows whose choices are the options and nothing else are fine: the tokens were letters, one per option.
    """
    folded = {name: name.strip().lower() for name in options}
    pairs = [(a, b) for a in options for b in options if a != b and folded[b].startswith(folded[a])]
    first = rows.filter((pl.col("probs_kind") == "first_token").fill_null(False), _given())
    if not pairs or not first.height:
        return
    known = first.select("row").join(named, on="row", how="left").group_by("row").agg(
        lettered=pl.col("option").is_not_null().all() & (pl.col("option").n_unique() == len(options))
    )  # fmt: skip
    if not known["lettered"].all():
        a, b = pairs[0]
        raise TableError(
            f"the option {quoted([a])} is the beginning of {quoted([b])}, so first-token probabilities cannot tell "
            "them apart; score the whole options, or ask for letters."
        )


def _numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """``row, place, choice, x`` (as given), ``weight_log`` and ``outside`` (no probability), one row per number."""
    given = rows.filter(_given()).select(
        "row",
        "probs_kind",
        logged=pl.col("logprobs").is_not_null(),
        choice="choices",
        x=pl.coalesce("logprobs", "probs"),
        place=pl.int_ranges(pl.col("choices").list.len()),
    )
    long = given.filter(pl.col("choice").list.len() > 0).explode("choice", "x", "place")
    classified = (pl.col("probs_kind") == "classifier").fill_null(False)
    outside = pl.when(pl.col("logged")).then((pl.col("x") > _ROUNDING) & ~classified).otherwise(pl.col("x") < 0)
    log = pl.when(pl.col("logged")).then("x").otherwise(pl.col("x").clip(0).log())
    return long.with_columns(outside=outside.fill_null(False), weight_log=log)


def _check_finite(numbers: pl.DataFrame, rows: pl.DataFrame) -> None:
    wrong = numbers.filter(pl.col("x").is_nan() | (pl.col("x") == float("inf")))
    if wrong.height:
        bad = wrong.join(rows.select("row", "position", "item_id"), on="row", how="left").row(0, named=True)
        count = wrong["row"].n_unique()
        more = f" ({count} rows have such numbers)" if count > 1 else ""
        raise _at(bad, f"the number of the choice {quoted([bad['choice']])} is {bad['x']}{more}; mend or remove it")


def _repeated(numbers: pl.DataFrame) -> pl.Series:
    """Rows that name one choice twice, letter for letter; of first tokens two may share a text and differ as tokens."""
    whole = numbers.filter(~(pl.col("probs_kind") == "first_token").fill_null(False))
    return whole.filter(pl.struct("row", "choice").is_duplicated())["row"].unique()


def _alike(numbers: pl.DataFrame) -> pl.Series:
    """Rows of forced choices of which one begins another: the probability of the first holds that of the second."""
    forced = numbers.filter((pl.col("probs_kind") == "forced").fill_null(False))
    sets = forced.group_by("row").agg(pl.col("choice").sort())
    distinct = sets.select("choice").unique()["choice"].to_list()
    bad = [names for names in distinct if any(b.startswith(a) and a != b for a in names for b in names)]
    if not bad:
        return sets["row"].head(0)
    return sets.join(pl.DataFrame({"choice": bad}), on="choice", how="semi")["row"]


def _by_option(numbers: pl.DataFrame, every: pl.DataFrame, options: Sequence[str]) -> pl.DataFrame:
    """``row`` and the logarithm of each option's weight, as the columns ``w0``, ``w1`` ...; null without a number."""
    frame = every
    for k, name in enumerate(options):
        own = numbers.filter(pl.col("option") == name, pl.col("weight_log").is_not_null())
        top = pl.col("weight_log").max().over("row")
        shifted = pl.when(top == float("-inf")).then(0.0).otherwise((pl.col("weight_log") - top).exp())
        weights = own.with_columns(top=top, part=shifted).group_by("row").agg(
            (pl.col("top").first() + pl.col("part").sum().log()).alias(f"w{k}")
        )  # fmt: skip
        frame = frame.join(weights, on="row", how="left", maintain_order="left")
    return frame


def _judged(states: pl.DataFrame, options: Sequence[str]) -> Numbered:
    columns = [f"w{k}" for k in range(len(options))]
    top = pl.max_horizontal(columns)
    safe = pl.when(top == float("-inf")).then(None).otherwise(top)
    parts = [(pl.col(c) - safe).exp() for c in columns]
    total = pl.sum_horizontal(parts)
    states = states.with_columns(
        full=pl.all_horizontal(pl.col(c).is_not_null() for c in columns),
        probs=pl.concat_list(part / total for part in parts),
        mass=(safe + total.log()).exp(),
        some=safe.is_not_null(),
    )
    classified = (pl.col("probs_kind") == "classifier").fill_null(False)
    faults = _faults(classified)
    first = pl.coalesce(pl.when(holds).then(pl.lit(said)) for said, holds in faults.items())
    states = states.with_columns(why=pl.when("given").then(first).otherwise(pl.lit("")))
    sound = pl.col("why").is_null()
    ranked = sound | pl.col("why").is_in(list(faults)[4:])  # what overlaps or is scaled still has an order
    frame = states.select(
        "row",
        label_probs=pl.when(sound).then("probs"),
        label_mass=pl.when(sound & ~classified).then(pl.col("mass").clip(upper_bound=1.0)),
        top=pl.when(ranked).then(_single_best(columns, options)),
    )
    counts = states.filter(pl.col("why") != "").group_by("why").len().sort("why")
    notes = tuple(f"rows without probabilities, {why}: {count}" for why, count in counts.iter_rows())
    return Numbered(frame, notes)


def _faults(classified: pl.Expr) -> dict[str, pl.Expr]:
    """Why a row has no probabilities, the first that holds counts; the last two still have an order."""
    return {
        "in which not every option has a number": ~pl.col("full"),
        "in which a choice stands twice": pl.col("twice"),
        "in which every option has the probability 0": ~pl.col("some"),
        "with a negative probability or a positive log-probability": pl.col("out"),
        "in which the options add up to more than 1 (are these scores?)": (
            (pl.col("mass") > 1 + _ROUNDING) & ~classified
        ).fill_null(False),
        "in which one choice is the beginning of another, so that their probabilities overlap": pl.col("alike"),
    }


def _single_best(columns: Sequence[str], options: Sequence[str]) -> pl.Expr:
    """The option with the greatest weight, null where another has as much."""
    top = pl.max_horizontal(columns)
    near = [((pl.col(c) - top).exp() >= 1 - _EQUAL) for c in columns]
    best = pl.coalesce(pl.when(n).then(pl.lit(name)) for n, name in zip(near, options, strict=True))
    return pl.when(pl.sum_horizontal(n.cast(pl.Int32) for n in near) == 1).then(best)
