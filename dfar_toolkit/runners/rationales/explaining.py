"""How the items of a run are explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from dfar_toolkit.engines.requests import Attribution, Baseline, Steps, TargetKind
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.spans import WordUnit

Reduction = Literal["sum", "mean", "max", "max_abs"]
Perturbation = Literal["remove", "mask", "replace", "mask_token", "attention_mask"]
Prompted = Literal[
    "prompted_unbounded", "prompted_top_k", "prompted_top_var", "prompted_redaction", "prompted_counterfactual"
]
ATTRIBUTIONS: Final[tuple[str, ...]] = get_args(Attribution)
PROMPTED: Final[tuple[str, ...]] = get_args(Prompted)
ERASING: Final = ("leave_one_out", "occlusion")
RANDOM: Final = "random"
HUMAN: Final = "human"
METHODS: Final = (*ATTRIBUTIONS, *ERASING, *PROMPTED, HUMAN, RANDOM)
ERASER_SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Explaining:
    """How the items of a run are explained.

    Attributes:
        manner: How the model is asked about an item; None: a classifier.
        methods: How rationales are come by, from ``METHODS``.
        unit: What a word is.
        fields: Fields whose words are looked at; None: all.
        target: The label that is explained: ``predicted``, ``gold``, or the name of one.
        contrast: The label that it is set against: ``none``, ``runner_up``, or the name of one.
        kind: The value that is explained.
        baseline: What stands for nothing in integrated gradients.
        steps: Points of integrated gradients; ``auto``: as many as each item needs, at most 257.
        reduction: From tokens to words; None: ``sum`` for methods with a sign, ``max`` for those without.
        operators: What happens to words that are taken away; none: no perturbations.
        shares: Shares of the words that are taken away, or kept.
        ks: Numbers of words that are taken away, or kept, besides.
        human_length: Whether as many words as people marked in the item are taken away, or kept, besides.
        draws: Random rationales per item.
        top_k: Words that ``prompted_top_k`` asks for.
        width: Words that ``occlusion`` takes away at once.
        mask: What stands for a masked word, and in redacted texts.
        seed: Of everything drawn.
    """

    manner: Manner | None
    methods: tuple[str, ...]
    unit: WordUnit = "whitespace"
    fields: tuple[str, ...] | None = None
    target: str = "predicted"
    contrast: str = "none"
    kind: TargetKind = "log_prob"
    baseline: Baseline = "mask"
    steps: Steps = "auto"
    reduction: Reduction | None = None
    operators: tuple[Perturbation, ...] = ("remove",)
    shares: tuple[float, ...] = ERASER_SHARES
    ks: tuple[int, ...] = (1,)
    human_length: bool = True
    draws: int = 5
    top_k: int = 5
    width: int = 3
    mask: str = "[REDACTED]"
    seed: int = 0
