"""What each method of ``dfar explain`` is, in a few words."""

from __future__ import annotations

from typing import Final

METHOD_MEANINGS: Final = {
    "attention": "attention of the last layer, from the last token (of the first, in an encoder), mean over heads",
    "attention_rollout": "attention through all layers, with the residual connections",
    "gradient_l1": "sum of the sizes of the gradient at the token's embedding",
    "gradient_l2": "length of the gradient at the token's embedding",
    "input_x_gradient": "embedding times gradient, summed: signed",
    "input_x_gradient_l1": "embedding times gradient, sum of sizes",
    "input_x_gradient_l2": "embedding times gradient, length",
    "integrated_gradients": "gradients on the way from a baseline token, signed; sums to the change of the value",
    "leave_one_out": "how much the value falls without the word",
    "occlusion": "how much it falls without a run of words, mean over the runs that hold the word",
    "prompted_unbounded": "the model is asked which words mattered",
    "prompted_top_k": "the model is asked for so many words (--top-k), most important first",
    "prompted_top_var": "the same, for as many words as people marked in the item",
    "prompted_redaction": "the model redacts the words that mattered in a copy of the text",
    "prompted_counterfactual": "the model edits the text until the label would change; the words it changed",
    "human": "the words that people marked",
    "random": "random words, --draws times: the baseline of all others",
}
