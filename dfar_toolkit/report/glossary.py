"""What the numbers mean, one plain sentence per name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dfar_toolkit.report.distribution_meanings import DISTRIBUTION_MEANINGS
from dfar_toolkit.report.people_meanings import PEOPLE_MEANINGS
from dfar_toolkit.report.rationale_meanings import RATIONALE_MEANINGS
from dfar_toolkit.report.reason_meanings import REASON_MEANINGS

_NAMES: Final = {
    # Agreement among annotators.
    "percent_agreement": "Chance that two different people who judged the same item gave the same value.",
    "krippendorff_alpha": "Agreement beyond chance: 1 is perfect, 0 is what chance would give, below 0 is less; "
    "the level says what counts as near.",
    "fleiss_kappa": "Agreement of several people beyond the chance given by how often each value was chosen overall.",
    "gwet_ac1": "Agreement beyond chance that stays meaningful where one value is far more frequent than the others.",
    "gwet_ac2": "As Gwet's AC1, with partial credit for values that are near one another.",
    "brennan_prediger": "Agreement beyond people who choose blindly among the categories.",
    "conger_kappa": "Agreement of several people beyond chance, each with their own habit of choosing.",
    "scott_pi": "Agreement of two people beyond the chance given by how often both together chose each value.",
    "light_kappa": "Mean of Cohen's kappas over all pairs of people.",
    "set_alpha": "Agreement beyond chance about sets of values; sets that overlap count as near.",
    "icc": "Share of the spread of numbers that lies between items and not between people: 1 (one-way), A (people may "
    "not differ in level), C (they may); k for the mean of all of them.",
    "kendall_w": "How far people rank the items alike: 1 is the same order by everybody.",
    "mean_correlation": "Mean correlation of two people's numbers.",
    "lin_ccc": "How near two people's numbers lie to being equal.",
    "cronbach_alpha": "Reliability of the sum of all people's numbers.",
    "cohen_kappa": "Agreement of two people beyond the chance given by how often each of the two chose each value.",
    # Labels.
    "accuracy": "Share of all items with a human label that the run labelled as people did; no answer counts as wrong.",
    "accuracy_answered": "The same share among the items that the run answered.",
    "coverage": "Share of all items that have a usable answer.",
    "unparsed_share": "Share of all items with an output in which no label could be found.",
    "balanced_accuracy": "Mean over the labels of recall, so that a rare label weighs as much as a frequent one.",
    "balanced_accuracy_answered": "Balanced accuracy among the items that the run answered.",
    "macro_f1": "Mean over the labels of F1; an unanswered item is a miss for its label.",
    "macro_f1_answered": "Macro F1 among the items that the run answered.",
    "matthews_correlation": "Correlation of the run's labels with people's: 1 is perfect, 0 none, below 0 opposed; "
    "no answer is a value of its own.",
    "missing_outputs": "Number of items for which the run has no output at all.",
    "failed_outputs": "Number of outputs that are an error instead of an answer.",
    "no_gold": "Number of items without a human label (such as ties); they are left out of every score of labels.",
    "majority_baseline": "Accuracy of always giving the most common label of these items.",
    "minority_baseline": "Accuracy of always giving the least common label of these items.",
    "label_share": "Share of the items that people gave this label.",
    "precision": "Of the items that the run gave this label, the share to which people gave it too.",
    "recall": "Of the items to which people gave this label, the share that the run gave it too.",
    "f1": "Harmonic mean of precision and recall of this label.",
    # Subsets.
    "leaked": "Subset: items whose text, exactly or nearly, also stands in the training data.",
    "clean": "Subset: items whose text does not stand in the training data, neither exactly nor nearly.",
    "stem": "Subset: clean items that share their stem (the opening of the text) with a training item.",
}
MEANINGS: Final = _NAMES | DISTRIBUTION_MEANINGS | PEOPLE_MEANINGS | REASON_MEANINGS | RATIONALE_MEANINGS


def meanings(names: Iterable[str]) -> dict[str, str]:
    """Sentences for those of the names that have one, in the order of :data:`MEANINGS`.

    Example:
        >>> list(meanings(["f1", "accuracy", "my_own"]))
        ['accuracy', 'f1']
    """
    wanted = set(names)
    return {name: text for name, text in MEANINGS.items() if name in wanted}
