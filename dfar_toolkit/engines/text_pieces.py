r"""Texts in pieces that give the same tokens as the whole: what texts have in common is then read once.

A text is cut before a blank that ends a sentence, and before the last word of a line, as instructions end with one; the
character before the blank is no white space. Where this is the same as the whole text, with the reasons:

* Byte-level BPE whose pattern is GPT-2's, Llama 3's or Qwen's: no alternative of these goes on with a blank after
  something else, so that a match ends there; none looks back, and only ``\s+(?!\S)`` looks ahead, which does not end
  there. Merges stay within matches. A blank is put before no piece but the first, as all others begin with one.
* No normalizer, or NFC, which composes nothing with a blank.
* No added token goes over a cut, takes blanks after it, or looks at what stands beside it.

Every other tokenizer reads whole texts.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

_CUT: Final = re.compile(r" (?:(?<=[.:!?] )|(?<=[!-~\w] )(?=[^ \n]*\n))")
_BLANK: Final = re.compile(r"[!-~\w] ")
_PATTERNS: Final = tuple(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + number
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for number in (r"\p{N}{1,3}", r"\p{N}")
)


def pieces(text: str) -> list[tuple[int, str]]:
    r"""The text in pieces, each with its first character's place.

    Example:
        >>> pieces("Is it right or\nwrong? I  lied. Answer: ")
        [(0, 'Is it right'), (11, ' or\nwrong?'), (21, ' I  lied.'), (30, ' Answer:'), (38, ' ')]
    """
    cuts = [found.start() for found in _CUT.finditer(text)]
    return [(start, text[start:end]) for start, end in pairwise([0, *cuts, len(text)])]


def tokens_of_pieces(backend: Any) -> bool:
    """Whether the tokens of a text are those of its pieces, one after the other.

    Args:
        backend: The tokenizer of the ``tokenizers`` library that a fast tokenizer asks.
    """
    from tokenizers.models import BPE

    if not isinstance(backend.model, BPE) or backend.model.dropout:
        return False
    if backend.normalizer is not None and _state(backend.normalizer) != {"type": "NFC"}:
        return False
    added = backend.get_added_tokens_decoder().values()
    # An added token may be looked for in the normalized text, in its own normalized form.
    forms = (form for token in added for form in (token.content, unicodedata.normalize("NFC", token.content)))
    if any(token.rstrip or token.single_word for token in added) or any(map(_BLANK.search, forms)):
        return False
    return backend.pre_tokenizer is not None and _cuts_at_blanks(_state(backend.pre_tokenizer))


def spans_of_pieces(backend: Any) -> bool:
    """Whether tokens of pieces also stand for the same characters: blanks are part of the tokens that hold them."""
    return backend.post_processor is None or '"trim_offsets": true' not in json.dumps(_state(backend.post_processor))


def _cuts_at_blanks(pre_tokenizer: dict[str, Any]) -> bool:
    steps: Sequence[dict[str, Any]] = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    if not steps or steps[-1]["type"] != "ByteLevel":
        return False
    if len(steps) == 1:
        return bool(steps[0]["use_regex"])
    last = steps[-1]["use_regex"] or steps[-1]["add_prefix_space"]
    return len(steps) == 2 and not last and any(steps[0] == _split(pattern) for pattern in _PATTERNS)


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _state(part: Any) -> dict[str, Any]:
    """A part of the tokenizer as ``tokenizer.json`` has it; one that is written in Python has no form there."""
    try:
        found: dict[str, Any] = json.loads(part.__getstate__())
    except Exception:  # the library raises no narrower one
        return {"type": "Custom"}
    return found
