"""How well a model's labels, distributions and reasons agree with people, and how far the numbers can be trusted."""

from dfar_toolkit.metrics.baselines import label_shares, majority_baseline, minority_baseline
from dfar_toolkit.metrics.bias.annotator_group_gaps import annotator_group_gaps
from dfar_toolkit.metrics.bias.bias_table import bias_table
from dfar_toolkit.metrics.bias.collapse import collapse_table, collapse_test
from dfar_toolkit.metrics.bias.debiased_labels import debiased_accuracy, debiased_labels
from dfar_toolkit.metrics.bias.label_shares_test import homogeneity_test, label_share_table, symmetry_test
from dfar_toolkit.metrics.bias.position import position_bias, position_consistency
from dfar_toolkit.metrics.bias.prompt_stability import prompt_stability
from dfar_toolkit.metrics.bias.reason_consistency import reason_changes, reason_consistency
from dfar_toolkit.metrics.bias.shortcuts import length_shortcut
from dfar_toolkit.metrics.bias.subgroup_gaps import gaps_of, subgroup_gaps
from dfar_toolkit.metrics.bias.word_shortcuts import word_shortcuts
from dfar_toolkit.metrics.calibration.brier_decomposition import brier_decomposition
from dfar_toolkit.metrics.calibration.calibrated_cross_entropy import (
    calibrated_cross_entropy,
    calibrated_cross_entropy_in_sample,
)
from dfar_toolkit.metrics.calibration.calibration_table import calibration_table
from dfar_toolkit.metrics.calibration.corp_decomposition import corp_decomposition
from dfar_toolkit.metrics.calibration.debiased_calibration_error import debiased_squared_calibration_error
from dfar_toolkit.metrics.calibration.expected_calibration_error import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from dfar_toolkit.metrics.calibration.human_distribution import (
    entropy_calibration_error,
    human_calibration_error,
    rank_calibration,
)
from dfar_toolkit.metrics.calibration.reliability_curve import reliability_curve
from dfar_toolkit.metrics.calibration.risk_coverage import aurc, excess_aurc, risk_coverage_curve
from dfar_toolkit.metrics.calibration.temperature import apply_temperature, fit_temperature
from dfar_toolkit.metrics.calibration.vector_scaling import apply_vector_scaling, fit_vector_scaling
from dfar_toolkit.metrics.ceiling.best import best
from dfar_toolkit.metrics.ceiling.ceiling_share import Measured, ceiling_share, share_of_ceiling, shares_of_ceiling
from dfar_toolkit.metrics.ceiling.ceiling_table import ceiling_table
from dfar_toolkit.metrics.ceiling.dirichlet_fit import fit_dirichlet_multinomial, posterior_mean
from dfar_toolkit.metrics.ceiling.fresh_raters import held_out_raters
from dfar_toolkit.metrics.ceiling.inter_rater import inter_rater_agreement, split_half_distance
from dfar_toolkit.metrics.ceiling.people import human_performance, human_performance_by_rater
from dfar_toolkit.metrics.ceiling.posterior_check import posterior_check
from dfar_toolkit.metrics.classification import (
    accuracy,
    accuracy_answered,
    balanced_accuracy,
    coverage,
    macro_f1,
    matthews_correlation,
    unparsed_share,
)
from dfar_toolkit.metrics.comparing.detectable import minimum_detectable_difference
from dfar_toolkit.metrics.comparing.differences import paired_differences
from dfar_toolkit.metrics.comparing.equivalence import equivalence_p
from dfar_toolkit.metrics.comparing.many_runs import ManyRuns, compare_many
from dfar_toolkit.metrics.comparing.rank_stability import rank_stability
from dfar_toolkit.metrics.comparing.seeds import seed_difference
from dfar_toolkit.metrics.comparing.unpaired_counts import mcnemar_bounds
from dfar_toolkit.metrics.comparing.win_tie_loss import win_tie_loss
from dfar_toolkit.metrics.comparison import Comparison, compare
from dfar_toolkit.metrics.confusion import confusion_matrix, precision_recall_f1
from dfar_toolkit.metrics.correlation import pearson_correlation, spearman_correlation
from dfar_toolkit.metrics.judges import judge_agreement, specific_agreement
from dfar_toolkit.metrics.judging.alt_test import AltTest, alt_test
from dfar_toolkit.metrics.judging.balanced_position import balanced_position, balanced_position_rates
from dfar_toolkit.metrics.judging.bradley_terry import bradley_terry
from dfar_toolkit.metrics.judging.error_taxonomy import error_taxonomy
from dfar_toolkit.metrics.judging.judge_plan import assignment_plan, plan_summary
from dfar_toolkit.metrics.judging.judge_quality import judge_quality
from dfar_toolkit.metrics.judging.judging_table import judging_table
from dfar_toolkit.metrics.judging.length_control import length_controlled_win_rate, win_rate
from dfar_toolkit.metrics.judging.misalignment_powered import misalignment_prediction_powered
from dfar_toolkit.metrics.judging.multiple_testing import benjamini_yekutieli, holm
from dfar_toolkit.metrics.judging.pair_verdicts import pair_verdicts
from dfar_toolkit.metrics.judging.ppi_power import PredictionPoweredPlan, ppi_power
from dfar_toolkit.metrics.judging.prediction_powered import prediction_powered_rate
from dfar_toolkit.metrics.judging.rating_versus_ranking import rating_ranking_consistency
from dfar_toolkit.metrics.judging.rogan_gladen import rogan_gladen, rogan_gladen_rate
from dfar_toolkit.metrics.lewidi import LewidiPredictions, lewidi_scores
from dfar_toolkit.metrics.lewidi_tasks import LEWIDI_TASKS
from dfar_toolkit.metrics.misalignment import misalignment_rate, misalignment_table
from dfar_toolkit.metrics.one_more_annotator import as_annotator
from dfar_toolkit.metrics.ordinal import (
    mean_absolute_error,
    mean_signed_error,
    ordinal_table,
    quadratic_kappa,
    root_mean_squared_error,
)
from dfar_toolkit.metrics.ordinal_accuracy import accuracy_within
from dfar_toolkit.metrics.paired import mcnemar_test, sign_flip_test
from dfar_toolkit.metrics.perspectivist import error_rate, normalised_absolute_distance
from dfar_toolkit.metrics.reasons.constraints import constraint_table, parse_constraints
from dfar_toolkit.metrics.reasons.copying import duplicated_reason_share, reason_copying
from dfar_toolkit.metrics.reasons.coverage import reason_coverage
from dfar_toolkit.metrics.reasons.embeddings import embedding_overlap, stored_overlap
from dfar_toolkit.metrics.reasons.floor_and_ceiling import reason_overlap
from dfar_toolkit.metrics.reasons.good_bad_auroc import good_bad_auroc
from dfar_toolkit.metrics.reasons.grounding import knowledge_overlap
from dfar_toolkit.metrics.reasons.judge_reliability import split_half_reliability
from dfar_toolkit.metrics.reasons.meta_evaluation import meta_evaluation
from dfar_toolkit.metrics.reasons.overlap import human_overlap
from dfar_toolkit.metrics.reasons.own_label import own_label_agreement, own_label_table
from dfar_toolkit.metrics.reasons.reason_scores import reason_scores
from dfar_toolkit.metrics.reasons.reasons_table import reasons_table
from dfar_toolkit.metrics.reasons.run_ranking import run_rank_agreement
from dfar_toolkit.metrics.reasons.told_apart import runs_told_apart
from dfar_toolkit.metrics.soft_labels.brier import brier_score, brier_score_unbiased
from dfar_toolkit.metrics.soft_labels.concentration import fit_concentration
from dfar_toolkit.metrics.soft_labels.cross_entropy import kl_divergence, soft_cross_entropy
from dfar_toolkit.metrics.soft_labels.dirichlet_multinomial import dirichlet_multinomial_nll
from dfar_toolkit.metrics.soft_labels.divergences import (
    hellinger_distance,
    jensen_shannon_distance,
    jensen_shannon_divergence,
)
from dfar_toolkit.metrics.soft_labels.entropy import entropy_correlation, entropy_error
from dfar_toolkit.metrics.soft_labels.entropy_rank import entropy_rank_correlation
from dfar_toolkit.metrics.soft_labels.legacy import double_softmax_cross_entropy, unnormalised_dirichlet_loss
from dfar_toolkit.metrics.soft_labels.mass import option_mass, option_mass_below_half
from dfar_toolkit.metrics.soft_labels.paired import pair_distributions
from dfar_toolkit.metrics.soft_labels.score_table import soft_label_scores, soft_label_table
from dfar_toolkit.metrics.soft_labels.top_label import top_label_agreement
from dfar_toolkit.metrics.soft_labels.total_variation import manhattan_distance, total_variation
from dfar_toolkit.metrics.soft_labels.transport import wasserstein_distance
from dfar_toolkit.metrics.soft_labels.votes import votes_of_ratings

