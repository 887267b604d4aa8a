"""Does the answer survive another wording of the prompt? The same items under several prompt variants.

Cost grows with the outputs; alpha and the pairwise agreement are those of :mod:`dfar_toolkit.agreement`, with the
variants as raters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement import krippendorff_alpha, percent_agreement
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, Floats, estimate_together, estimates_frame, mean_of, proportion
from dfar_toolkit.metrics.bias.quadratic_sign_flip import zero_mean_test

_SPREAD: Final = "no interval: best less worst is above 0 by chance alone, the more so with more variants; see p"


class _Answers(NamedTuple):
    """``label`` (I, V) codes, -1 without an answer; ``gold`` (I,) codes, -1 unknown, or None; sorted by item."""

    label: npt.NDArray[np.int64]
    gold: npt.NDArray[np.int64] | None
    variants: list[str]
    groups: pl.Series | None
    long: pl.DataFrame


def prompt_stability(
    frame: pl.DataFrame,
    *,
    item: str = "item_id",
    variant: str = "variant",
    pred: str = "label_pred",
    gold: str | None = None,
    group: str | None = None,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    n_perm: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    r"""How far the answers of one model agree over variants of the prompt, and how far its accuracy depends on them.

    Args:
        frame: One row per item and variant.
        item: Column of the item.
        variant: Column of the prompt variant.
        pred: Column of the label answered; null is no answer, and so is a row that is not there.
        gold: Column of the item's gold label, for accuracies; items without are left out of them.
        group: Column of the resampling unit; None means ``group`` where the frame has it, else the item.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        n_perm: Random sign patterns of the test.
        seed: Seed of the draws.

    Returns:
        Rows ``metric``, ``variant`` (null where the row is about all) and Estimate's fields: same_answer (share of the
        items answered under every variant whose answer is always the same), pairwise_agreement and alpha (of the
        variants as raters); with gold also accuracy of each variant (an item without an answer is wrong),
        mean_accuracy, worst_accuracy and best_accuracy (which variant; its interval takes the variant as given),
        accuracy_spread (best less worst), equal_accuracy_p (test that all are equal: signs of the items', or groups',
        differences from their mean over variants are turned; chi-squared for 25 or more single items that differ).

    Undefined:
        No item is answered under all variants (same_answer), or under two (pairwise_agreement, alpha). alpha also where
        only one label occurs. accuracy_spread has no interval.

    Raises:
        TableError: An item twice under a variant, a null variant or item, gold or group that is not constant.
        ValueError: A missing column, or fewer than two variants.

    Example:
        >>> frame = pl.DataFrame({"item_id": [1, 1, 2, 2], "variant": ["p", "q"] * 2, "label_pred": list("aaab"),
        ...                       "gold": list("aaaa")})
        >>> found = prompt_stability(frame, gold="gold", ci=None).filter(pl.col("metric") == "accuracy")
        >>> found.select("variant", "value").rows()
        [('p', 1.0), ('q', 0.5)]

    Reference:
        Sclar et al. (2024), Quantifying Language Models' Sensitivity to Spurious Features in Prompt Design, ICLR,
        arXiv 2310.11324 (the spread); Krippendorff (2011), paper 43 (alpha).
    """
    answers = _read(frame, {"item": item, "variant": variant, "pred": pred, "gold": gold, "group": group})
    rows: list[tuple[str, str | None, Estimate]] = [("same_answer", None, _same(answers, confidence))]
    group_name = "group" if answers.groups is not None else None
    for metric, statistic in (("pairwise_agreement", percent_agreement), ("alpha", krippendorff_alpha)):
        found = statistic(
            answers.long, item="item", rater="variant", value="pred", group=group_name,
            ci="bootstrap" if ci else None, confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        rows.append((metric, None, cast("Estimate", found)))
    if answers.gold is not None:
        rows += _accuracies(answers, ci, confidence, n_boot, n_perm, seed)
    beside = pl.DataFrame(
        {"metric": [r[0] for r in rows], "variant": [r[1] for r in rows]},
        schema={"metric": pl.String, "variant": pl.String},
    )
    return pl.concat([beside, estimates_frame([r[2] for r in rows])], how="horizontal")


def _read(frame: pl.DataFrame, roles: dict[str, str | None]) -> _Answers:
    if roles["group"] is None and "group" in frame.columns:
        roles = {**roles, "group": "group"}
    for role, column in roles.items():
        if column is not None and column not in frame.columns:
            found = ", ".join(f'"{c}"' for c in frame.columns)
            raise ValueError(f'prompt_stability: the frame has no column "{column}" for {role}; found {found}')
    table = frame.select(**{role: pl.col(c) for role, c in roles.items() if c is not None})
    text = [c for c in ("item", "variant", "pred", "gold") if c in table.columns]
    table = table.with_columns(pl.col(text).cast(pl.String))
    _check(table)
    variants = table["variant"].unique().sort().to_list()
    if len(variants) < 2:
        raise ValueError(f"prompt_stability: two or more variants are wanted, found {len(variants)}")
    items = table.unique("item", keep="any").sort("item").drop("variant", "pred")
    names = pl.concat([table[c] for c in ("pred", "gold") if c in table.columns]).drop_nulls().unique().sort()
    kind = pl.Enum(names)
    wide = items.select("item")
    for v in variants:
        own = table.filter(pl.col("variant") == v).select("item", _code("pred", kind).alias(v))
        wide = wide.join(own, on="item", how="left", maintain_order="left")
    codes = wide.drop("item").fill_null(-1).to_numpy().astype(np.int64)
    gold = items.select(_code("gold", kind))["gold"].to_numpy() if "gold" in items.columns else None
    groups = items["group"] if "group" in items.columns else None
    return _Answers(codes, gold, variants, groups, table)


def _code(column: str, kind: pl.Enum) -> pl.Expr:
    return pl.col(column).cast(kind).to_physical().cast(pl.Int64).fill_null(-1)


def _check(table: pl.DataFrame) -> None:
    faults = {
        "have no item or no variant": pl.any_horizontal(pl.col("item", "variant").is_null()),
        "answer an item a second time under one variant": pl.struct("item", "variant").is_duplicated(),
    }
    for role in ("gold", "group"):
        if role in table.columns:
            faults[f"have another {role} than other rows of the item"] = pl.col(role).n_unique().over("item") > 1
    if "group" in table.columns:
        faults["have no group"] = pl.col("group").is_null()
    for what, fault in faults.items():
        bad = table.filter(fault)
        if len(bad):
            raise TableError(f"prompt_stability: {len(bad)} rows {what}, e.g. item {bad['item'][0]!r}.")


def _same(answers: _Answers, confidence: float) -> Estimate:
    keep: npt.NDArray[np.bool_] = np.logical_and.reduce(answers.label >= 0, axis=1)
    own = answers.label[keep]
    groups = None if answers.groups is None else answers.groups.filter(pl.Series(keep))
    hits: npt.NDArray[np.bool_] = np.logical_and.reduce(own == own[:, :1], axis=1)
    found = proportion("same answer under every variant", hits, groups=groups, confidence=confidence)
    left = len(keep) - len(own)
    note = f"{left} of {len(keep)} items not answered under every variant left out" if left else ""
    why = found.note if len(own) else "no item is answered under every variant"
    return replace(found, note="; ".join(filter(None, [why, note])))


def _accuracies(
    answers: _Answers, ci: str | None, confidence: float, n_boot: int, n_perm: int, seed: int
) -> list[tuple[str, str | None, Estimate]]:
    assert answers.gold is not None
    keep = answers.gold >= 0
    right: Floats = (answers.label == answers.gold[:, None])[keep].astype(np.float64)
    groups = None if answers.groups is None else answers.groups.filter(pl.Series(keep))
    left = len(keep) - len(right)
    note = f"{left} of {len(keep)} items without gold left out" if left else ""
    each = [
        replace(found, note="; ".join(filter(None, [found.note, note])))
        for v, hits in zip(answers.variants, right.T, strict=True)
        for found in [proportion(f"accuracy, {v}", hits, groups=groups, confidence=confidence)]
    ]
    rows: list[tuple[str, str | None, Estimate]] = [
        ("accuracy", v, e) for v, e in zip(answers.variants, each, strict=True)
    ]
    mean = mean_of("mean_accuracy", "accuracy, mean over variants", right.mean(axis=1), note=note)
    rows.append(("mean_accuracy", None, estimate_together(
        [mean], groups=groups, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed)[0]))  # fmt: skip
    p = zero_mean_test(
        right - right.mean(axis=1, keepdims=True), name="equal accuracies", groups=groups, n_perm=n_perm, seed=seed
    )
    return [*rows, *_extremes(answers.variants, each, note), ("equal_accuracy_p", None, p)]


def _extremes(variants: list[str], each: list[Estimate], note: str) -> list[tuple[str, str | None, Estimate]]:
    """The worst and the best variant, and how far they lie apart."""
    nan, values = float("nan"), np.array([e.value for e in each])
    worst, best = (int(f(np.nan_to_num(values))) for f in (np.argmin, np.argmax))
    why = _SPREAD if each[best].n else "no items"
    spread = replace(
        each[best], name="accuracy, best less worst variant", value=float(values[best] - values[worst]), low=nan,
        high=nan, method="none", note="; ".join(filter(None, [why, note])),
    )  # fmt: skip
    return [
        ("worst_accuracy", variants[worst], each[worst]),
        ("best_accuracy", variants[best], each[best]),
        ("accuracy_spread", None, spread),
    ]
