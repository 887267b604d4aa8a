"""All metrics of faithfulness of explained runs, with the guard rails that belong to them, as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Additive, Estimate, Floats, estimates_frame
from dfar_toolkit.metrics.faithfulness.aopc import ERASER_SHARES, KINDS, aopc_score, curve_means
from dfar_toolkit.metrics.faithfulness.area_curves import area_curve_rows
from dfar_toolkit.metrics.faithfulness.comprehensiveness import comprehensiveness_rows
from dfar_toolkit.metrics.faithfulness.decision_flips import dffot_rows, dfmit_rows
from dfar_toolkit.metrics.faithfulness.directions import OVER_RANDOM, higher_is_better
from dfar_toolkit.metrics.faithfulness.flips import flip_rows, flips_within_margin_rows, noise_margin, unparsed_rows
from dfar_toolkit.metrics.faithfulness.guard_rails import Absent, guard_rails
from dfar_toolkit.metrics.faithfulness.item_means import estimate_items, estimate_share, item_means
from dfar_toolkit.metrics.faithfulness.matched_random import RANDOM, over_random, over_random_score
from dfar_toolkit.metrics.faithfulness.normalised_fidelity import normalised_rows
from dfar_toolkit.metrics.faithfulness.perturbed import EVIDENCE_K, Perturbed, Step, step_rows
from dfar_toolkit.metrics.faithfulness.perturbed_outputs import Of, perturbed_outputs
from dfar_toolkit.metrics.faithfulness.published_forms import eraser_aopc, published_fidelity
from dfar_toolkit.metrics.faithfulness.row_values import RowMetric, row_values
from dfar_toolkit.metrics.faithfulness.sufficiency import sufficiency_rows
from dfar_toolkit.metrics.labels import Codes
from dfar_toolkit.metrics.rationale.rationale_rows import of_split

_ROW_METRICS: Final[tuple[RowMetric, ...]] = ("comprehensiveness", "sufficiency", "flip_rate", "flip_rate_only")
HUMAN: Final = "human"  # the method whose sets of words are people's

_SHARES: Final = frozenset({"flip_rate", "flip_rate_only", "flip_to_unparsed", "dfmit"})  # 0 or 1 per item
_TABLE: Final = {
    "run_id": pl.String(), "rationale_method": pl.String(), "operator": pl.String(), "metric": pl.String(),
    "label": pl.String(), "k": pl.Int64(), "share": pl.Float64(), "words_of": pl.String(),
    "higher_is_better": pl.Boolean(),
}  # fmt: skip


class _Row(NamedTuple):
    score: Additive
    step: Step | None


class _How(NamedTuple):
    ci: str | None
    confidence: float
    n_boot: int
    seed: int


def faithfulness_table(
    outputs: pl.DataFrame,
    items: pl.DataFrame | None = None,
    *,
    question: str | None = None,
    options: Sequence[str] | None = None,
    of: Of = "predicted",
    shares: Sequence[float] | None = None,
    ks: Sequence[int] = (1,),
    random: str = RANDOM,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every metric of faithfulness that the outputs of explained runs allow, with the guard rails.

    Runs stand below each other and are **not comparable by raw values**: only rows whose metric ends in
    ``_over_random`` may be set side by side, and ``run_differences`` tests their differences. Cost: linear in the rows,
    and in the number of methods x operators x steps.

    Args:
        outputs: The table outputs of one or more explained runs.
        items: The table items, for groups and gold labels; those of the splits that occur are evaluated, and one
            that a run lacks is missing and wrong in the accuracy. None: no accuracy, every item stands alone.
        question: The question; needed where the outputs hold several.
        options: Names of the labels in order; None means those of the outputs.
        of: Whose probability counts: of the ``predicted`` label or of the rationale's ``target``.
        shares: Shares of words; None: those of the outputs, or ERASER's.
        ks: Numbers of words.
        random: The method whose rows are random.
        ci: ``bootstrap``, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``run_id, rationale_method, operator, metric, label, k, share, words_of, higher_is_better`` and Estimate's
        fields. Guard rails first (rationale_method "" is the whole run). At every step (``k``, ``share``, or
        ``words_of``: as many words as people marked; k -1 is the rationale's own set of words): comprehensiveness,
        sufficiency, their normalised forms, flip_rate, flip_rate_only, flip_to_unparsed, flips_within_margin, and the
        first two and the flip rates over random words of equal number. Per method: aopc_comprehensiveness,
        aopc_sufficiency and both over random, acu, racu, dfmit, dffot. As their authors compute them, at the
        rationale's own words: eraser_... and carton_...; over ERASER's shares: eraser_aopc_... Warnings (collapse, low
        coverage, nothing to lose, no random rationales) stand in the note of every number that they touch.

    Undefined:
        Each metric where its own page says so, with the reason in its note.

    Raises:
        TableError: Nothing perturbed, several questions, an unknown item or label.
        ValueError: An impossible argument.
    """
    how = _How(ci, confidence, n_boot, seed)
    if not len(outputs):
        return pl.concat([pl.DataFrame(schema=_TABLE), estimates_frame([])], how="horizontal")
    parts = []
    for run in outputs["run_id"].unique().sort().to_list():
        rows = outputs.filter(pl.col("run_id") == run)
        p = perturbed_outputs(rows, items, question=question, options=options, of=of)
        dtype = _dtype(rows)
        gold, absent = _gold(items, outputs, p)
        table = perturbed_table(
            p, gold=gold, absent=absent, dtype=dtype, shares=shares, ks=ks, random=random,
            as_published=of == "predicted", ci=ci, confidence=confidence, n_boot=n_boot, seed=how.seed,
        )  # fmt: skip
        parts.append(table.with_columns(run_id=pl.lit(run)).select("run_id", pl.exclude("run_id")))
    return pl.concat(parts)


