"""The mapping of a table's columns from KEY=VALUE settings, as they are typed on a command line."""

from __future__ import annotations

from collections.abc import Mapping as Settings
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import Mapping, mapping_from_yaml
from dfar_toolkit.tabular import nearest, quoted

_LISTS: Final = ("context", "options", "languages")  # a,b,c
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
    known = [f.name for f in fields(Mapping) if f.name not in _YAML_ONLY]
    changes: dict[str, object] = {}
    for key, text in settings.items():
        if key not in known:
            raise SourceError(
                f"unknown setting {quoted([key])}; known are {quoted(known, most=99)}.{nearest(key, known)}"
            )
        changes[key] = _value(key, text)
    if mapping is None:
        return Mapping(**changes)  # type: ignore[arg-type]
    return replace(mapping_from_yaml(mapping), **changes)  # type: ignore[arg-type]


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
