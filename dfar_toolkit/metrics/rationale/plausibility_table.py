"""Every plausibility score of every method, beside random words and the people themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypedDict

import numpy as np
import polars as pl

from dfar_toolkit.agreement.spans.span_scores import BothEmpty
from dfar_toolkit.estimate import Additive, estimates_frame
from dfar_toolkit.metrics.rationale.eraser_scores import eraser_scores
from dfar_toolkit.metrics.rationale.gold_words import GoldRule, GoldWords, Top, against_people, held_out
from dfar_toolkit.metrics.rationale.human_ceiling import human_ceiling_rows, without_people
from dfar_toolkit.metrics.rationale.marked_words import MarkedWords
from dfar_toolkit.metrics.rationale.rationale_scores import HIGHER_IS_BETTER, rationale_scores
from dfar_toolkit.metrics.reasons.present_means import estimate_present

HUMAN: Final = "human"  # the method whose rationales are people's own: they are the gold


def plausibility_table(
    marked: MarkedWords,
    *,
    gold: GoldRule | Sequence[GoldRule] = "majority",
    methods: Sequence[str] | None = None,
    top: Top = "human",
    threshold: float = 0.5,
    both_empty: BothEmpty = "agree",
    ci: Literal["bootstrap"] | None = "bootstrap",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """Every plausibility score of every method, with people's own agreement as the last rows.

    The headline is ``token_f1_above_chance``. Draws of a method (random words) are averaged within the item first, so
    that an interval is over items, or groups of them. The rows of ``held_out_annotator`` are the ceiling of
    :func:`~dfar_toolkit.metrics.rationale.human_ceiling.human_ceiling`; ``token_f1_of_random_words`` is the floor of
    token F1 at the method's own number of words. After the scores of a method those of ERASER, ``eraser_...``, which
    count empty sides, spans and means its way. Cost: linear in words times methods, then one set of draws a method.

    Args:
        marked: Words that people and methods marked.
        gold: By whom a word must be marked: ``any``, ``majority``, ``all`` of the people asked; or several of these.
        methods: The methods; None: all but ``human``, whose rationales are the gold itself.
        top: Which words a method that only scores them chooses: as many as the ``human`` gold has in the item (known
            as Top-Var), a number, or a share.
        threshold: Smallest intersection over union of matched spans.
        both_empty: Items where neither has a word: ``agree`` (1) or ``leave_out``.
        ci: ``bootstrap`` over groups, or None.
        confidence: Two-sided coverage.
        n_boot: Number of bootstrap draws.
        seed: Seed of the draws.

    Returns:
        Rows ``rationale_method, metric, gold, higher_is_better`` (null where neither direction is), ``n_marked`` (items
        with people's marks), ``coverage`` (share of them with a rationale; for the ceiling with a second person) and
        Estimate's fields.

    Undefined:
        As each score says in its note.

    Raises:
        ValueError: An unknown method, rule or option.

    Example:
        >>> from dfar_toolkit.metrics.rationale.marked_words import marked_words
        >>> marked = marked_words([[[0, 1, 0, 0], [0, 1, 1, 0]]], {"attention": [[0, 1, 0, 0]]})
        >>> table = plausibility_table(marked, ci=None)
        >>> table.filter(metric="token_f1").select("rationale_method", "value", "coverage").rows()
        [('attention', 1.0, 1.0), ('held_out_annotator', 0.6666666666666666, 1.0)]
    """
    frames = []
    drawn: _Drawn = {"ci": ci, "confidence": confidence, "n_boot": n_boot, "seed": seed}
    for rule in [gold] if isinstance(gold, str) else list(gold):
        for method in chosen_methods(marked, methods):
            words = against_people(marked, method=method, gold=rule, top=top)
            own = rationale_scores(words, threshold=threshold, both_empty=both_empty)
            frames.append(_frame([*own, *eraser_scores(words, own, threshold=threshold)], words, rule, drawn))
        people = held_out(marked, gold=rule)
        ceiling = human_ceiling_rows(marked, gold=rule, threshold=threshold, both_empty=both_empty)
        if ceiling:
            frames.append(_frame(ceiling, people, rule, drawn))
        else:
            alone = estimates_frame([without_people("token F1", marked, confidence)])
            frames.append(pl.concat([_naming(["token_f1"], people, rule), alone], how="horizontal"))
    return pl.concat(frames)


def chosen_methods(marked: MarkedWords, methods: Sequence[str] | None) -> list[str]:
    """The methods asked for; None: all but ``human``."""
    if methods is None:
        return [method for method in marked.methods if method != HUMAN]
    unknown = [method for method in methods if method not in marked.methods]
    if unknown:
        found = ", ".join(marked.methods) or "none"
        raise ValueError(f"rationale: methods must be some of those that there are; found {unknown[0]!r} of {found}")
    return list(methods)


class _Drawn(TypedDict):
    ci: Literal["bootstrap"] | None
    confidence: float
    n_boot: int
    seed: int


def _frame(scores: Sequence[Additive], words: GoldWords, gold: str, drawn: _Drawn) -> pl.DataFrame:
    """The estimates of one method's scores, from one set of draws."""
    found = estimate_present(scores, groups=words.groups, **drawn)
    naming = _naming([score.metric for score in scores], words, gold)
    return pl.concat([naming, estimates_frame(found)], how="horizontal")


def _naming(metrics: Sequence[str], words: GoldWords, gold: str) -> pl.DataFrame:
    covered = len(np.unique(words.item))
    beside = [
        {
            "rationale_method": words.method,
            "metric": metric,
            "gold": gold,
            "higher_is_better": HIGHER_IS_BETTER.get(metric, True),
            "n_marked": words.n_items,
            "coverage": covered / words.n_items if words.n_items else float("nan"),
        }
        for metric in metrics
    ]
    return pl.DataFrame(
        beside,
        schema={
            "rationale_method": pl.String,
            "metric": pl.String,
            "gold": pl.String,
            "higher_is_better": pl.Boolean,
            "n_marked": pl.Int64,
            "coverage": pl.Float64,
        },
    )