def perturbed_table(
    perturbed: Perturbed,
    *,
    gold: Codes | None = None,
    absent: Absent | None = None,
    dtype: str | None = None,
    shares: Sequence[float] | None = None,
    ks: Sequence[int] = (1,),
    random: str = RANDOM,
    as_published: bool = True,
    ci: str | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """As :func:`faithfulness_table`, of one run already read and without the column ``run_id``.

    Args:
        perturbed: All rows of a run.
        gold: Codes of the gold labels (N,), -1 where unknown.
        absent: Items that should have been answered and are not in the run.
        dtype: What the model computed in.
        shares: As for :func:`faithfulness_table`.
        ks: As there.
        random: As there.
        as_published: Whether ERASER's and Carton et al.'s own forms are listed: they are of the predicted label.
        ci: As there.
        confidence: As there.
        n_boot: As there.
        seed: As there.

    Returns:
        The rows.
    """
    how, p = _How(ci, confidence, n_boot, seed), perturbed
    wanted = tuple(sorted(shares)) if shares is not None else p.shares or ERASER_SHARES
    rails = guard_rails(
        p, gold=gold, absent=absent, dtype=dtype, random=random, ci=ci, confidence=confidence, n_boot=n_boot, seed=seed
    )
    values = {metric: row_values(p, metric) for metric in _ROW_METRICS}
    less = {metric: over_random(p, x, random=random) for metric, x in values.items()}
    parts = [
        rails.rows.with_columns(
            k=pl.lit(None, pl.Int64), share=pl.lit(None, pl.Float64), words_of=pl.lit(None, pl.String)
        )
    ]
    for method, operator in p.blocks():
        own = p.block(method, operator)
        block = p.take(own)
        rows = _steps(block, {m: x[own] for m, x in less.items()}, wanted, ks, noise_margin(dtype))
        if (block.k > 0).any():
            rows += _whole(p, block, {m: x[own] for m, x in values.items()}, {m: x[own] for m, x in less.items()},
                           wanted, ks, (method, operator, random))  # fmt: skip
        if method == random:
            rows = [row for row in rows if not row.score.metric.endswith(OVER_RANDOM)]
        rows += _published(block) if as_published else []
        parts.append(_estimated(rows, p, method, operator, rails.warning(method, operator), how))
    names = [c for c in _TABLE if c != "run_id"]
    return pl.concat([part.select(*names, pl.exclude(names)) for part in parts])


def _steps(
    block: Perturbed, less: dict[RowMetric, Floats], shares: Sequence[float], ks: Sequence[int], margin: float
) -> list[_Row]:
    """The metrics of one method and operator at every step that it has."""
    steps = [*(Step(k=k) for k in ks), *(Step(share=s) for s in shares)] if (block.k > 0).any() else []
    steps += [Step(words_of=HUMAN)] if steps and HUMAN in block.set_sizes else []
    steps += [Step()] if (block.k == EVIDENCE_K).any() else []
    rows = []
    for step in steps:
        keep = step_rows(block, step)
        at = block.take(keep)
        found = [flip_rows(at), flip_rows(at, side="only"), unparsed_rows(at), flips_within_margin_rows(at, margin)]
        if np.isfinite(at.full.probs).any():
            found += [comprehensiveness_rows(at), sufficiency_rows(at),
                      normalised_rows(at, metric="normalised_comprehensiveness"),
                      normalised_rows(at, metric="normalised_sufficiency")]  # fmt: skip
        for metric, x in less.items():
            if metric in {score.metric for score in found}:
                means = item_means(at.item, x[keep], len(at.items), canonical=True)
                found.append(over_random_score(metric, means))
        rows += [_Row(score, step) for score in found]
    return rows


def _published(block: Perturbed) -> list[_Row]:
    """ERASER's and Carton et al.'s own forms of one method and operator."""
    if not np.isfinite(block.full.probs).any():
        return []
    own = block.at(Step())
    rows = [_Row(score, Step()) for score in published_fidelity(own)] if len(own.k) else []
    return rows + ([_Row(score, None) for score in eraser_aopc(block)] if (block.k > 0).any() else [])


def _whole(
    p: Perturbed,
    block: Perturbed,
    values: dict[RowMetric, Floats],
    less: dict[RowMetric, Floats],
    shares: Sequence[float],
    ks: Sequence[int],
    names: tuple[str, str, str],
) -> list[_Row]:
    """The metrics of one method and operator over all its steps."""
    steps = [Step(share=s) for s in shares]
    found = [dfmit_rows(block), dffot_rows(block, steps=[*(Step(k=k) for k in ks), *steps])]
    if np.isfinite(block.full.probs).any() and steps:
        masks, n = [step_rows(block, step) for step in steps], len(p.items)
        for kind in KINDS:
            means, over = (curve_means(block.item, x[kind], masks, n).mean(axis=1) for x in (values, less))
            found += [aopc_score(kind, means), over_random_score(f"aopc_{kind}", over)]
        method, operator, random = names
        if random in p.methods and method != random:
            found += area_curve_rows(p, method=method, operator=operator, shares=shares, random=random)
    return [_Row(score, None) for score in found]


def _estimated(rows: list[_Row], p: Perturbed, method: str, operator: str, warning: str, how: _How) -> pl.DataFrame:
    """The rows with intervals, those of means from one set of draws, and the warning in every note."""
    plain = [row.score for row in rows if row.score.metric not in _SHARES]
    means = iter(estimate_items(plain, p.groups, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot,
                                seed=how.seed))  # fmt: skip
    found: list[Estimate] = []
    for row in rows:
        one = next(means) if row.score.metric not in _SHARES else estimate_share(
            row.score, p.groups, ci=how.ci, confidence=how.confidence, n_boot=how.n_boot, seed=how.seed
        )  # fmt: skip
        found.append(replace(one, note="; ".join(n for n in (one.note, warning) if n)))
    beside = [
        {"rationale_method": method, "operator": operator, "metric": row.score.metric, "label": None,
         "k": EVIDENCE_K if row.step == Step() else row.step.k if row.step else None,
         "share": row.step.share if row.step else None,
         "words_of": row.step.words_of if row.step else None, "higher_is_better": higher_is_better(row.score.metric)}
        for row in rows
    ]  # fmt: skip
    schema = {c: t for c, t in _TABLE.items() if c != "run_id"}
    return pl.concat([pl.DataFrame(beside, schema=schema), estimates_frame(found)], how="horizontal")


def _dtype(rows: pl.DataFrame) -> str | None:
    """What the model computed in, as its rationales say; the coarsest where they say several."""
    if "dtype" not in rows.columns:
        return None
    found = [str(d) for d in rows["dtype"].drop_nulls().unique().sort()]
    return max(found, key=noise_margin) if found else None


def _gold(items: pl.DataFrame | None, outputs: pl.DataFrame, p: Perturbed) -> tuple[Codes | None, Absent | None]:
    """Codes of the items' labels (N,), -1 where they have none or another; and the items that the run lacks.

    As in every score, the items are those of the splits that occur among the outputs.
    """
    if items is None:
        return None, None
    label = pl.col("label") if "label" in items.columns else pl.lit(None, dtype=pl.String)
    group = pl.col("group") if "group" in items.columns else pl.lit(None, dtype=pl.String).alias("group")
    code = label.cast(pl.String).cast(pl.Enum(p.options), strict=False).to_physical().cast(pl.Int64).fill_null(-1)
    known = items.filter(of_split(items, outputs)).select("item_id", group, code.alias("code"))
    known = known.unique("item_id", keep="first", maintain_order=True)
    own = p.items.alias("item_id").to_frame().join(known, on="item_id", how="left", maintain_order="left")
    lost = known.join(own, on="item_id", how="anti").sort("item_id")
    absent = Absent(lost["code"].to_numpy(), None if p.groups is None else lost["group"])
    gold = own["code"].fill_null(-1).to_numpy() if "label" in items.columns else None
    return gold, absent if len(lost) else None
