"""What the sets of LeWiDi asked: questions, options and the published values' names."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    dialogue: tuple[str, ...] = ()  # the fields of a text that is an object written as one string
    roles: Mapping[str, str] = {}  # field of ``text`` -> who speaks in it
    soft: Mapping[str, str] = {}  # published value -> the value of the soft label it counts for
    any_task: bool = False  # whether the primary task may be called otherwise in the file
    notes: tuple[str, ...] = ()


_NLI = ("contradiction", "entailment", "neutral")
_ALIASES: Final = {"par": "paraphrase"}  # what the papers call a set -> what its files are called
_SEVERITY: Final = {
    "-3": "very_strongly_abusive",
    "-2": "strongly_abusive",
    "-1": "mildly_abusive",
    "0": "ambivalent",
    "1": "not_abusive",
}
_ABUSE: Final = {
    "ableist": "Is the abuse ableist?",
    "homophobic": "Is the abuse homophobic?",
    "intellectual": "Is the abuse about intellect?",
    "racist": "Is the abuse racist?",
    "sexist": "Is the abuse sexist?",
    "sex_harassment": "Is it sexual harassment?",
    "transphobic": "Is the abuse transphobic?",
    "target.generalised": "Is the target a group?",
    "target.individual": "Is the target a person?",
    "target.system": "Is the target the system?",
    "explicit": "Is the abuse explicit?",
    "implicit": "Is the abuse implicit?",
}
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
    "mp": Facts(
        "LeWiDi 3: MultiPICo",
        "reply",
        {
            "irony detection": Asked(
                "irony",
                "nominal",
                {"0": "not_ironic", "1": "ironic"},
                "Given the post, is the reply ironic?",
            )
        },
    ),
    "paraphrase": Facts(
        "LeWiDi 3: Paraphrase",
        "Question2",
        {
            "paraphrase detection": Asked(
                "paraphrase",
                "ordinal",
                {str(step): str(step) for step in range(-5, 6)},
                "How much do the two questions ask the same, from -5 (not at all) to 5 (completely), and why?",
            )
        },
        notes=("People compared two questions; the second stands as the statement, the first as its context.",),
    ),
    "md-agreement": Facts(
        "LeWiDi 2: MD-Agreement",
        "text",
        {
            "offensiveness detection": Asked(
                "offensive",
                "nominal",
                {"0": "not_offensive", "1": "offensive"},
                "Is the post offensive?",
            )
        },
        any_task=True,
    ),
    "convabuse": Facts(
        "LeWiDi 2: ConvAbuse",
        "user",
        {
            "abusive language detection": Asked(
                "abuse",
                "ordinal",
                _SEVERITY,
                "How abusive is what the user says last, from -3 (very strongly) to 0 (unclear) and 1 (not abusive)?",
            ),
            **{name: Asked(snake(name), "nominal", {"0": "no", "1": "yes"}, asked) for name, asked in _ABUSE.items()},
        },
        dialogue=("prev_agent", "prev_user", "agent", "user"),
        roles={"prev_agent": "agent", "prev_user": "user", "agent": "agent"},
        soft={value: "1" if value.startswith("-") else "0" for value in _SEVERITY},
        any_task=True,
        notes=(
            "The published soft and hard labels tell abusive (-3 to -1) from not abusive (0 and 1); where no majority "
            "existed, the published hard label was drawn at random.",
        ),
    ),
    "armis": Facts(
        "LeWiDi 2: ArMIS",
        "text",
        {
            "misogyny and sexism detection": Asked(
                "misogyny",
                "nominal",
                {"0": "not_misogynistic", "1": "misogynistic"},
                "Is the post misogynistic or sexist?",
            )
        },
        any_task=True,
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


def set_key(name: str) -> str:
    """The key of a set from the prefix of its files or from what its paper calls it.

    Example:
        >>> set_key("Par"), set_key("CSC")
        ('paraphrase', 'csc')
    """
    return _ALIASES.get(name.lower(), name.lower())


def facts_of(name: str, records: list[Record]) -> Facts:
    """Facts of a set: the known ones, under the name that the file gives to the task, or what its records tell."""
    facts = KNOWN.get(name)
    if facts is None:
        return facts_from(name, records)
    primary, *_ = facts.questions
    tasks = {record.task for record in records}
    if not facts.any_task or len(tasks) != 1 or tasks & set(facts.questions):
        return facts
    named = {(tasks.pop() if task == primary else task): asked for task, asked in facts.questions.items()}
    return facts._replace(questions=named)


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
