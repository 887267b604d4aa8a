"""Inter-annotator agreement with intervals, from long ratings with missing cells.

Every statistic takes ``(ratings, *, item, rater, value, group, ci, confidence, n_boot, seed, by)`` and returns an
:class:`~dfar_toolkit.estimate.Estimate`, or a frame of its fields with ``by``.
"""

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.brennan_prediger import brennan_prediger, randolph_kappa
from dfar_toolkit.agreement.conger import conger_kappa
from dfar_toolkit.agreement.fleiss import fleiss_kappa
from dfar_toolkit.agreement.gwet import gwet_ac1, gwet_ac2
from dfar_toolkit.agreement.kappa import cohen_kappa, pairwise_kappa, scott_pi
from dfar_toolkit.agreement.light import light_kappa
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.ratings import from_wide
from dfar_toolkit.agreement.table import agreement_table

__all__ = [
    "agreement_table",
    "brennan_prediger",
    "cohen_kappa",
    "conger_kappa",
    "fleiss_kappa",
    "from_wide",
    "gwet_ac1",
    "gwet_ac2",
    "krippendorff_alpha",
    "light_kappa",
    "pairwise_kappa",
    "percent_agreement",
    "randolph_kappa",
    "scott_pi",
]
