"""Reading a server's answer: choices, texts, why they ended, tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dfar_toolkit.engines.server_faults import NoAnswerError, fault_of, malformed

_ENDINGS: Final = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refusal",
    "refusal": "refusal",
}
_THOUGHTS: Final = ("reasoning_content", "reasoning", "thinking")


class Written(NamedTuple):
    """One choice: its text, why it ended, whether thoughts came beside it."""

    text: str
    finish: str
    reasoned: bool


def choices_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer, in order.

    Raises:
        NoAnswerError: There are none, or the body holds an error.

    Example:
        >>> choices_of({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]})[0]["text"]
        'a'
    """
    error = body.get("error")
    if error and not body.get("choices"):  # some gateways say 200 and put the error inside
        code = error.get("code") if isinstance(error, dict) else None
        known = isinstance(code, int) and 400 <= code < 600
        raise fault_of(code if known and isinstance(code, int) else 502, {}, json.dumps({"error": error}))
    found = body.get("choices")
    if not isinstance(found, list) or not all(isinstance(c, dict) for c in found):
        raise malformed("the answer has no list of choices")
    if not found:
        raise malformed("the answer has an empty list of choices")
    return sorted(found, key=lambda c: c["index"] if isinstance(c.get("index"), int) else 0)


def written(choice: dict[str, Any], stops: Sequence[str] = ()) -> Written:
    r"""The text of a choice, of a chat or of a plain completion; thoughts are left out.

    Example:
        >>> written({"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"})
        Written(text='I cannot.', finish='refusal', reasoned=False)
        >>> written({"text": "good. Next", "finish_reason": "length"}, stops=(".",))
        Written(text='good', finish='stop', reasoned=False)
        >>> written({"text": "half \ud800"}).text == "half \N{REPLACEMENT CHARACTER}"
        True
    """
    reason = choice.get("finish_reason")
    finish = _ENDINGS.get(str(reason), str(reason)) if reason is not None else "unknown"
    message = choice.get("message")
    reasoned = False
    if message is None and isinstance(choice.get("text"), str):
        text = choice["text"]
    elif isinstance(message, dict):
        text = _content(message.get("content"))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal.strip():
            text, finish = text or refusal, "refusal"
        reasoned = any(message.get(name) for name in _THOUGHTS)
    else:
        raise malformed("a choice has neither a message nor a text")
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    if ends:
        text, finish = text[: min(ends)], finish if finish == "refusal" else "stop"
    return Written(_whole(text), finish, reasoned)


def _whole(text: str) -> str:
    """The text with halves of characters, which JSON may hold and no file can, as U+FFFD."""
    return text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")


def _content(content: Any) -> str:
    """The text of a message: a string, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part["text"] if isinstance(part.get("text"), str) else ""
            for part in content
            if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text")
        )
    raise malformed("the content of a message is neither a text nor a list of parts")


def tokens_of(body: dict[str, Any]) -> tuple[int, int] | None:
    """Tokens read and written as the server counts them; None where it does not say.

    Example:
        >>> tokens_of({"usage": {"prompt_tokens": 34, "completion_tokens": 4}}), tokens_of({})
        ((34, 4), None)
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    read, wrote = usage.get("prompt_tokens"), usage.get("completion_tokens")
    whole = [n for n in (read, wrote) if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def without_logprobs(what: str) -> NoAnswerError:
    """The server left out log-probabilities; asking again would not bring them."""
    return NoAnswerError(
        "no_logprobs",
        f"the server ignores {what}: its answer has none; draw k samples or ask for verbalised percentages instead",
    )
