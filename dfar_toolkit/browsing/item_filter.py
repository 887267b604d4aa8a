"""Which items are looked at: one state with a readable address, and the words that say it.

A filter is a value: it holds no data and knows no names. ``to_query`` gives the parameters of an address and
``from_query`` takes them back, exactly; what cannot be understood is said and left out, never an exception. What the
conditions mean for the columns of an index stands in ``filter_conditions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, NamedTuple, get_args

from dfar_toolkit.browsing.query_codes import (
    check_range,
    pair_text,
    range_text,
    read_pair,
    read_range,
    read_yes_no,
)
from dfar_toolkit.tables import LEAK_KINDS

State = Literal["right", "wrong", "unparsed", "failed", "missing", "answered"]
STATES: Final = get_args(State)
NO_LEAK: Final = "none"
LONGEST_TEXT: Final = 10_000  # characters of a search; addresses end sooner
_LENGTHS: Final = (0, 10**12)
_SHARES: Final = (0.0, 1.0)
_SHOWN: Final = 60  # characters of a value in a sentence

Range = tuple[float | None, float | None]


class Chip(NamedTuple):
    """One condition in words, and the filter without it."""

    field: str
    value: Any
    words: str
    rest: ItemFilter


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Conditions that all hold; within one field any of its values will do, unless said otherwise.

    Attributes:
        text: Words that occur in the statement, letter case aside.
        regex: A pattern of Rust's regex engine that the statement matches.
        reason: Words that occur in a reason of at least one person or of one model's output, letter case aside.
        reason_regex: A pattern that such a reason matches; not always the one that has the words.
        gold: The item's label; ``""`` is none (people tied).
        given: A value that at least one annotator gave.
        between: Pairs of values that were both given by somebody, all of the pairs.
        annotator: People who rated the item.
        apart: Pairs of people who both rated the item and gave it different values, all of the pairs.
        group: Groups of items.
        config: Configs, each of which asks a primary question of its own.
        source: Sources.
        split: Splits.
        leak: Kinds of leak; ``none`` is no leak.
        finding: Findings of the audit that the item shows.
        prediction: ``(run, label)``: what a run answered; several runs must all fit.
        state: ``(run, state)``: what became of a run's answer; several runs must all fit.
        differs: Runs, all of them, that gave another label than people, or an output without one.
        beats: ``(run a, run b)``: the first is right, the second differs; all of the pairs.
        judged_bad: Runs, all of them, whose reason most judges reject (``human``: people's own).
        length: Characters of the statement, from and to.
        disagreement: Chance that two people give different values, from and to.
        probability: ``(run, from, to)``: the probability of the answer that the run gave.
        has_reason: Whether anybody gave a reason.
        flagged: Whether somebody flagged it.
    """

    text: str = ""
    regex: str = ""
    reason: str = ""
    reason_regex: str = ""
    gold: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    between: tuple[tuple[str, str], ...] = ()
    annotator: tuple[str, ...] = ()
    apart: tuple[tuple[str, str], ...] = ()
    group: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    leak: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    prediction: tuple[tuple[str, str], ...] = ()
    state: tuple[tuple[str, str], ...] = ()
    differs: tuple[str, ...] = ()
    beats: tuple[tuple[str, str], ...] = ()
    judged_bad: tuple[str, ...] = ()
    length: tuple[int | None, int | None] | None = None
    disagreement: Range | None = None
    probability: tuple[tuple[str, float | None, float | None], ...] = ()
    has_reason: bool | None = None
    flagged: bool | None = None

    def __post_init__(self) -> None:
        """Lists become tuples, values given twice stand once; impossible ones are refused."""
        for name in _FIELDS:
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                value = value if name in _SINGLE else tuple(dict.fromkeys(value))
            object.__setattr__(self, name, value)
            for one in _values(self, name):
                if problem := _wrong(name, one):
                    raise ValueError(f"ItemFilter: {name} {_quoted(one)}: {problem}")

    def to_query(self) -> dict[str, str | list[str]]:
        """The parameters of an address, by the names of the fields; what filters nothing is left out.

        Example:
            >>> ItemFilter(text="stole", prediction=(("run", "bad"),), length=(10, None)).to_query()
            {'text': 'stole', 'prediction': ['run:bad'], 'length': '10..'}
        """
        found: dict[str, str | list[str]] = {}
        for name in _FIELDS:
            texts = [_KINDS[name].write(value) for value in _values(self, name)]
            if texts:
                found[name] = texts if isinstance(getattr(self, name), tuple) and name not in _SINGLE else texts[0]
        return found

    @classmethod
    def from_query(cls, query: Mapping[str, str | Sequence[str]]) -> tuple[ItemFilter, list[str]]:
        """The filter of an address, and one line for each thing in it that is not understood and left out.

        Parameters of other names are somebody else's and are passed over.

        Example:
            >>> ItemFilter.from_query({"split": ["test"], "length": "9..3", "page": "2"})[1]
            ['length "9..3": the range is the wrong way round; left out.']
        """
        kept: dict[str, Any] = {}
        problems: list[str] = []
        for name in _FIELDS:
            given = query.get(name, [])
            texts = [given] if isinstance(given, str) else list(given)
            values, said = _read_all(name, texts)
            problems += said
            if values:
                kept[name] = values[-1] if name in _SINGLE else tuple(values)
        return cls(**kept), problems

    def chips(self) -> list[Chip]:
        """Every condition in words, each with the filter that is left when it is taken away."""
        found = []
        for name in _FIELDS:
            values = _values(self, name)
            for value in values:
                others = None if name in _SINGLE else tuple(v for v in values if v != value)
                rest: dict[str, Any] = {name: _NOTHING[name] if others is None else others}
                found.append(Chip(name, value, _KINDS[name].say(name, value), replace(self, **rest)))
        return found

    def words(self) -> list[str]:
        """One part of a sentence for each condition.

        Example:
            >>> ItemFilter(text="stole", differs=("run",), has_reason=False).words()
            ['text has "stole"', 'run differs from people', 'without a reason']
        """
        return [chip.words for chip in self.chips()]


