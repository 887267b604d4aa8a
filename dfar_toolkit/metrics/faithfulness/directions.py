"""Which way every metric of this room is better: the one place that says it."""

from __future__ import annotations

from typing import Final

# True: higher is better; False: lower is better; None: neither, a description.
HIGHER_IS_BETTER: Final[dict[str, bool | None]] = {
    "comprehensiveness": True,
    "comprehensiveness_entropy": None,
    "comprehensiveness_kl": True,
    "sufficiency": False,
    "sufficiency_entropy": None,
    "sufficiency_kl": False,
    "aopc_comprehensiveness": True,
    "aopc_sufficiency": False,
    "area_comprehensiveness": True,
    "area_sufficiency": False,
    "normalised_comprehensiveness": True,
    "normalised_sufficiency": True,
    "carton_comprehensiveness": True,
    "carton_sufficiency": True,
    "eraser_comprehensiveness": True,
    "eraser_comprehensiveness_entropy": None,
    "eraser_comprehensiveness_kl": True,
    "eraser_sufficiency": False,
    "eraser_sufficiency_entropy": None,
    "eraser_sufficiency_kl": False,
    "eraser_aopc_comprehensiveness": True,
    "eraser_aopc_sufficiency": False,
    "flip_rate": True,
    "flip_rate_only": False,
    "flip_to_unparsed": None,
    "flip_to_unparsed_only": None,
    "flippable_share": None,
    "flips_within_margin": None,
    "dfmit": True,
    "dffot": False,
    "acu": True,
    "racu": True,
    "tau_loo": True,
    "method_rank_correlation": None,
    "leakage_adjusted_simulatability": True,
    "simulatability_leaked": True,
    "simulatability_not_leaked": True,
    "leaked_share": None,
    "simulator_right_input": None,
    "simulator_right_both": None,
    "named_label_share": None,
    "giveaway_rate": None,
    "giveaway_over_majority": None,
    "giveaway_unnamed": None,
    "accuracy": True,
    "coverage": True,
    "unparsed_share": False,
    "failed_share": False,
    "missing_share": False,
    "top_label_share": None,
    "predicted_share": None,
    "p_full": None,
    "p_empty": None,
    "noise_margin": None,
    "random_draws": None,
}
OVER_RANDOM: Final = "_over_random"  # what the name of a metric minus that of random words of equal number ends in


def higher_is_better(metric: str) -> bool | None:
    """Whether a higher value of a metric is better; None where neither is. A metric minus random keeps its direction.

    Args:
        metric: Its name in tables.

    Raises:
        ValueError: No such metric.

    Example:
        >>> higher_is_better("comprehensiveness"), higher_is_better("sufficiency_over_random")
        (True, False)
    """
    plain = metric.removesuffix(OVER_RANDOM)
    if plain not in HIGHER_IS_BETTER:
        raise ValueError(f"higher_is_better: unknown metric {metric!r}; known are {', '.join(HIGHER_IS_BETTER)}")
    return HIGHER_IS_BETTER[plain]
