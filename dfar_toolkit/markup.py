"""Text from data sets as Markdown that no renderer can take for anything but text."""

from __future__ import annotations

import re
from typing import Final

# Line breaks of every kind, other control characters, and the characters that reorder what is read.
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
_SPECIAL: Final = re.compile(r"[\\`*_\[\]|~$#!{}^@]")
_LEADING: Final = re.compile(r"^(?:[-+=:](?=\s|$|[-=:+])|\d{1,9}(?=[.)](?:\s|$)))")
_LINK: Final = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=\bwww)\.|(?<=\bmailto):|(?<=\bxmpp):")
_PLAIN_CODE: Final = re.compile(r"[\w./:+=,@\[\]{}() -]+")


def one_line(value: object) -> str:
    r"""Text on one line: line breaks, control characters and characters that reorder text become one space.

    Example:
        >>> one_line("a\n\n---\nb")
        'a --- b'
    """
    return _UNSEEN.sub(" ", str(value)).strip()


def md_escape(value: object) -> str:
    r"""Text as one line of Markdown, the same in a paragraph, a list item and the cell of a table.

    Everything that could start markup is escaped: emphasis, code, links (bare addresses as well), images, headings,
    lists, cells, mathematics and HTML.

    Args:
        value: Any text (or number, which prints as itself).

    Returns:
        Markdown that renders as the text, with its line breaks turned into spaces.

    Example:
        >>> print(md_escape("<b>*a*|b"))
        &lt;b&gt;\*a\*\|b
    """
    text = _SPECIAL.sub(lambda m: "\\" + m.group(), one_line(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _LINK.sub(lambda m: "\\" + m.group(), text)
    return _LEADING.sub(lambda m: "\\" + m.group() if not m.group()[-1].isdigit() else m.group() + "\\", text)


def md_code(value: object) -> str:
    r"""A name or a hash as a code span; as escaped text where it holds anything but plain characters.

    Example:
        >>> md_code("data/default/train.parquet"), md_code("a`b")
        ('`data/default/train.parquet`', 'a\\`b')
    """
    text = str(value)
    return f"`{text}`" if _PLAIN_CODE.fullmatch(text) and text == text.strip() else md_escape(text)


def md_fence(value: object, *, language: str = "") -> str:
    r"""Text of several lines in a code fence that is longer than any run of backticks in it.

    The opening of an HTML comment is parted by a space, so that no text can pass for a marker of the card.

    Example:
        >>> print(md_fence("a ``` b", language="bibtex"))
        ````bibtex
        a ``` b
        ````
    """
    lines = [_UNSEEN.sub(" ", line).rstrip() for line in str(value).strip().splitlines()]
    text = "\n".join(lines).replace("<!--", "< !--")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
