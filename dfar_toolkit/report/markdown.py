"""The report as Markdown: the same sections and tables, without the plots."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dfar_toolkit.report.document import ReportData, visible
from dfar_toolkit.report.sections import Table, sections

_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]#!|~$^@]")
_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINK: Final = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=\bwww)\.|(?<=\bmailto):|(?<=\bxmpp):")
_LEADING: Final = re.compile(r"^([-+=](?=\s|[-+=]|$)|\d+(?=[.)](?:\s|$)))")


def markdown(data: ReportData) -> str:
    r"""Render a report as Markdown (CommonMark with tables).

    Args:
        data: What the report shows.

    Returns:
        The text; the same data give the same text.

    Example:
        >>> print(markdown(ReportData(title="*a*", notes=["b"])))
        # \*a\*
        <BLANKLINE>
        ## Notes
        <BLANKLINE>
        b
        <BLANKLINE>
    """
    blocks = [f"# {escaped(data.title)}"]
    for section in sections(data):
        blocks.append(f"## {section.title}")
        blocks += [escaped(line) for line in section.text]
        for table in section.tables:
            blocks += [f"**{escaped(table.caption)}**"] if table.caption else []
            blocks.append(_table(table))
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    r"""Text as one line of Markdown that renders as itself.

    Example:
        >>> print(escaped("![x](http://a.example/|)\n- <b>"))
        \!\[x\](http\://a.example/\|) - &lt;b&gt;
    """
    line = " ".join(visible(text).split())
    line = _SPECIAL.sub(lambda m: "\\" + m.group(), line)
    line = re.sub("[&<>]", lambda m: _HTML[m.group()], line)
    line = _LINK.sub(lambda m: "\\" + m.group(), line)
    return _LEADING.sub(lambda m: m.group() + "\\" if m.group().isdigit() else "\\" + m.group(), line)


def _table(table: Table) -> str:
    ruler = ("---:" if i in table.numeric else "---" for i in range(len(table.columns)))
    lines = [_line(map(escaped, table.columns)), _line(ruler)]
    return "\n".join(lines + [_line(map(escaped, row)) for row in table.rows])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
