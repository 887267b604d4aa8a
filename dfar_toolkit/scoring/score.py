"""One table of numbers with intervals for outputs and items, and for judgements where there are any."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.metrics.answers import Answers, join_outputs
from dfar_toolkit.metrics.bias.bias_table import bias_table
from dfar_toolkit.metrics.judged import judgements_of_runs
from dfar_toolkit.metrics.ordinal import ordinal_table
from dfar_toolkit.metrics.soft_labels.paired import PairedDistributions
from dfar_toolkit.metrics.soft_labels.perfect_model import KeptMeans
from dfar_toolkit.metrics.subsets import Subset, leak_subsets
from dfar_toolkit.scoring.judged_part import judged_of_these, judged_rows
from dfar_toolkit.scoring.label_part import label_rows
from dfar_toolkit.scoring.people_part import people_rows
from dfar_toolkit.scoring.reasons_part import reason_rows
from dfar_toolkit.scoring.score_columns import PARTS, SCORE_SCHEMA, in_columns
from dfar_toolkit.scoring.soft_part import (
    calibration_rows,
    ceiling_rows,
    predicted_pairs,
    soft_rows,
    with_ceiling_shares,
)
from dfar_toolkit.tables import HUMAN_RUN

_LONGEST: Final = ("calibration", "soft", "ceiling", "reasons", "people")  # parts that take longest, begun first
_SIDE_BY_SIDE: Final = 50_000  # items from which parts are computed in threads


def score(
    outputs: pl.DataFrame,
    items: pl.DataFrame,
    *,
    judgements: pl.DataFrame | None = None,
    split: str | Sequence[str] | None = None,
    question: str | None = None,
    options: Sequence[str] | None = None,
    ordered: bool = False,
    label_map: Mapping[str, str] | None = None,
    targets: pl.DataFrame | None = None,
    annotations: pl.DataFrame | None = None,
    judge_models: Sequence[str] = (),
    parts: Sequence[str] | None = None,
    note: str = "",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every score that outputs allow, for each run, for all, leaked and clean items.

    Args:
        outputs: The table outputs; runs are scored apart.
        items: The table items.
        judgements: The table judgements, for the misalignment rate; human reasons as run ``human``. Those of runs
            that are not in the outputs are set aside and counted in the note of mar_mean.
        split: Splits to evaluate; None means those that occur in the outputs.
        question: The question answered, where the outputs hold several.
        options: Names of the labels in order; None means the gold labels of the items, sorted.
        ordered: Whether the order of the options means something (an ordinal question).
        label_map: Renames the outputs' labels.
        targets: The table targets: gold is its label for the question.
        annotations: The table annotations: human reasons judged must be ratings of it, and the model is compared with
            each person where several rated an item.
        judge_models: Judges among the judgements that are models; their verdicts never count as people's.
        parts: Which of ``PARTS`` to compute; None means all that apply.
        note: Said beside accuracy, such as how the file was read.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        One row per metric, subset and run (and label or predictor, where the metric is about one), with the columns of
        ``COLUMNS``. ``predictor`` is null for the run itself and names what stands beside it: ``uniform``,
        ``corpus_mean``, ``hard_majority``, ``perfect_model``, ``best``, ``people``. Counts (missing_outputs,
        failed_outputs, no_gold) stand in ``value``, without an interval.

    Undefined:
        ``nan`` with the reason in ``note``, as each metric says.

    Raises:
        TableError: Outputs, items or judgements that do not fit each other; see :func:`join_outputs`.
        ValueError: An unknown part.

    Example:
        >>> from dfar_toolkit.tables import conform
        >>> items = conform(pl.DataFrame({
        ...     "item_id": ["1", "2"], "label": ["fair", "unfair"], "statement": ["a", "b"], "group": ["1", "2"],
        ...     "text_key": ["0" * 16, "1" * 16]}).with_columns(
        ...     source=pl.lit("x"), split=pl.lit("test"), context=pl.lit([]), reasons=pl.lit([])), "items")
        >>> outputs = conform(pl.DataFrame({"run_id": ["m"], "item_id": ["1"], "question": ["q"], "label": ["fair"],
        ...                                 "output_id": ["m/1"]}), "outputs")
        >>> score(outputs, items).row(0, named=True)["value"]
        0.5
    """
    unknown = [p for p in parts or () if p not in PARTS]
    if unknown:
        raise ValueError(f"score: parts must be among {', '.join(PARTS)}, found {unknown[0]!r}")
    answers = join_outputs(
        outputs, items, split=split, question=question, options=options, label_map=label_map, targets=targets
    )
    found: list[pl.DataFrame] = []
    subsets = leak_subsets(answers.items)
    alone = answers.items["group"].n_unique() == len(answers.items)
    frame = answers.frame.drop("group") if alone else answers.frame  # then every item is its own unit
    settings = _Settings(confidence, n_boot, seed)
    wanted = set(PARTS if parts is None else parts)
    context = _Context(answers, items, annotations, ordered, note, {}, {})
    for run, rows in frame.partition_by("run_id", as_dict=True, maintain_order=True).items():
        for subset in subsets:
            found += _one_run(str(run[0]), subset, rows.filter(subset.keep), context, wanted, settings)
    if judgements is not None and "judging" in wanted:
        judged = judgements_of_runs(judgements, outputs, items, human=HUMAN_RUN, annotations=annotations)
        judged = judged_of_these(judged, answers)
        for subset in subsets:
            found += judged_rows(judged, answers, subset, judge_models, **settings._asdict())
    empty = pl.DataFrame(schema=SCORE_SCHEMA)
    return pl.concat([empty, *(table.cast(SCORE_SCHEMA) for table in found)])


