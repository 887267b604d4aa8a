"""What a tool's export does not say about itself: one small set of choices, the same for every tool."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from dfar_toolkit.errors import SourceError
from dfar_toolkit.tabular import nearest, quoted

Kind = Literal["nominal", "ordinal", "interval", "ratio", "set"]
STATEMENTS: Final = ("statement", "text")  # fields that are taken without being named, the first one found
REASONS: Final = ("reason", "why", "rationale", "explanation", "justification")  # the same, for the reason
_NAME: Final = re.compile(r"[^\s:/#]+")
_SPLIT: Final = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How an export is to be read; what is left out is found in the files where there is one candidate.

    ``name`` begins every item id. ``statement`` and ``context`` are fields of the data; ``question``, ``reason`` and
    ``evidence`` are what the tool calls a control, a question, a schema or a column; ``evidence_field`` is the field
    in which text was marked. ``labels`` maps published values to options; ``options`` gives them in order.
    ``split_field`` is a field of the data that names the split, else every item is in ``split``. ``annotator`` is the
    field with the person, ``id`` the one with the item's own key. ``raters`` are columns about the person, not the
    item (Google Forms only). ``items_file`` holds the texts where the export has ids only (Potato only).
    """

    name: str = ""
    title: str = ""
    licence: str = "unknown"
    languages: tuple[str, ...] = ()
    statement: str | None = None
    context: tuple[str, ...] = ()
    id: str | None = None
    split: str = "train"
    split_field: str | None = None
    question: str | None = None
    kind: Kind | None = None
    options: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    wording: str = ""
    reason: str | None = None
    evidence: str | None = None
    evidence_field: str | None = None
    annotator: str | None = None
    raters: tuple[str, ...] = ()
    items_file: str | None = None

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise SourceError(
                f"name {quoted([self.name])}: it begins every id; wanted a text without spaces, colon, slash or #."
            )
        if not _SPLIT.fullmatch(self.split):
            raise SourceError(f"split {quoted([self.split])}: wanted letters, digits, _ and dots between them.")
        if len(set(self.options)) != len(self.options) or "" in self.options:
            raise SourceError(f"options {quoted(self.options)}: wanted each once and none empty.")
        strange = [name for name in self.labels.values() if self.options and name not in self.options]
        if strange:
            raise SourceError(f"labels: {quoted(strange)} is none of the options {quoted(self.options)}.")


def chosen(
    candidates: Sequence[str], given: str | None, *, what: str, setting: str, where: str, usual: Sequence[str] = ()
) -> str | None:
    """The one of the candidates that is meant, or None where there is none.

    Args:
        candidates: Names found in the file.
        given: The name in the settings, if any.
        what: What is looked for, for the message.
        setting: The setting's name, for the message.
        where: The file, for the message.
        usual: Names that are taken before others, the first that is there (upper and lower case are the same).

    Returns:
        The given name, a usual one, or the only one.

    Raises:
        SourceError: The given name is not there, or several are and none is named.

    Example:
        >>> chosen(["text", "url"], None, what="the statement", setting="statement", where="a.json", usual=["text"])
        'text'
    """
    if given is not None:
        if given not in candidates:
            raise SourceError(
                f"{where}: wanted {what} in {quoted([given])}; found {quoted(candidates)}.{nearest(given, candidates)}"
            )
        return given
    for name in usual:
        found = [candidate for candidate in candidates if candidate.casefold() == name]
        if len(found) == 1:
            return found[0]
    if len(candidates) > 1:
        raise SourceError(
            f"{where}: {what} may be any of {quoted(candidates)}; name the one that is meant with the setting "
            f"{setting}={quoted([candidates[0]])}."
        )
    return candidates[0] if candidates else None
