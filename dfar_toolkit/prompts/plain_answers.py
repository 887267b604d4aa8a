"""What a model wrote, without a thought before it and without a code fence round it; and whether it is a refusal."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

UNANSWERED: Final = {
    "empty": "no text",
    "unfinished_thought": "a thought without an end",
    "refusal": "a refusal",
}
_TAG: Final = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_HEAD: Final = 240  # characters that a refusal is recognised by
_REFUSAL: Final = re.compile(
    r"\W{0,20}(?:(?:unfortunately|apologies|my apologies|sorry)\W{1,3}(?:but )?)?"
    r"(?:i['’]?m (?:so |very |really )?(?:sorry|unable|not able|afraid|not comfortable)"
    r"|i am (?:so |very |really )?(?:sorry|unable|not able|afraid|not comfortable)"
    r"|i (?:can ?not|can['’]?t|won['’]?t|will not|must decline|(?:do not|don['’]?t) (?:feel|have))"
    r"|i apologi[sz]e|as an? (?:ai|artificial|language))\b",
    re.IGNORECASE,
)


class PlainAnswer(NamedTuple):
    """What was answered.

    Attributes:
        text: The answer, without white space round it; empty where there is a fault.
        fault: ``empty``, ``unfinished_thought``, or "" where there is an answer.
    """

    text: str
    fault: str = ""


def plain_answer(written: str | None) -> PlainAnswer:
    r"""What a model wrote, without its thought and without code fences.

    Args:
        written: The whole of it.

    Returns:
        The answer, or why there is none.

    Example:
        >>> plain_answer("<think>Let me see.</think>\n```\nlied\n```")
        PlainAnswer(text='lied', fault='')
        >>> plain_answer("<think>Let me see.").fault
        'unfinished_thought'
    """
    text = (written or "").strip()
    depth = end = 0
    for tag in _TAG.finditer(text):
        if not tag.group(1):
            if depth == 0 and text[end : tag.start()].strip():
                break  # a tag in the midst of an answer
            depth += 1
        else:  # one that only ends: the thought began in the prompt
            depth, end = max(depth - 1, 0), tag.end()
    if depth:
        return PlainAnswer("", "unfinished_thought")
    lines = [line for line in text[end:].splitlines(keepends=True) if not line.lstrip().startswith("```")]
    text = "".join(lines).strip()
    return PlainAnswer(text) if text else PlainAnswer("", "empty")


def is_refusal(text: str) -> bool:
    """Whether an answer begins as refusals do; so may a text of an item, therefore look for that first.

    Example:
        >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("sorry")
        (True, False)
    """
    return _REFUSAL.match(" ".join(text[:_HEAD].split())) is not None
