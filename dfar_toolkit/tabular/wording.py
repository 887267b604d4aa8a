"""How the tolerant reader words what it found."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Sequence


class ContentError(Exception):
    """What is wrong with the content of a file, without the file's name."""


def quoted(names: Iterable[object], *, most: int = 12) -> str:
    r"""Names or values for a one-line message: in quotes, line breaks escaped, at most ``most`` of them.

    Example:
        >>> quoted(["a", "b\nc"])
        '"a", "b\\nc"'
    """
    listed = list(names)
    shown = [json.dumps(str(name), ensure_ascii=False) for name in listed[:most]]
    return ", ".join(shown) + (f" and {len(listed) - most} more" if len(listed) > most else "") or "none"


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name that is most like ``name``, beginning with a space; empty if none is.

    Example:
        >>> nearest("lable", ["label", "reason"])
        ' Is it "label"?'
    """
    folded = {k.casefold(): k for k in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" Is it {quoted([folded[near[0]]])}?" if near else ""


def demand_columns(found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise unless every wanted column was found, with the nearest name."""
    lost = [c for c in wanted if c not in found]
    if lost:
        columns = f"column{'s' if len(lost) > 1 else ''}"
        raise ContentError(f"wanted the {columns} {quoted(lost)}; found {quoted(found)}.{nearest(lost[0], found)}")


def repeated(names: Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)
