"""Faithfulness: does what is named as important change the model's answer when it is taken away?"""

from dfar_toolkit.metrics.faithfulness.aopc import ERASER_SHARES, aopc, aopc_curve, aopc_rows, area_rows
from dfar_toolkit.metrics.faithfulness.area_curves import acu, area_curve_rows, racu
from dfar_toolkit.metrics.faithfulness.comprehensiveness import comprehensiveness, comprehensiveness_rows
from dfar_toolkit.metrics.faithfulness.decision_flips import dffot, dffot_rows, dfmit_rows
from dfar_toolkit.metrics.faithfulness.directions import HIGHER_IS_BETTER, higher_is_better
from dfar_toolkit.metrics.faithfulness.faithfulness_table import faithfulness_table, perturbed_table
from dfar_toolkit.metrics.faithfulness.flips import (
    NOISE_MARGINS,
    flip_rate,
    flip_rows,
    flippable_rows,
    flips_by_label,
    flips_within_margin_rows,
    noise_margin,
    unparsed_after,
    unparsed_rows,
)
from dfar_toolkit.metrics.faithfulness.guard_rails import GuardRails, guard_rails
from dfar_toolkit.metrics.faithfulness.label_leakage import giveaway_table, named_label_share
from dfar_toolkit.metrics.faithfulness.matched_random import (
    method_differences,
    over_random,
    over_random_rows,
    run_differences,
)
from dfar_toolkit.metrics.faithfulness.normalised_fidelity import (
    carton_fidelity,
    normalised_comprehensiveness,
    normalised_rows,
    normalised_sufficiency,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Said, Step, words_of_share
from dfar_toolkit.metrics.faithfulness.perturbed_outputs import perturbed_outputs
from dfar_toolkit.metrics.faithfulness.rank_agreement import kendall_taus, rank_agreement_table, tau_loo
from dfar_toolkit.metrics.faithfulness.row_values import row_values
from dfar_toolkit.metrics.faithfulness.simulatability import leakage_adjusted_simulatability, simulatability_table
from dfar_toolkit.metrics.faithfulness.sufficiency import sufficiency, sufficiency_rows

__all__ = [
    "ERASER_SHARES",
    "HIGHER_IS_BETTER",
    "NOISE_MARGINS",
    "GuardRails",
    "Perturbed",
    "Said",
    "Step",
    "acu",
    "aopc",
    "aopc_curve",
    "aopc_rows",
    "area_curve_rows",
    "area_rows",
    "carton_fidelity",
    "comprehensiveness",
    "comprehensiveness_rows",
    "dffot",
    "dffot_rows",
    "dfmit_rows",
    "faithfulness_table",
    "flip_rate",
    "flip_rows",
    "flippable_rows",
    "flips_by_label",
    "flips_within_margin_rows",
    "giveaway_table",
    "guard_rails",
    "higher_is_better",
    "kendall_taus",
    "leakage_adjusted_simulatability",
    "method_differences",
    "named_label_share",
    "noise_margin",
    "normalised_comprehensiveness",
    "normalised_rows",
    "normalised_sufficiency",
    "over_random",
    "over_random_rows",
    "perturbed_outputs",
    "perturbed_table",
    "racu",
    "rank_agreement_table",
    "row_values",
    "run_differences",
    "simulatability_table",
    "sufficiency",
    "sufficiency_rows",
    "tau_loo",
    "unparsed_after",
    "unparsed_rows",
    "words_of_share",
]
