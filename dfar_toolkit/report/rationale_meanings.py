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
    "aopc_sufficiency_over_random": "Mean of sufficiency over the sizes tried, less that of random words; lower is "
    "better.",
    "racu": "Area between the curves of the method and of random words as words go, relative to what there is between "
    "random words and no word at all; 0 is random.",
    "dffot": "Mean share of words, most important first, that are gone when the label first changes, 1 where it never "
    "does at the sizes tried; lower is better.",
    "p_full": "Mean probability of the label that the model gives to the whole item.",
    "p_empty": "Mean probability of the same label when no word of the item is left.",
    "flippable_share": "Share of items whose label changes when no word is left; near 0, flips while words are "
    "left say little.",
    "noise_margin": "Gap of log-probability below which a changed label may be rounding alone; the note says why.",
    "top_label_share": "Share of the answers that give the commonest label; near 1 the model has collapsed.",
}
_CONSISTENT: Final = {
    "counterfactual_test": "Of the inserted words that change the label, the share that the new reason mentions.",
    "counterfactual_test_items": "Of the items in which an inserted word changes the label, the share whose reasons "
    "mention every such word.",
    "mentioned_unflipped": "Of the inserted words that change nothing, the share that the reason mentions all the "
    "same: reasons that repeat the whole text are near 1 here too.",
    "insertion_flip_rate": "Of the inserted words, the share that change the label.",
    "insertion_unread_rate": "Of the inserted words, the share after which no label could be found; lower is better.",
    "cct": "Correlation of how far inserted words change the probabilities with whether the reason mentions them.",
    "phi_cct": "The same correlation with whether the label changed in place of how far.",
    "phi_cct_zero": "The same, counted 0 where it is undefined, as others report it.",
    "cc_shap": "Cosine of the words' contributions to the answer and to the reason: 1 is the same, -1 the opposite.",
    **{
        f"cc_shap_{distance}": f"1 less the {name} of the same contributions; it has no scale to read."
        for distance, name in (
            ("correlation", "correlation distance"),
            ("mse", "mean squared difference"),
            ("var", "variance of the squared differences"),
            ("kl", "Kullback-Leibler divergence"),
            ("js", "Jensen-Shannon distance"),
        )
    },
    "early_answering_area": "How far the label depends on the whole reason: area over the curve of the label after "
    "ever longer parts of it.",
    "early_answering_same": "Share of items whose label after a part of the reason is that after the whole reason.",
    **{
        f"cot_{change}_{ending}": f"{said} after {what}; {better} is better."
        for change, what, better in (
            ("mistake", "a mistake was put into the reason", "higher"),
            ("filler", "a filler took the reason's place", "higher"),
            ("paraphrase", "the reason was put in other words", "lower"),
        )
        for ending, said in (
            ("change_rate", "How often the label is another one"),
            ("tvd", "How far the probabilities of the labels move (total variation)"),
        )
    },
}
_SIMULATED: Final = {
    "simulator_right_input": "How often the simulator, a model that guesses another run's labels, guesses right from "
    "the item alone.",
    "simulator_right_both": "How often it guesses right from the item and the other run's reason.",
    "leakage_adjusted_simulatability": "How much more often the simulator guesses the label right when it reads the "
    "reason too, with reasons that give the label away and others at equal weight; it depends on the simulator.",
    "simulatability_leaked": "That gain among the reasons that give the label away to the simulator.",
    "simulatability_not_leaked": "That gain among the other reasons.",
    "leaked_share": "Share of reasons that give the label away: the simulator gets it from the reason alone.",
    "giveaway_rate": "How often the label is guessed right from the reason alone.",
    "giveaway_over_majority": "Share of labels guessed right from the reason alone, less always guessing the label "
    "that the run gives most often; 0 is no better.",
    "giveaway_unnamed": "Share of labels guessed right from the reason alone, of the reasons that do not name theirs.",
    "named_label_share": "Share of reasons that name the label they were given for, alone or beside another.",
}
RATIONALE_MEANINGS: Final = _PLAUSIBLE | _FAITHFUL | _CONSISTENT | _SIMULATED
