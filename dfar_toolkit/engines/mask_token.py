"""The token that stands for a word that a model is not to see."""

from __future__ import annotations

from typing import Any

from dfar_toolkit.errors import EngineError


def mask_token_of(tokenizer: Any, *, rows: int | None = None) -> tuple[int, str]:
    """The tokenizer's mask token; without one its unknown token, else that of padding, else that of the end of a text.

    Args:
        tokenizer: The tokenizer; it is not changed.
        rows: Tokens that the model has embeddings of; tokens beyond are passed over. None: of all.

    Returns:
        Its id and its text.

    Raises:
        EngineError: The tokenizer has none of them.

    Example:
        >>> from types import SimpleNamespace
        >>> tokens = {"mask_token": None, "unk_token": None, "pad_token": "<pad>", "eos_token": "</s>"}
        >>> mask_token_of(SimpleNamespace(**tokens, convert_tokens_to_ids={"<pad>": 0, "</s>": 2}.get))
        (0, '<pad>')
    """
    for text in (tokenizer.mask_token, tokenizer.unk_token, tokenizer.pad_token, tokenizer.eos_token):
        number = None if text is None else tokenizer.convert_tokens_to_ids(str(text))
        if number is not None and (rows is None or number < rows):
            return int(number), str(text)
    raise EngineError(
        "wanted a token that stands for nothing, found a tokenizer without mask, unknown, padding and end-of-text "
        "token; cut the words out of the text instead."
    )
