"""Token ids of texts, and where the tokens stand in them, which takes a third of a tokenizer's time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from dfar_toolkit.engines.text_pieces import pieces, spans_of_pieces, tokens_of_pieces
from dfar_toolkit.spans import Span

_OWN: Final = frozenset({"__call__", "_encode_plus", "_batch_encode_plus"})


def text_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Ids without the tokenizer's own special tokens, without a word about their number.

    Args:
        texts: Texts.
        tokenizer: A transformers tokenizer, fast or slow.

    Returns:
        The ids of each text.
    """
    if not _is_plain(tokenizer):
        return _asked(texts, tokenizer)
    # The tokenizer is asked itself first: that leaves the library below it without truncation and padding.
    _asked(texts[:1], tokenizer)
    backend = tokenizer.backend_tokenizer
    cut = _in_pieces(texts, joint=tokens_of_pieces(backend))
    distinct = _distinct(cut)
    encoded = backend.encode_batch_fast(distinct, add_special_tokens=False)
    found = dict(zip(distinct, (one.ids for one in encoded), strict=True))
    return [[token for _, piece in own for token in found[piece]] for own in cut]


def text_spans(texts: Sequence[str], tokenizer: Any) -> list[tuple[list[int], list[Span]]]:
    """Ids without the tokenizer's own special tokens, and the characters that each token stands for.

    Args:
        texts: Texts.
        tokenizer: A fast transformers tokenizer.

    Returns:
        For each text the ids and as many spans.
    """
    backend = tokenizer.backend_tokenizer
    cut = _in_pieces(texts, joint=_is_plain(tokenizer) and tokens_of_pieces(backend) and spans_of_pieces(backend))
    distinct = _distinct(cut)
    encoded = tokenizer(
        distinct, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False,
        return_token_type_ids=False, verbose=False,
    )  # fmt: skip
    ids = dict(zip(distinct, encoded["input_ids"], strict=True))
    inside = dict(zip(distinct, encoded["offset_mapping"], strict=True))
    spans = {
        (first, piece): [(start + first, end + first) for start, end in inside[piece]]
        for first, piece in dict.fromkeys(chain.from_iterable(cut))
    }
    return [
        ([token for _, piece in own for token in ids[piece]], [span for piece in own for span in spans[piece]])
        for own in cut
    ]


def _in_pieces(texts: Sequence[str], *, joint: bool) -> list[list[tuple[int, str]]]:
    """Each text as what is read of it, with where that begins: pieces where their tokens join, else the whole."""
    return list(map(pieces, texts)) if joint else [[(0, text)] for text in texts]


def _distinct(cut: Sequence[Sequence[tuple[int, str]]]) -> list[str]:
    return list(dict.fromkeys(piece for own in cut for _, piece in own))


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
