"""Where a card is generated and where a person writes: blocks between markers, and places still to be written.

A block stands between ``<!-- dfar:begin NAME -->`` and ``<!-- dfar:end NAME -->`` and is replaced whenever the card is
rendered again. Everything outside the blocks stays. What only a person can say has a place outside them, which holds
the sentence :data:`PLACE` until somebody writes there.
"""

from __future__ import annotations

import re
from typing import Final

from dfar_toolkit.corpus.front_matter import split_front_matter
from dfar_toolkit.errors import TableError

BLOCKS: Final = (
    "summary", "details", "licence", "use", "composition", "splits", "fields", "loading", "provenance", "left_out",
    "judgements", "annotators", "privacy", "agreement", "disagreement", "audit", "limits", "changes", "citation",
    "glossary",
)  # fmt: skip
# What the first cards had, which knew no places. Such a card is brought into the present order.
FIRST_BLOCKS: Final = (
    "summary", "composition", "judgements", "agreement", "audit", "changes", "fields", "splits", "loading",
    "provenance", "use", "licence", "citation",
)  # fmt: skip
PLACE: Final = "Not said by the source: write it here."
_MARKER: Final = re.compile(r"^<!-- dfar:(begin|end) (\S+) -->[ \t\r]*$", re.MULTILINE)
_ANY_MARKER: Final = re.compile(r"<!--\s*dfar:")
_HEADING: Final = re.compile(r"^#{1,6} +(.*?)[ \t\r]*$")


def unwritten(card: str) -> list[str]:
    r"""The headings of the places that nobody has written in yet, in their order.

    Only text outside the generated blocks counts: a data set may say the sentence too.

    Args:
        card: The text of a README.md.

    Returns:
        One heading per place; empty where all are written (or were removed).

    Raises:
        TableError: The markers of the blocks are damaged.

    Example:
        >>> unwritten(f"## Contact\n\n{PLACE}\n\n## Thanks\n\nTo all.\n")
        ['Contact']
    """
    found: list[str] = []
    heading = ""
    _, body = split_front_matter(card)  # names of the data in the head are no markers
    for line in "\n".join(_outside(body)).splitlines():
        if is_heading := _HEADING.match(line):
            heading = is_heading.group(1)
        elif PLACE in line:
            found.append(heading)
    return found


def _outside(text: str) -> list[str]:
    """The pieces of text before, between and after the blocks, in order."""
    pieces, at = [], 0
    for start, end in sorted(_whole(text, _blocks(text)).values()):
        pieces.append(text[at:start])
        at = end
    return [*pieces, text[at:]]


def put_in(earlier: str, body: str) -> str:
    """The earlier text with its blocks replaced by those of ``body``, and all else as it was.

    A card with exactly the blocks of the first layout takes the order of ``body``; what was written after a block
    there follows the same block here, and what stood last stays last.

    Args:
        earlier: The card without its head.
        body: A fresh card without its head.

    Raises:
        TableError: A marker of ``earlier`` is missing, stands twice, or is not closed.
    """
    old = _blocks(earlier)
    lost = [name for name in BLOCKS if name not in old]
    if set(old) == set(FIRST_BLOCKS):
        return _in_new_order(earlier, body)
    if lost:
        raise _marker_error(f"the block{'s' if len(lost) > 1 else ''} {', '.join(map(repr, lost))} cannot be found")
    new = _blocks(body)
    parts, at = [], 0
    for name, (start, end) in sorted(old.items(), key=lambda block: block[1]):
        fresh_start, fresh_end = new[name]
        parts += [earlier[at:start], body[fresh_start:fresh_end]]
        at = end
    return "".join([*parts, earlier[at:]])


def _in_new_order(earlier: str, body: str) -> str:
    """A fresh body with the hand-written text of a card of the first layout after the blocks that it followed."""
    order = sorted(_blocks(earlier).items(), key=lambda block: block[1])
    lead, *after = (piece.strip("\r\n") for piece in _outside(earlier))
    text = body
    for (name, _), piece in reversed(list(zip(order[:-1], after[:-1], strict=True))):
        if piece.strip():
            _, end = _whole(text, _blocks(text))[name]
            text = f"{text[:end]}\n\n{piece}{text[end:]}"
    if lead.strip():
        text = f"{lead}\n\n{text}"
    return f"{text.rstrip()}\n\n{after[-1]}\n" if after[-1].strip() else text


def _whole(text: str, blocks: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Where each block begins and ends with its markers."""
    markers = list(_MARKER.finditer(text))
    begins = {marker.end(): marker.start() for marker in markers}
    ends = {marker.start(): marker.end() for marker in markers}
    return {name: (begins[start], ends[end]) for name, (start, end) in blocks.items()}


def _blocks(text: str) -> dict[str, tuple[int, int]]:
    """Where the content of each block begins and ends; none twice, none inside another."""
    found: dict[str, tuple[int, int]] = {}
    open_name, open_at = "", 0
    markers = list(_MARKER.finditer(text))
    if len(markers) != len(_ANY_MARKER.findall(text)):
        raise _marker_error("a marker must be alone on its line and read exactly like the others")
    for marker in markers:
        edge, name = marker.groups()
        if name not in BLOCKS:
            raise _marker_error(f"there is no block {name!r}")
        if edge == "begin":
            if open_name:
                raise _marker_error(f"the block {open_name!r} is not closed before {name!r} begins")
            if name in found:
                raise _marker_error(f"the block {name!r} stands there twice")
            open_name, open_at = name, marker.end()
        else:
            if name != open_name:
                raise _marker_error(f"the block {name!r} ends without having begun")
            found[name] = (open_at, marker.start())
            open_name = ""
    if open_name:
        raise _marker_error(f"the block {open_name!r} is not closed")
    return found


def _marker_error(what: str) -> TableError:
    return TableError(
        f"README.md must hold each generated block once, between <!-- dfar:begin NAME --> and <!-- dfar:end NAME -->: "
        f"{what}; mend the markers, or move the file away to have it written anew"
    )
