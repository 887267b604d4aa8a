"""Inter-annotator agreement with intervals, from long ratings with missing cells.

Every statistic takes ``(ratings, *, item, rater, value, group, ci, confidence, n_boot, seed, by)`` and returns an
:class:`~dfar_toolkit.estimate.Estimate`, or a frame of its fields with ``by``. The coefficients stand here; numbers and
ranks in ``continuous``, marked spans in ``spans``, who differs in ``raters``, labels from ratings in ``labels``, sample
sizes in ``planning``.
"""

from dfar_toolkit.agreement.alpha import krippendorff_alpha
from dfar_toolkit.agreement.brennan_prediger import brennan_prediger, randolph_kappa
from dfar_toolkit.agreement.conger import conger_kappa
from dfar_toolkit.agreement.continuous.correlation import mean_correlation, pairwise_correlation
from dfar_toolkit.agreement.continuous.cronbach import cronbach_alpha
from dfar_toolkit.agreement.continuous.icc import icc
from dfar_toolkit.agreement.continuous.kendall_w import kendall_w
from dfar_toolkit.agreement.continuous.limits import limits_of_agreement
from dfar_toolkit.agreement.continuous.lin import lin_ccc, overall_ccc
from dfar_toolkit.agreement.difference import agreement_difference
from dfar_toolkit.agreement.disagreement import item_disagreement
from dfar_toolkit.agreement.duplicates import without_repeats
from dfar_toolkit.agreement.fleiss import fleiss_kappa
from dfar_toolkit.agreement.gwet import gwet_ac1, gwet_ac2
from dfar_toolkit.agreement.kappa import cohen_kappa, pairwise_kappa, scott_pi
from dfar_toolkit.agreement.labels.annotators import annotator_accuracy, annotator_reliability
from dfar_toolkit.agreement.labels.crowd import glad, mace
from dfar_toolkit.agreement.labels.dawid_skene import dawid_skene
from dfar_toolkit.agreement.labels.gold import compare_with_gold
from dfar_toolkit.agreement.labels.one_coin import one_coin
from dfar_toolkit.agreement.labels.votes import majority_vote, soft_labels, votes
from dfar_toolkit.agreement.light import light_kappa
from dfar_toolkit.agreement.null_test import agreement_test
from dfar_toolkit.agreement.observed import percent_agreement
from dfar_toolkit.agreement.per_value import value_agreement
from dfar_toolkit.agreement.planning.interval_width import plan_interval, smallest_design
from dfar_toolkit.agreement.planning.label_stability import label_stability, labels_kept
from dfar_toolkit.agreement.planning.panel_error import panel_error
from dfar_toolkit.agreement.planning.panel_size import agreement_by_panel_size, spearman_brown
from dfar_toolkit.agreement.planning.ranking_stability import ranking_stability
from dfar_toolkit.agreement.planning.two_models import plan_two_models
from dfar_toolkit.agreement.planning.two_runs import plan_two_runs
from dfar_toolkit.agreement.raters.drift import drift
from dfar_toolkit.agreement.raters.drift_trend import drift_trend
from dfar_toolkit.agreement.raters.leave_one_out import leave_one_rater_out
from dfar_toolkit.agreement.raters.rater_confusion import marginal_homogeneity, rater_confusion
from dfar_toolkit.agreement.raters.rater_fit import rater_agreement
from dfar_toolkit.agreement.raters.rater_groups import group_agreement
from dfar_toolkit.agreement.raters.rater_matrix import low_overlap, rater_matrix, rater_square
from dfar_toolkit.agreement.ratings import from_wide
from dfar_toolkit.agreement.set_distances import jaccard_distance, masi_distance
from dfar_toolkit.agreement.sets import set_alpha
from dfar_toolkit.agreement.spans.span_f1 import pairwise_span_f1, span_f1
from dfar_toolkit.agreement.spans.unitizing import unitizing_alpha
from dfar_toolkit.agreement.table import agreement_table
from dfar_toolkit.agreement.value_confusion import value_confusion

__all__ = [
    "agreement_by_panel_size",
    "agreement_difference",
    "agreement_table",
    "agreement_test",
    "annotator_accuracy",
    "annotator_reliability",
    "brennan_prediger",
    "cohen_kappa",
    "compare_with_gold",
    "conger_kappa",
    "cronbach_alpha",
    "dawid_skene",
    "drift",
    "drift_trend",
    "fleiss_kappa",
    "from_wide",
    "glad",
    "group_agreement",
    "gwet_ac1",
    "gwet_ac2",
    "icc",
    "item_disagreement",
    "jaccard_distance",
    "kendall_w",
    "krippendorff_alpha",
    "label_stability",
    "labels_kept",
    "leave_one_rater_out",
    "light_kappa",
    "limits_of_agreement",
    "lin_ccc",
    "low_overlap",
    "mace",
    "majority_vote",
    "marginal_homogeneity",
    "masi_distance",
    "mean_correlation",
    "one_coin",
    "overall_ccc",
    "pairwise_correlation",
    "pairwise_kappa",
    "pairwise_span_f1",
    "panel_error",
    "percent_agreement",
    "plan_interval",
    "plan_two_models",
    "plan_two_runs",
    "randolph_kappa",
    "ranking_stability",
    "rater_agreement",
    "rater_confusion",
    "rater_matrix",
    "rater_square",
    "scott_pi",
    "set_alpha",
    "smallest_design",
    "soft_labels",
    "span_f1",
    "spearman_brown",
    "unitizing_alpha",
    "value_agreement",
    "value_confusion",
    "votes",
    "without_repeats",
]
