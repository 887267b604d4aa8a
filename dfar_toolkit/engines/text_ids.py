"""Token ids of texts, not where the tokens stand in them: a third of a tokenizer's time goes to that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_OWN: Final = frozenset({"__call__", "_encode_plus", "_batch_encode_plus"})


def text_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Ids without the tokenizer's own special tokens, without a word about their number.

    Args:
        texts: Texts.
        tokenizer: A transformers tokenizer, fast or slow.

    Returns:
        The ids of each text.
    """
    # The tokenizer is asked itself first: that leaves the library below it without truncation and padding.
    known = _asked(texts if not _is_plain(tokenizer) else texts[:1], tokenizer)
    if len(known) == len(texts):
        return known
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(list(texts[1:]), add_special_tokens=False)
    return known + [one.ids for one in encoded]


def _asked(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )
    return [list(ids) for ids in encoded["input_ids"]]


def _is_plain(tokenizer: Any) -> bool:
    """Whether its ids are those of the library below: a fast one whose class does nothing of its own."""
    from transformers import PreTrainedTokenizerFast

    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return False
    kinds = type(tokenizer).__mro__
    return not any(_OWN & vars(kind).keys() for kind in kinds[: kinds.index(PreTrainedTokenizerFast)])
