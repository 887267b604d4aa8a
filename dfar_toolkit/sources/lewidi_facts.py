"""What the sets of LeWiDi asked: questions, options and the published values' names."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dfar_toolkit.sources.lewidi_records import Record, snake, whole


class Asked(NamedTuple):
    """One question of a set: its kind and what its published values are called."""

    question: str
    kind: str
    names: dict[str, str]  # published value -> option name, in order
    wording: str


class Facts(NamedTuple):
    """What a set is called, which of its texts was judged, and what was asked."""

    title: str
    statement: str  # the field of ``text`` that was judged
    questions: dict[str, Asked]  # by the name of the task in the file; the first is the primary one


_NLI = ("contradiction", "entailment", "neutral")
KNOWN: Final = {
    "varierrnli": Facts(
        "LeWiDi 3: VariErr NLI",
        "statement",
        {
            "natural language inference": Asked(
                "nli",
                "set",
                {name: name for name in _NLI},
                "Given the context, is the statement true (entailment), false (contradiction) or neither, and why?",
            )
        },
    ),
    "csc": Facts(
        "LeWiDi 3: Conversational Sarcasm Corpus",
        "response",
        {
            "sarcasm detection": Asked(
                "sarcasm",
                "ordinal",
                {str(step): str(step) for step in range(1, 7)},
                "How sarcastic is the response, from 1 (not at all) to 6 (completely)?",
            )
        },
    ),
    "hs-brexit": Facts(
        "LeWiDi 2: HS-Brexit",
        "text",
        {
            "hate speech detection": Asked(
                "hate_speech",
                "nominal",
                {"0": "no_hate_speech", "1": "hate_speech"},
                "Is the post hate speech?",
            ),
            "aggressive language detection": Asked(
                "aggressive_language",
                "nominal",
                {"0": "not_aggressive", "1": "aggressive"},
                "Is the language of the post aggressive?",
            ),
            "offensive language detection": Asked(
                "offensive_language",
                "nominal",
                {"0": "not_offensive", "1": "offensive"},
                "Is the language of the post offensive?",
            ),
        },
    ),
}


def facts_from(name: str, records: list[Record]) -> Facts:
    """Facts of a set that is not known by name, from its records: tasks, values, and whether people gave several."""
    fields = list(dict.fromkeys(field for record in records for field in record.texts))
    questions = {}
    for task in dict.fromkeys(rating.task for record in records for rating in record.ratings):
        ratings = [rating for record in records for rating in record.ratings if rating.task == task]
        seen = {value for rating in ratings for value in rating.values}
        published = {value for record in records if record.task == task for value in record.soft_label}
        forms = {whole(value) for value in seen}
        seen |= {value for value in published if whole(value) not in forms}  # options that nobody chose
        numeric = all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in seen)
        values = sorted(seen, key=float if numeric else str)
        several = any(len(rating.values) > 1 for rating in ratings)
        kind = "set" if several else "ordinal" if numeric and len(values) > 2 else "nominal"
        questions[task] = Asked(snake(task.removesuffix(" detection")), kind, {value: value for value in values}, task)
    return Facts(f"LeWiDi: {name}", fields[-1] if fields else "text", questions)
