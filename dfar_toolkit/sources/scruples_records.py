"""One record of Scruples, an anecdote or a dilemma, as it stands on its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dfar_toolkit.sources.layout import json_text
from dfar_toolkit.tabular import quoted

LABELS: Final = ("AUTHOR", "OTHER", "EVERYBODY", "NOBODY", "INFO")
BINARISED: Final = {"RIGHT": ("OTHER", "NOBODY"), "WRONG": ("AUTHOR", "EVERYBODY")}
SIDES: Final = ("first", "second")
_MOST: Final = 2**53  # votes; more are not counted but made up


class RecordError(Exception):
    """What is wrong with a record, without its place."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes on one question in the order of its options, and the label that was published (None: none was)."""

    question: str
    options: tuple[str, ...]
    counts: tuple[int, ...]
    published: str | None = None

    @property
    def by_rule(self) -> str:
        """The option with most votes; of several the first in the published order."""
        return self.options[self.counts.index(max(self.counts))]

    @property
    def tied(self) -> bool:
        """Whether several options have most votes."""
        return self.counts.count(max(self.counts)) > 1

    @property
    def contradicted(self) -> bool:
        """Whether the published label is none of those with most votes."""
        return self.published is not None and self.counts[self.options.index(self.published)] < max(self.counts)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as our columns; ``why`` says why it has to be dropped (empty: it has not)."""

    key: str
    statement: str
    context: tuple[tuple[str, str], ...] = ()
    option_texts: tuple[str, ...] | None = None
    votes: tuple[Votes, ...] = ()
    extra: str = "{}"
    why: str = ""
    odd: tuple[str, ...] = field(default=())


def anecdote(row: Mapping[str, Any], question: str, *, binarised: bool) -> Record:
    """A post with its title and the votes of the people who commented on it.

    Raises:
        RecordError: The record is not in the layout.
    """
    title, text = _text(row, "title").strip(), _text(row, "text")
    body = bool(text.strip())
    scores = _counts(row, "label_scores", LABELS)
    votes = Votes(question, LABELS, scores, _named(row, "label", LABELS))
    odd: tuple[str, ...] = ()
    if binarised:
        by_name = dict(zip(LABELS, scores, strict=True))
        merged = tuple(sum(by_name[name] for name in names) for names in BINARISED.values())
        options = tuple(BINARISED)
        if row.get("binarized_label_scores") is not None:
            same = _counts(row, "binarized_label_scores", options) == merged
            odd = () if same else ("binarized_label_scores is not the sum of label_scores; the sum is used",)
        votes = Votes(question, options, merged, _named(row, "binarized_label", options))
    why = "" if any(votes.counts) else "no votes"
    if binarised and any(scores) and why:
        why = "no votes but INFO"
    if not body and not title:
        why = "title and text are empty"
    told = {"id", "title", "text", "label", "binarized_label", "binarized_label_scores"}
    told = told if binarised else told | {"label_scores"}
    return Record(
        key=_key(row),
        statement=text if body else title,
        context=(("title", title),) if body and title else (),
        votes=(votes,),
        extra=_extra(row, told),
        why=why,
        odd=odd,
    )


def dilemma(row: Mapping[str, Any], question: str, human: str) -> Record:
    """Two actions with the votes for the less ethical one.

    Raises:
        RecordError: The record is not in the layout.
    """
    actions = row.get("actions")
    if not isinstance(actions, list) or len(actions) != 2 or not all(isinstance(a, dict) for a in actions):
        raise RecordError(f"wanted two actions, each an object with a description; found {_shown(actions)}")
    texts = tuple(_text(action, "description") for action in actions)
    gold = Votes(question, SIDES, _pair(row, "gold_annotations"), _side(row, "gold_label"))
    votes = [gold]
    if row.get("human_perf_annotations") is not None:
        counts = _pair(row, "human_perf_annotations")
        if any(counts):  # without votes the published label is 0 and means nothing
            votes.append(Votes(human, SIDES, counts, _side(row, "human_perf_label")))
    why = "" if any(gold.counts) else "no votes"
    if not all(text.strip() for text in texts):
        why = "an action has no description"
    told = {"id", "actions", "gold_annotations", "gold_label", "human_perf_annotations", "human_perf_label"}
    beside = [{name: value for name, value in a.items() if name != "description"} for a in actions]
    return Record(
        key=_key(row),
        statement="\n".join(f"{side.capitalize()} action: {t}" for side, t in zip(SIDES, texts, strict=True)),
        option_texts=texts,
        votes=tuple(votes),
        extra=_extra({**row, "action_facts": beside}, told),
        why=why,
    )


def _key(row: Mapping[str, Any]) -> str:
    value = row.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise RecordError(f"wanted an id; found {_shown(value)}")
    return str(value).strip()


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise RecordError(f"wanted a text as {name}; found {_shown(value)}")
    return value or ""


def _counts(row: Mapping[str, Any], name: str, options: Sequence[str]) -> tuple[int, ...]:
    """Votes by name; every option must be there, and no other."""
    scores = row.get(name)
    if not isinstance(scores, dict):
        raise RecordError(f"wanted an object of votes as {name}; found {_shown(scores)}")
    given = {option: votes for option, votes in scores.items() if votes is not None}
    if set(given) != set(options):
        raise RecordError(f"wanted votes for {quoted(options)} in {name}; found {quoted(given)}")
    return tuple(_vote(given[option], name) for option in options)


def _pair(row: Mapping[str, Any], name: str) -> tuple[int, ...]:
    votes = row.get(name)
    if not isinstance(votes, list) or len(votes) != 2:
        raise RecordError(f"wanted the votes for two actions as {name}; found {_shown(votes)}")
    return tuple(_vote(value, name) for value in votes)


def _vote(value: object, name: str) -> int:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or not 0 <= whole <= _MOST:
        raise RecordError(f"wanted whole numbers of votes, 0 or more, in {name}; found {_shown(value)}")
    return whole


def _named(row: Mapping[str, Any], name: str, options: Sequence[str]) -> str | None:
    value = row.get(name)
    if value is not None and value not in options:
        raise RecordError(f"wanted one of {quoted(options)} as {name}; found {_shown(value)}")
    return value


def _side(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or value not in (0, 1):
        raise RecordError(f"wanted 0 or 1 as {name}; found {_shown(value)}")
    return SIDES[int(value)]


def _extra(row: Mapping[str, Any], told: set[str]) -> str:
    """What a record says besides the columns it became; absent values are left out."""
    return json_text({name: value for name, value in row.items() if name not in told and value is not None})


def _shown(value: object) -> str:
    """A value for a one-line message, cut short."""
    return "nothing" if value is None else quoted([str(value)[:60]])


Parse = Callable[[Mapping[str, Any]], Record]