class _Kind(NamedTuple):
    """How the values of a field are written, read and said; reading raises ValueError."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]
    say: Callable[[str, Any], str]


def _values(wanted: ItemFilter, name: str) -> list[Any]:
    """The values of a field one by one; none where it filters nothing."""
    value = getattr(wanted, name)
    if name in _SINGLE:
        return [] if value is None or value == "" else [value]
    return list(value)


def _read_all(name: str, texts: Sequence[str]) -> tuple[list[Any], list[str]]:
    """The values that can be read, and why the others cannot."""
    values, problems = [], []
    for text in texts:
        if name in _TEXTS and text == "":
            continue
        try:
            value = _KINDS[name].read(text)
            if problem := _wrong(name, value):
                raise ValueError(problem)
            values.append(value)
        except ValueError as error:
            problems.append(f"{name} {_quoted(text)}: {error}; left out.")
    if name in _SINGLE and len(values) > 1:
        problems.append(f"{name} is given {len(values)} times; the last one counts.")
    return values, problems


def _wrong(name: str, value: Any) -> str:
    """Why a value is impossible whatever the data; empty where it is not."""
    if name in _TEXTS and len(value) > LONGEST_TEXT:
        return f"longer than {LONGEST_TEXT:,} characters"
    if name == "leak" and value not in (*LEAK_KINDS, NO_LEAK):
        return f"wanted one of {', '.join((*LEAK_KINDS, NO_LEAK))}"
    if name == "state" and value[1] not in STATES:
        return f"wanted a state of {', '.join(STATES)}"
    if name in ("between", "apart", "beats") and value[0] == value[1]:
        return "wanted two different values"
    if name in _LIMITS:
        try:
            check_range(value[-2], value[-1], _LIMITS[name])
        except ValueError as error:
            return str(error)
    return ""


def _read_run_range(text: str) -> tuple[str, float | None, float | None]:
    run, ends = read_pair(text)
    return (run, *read_range(ends, float, _SHARES))


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    # One line whatever is in it.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: _SHOWN + 1])
    return f'"{shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"}"'


def _shown(value: str) -> str:
    """A name within a sentence: as it is where that is plain, quoted otherwise."""
    return value if value and len(value) <= _SHOWN and value.isprintable() else _quoted(value)


def _span(ends: Sequence[float | None]) -> str:
    low, high = (None if end is None else round(end, 3) for end in ends)  # the address has it in full
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"


def _names(what: str) -> _Kind:
    return _Kind(str, str, lambda _, v: f"{what} {_shown(v)}")


def _pairs(say: Callable[[str, str], str]) -> _Kind:
    return _Kind(lambda v: pair_text(*v), read_pair, lambda _, v: say(_shown(v[0]), _shown(v[1])))


_SOME: Final = 0.001  # disagreement of which it is only said that there is some
_TEXTS: Final = {
    "text": "text has", "regex": "text matches", "reason": "a reason says", "reason_regex": "a reason matches",
}  # fmt: skip
_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "length": _LENGTHS, "disagreement": _SHARES, "probability": _SHARES,
}  # fmt: skip
_KINDS: Final[dict[str, _Kind]] = {
    **dict.fromkeys(_TEXTS, _Kind(str, str, lambda n, v: f"{_TEXTS[n]} {_quoted(v)}")),
    "gold": _Kind(str, str, lambda _, v: f"label {_shown(v)}" if v else "no label (people tied)"),
    "given": _names("somebody said"),
    "between": _pairs(lambda a, b: f"people are split between {a} and {b}"),
    "annotator": _names("rated by"),
    "apart": _pairs(lambda a, b: f"{a} and {b} differ"),
    "group": _names("group"),
    "config": _names("config"),
    "source": _names("source"),
    "split": _names("split"),
    "leak": _Kind(str, str, lambda _, v: "no leak" if v == NO_LEAK else f"leak {v}"),
    "finding": _names("shows"),
    "prediction": _pairs(lambda run, label: f"{run} says {label}"),
    "state": _pairs(lambda run, state: f"{run} is {state}"),
    "differs": _Kind(str, str, lambda _, v: f"{_shown(v)} differs from people"),
    "beats": _pairs(lambda a, b: f"{a} is right and {b} is not"),
    "judged_bad": _Kind(str, str, lambda _, v: f"reason of {_shown(v)} judged bad"),
    "length": _Kind(
        lambda v: range_text(*v), lambda t: read_range(t, int, _LENGTHS), lambda _, v: f"{_span(v)} characters"
    ),
    "disagreement": _Kind(
        lambda v: range_text(*v),
        lambda t: read_range(t, float, _SHARES),
        # Hardly any disagreement is still some.
        lambda n, v: "people differ" if v[1] is None and 0 < v[0] <= _SOME else f"{n} {_span(v)}",
    ),
    "probability": _Kind(
        lambda v: pair_text(v[0], range_text(*v[1:])),
        _read_run_range,
        lambda _, v: f"{_shown(v[0])} gives its answer a probability of {_span(v[1:])}",
    ),
    "has_reason": _Kind(
        lambda v: "yes" if v else "no", read_yes_no, lambda _, v: "with a reason" if v else "without a reason"
    ),
    "flagged": _Kind(lambda v: "yes" if v else "no", read_yes_no, lambda _, v: "flagged" if v else "not flagged"),
}
_SINGLE: Final = frozenset({*_TEXTS, "length", "disagreement", "has_reason", "flagged"})
_FIELDS: Final = tuple(field.name for field in fields(ItemFilter))
_NOTHING: Final[dict[str, Any]] = {field.name: field.default for field in fields(ItemFilter)}
