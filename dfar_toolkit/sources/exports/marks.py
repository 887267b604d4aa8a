"""Where marked text stands: published offsets as characters of the stored text, or why that is not known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.settings import ExportSettings
from dfar_toolkit.tabular import quoted

Place = tuple[str, int, int, bool]  # field, start, end, whether the published offsets were counted in UTF-16
OUTSIDE: Final = "a mark lies outside the text or on other words than it says: the mark is left out"
UTF16: Final = "marks were counted in UTF-16 (a letter beyond the basic plane as two): turned into characters"


def mark_texts(texts: Mapping[str, str], settings: ExportSettings, path: Path, *, told: bool) -> dict[str, str]:
    """The texts in which marks may stand, by field.

    Args:
        texts: The item's statement and contexts, by field.
        settings: ``evidence_field`` and ``context`` are used.
        path: The file, for the message.
        told: Whether the marks' own words tell the field; if not, it must be named where there is a context.

    Returns:
        The named field alone, else all of them.

    Raises:
        SourceError: No field is named and several may be meant, or the named one is neither statement nor context.

    Example:
        >>> mark_texts({"text": "I lied."}, ExportSettings(), Path("a.json"), told=False)
        {'text': 'I lied.'}
    """
    name = settings.evidence_field
    fields = [*dict.fromkeys((*texts, *settings.context))]
    if name is not None and name not in fields:
        raise SourceError(f"{path}: wanted marks in the field {quoted([name])}; found {quoted(fields)}.")
    if name is None and len(fields) > 1 and not told:
        raise SourceError(
            f"{path}: marks may stand in any of {quoted(fields)}; name the field with the setting evidence_field."
        )
    return dict(texts) if name is None else {name: texts.get(name, "")}


def placed(texts: Mapping[str, str], start: object, end: object, words: object = None) -> Place | None:
    """The field and the characters of a mark.

    Args:
        texts: The texts it may stand in, by field; the first one is meant if the words do not tell.
        start: Its published first character.
        end: The one after its last.
        words: The marked words, if they are published; then they must stand there.

    Returns:
        Field, start, end, and whether the offsets were counted in UTF-16; None where the mark fits nowhere, or, its
        words being told, stands in several fields at the same place.

    Example:
        >>> placed({"text": "I lied."}, 2, 6, "lied")
        ('text', 2, 6, False)
    """
    if not (isinstance(start, int) and isinstance(end, int)) or isinstance(start, bool) or not 0 <= start < end:
        return None
    if not isinstance(words, str):
        field, text = next(iter(texts.items()))
        return (field, start, end, False) if end <= len(text) else None
    exact = [(field, start, end, False) for field, text in texts.items() if text[start:end] == words]
    if not exact:
        for field, text in texts.items():
            units = text.encode("utf-16-le")
            try:
                before, inside = units[: 2 * start].decode("utf-16-le"), units[2 * start : 2 * end].decode("utf-16-le")
            except UnicodeDecodeError:
                continue
            if inside == words:
                exact.append((field, len(before), len(before) + len(inside), True))
    return exact[0] if len(exact) == 1 else None
