"""The report as Markdown: the same sections and tables, without the plots."""

from __future__ import annotations

from collections.abc import Iterable

from dfar_toolkit.markup import md_escape
from dfar_toolkit.report.document import ReportData, visible
from dfar_toolkit.report.sections import sections
from dfar_toolkit.report.table import Table


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
    if data.footer:
        blocks += ["---", *map(escaped, data.footer)]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    r"""Text as one line of Markdown that renders as itself, unseen characters shown.

    Example:
        >>> print(escaped("![x](http://a.example/|)\n- <b>"))
        \!\[x\](http\://a.example/\|) - &lt;b&gt;
    """
    return md_escape(" ".join(visible(text).split()))


def _table(table: Table) -> str:
    ruler = ("---:" if i in table.numeric else "---" for i in range(len(table.columns)))
    lines = [_line(map(escaped, table.columns)), _line(ruler)]
    return "\n".join(lines + [_line(map(_cell, row)) for row in table.rows])


def _cell(text: str) -> str:
    """A cell; Markdown's tables have no line breaks."""
    return escaped("; ".join(line for line in text.split("\n") if line.strip()))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
