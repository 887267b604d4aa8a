"""Evidence groups of ERASER, by token numbers, as character spans of the stored documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.eraser_documents import Document
from dfar_toolkit.spans import unit_range_span
from dfar_toolkit.tabular import quoted


class Found(NamedTuple):
    """The spans; how many evidences have another text than their tokens, and how many cover empty tokens only."""

    spans: list[dict[str, object]]
    n_differing: int
    n_bare: int


def evidence_spans(
    groups: Sequence[Sequence[Mapping[str, Any]]], texts: Mapping[str, Document], fields: Mapping[str, str], where: str
) -> Found:
    """The evidences of all groups, ``set`` being the number of the group.

    Args:
        groups: Groups of evidences, each with ``docid, start_token, end_token`` and maybe ``text``.
        texts: The documents by docid.
        fields: Under which name a document is stored with its item.
        where: Beginning of an error: file and annotation.

    Returns:
        Spans as they stand in the column ``evidence``, each once per group.

    Raises:
        SourceError: Token numbers are missing or outside the document.
    """
    spans: list[dict[str, object]] = []
    n_differing = n_bare = 0
    for number, group in enumerate(groups):
        for one in group:
            docid = str(one["docid"])
            source, start, end = texts[docid], one.get("start_token"), one.get("end_token")
            if not (_is_whole(start) and _is_whole(end)) or not 0 <= start < end <= len(source.tokens):
                raise SourceError(
                    f"{where}: wanted start_token and end_token within 0 to {len(source.tokens)}, the tokens of "
                    f"{quoted([docid])}; found {start!r} to {end!r}."
                )
            n_differing += _differs(one.get("text"), source.tokens[start:end])
            begin, stop = unit_range_span(source.units, start, end)
            span = {"field": fields[docid], "start": begin, "end": stop, "set": number}
            if begin == stop:
                n_bare += 1
            elif span not in spans:
                spans.append(span)
    return Found(spans, n_differing, n_bare)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _differs(text: object, tokens: Sequence[str]) -> bool:
    """Whether a text is there and its words are not the tokens; numbers of an own vocabulary cannot be compared."""
    return isinstance(text, str) and text.split() != " ".join(tokens).split()