class _Settings(NamedTuple):
    confidence: float
    n_boot: int
    seed: int


class _Context(NamedTuple):
    """What all runs and subsets share."""

    answers: Answers
    items: pl.DataFrame
    annotations: pl.DataFrame | None
    ordered: bool
    note: str
    ceilings: dict[str, pl.DataFrame | None]  # by subset: they are about the votes, the same for all runs
    perfect: KeptMeans  # as are the draws of a perfect model for runs that answer the same items


def _one_run(
    run: str, subset: Subset, part: pl.DataFrame, context: _Context, wanted: set[str], settings: _Settings
) -> list[pl.DataFrame]:
    """Every part of the table that one run allows on one subset, in the order of ``PARTS``."""
    options, how = context.answers.options, settings._asdict()
    group = ["group"] if "group" in part.columns else []
    gold = part.select("item_id", "label", "label_pred", *group).drop_nulls("label")
    pairs = predicted_pairs(part, options) if wanted & {"soft", "ceiling", "calibration"} else None
    notes = [n for n in (subset.note, context.answers.note, context.note) if n]
    ordered, asked_of = context.ordered, str(context.answers.outputs["question"][0])
    work: dict[str, Callable[[], pl.DataFrame | None]] = {
        "labels": lambda: label_rows(part, options, notes, **how),
        "people": lambda: people_rows(
            part, context.annotations, question=asked_of, ordered=ordered, options=options, **how
        ),
        "reasons": lambda: reason_rows(part, context.answers.outputs, context.items, run, options, **how),
        "ceiling": lambda: _ceilings(part, pairs, subset, context, settings),
    }
    if len(gold):
        work["bias"] = lambda: bias_table(gold, options=options, **how)
    if len(gold) and ordered:
        work["ordinal"] = lambda: ordinal_table(gold, options=options, **how)
    if pairs is not None:
        work["soft"] = lambda: soft_rows(pairs, ordered=ordered, kept=context.perfect, **how)
        work["calibration"] = lambda: calibration_rows(pairs, part, options, **how)
    asked = [name for name in PARTS if name in wanted and name in work]
    tables = _done({name: work[name] for name in asked}, many=len(part) > _SIDE_BY_SIDE)
    found = [(name, tables[name]) for name in asked]
    return [in_columns(t, part=name, subset=subset.name, run=run) for name, t in found if t is not None]


def _ceilings(
    part: pl.DataFrame, pairs: PairedDistributions | None, subset: Subset, context: _Context, settings: _Settings
) -> pl.DataFrame | None:
    """The ceilings of a subset's votes, computed for the first run, and this run's share of them."""
    if subset.name not in context.ceilings:
        context.ceilings[subset.name] = ceiling_rows(part, confidence=settings.confidence, seed=settings.seed)
    ceilings = context.ceilings[subset.name]
    if ceilings is None:
        return None
    return with_ceiling_shares(
        ceilings, part, pairs, context.answers.options, confidence=settings.confidence, seed=settings.seed
    )


def _done(work: Mapping[str, Callable[[], pl.DataFrame | None]], *, many: bool) -> dict[str, pl.DataFrame | None]:
    """Every part's table; of many items side by side, as most of the time goes into numpy, which lets others run."""
    if not many:
        return {name: compute() for name, compute in work.items()}
    longest_first = sorted(work, key=lambda name: _LONGEST.index(name) if name in _LONGEST else len(_LONGEST))
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        running = {name: pool.submit(work[name]) for name in longest_first}
        return {name: each.result() for name, each in running.items()}
