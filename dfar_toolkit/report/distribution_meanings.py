"""What the scores of distributions, their references, ceilings and calibration mean, one plain sentence per name."""

from __future__ import annotations

from typing import Final

_SOFT: Final = {
    "soft_cross_entropy": "Mean surprise of the run at people's votes, in nats: lower is better; the entropy of the "
    "votes is the least possible.",
    "brier_score": "Mean squared distance of the run's probabilities to the shares of votes; part of it is the chance "
    "of few votes.",
    "brier_score_unbiased": "The Brier score without the part that comes from having few votes: a perfect model is "
    "at 0.",
    "kl_divergence": "Soft cross-entropy less the entropy of the votes: nats lost by taking the run's probabilities "
    "for theirs.",
    "total_variation": "Mean share of votes that would have to change for the run's probabilities to be theirs.",
    "manhattan_distance": "Mean sum of absolute differences between probabilities and shares of votes: twice the total "
    "variation.",
    "jensen_shannon_divergence": "Mean distance of votes and probabilities from their average, in bits, from 0 to 1.",
    "jensen_shannon_distance": "Mean square root of the Jensen-Shannon divergence.",
    "hellinger_distance": "Mean Hellinger distance of votes and probabilities, from 0 to 1.",
    "wasserstein_distance": "Mean number of steps on the ordered options by which votes would have to move to become "
    "the run's probabilities.",
    "entropy_correlation": "Correlation of how spread people's votes are with how spread the run's probabilities are, "
    "item by item.",
    "entropy_error": "Mean absolute difference of the spread (entropy) of votes and probabilities, in nats.",
    "top_label_agreement": "Share of items whose most chosen option is the run's most probable one; ties count in "
    "proportion.",
    "option_mass": "Mean probability that the model put on the options at all, before it was made to sum to 1.",
    "option_mass_below_half": "Share of items on which the options together got less than half of the probability.",
}
_REFERENCES: Final = {
    "uniform": "Beside a score: every option equally probable, always.",
    "corpus_mean": "Beside a score: the shares of all votes together, the same for every item.",
    "hard_majority": "Beside a score: probability 1 for the option that most people chose.",
    "perfect_model": "Beside a score: a model that knows the true shares, on as many votes as there are.",
    "best": "BEST: expected score of an oracle that knows the true shares of every item; not a bound.",
    "held_out_rater": "One person's answers scored against the other people's.",
    "two_raters": "Two people who rated the same item.",
    "entropy_floor": "The entropy of the votes as they are: no cross-entropy on them can be lower.",
}
_CEILINGS: Final = {
    "ceiling_soft_cross_entropy": "What can be reached in soft cross-entropy on these votes.",
    "ceiling_accuracy": "What can be reached in accuracy on these votes: by BEST, by a person held out.",
    "ceiling_macro_f1": "What can be reached in macro F1 on these votes: by BEST, by a person held out.",
    "ceiling_balanced_accuracy": "What can be reached in balanced accuracy on these votes: by BEST, by a person held "
    "out.",
    "ceiling_brier_score": "What can be reached in the Brier score on these votes.",
    "ceiling_total_variation": "What can be reached in total variation on these votes.",
    "ceiling_agreement": "Chance that two people who rated the same item chose the same option.",
    "share_of_ceiling_accuracy": "How far the run has come from always giving the label with the most votes (0) to "
    "BEST (1) in accuracy.",
    "share_of_ceiling_soft_cross_entropy": "How far the run has come from the corpus mean (0) to BEST (1) in soft "
    "cross-entropy; it may exceed 1.",
    "share_of_ceiling_brier_score": "How far the run has come from the corpus mean (0) to BEST (1) in the Brier score; "
    "it may exceed 1.",
    "share_of_ceiling_total_variation": "How far the run has come from the corpus mean (0) to BEST (1) in total "
    "variation; it may exceed 1.",
}
_CALIBRATION: Final = {
    "human_calibration_error": "Mean squared distance, in bins, of an option's probability to the share of people who "
    "chose it, without the noise of the bins; a calibrated run is at 0 on average.",
    "entropy_calibration_error": "How much less sure the run is than people are, on average, in nats; below 0 it is "
    "surer.",
    "rank_calibration": "Share of items on which the run puts the options in people's order.",
    "classwise_ece_human": "Expected calibration error of every option against the shares of people who chose it; "
    "never 0 in a sample.",
    "squared_calibration_error_majority": "Mean squared distance, in bins, of confidence and accuracy against the "
    "majority's label, without the noise of the bins.",
    "classwise_squared_calibration_error_majority": "The same for every option, averaged.",
    "ece_majority": "Expected calibration error against the majority's label: mean distance of confidence and "
    "accuracy in bins of equal width; never 0 in a sample.",
    "adaptive_ece_majority": "The expected calibration error in bins of as many items each.",
    "classwise_ece_majority": "The expected calibration error of every option against the majority's label.",
    "mce_majority": "The largest distance of confidence and accuracy in any bin.",
    "corp_brier_score_majority": "Squared error of the confidence that the answer is the majority's; the sum of the "
    "terms below: miscalibration - discrimination + uncertainty.",
    "corp_miscalibration_majority": "The part of that error that better calibrated confidences would avoid (CORP); "
    "never 0 in a sample.",
    "corp_discrimination_majority": "The part that the confidences explain by telling right from wrong answers (CORP); "
    "larger is better.",
    "corp_discrimination_debiased_majority": "The same without the noise that the fit follows.",
    "corp_uncertainty_majority": "The error of always giving the run's accuracy as the confidence.",
    "aurc": "Mean error rate of the answers that the run is surest of, over all shares of items answered; lower is "
    "better.",
    "excess_aurc": "What of that comes from confidences that do not put right answers before wrong ones.",
}
DISTRIBUTION_MEANINGS: Final = _SOFT | _REFERENCES | _CEILINGS | _CALIBRATION