__all__ = [
    "LEWIDI_TASKS",
    "AltTest",
    "Comparison",
    "LewidiPredictions",
    "ManyRuns",
    "Measured",
    "PredictionPoweredPlan",
    "accuracy",
    "accuracy_answered",
    "accuracy_within",
    "adaptive_calibration_error",
    "alt_test",
    "annotator_group_gaps",
    "apply_temperature",
    "apply_vector_scaling",
    "as_annotator",
    "assignment_plan",
    "aurc",
    "balanced_accuracy",
    "balanced_position",
    "balanced_position_rates",
    "benjamini_yekutieli",
    "best",
    "bias_table",
    "bradley_terry",
    "brier_decomposition",
    "brier_score",
    "brier_score_unbiased",
    "calibrated_cross_entropy",
    "calibrated_cross_entropy_in_sample",
    "calibration_table",
    "ceiling_share",
    "ceiling_table",
    "classwise_calibration_error",
    "collapse_table",
    "collapse_test",
    "compare",
    "compare_many",
    "confusion_matrix",
    "constraint_table",
    "corp_decomposition",
    "coverage",
    "debiased_accuracy",
    "debiased_labels",
    "debiased_squared_calibration_error",
    "dirichlet_multinomial_nll",
    "double_softmax_cross_entropy",
    "duplicated_reason_share",
    "embedding_overlap",
    "entropy_calibration_error",
    "entropy_correlation",
    "entropy_error",
    "entropy_rank_correlation",
    "equivalence_p",
    "error_rate",
    "error_taxonomy",
    "excess_aurc",
    "expected_calibration_error",
    "fit_concentration",
    "fit_dirichlet_multinomial",
    "fit_temperature",
    "fit_vector_scaling",
    "gaps_of",
    "good_bad_auroc",
    "held_out_raters",
    "hellinger_distance",
    "holm",
    "homogeneity_test",
    "human_calibration_error",
    "human_overlap",
    "human_performance",
    "human_performance_by_rater",
    "inter_rater_agreement",
    "jensen_shannon_distance",
    "jensen_shannon_divergence",
    "judge_agreement",
    "judge_quality",
    "judging_table",
    "kl_divergence",
    "knowledge_overlap",
    "label_share_table",
    "label_shares",
    "length_controlled_win_rate",
    "length_shortcut",
    "lewidi_scores",
    "macro_f1",
    "majority_baseline",
    "manhattan_distance",
    "matthews_correlation",
    "maximum_calibration_error",
    "mcnemar_bounds",
    "mcnemar_test",
    "mean_absolute_error",
    "mean_signed_error",
    "meta_evaluation",
    "minimum_detectable_difference",
    "minority_baseline",
    "misalignment_prediction_powered",
    "misalignment_rate",
    "misalignment_table",
    "normalised_absolute_distance",
    "option_mass",
    "option_mass_below_half",
    "ordinal_table",
    "own_label_agreement",
    "own_label_table",
    "pair_distributions",
    "pair_verdicts",
    "paired_differences",
    "parse_constraints",
    "pearson_correlation",
    "plan_summary",
    "position_bias",
    "position_consistency",
    "posterior_check",
    "posterior_mean",
    "ppi_power",
    "precision_recall_f1",
    "prediction_powered_rate",
    "prompt_stability",
    "quadratic_kappa",
    "rank_calibration",
    "rank_stability",
    "rating_ranking_consistency",
    "reason_changes",
    "reason_consistency",
    "reason_copying",
    "reason_coverage",
    "reason_overlap",
    "reason_scores",
    "reasons_table",
    "reliability_curve",
    "risk_coverage_curve",
    "rogan_gladen",
    "rogan_gladen_rate",
    "root_mean_squared_error",
    "run_rank_agreement",
    "runs_told_apart",
    "seed_difference",
    "share_of_ceiling",
    "shares_of_ceiling",
    "sign_flip_test",
    "soft_cross_entropy",
    "soft_label_scores",
    "soft_label_table",
    "spearman_correlation",
    "specific_agreement",
    "split_half_distance",
    "split_half_reliability",
    "stored_overlap",
    "subgroup_gaps",
    "symmetry_test",
    "top_label_agreement",
    "total_variation",
    "unnormalised_dirichlet_loss",
    "unparsed_share",
    "votes_of_ratings",
    "wasserstein_distance",
    "win_rate",
    "win_tie_loss",
    "word_shortcuts",
]
