"""What the scores of rationales mean, one plain sentence per name."""

from __future__ import annotations

from typing import Final

_PLAUSIBLE: Final = {
    "token_f1_above_chance": "Token F1 with people's words less the F1 expected of as many words picked blindly; 0 is "
    "chance.",
    "token_f1": "Mean over items of the harmonic mean of token precision and recall.",
    "token_precision": "Of the words that the rationale names, the share that people marked.",
    "token_recall": "Of the words that people marked, the share that the rationale names.",
    "iou_f1": "F1 over spans, matched one to one where two overlap by half or more of their union.",
    "average_precision": "Mean precision over the marked words, read down the method's ranking of all words.",
    "spearman_with_mean_mask": "Rank correlation of the scores of words with the share of people who marked each.",
}
_FAITHFUL: Final = {
    "flip_rate": "Share of items whose label changes without the named words.",
    "flip_rate_over_random": "The flip rate less that without random words of equal number, item by item.",
    "comprehensiveness_over_random": "How far the label's probability falls without the named words, less the fall "
    "without random words of equal number.",
    "sufficiency_over_random": "How far the label's probability falls with the named words alone, less the fall with "
    "random words of equal number alone; lower is better.",
    "aopc_comprehensiveness_over_random": "Mean of comprehensiveness over the sizes tried, less that of random words.",
    "aopc_sufficiency_over_random": "Mean of sufficiency over the sizes tried, less that of random words.",
    "racu": "Area between the curves of the method and of random words as words go, relative to what there is between "
    "random words and no word at all; 0 is random.",
    "dffot": "Mean share of words, most important first, that are gone when the label first changes; lower is better.",
    "p_full": "Mean probability of the label that the model gives to the whole item.",
    "p_empty": "Mean probability of the same label when no word of the item is left.",
    "flippable_share": "Share of items whose label changes when no word is left: more than these cannot flip.",
    "noise_margin": "Gap of log-probability below which a changed label may be rounding alone.",
    "top_label_share": "Share of the answers that give the commonest label; near 1 the model has collapsed.",
}
_CONSISTENT: Final = {
    "counterfactual_test": "Of the inserted words that change the label, the share that the reason mentions.",
    "cct": "Correlation of how far inserted words change the probabilities with whether the reason mentions them.",
    "phi_cct": "The same correlation with whether the label changed in place of how far.",
    "cc_shap": "1 less the distance of the words' contributions to the answer from those to the reason: 1 is the same.",
    "early_answering_area": "How far the label depends on the whole reason: area over the curve of the label after "
    "ever longer parts of it.",
}
RATIONALE_MEANINGS: Final = _PLAUSIBLE | _FAITHFUL | _CONSISTENT
