"""What columns and fields mean, from KEY=VALUE settings as they are typed on a command line."""

from __future__ import annotations

from collections.abc import Mapping as Settings
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import ExportSettings, Mapping, mapping_from_yaml
from dfar_toolkit.tabular import nearest, quoted

_LISTS: Final = ("context", "options", "languages", "raters")  # a,b,c
_PAIRS: Final = ("files", "labels")  # key:value,key:value
_YAML_ONLY: Final = ("wide_raters",)


def mapping_from_settings(settings: Settings[str, str], *, mapping: Path | None = None) -> Mapping:
    """A mapping from settings, over those of a YAML file where one is given.

    Args:
        settings: Fields of :class:`dfar_toolkit.sources.Mapping` to text; lists as ``a,b``, pairs as ``0:no,1:yes``.
        mapping: A YAML file whose values the settings replace.

    Raises:
        SourceError: An unknown field, pairs without a colon, or a mapping that contradicts itself.

    Example:
        >>> mapping_from_settings({"label": "verdict", "options": "good,bad"}).options
        ('good', 'bad')
    """
    changes = _changes(settings, [f.name for f in fields(Mapping) if f.name not in _YAML_ONLY])
    if mapping is None:
        return Mapping(**changes)  # type: ignore[arg-type]
    return replace(mapping_from_yaml(mapping), **changes)  # type: ignore[arg-type]


def export_settings(settings: Settings[str, str]) -> ExportSettings:
    """How an annotation tool's export is to be read, from settings.

    Args:
        settings: Fields of :class:`dfar_toolkit.sources.ExportSettings` to text; lists as ``a,b``, pairs as ``0:no``.

    Raises:
        SourceError: An unknown field, pairs without a colon, or settings that contradict each other.

    Example:
        >>> export_settings({"statement": "post", "options": "good,bad"}).statement
        'post'
    """
    known = [f.name for f in fields(ExportSettings)]
    return ExportSettings(**_changes(settings, known))  # type: ignore[arg-type]


def _changes(settings: Settings[str, str], known: list[str]) -> dict[str, object]:
    """The settings as values of the fields."""
    for key in settings:
        if key not in known:
            raise SourceError(
                f"unknown setting {quoted([key])}; known are {quoted(known, most=99)}.{nearest(key, known)}"
            )
    return {key: _value(key, text) for key, text in settings.items()}


def _value(key: str, text: str) -> object:
    if key in _LISTS:
        return tuple(part.strip() for part in text.split(","))
    if key in _PAIRS:
        pairs = [part.partition(":") for part in text.split(",")]
        if any(not (left.strip() and colon and right.strip()) for left, colon, right in pairs):
            example = "train:a.csv,test:b.csv (for one file, give the file itself as --raw)"
            wanted = example if key == "files" else "0:ethical,1:unethical"
            raise SourceError(f"{key} wants pairs such as {wanted}; found {quoted([text])}.")
        return {left.strip(): right.strip() for left, _, right in pairs}
    return text
