"""Findings about personal data: how many items show it, with masked examples, so that no card repeats it."""

from __future__ import annotations

from typing import Final

import polars as pl

from dfar_toolkit.corpus.findings import N_EXAMPLES, SEVERITIES, Finding, excerpt
from dfar_toolkit.corpus.personal_patterns import PERSONAL_KINDS, personal_matches

_NOTES: Final = {
    "email": "by pattern",
    "phone": "international and national forms with a separator; dates and plain numbers are passed over",
    "handle": "placeholders such as @user are passed over",
    "url": "links to the page of a person on known sites, or below /user/, /~ and the like",
    "ip": "IPv4; versions such as 1.2.3.4 are passed over",
    "account": "card numbers by Luhn's check digit, of which one in ten other numbers has one too, and IBANs",
}


def personal_findings(items: pl.DataFrame, texts: pl.DataFrame) -> list[Finding]:
    """``personal.email``, ``.phone``, ``.handle``, ``.url``, ``.ip``, ``.account``; counts are items.

    Args:
        items: The items.
        texts: ``item_id, text`` of statements, contexts and reasons.

    Returns:
        Six findings.
    """
    matches = personal_matches(texts)
    found = []
    for kind in PERSONAL_KINDS:
        rows = matches.filter(pl.col("kind") == kind)
        first = rows.unique("item_id", keep="first", maintain_order=True)
        shown = first.head(N_EXAMPLES).select("item_id", "masked").iter_rows()
        examples = tuple(f"{excerpt(i)}: {excerpt(m)}" for i, m in shown)
        different = f"; {rows['found'].n_unique()} different ones" if rows.height else ""
        name = f"personal.{kind}"
        note = _NOTES[kind] + different
        found.append(
            Finding(name, SEVERITIES[name], first.height, items.height, examples, note, items=first["item_id"])
        )
    return found
