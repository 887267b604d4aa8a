"""Inter-annotator agreement with intervals, from long ratings with missing cells.

Every statistic takes ``(ratings, *, item, rater, value, group, ci, confidence, n_boot, seed, by)`` and returns an
:class:`~dfar_toolkit.estimate.Estimate`, or a frame of its fields with ``by``.
"""

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.gwet import gwet_ac1
from dfar_toolkit.agreement.kappa import cohen_kappa, fleiss_kappa, pairwise_kappa
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.ratings import from_wide
from dfar_toolkit.agreement.table import agreement_table

__all__ = [
    "agreement_table",
    "cohen_kappa",
    "fleiss_kappa",
    "from_wide",
    "gwet_ac1",
    "krippendorff_alpha",
    "pairwise_kappa",
    "percent_agreement",
]
