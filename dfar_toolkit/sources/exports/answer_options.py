"""What kind of question was answered, its options, and whether all answers are among them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.exports.settings import ExportSettings
from dfar_toolkit.sources.spellings import how_to_name
from dfar_toolkit.tabular import quoted

NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")


class _Answered(Protocol):
    @property
    def key(self) -> str: ...

    @property
    def values(self) -> tuple[str, ...]: ...


def kind_of(answers: Sequence[_Answered], options: Sequence[str], several: bool) -> str:
    """The kind of a question: several values at once are a set, more than two numbers a scale, the rest names."""
    if several or any(len(answer.values) > 1 for answer in answers):
        return "set"
    values = set(options) or {value for answer in answers for value in answer.values}
    if len(values) > 2 and all(NUMBER.fullmatch(value) for value in values):
        return "ordinal" if all(float(value).is_integer() for value in values) else "interval"
    return "nominal"


def options_of(
    answers: Sequence[_Answered], settings: ExportSettings, declared: Sequence[str], kind: str
) -> tuple[dict[str, str], list[str]]:
    """Published value -> option, and the options in order; neither for a scale without steps."""
    if kind in ("interval", "ratio"):
        return {}, []
    listed = list(settings.options or dict.fromkeys(settings.labels.values()) or declared)
    if not listed:
        seen = {value for answer in answers for value in answer.values}
        if seen and all(re.fullmatch(r"[+-]?\d{1,3}", value) for value in seen):
            low, high = min(map(int, seen)), max(map(int, seen))
            listed = [str(step) for step in range(min(low, 1) if kind == "ordinal" else low, high + 1)]
            listed = listed if kind == "ordinal" else sorted(seen, key=int)
        else:
            listed = sorted(seen)
    return {**{option: option for option in listed}, **settings.labels}, listed


def check_values(answers: Sequence[_Answered], named: Mapping[str, str], kind: str, name: str) -> None:
    """Stop at values that are none of the options, and at several values where one was asked for.

    Raises:
        SourceError: Which values, how often, and how to name them.
    """
    if kind in ("interval", "ratio"):
        strange = Counter(v for answer in answers for v in answer.values if not NUMBER.fullmatch(v))
        wanted = "numbers"
    else:
        strange = Counter(v for answer in answers for v in answer.values if v not in named)
        wanted = f"one of {quoted(named)}"
    if strange:
        shown = ", ".join(f"{quoted([value])} ({n} x)" for value, n in strange.most_common(8))
        more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
        mend = how_to_name(strange, named)
        raise SourceError(f"{name}: the answers: wanted {wanted}; found {shown}{more}.{mend}")
    twice = [answer for answer in answers if kind != "set" and len(answer.values) > 1]
    if twice:
        raise SourceError(
            f"{name}: wanted one answer per person; {len(twice)} answers hold several, e.g. item "
            f"{quoted([twice[0].key])}: {quoted(twice[0].values)}. Is it a question of kind set?"
        )
