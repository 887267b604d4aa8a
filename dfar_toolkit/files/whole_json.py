"""JSON of a file that others may have written: every text in it can be written down and shown."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")


def whole_json(text: str) -> Any:
    r"""What JSON text says, with a sign of replacement for every half of a surrogate pair.

    JSON can name such halves alone; no file, page or address can hold them.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.

    Example:
        >>> whole_json('{"a": ["\\ud83d\\ude00", "\\ud83d"]}')
        {'a': ['😀', '�']}
    """
    found = json.loads(text)
    if not _HALF.search(text):
        return found
    whole = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(whole)
