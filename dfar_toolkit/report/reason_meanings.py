"""What the scores of reasons mean, judged and without a judge, one plain sentence per name."""

from __future__ import annotations

from typing import Final

_JUDGED: Final = {
    "mar_mean": "Misalignment rate: chance that a random judge rejects the run's reason, over items with a judged one.",
    "mar_majority": "Share of the items with a judged reason whose reason more than half of the judges reject.",
    "mar_even_split": "Share of the items with a judged reason on which the judges are evenly split.",
    "mar_strict": "The mean misalignment rate over all items, missing and unjudged reasons counted as rejected.",
    "mar_lower_bound": "What the rate over all items would be if no missing or unjudged reason were bad; "
    "in a comparison, the least that the difference could be.",
    "mar_upper_bound": "What the rate over all items would be if every missing or unjudged reason were bad; "
    "in a comparison, the most that the difference could be.",
    "mar_mean_given_right": "The mean misalignment rate where the run's label is the people's.",
    "mar_mean_given_wrong": "The mean misalignment rate where the run's label is not the people's.",
    "reason_missing_share": "Share of all items for which the run gave no reason.",
    "reason_unjudged_share": "Share of all items for which the run gave a reason that nobody judged.",
    "judge_percent_agreement": "Chance that two different judges of the same reason said the same.",
    "judge_specific_agreement": 'Agreement on "bad": if one judge rejects a reason, how often another one does too.',
    "judge_gwet_ac1": 'The judges\' agreement beyond chance, meaningful also where "bad" is rare.',
    "judge_alpha": "Krippendorff's alpha of the judges; low where nearly all verdicts are alike, even if they agree.",
    "error_type_share": "Of the verdicts that reject a reason of the run, the share that name this type of error.",
}
_JUDGE_MODELS: Final = {
    "judge_accuracy": "Share of reasons on which the judge model says what most people say.",
    "judge_kappa": "Agreement of the judge model with most people beyond chance (Cohen's kappa).",
    "judge_sensitivity": "Of the reasons that people reject, the share that the judge model rejects too.",
    "judge_specificity": "Of the reasons that people accept, the share that the judge model accepts too.",
    "judge_excess_bad": "Share that the judge model rejects less share that people reject; above 0 it is harsher.",
    "judge_false_bad_length": "Words by which good reasons that the judge model rejects are longer than those that it "
    "accepts; 0 where length plays no part.",
    "judge_missed_bad_length": "Words by which bad reasons that the judge model accepts are longer than those that it "
    "rejects; 0 where length plays no part.",
    "judge_excess_bad_late": "How much harsher the judge model is to reasons that it was shown late.",
    "mar_judge_model": "Misalignment rate by the judge model's verdicts as they are: not people's, not corrected.",
    "mar_prediction_powered": "Misalignment rate by people's verdicts on some reasons and the judge model's on all, "
    "its errors corrected.",
}
_AUTOMATIC: Final = {
    "reason_share": "Share of the outputs that have a reason.",
    "reason_words": "Mean number of words of a reason.",
    "reason_characters": "Mean number of characters of a reason.",
    "copied_run_words": "Mean length of the longest run of words that a reason takes from the statement.",
    "copied_run_share": "The same as a share of the reason's words.",
    "copied_ngram_share": "Share of a reason's word triples that stand in the statement.",
    "distinct_ngram_share": "Different word triples of a reason divided by all of them; 1 where nothing is repeated.",
    "repeated_ngram_share": "Share of a reason's word triples that occur more than once in it.",
    "duplicated_reason_share": "Share of reasons whose words are those of another item's reason.",
    "knowledge_precision": "Share of a reason's words that stand in the statement; copying it scores 1.",
    "knowledge_recall": "Share of the statement's words that stand in the reason.",
    "knowledge_f1": "Harmonic mean of knowledge precision and recall.",
    "own_label_own": "Share of reasons that name the label they were given for, and no other.",
    "own_label_other": "Share of reasons that name another label than their own, and not their own.",
    "own_label_both": "Share of reasons that name their own label and another.",
    "own_label_neither": "Share of reasons that name no label.",
    "own_label_agreement": "Of the reasons that name one label alone, the share that name their own.",
}
_OVERLAPS: Final = {
    "rouge_l": "the longest sequence of words in common (ROUGE-L)",
    "token_f1": "words in common in any order (token F1)",
    "chrf": "sequences of characters in common (chrF)",
    "bleu": "sequences of words in common (BLEU)",
}
_OVERS: Final = {"mean": "mean over people's reasons of the item", "max": "the nearest of people's reasons of the item"}
_SIDES: Final = {
    "precision": "how near each of the run's reasons comes to some person's",
    "recall": "how near the run comes to each person's reason",
    "f1": "harmonic mean of coverage precision and recall",
}
_BETWEEN: Final = {
    "_floor": "As {}, for another item's reason of the same label: what label, topic and manner of writing give.",
    "_run_minus_floor": "{} of the run less its floor.",
    "_ceiling": "As {}, for a person's reason held out, against the other people's.",
    "_position": "Where {} stands between its floor (0) and ceiling (1); undefined where they are not apart.",
}


def _overlap_meanings() -> dict[str, str]:
    """A sentence for every overlap with people's reasons, with its floor and ceiling."""
    found: dict[str, str] = {}
    for metric, what in _OVERLAPS.items():
        for over, words in _OVERS.items():
            name = f"{metric}_{over}"
            found[name] = f"Overlap of the run's reason with people's by {what}: {words}."
            found |= {f"{name}{end}": text.format(name) for end, text in _BETWEEN.items()}
    for side, words in _SIDES.items():
        name = f"rouge_l_coverage_{side}"
        found[name] = f"Coverage of people's reasons by ROUGE-L: {words}."
        matched = f"{name}_matched"
        found[matched] = f"As {name}, at as many reasons as its ceiling has."
        found |= {f"{of}{end}": text.format(of) for of in (name, matched) for end, text in _BETWEEN.items()}
    return found


REASON_MEANINGS: Final = _JUDGED | _JUDGE_MODELS | _AUTOMATIC | _overlap_meanings()
