"""What scores of the run as an annotator, of its label shares and of ordered labels mean, one sentence per name."""

from __future__ import annotations

from typing import Final

_PEOPLE: Final = {
    "people": "Beside a score: people among themselves, without the run.",
    "kappa_run": "Mean of Cohen's kappa of the run with each person.",
    "kappa_people": "Mean of Cohen's kappa of two people, on the same items.",
    "kappa_difference": "Mean kappa of the run with people less that of people among themselves.",
    "pair_alpha_run": "Mean of Krippendorff's alpha of the run with each person.",
    "pair_alpha_people": "Mean of Krippendorff's alpha of two people, on the same items.",
    "pair_alpha_difference": "Mean alpha of the run with people less that of people among themselves.",
    "alpha_people": "Krippendorff's alpha of the people alone.",
    "alpha_with_run": "Krippendorff's alpha of the people and the run as one more annotator.",
    "alpha_difference": "What putting the run among the people does to their alpha; below 0 it lowers it.",
    "alt_test_winning_rate": "Share of the people tested whom the run may stand in for (alternative annotator test); "
    "from one half on it passes.",
    "alt_test_advantage": "Chance that the run is at least as close to the other people as a person is, mean over the "
    "people tested.",
}
_SHARES: Final = {
    "predicted_share": "Share of its answers in which the run gave this label.",
    "gold_share": "Share of the same items that people gave this label.",
    "share_difference": "Share of the run's answers less share of people's labels.",
    "label_homogeneity_p": "p of the test that run and people give all labels equally often.",
    "top_answer_share": "Share of the answers that are the run's most frequent one.",
    "gold_top_share": "Share of people's most frequent label among the same items.",
    "top_share_difference": "Share of the most frequent answer less share of people's most frequent label.",
    "effective_labels": "Number of equally frequent labels that would be as varied as the run's answers.",
    "gold_effective_labels": "Number of equally frequent labels that would be as varied as people's labels.",
    "effective_labels_ratio": "Effective labels of the run divided by people's; 1 is as varied, near 0 is collapse.",
    "collapse_p": "p of the test that the most frequent answer is no more frequent than people's most frequent label.",
}
_ORDERED: Final = {
    "mean_absolute_error": "Mean distance of answer and label, in steps of the scale.",
    "root_mean_squared_error": "Root of the mean squared distance of answer and label: far misses weigh more.",
    "mean_signed_error": "Mean of answer less label: above 0 the run answers too high.",
    "quadratic_kappa": "Agreement beyond chance that punishes a distance by its square.",
    "pearson_correlation": "Correlation of answers and labels as numbers.",
    "spearman_correlation": "Correlation of the ranks of answers and labels.",
    "accuracy_within": "Share of all items answered at most one step from the label; no answer is a miss.",
}
PEOPLE_MEANINGS: Final = _PEOPLE | _SHARES | _ORDERED
