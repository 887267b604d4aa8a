r"""The label and the reason that an answer's text gives.

Only the *label position* decides: the start of the text, after words that lead to a label ("Answer:", "The statement
is", Markdown, quotes); a reason may name any label. Nothing is guessed: a label that is negated, asked, scored, or
stands beside another one is no answer, and ``how`` says which of these it was.

Not looked at: a thought in ``<think>`` tags before the answer, a prompt of the DFAR notebooks or between ``[INST]``
tags that the text repeats, and everything after the first 2,000 characters (a reason is kept whole). A reason ends
where a model that was trained without an end goes on with the notebooks' next "### Question:".

The time grows with the length of the texts alone: no pattern backtracks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from dfar_toolkit.prompts import label_position as at
from dfar_toolkit.prompts.label_position import Names, names_of, spelled

PARSED: Final = {
    "bare": "the label alone",
    "label_first": "the label, then a reason",
    "field": 'the label after "Answer:" or its like',
    "sentence": 'the label after "The statement is" or its like',
    "json": "the label in a JSON object",
    "line": 'the label in a later line that begins with "Answer:" or its like',
    "after_prompt": "the label after a repeated prompt",
    "letter": "the letter of an option",
}
UNPARSED: Final = {
    "empty": "no text",
    "unfinished_thought": "a thought without an end",
    "no_label": "no label at the label position",
    "negated": "a negated label",
    "several": "several labels",
    "question": "a label with a question mark",
    "scores": "numbers per label",
    "runs_on": "a label that is part of other words",
    "echo": "a repeated question",
}
_HEAD: Final = 2000  # characters that decide the label
_NEAR: Final = 300  # characters after a label that may still take it back
_KEYS: Final = (
    "label", "answer", "verdict", "prediction", "judgment", "judgement", "classification", "category", "decision",
    "choice", "final_answer",
)  # fmt: skip
_REASON_KEYS: Final = ("reason", "explanation", "rationale", "justification", "reasoning", "why")
_TAG: Final = r"(?:think|thinking|thought|reasoning)>"
_THOUGHTS: Final = rf"(?is)^\s*(?:<{_TAG}.*?</{_TAG}\s*)+"
_PROMPT: Final = r"(?i)^\s*(?:<s>\s*)*(?:#+\s*(?:question|instruction)\b|\[INST\])"
_PROMPT_END: Final = r"(?is)^.*?(?:#+\s*(?:answer|response)\s*:|\[/INST\])"
_OBJECT_FIRST: Final = r"^\s*(?:```+\s*\w*\s*)?\{"
_OBJECT: Final = r"^(?:[^{}\n]{0,80}[:\n]\s*)?\s*(?:```+\s*\w*\s*)?\{"


def parse_answers(
    texts: pl.Series, options: Sequence[str], *, label_map: Mapping[str, str] | None = None, letters: bool = False
) -> pl.DataFrame:
    r"""Read the label and the reason from each text.

    Read are the label alone, or followed by a stop and a reason ("unethical. Because ..."), after "The statement is",
    "Answer:", "Label:" and their like, in Markdown or quotes, as JSON (``{"label": ..., "reason": ...}``), and in a
    later line of its own ("Reason: ...\nLabel: unethical"). Case does not count, and a space, a hyphen or ``_``
    between the words of an option are equal. Of options that begin alike the longest counts.

    Args:
        texts: What the model wrote, one answer per row.
        options: Names of the options.
        label_map: From further spellings to options, such as ``{"wrong": "unethical"}``.
        letters: Whether "B", "(B)" and "B. text" mean the second option. Numbers of options are never read.

    Returns:
        One row per text: ``label`` (an option; null where none could be read), ``reason`` (null where there is none)
        and ``how``, a key of ``PARSED`` or, where the label is null, of ``UNPARSED``.

    Raises:
        ValueError: Options that cannot be told apart, or a map to no option.

    Example:
        >>> said = pl.Series(["Unethical. It is not ethical to lie.", "The statement is ethical.", "not ethical"])
        >>> parse_answers(said, ["ethical", "unethical"]).rows()  # doctest: +NORMALIZE_WHITESPACE
        [('unethical', 'It is not ethical to lie.', 'label_first'),
         ('ethical', None, 'sentence'),
         (None, None, 'negated')]
    """
    names = names_of(options, label_map)
    by_letter = _letters(options) if letters else None
    text = _plain(texts.cast(pl.String).rename("text"))
    text, unfinished = _without_thoughts(text)
    text, prompted, lost = _without_prompt(text)
    found = _read(text, names)
    if by_letter is not None:
        found = _where(found, found["how"] == "no_label", text, lambda t: _by_letter(t, names, by_letter))
    objects = text.str.contains(_OBJECT) & (text.str.contains(_OBJECT_FIRST) | (found["how"] == "no_label"))
    found = _where(found, objects.fill_null(False), text, lambda t: _from_objects(t, names))
    found = _where(found, found["how"] == "no_label", text, lambda t: _from_lines(t, names))
    how = (
        pl.when(pl.Series(unfinished))
        .then(pl.lit("unfinished_thought"))
        .when(pl.Series(lost))
        .then(pl.lit("echo"))
        .when(pl.Series(prompted) & pl.col("label").is_not_null())
        .then(pl.lit("after_prompt"))
        .otherwise("how")
    )
    none = pl.Series(unfinished | lost)
    return found.with_columns(how.alias("how"), pl.when(~none).then("label"), pl.when(~none).then("reason"))


def parsing_note(how: pl.Series) -> str:
    """What became of the texts, for a note: how many gave no label, and why.

    Example:
        >>> parsing_note(pl.Series("how", ["bare", "several", "negated", "several"]))
        'no label could be read from 3 of 4 texts: 2 several labels, 1 a negated label'
    """
    lost = how.filter(how.is_in(list(UNPARSED))).value_counts().sort(["count", how.name], descending=[True, False])
    if not lost.height:
        return ""
    parts = ", ".join(f"{count} {UNPARSED[name]}" for name, count in lost.iter_rows())
    return f"no label could be read from {lost['count'].sum()} of {len(how)} texts: {parts}"


def _letters(options: Sequence[str]) -> Names:
    if len(options) > 26 or any(len(name.strip()) == 1 for name in options):
        raise ValueError("parse_answers: letters can name 26 options at most, and none that is one character itself.")
    return names_of([chr(ord("a") + i) for i in range(len(options))])._replace(
        options={chr(ord("a") + i): name for i, name in enumerate(options)}
    )


def _at(text: pl.Series, mask: pl.Series, mend: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The texts, those of the mask mended."""
    return text.clone().scatter(mask.arg_true(), mend(text.filter(mask))) if mask.any() else text


def _where(
    found: pl.DataFrame, mask: pl.Series, text: pl.Series, read: Callable[[pl.Series], pl.DataFrame]
) -> pl.DataFrame:
    """What was found, where the mask holds replaced by another reading wherever that says more than "no_label"."""
    if not mask.any():
        return found
    again = read(text.filter(mask))
    rows = mask.arg_true().filter(again["how"] != "no_label")
    again = again.filter(again["how"] != "no_label")
    return pl.DataFrame([found[name].clone().scatter(rows, again[name]) for name in found.columns])


def _plain(text: pl.Series) -> pl.Series:
    """Canonically composed, so that an accent written apart is the same letter."""
    apart = text.str.contains(r"[\p{M}\x{1100}-\x{11ff}]").fill_null(False)  # marks and Hangul's parts
    return _at(text, apart, lambda t: t.str.normalize("NFC"))


def _without_thoughts(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The texts after a thought at their start, and which never end the thought."""
    tagged = text.str.contains_any(["<think", "</think", "<thought", "</thought", "<reasoning", "</reasoning"],
                                   ascii_case_insensitive=True).fill_null(False)  # fmt: skip
    text = _at(text, tagged, lambda t: _opened_before(t.str.replace(_THOUGHTS, "")))
    return text, tagged & text.str.contains(rf"(?i)^\s*<{_TAG}").fill_null(False)


def _opened_before(text: pl.Series) -> pl.Series:
    """Without a thought whose opening tag stood in the prompt."""
    opened, closed = text.str.find(rf"(?i)<{_TAG}"), text.str.find(rf"(?i)</{_TAG}")
    only_end = closed.is_not_null() & (opened.is_null() | (opened > closed)).fill_null(True)
    return _at(text, only_end, lambda t: t.str.replace(rf"(?is)^.*?</{_TAG}", ""))


def _without_prompt(text: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """The texts after a repeated prompt, which had one, and which consist of it."""
    prompted = text.str.contains(_PROMPT).fill_null(False)
    after = _at(text, prompted, lambda t: t.str.replace(_PROMPT_END, ""))
    return after, prompted, prompted & after.str.contains(_PROMPT).fill_null(False)


def _read(text: pl.Series, names: Names) -> pl.DataFrame:
    """``label``, ``reason`` and ``how`` by what stands at the start of each text."""
    head = text.str.head(_HEAD)
    groups = head.str.extract_groups(at.start(names)).struct.unnest()
    frame = pl.DataFrame({"text": text, "head": head}).hstack(groups)
    frame = frame.with_columns(pl.col("text").str.slice(pl.col("all").str.len_chars()).alias("rest"))
    frame = frame.with_columns(_option(pl.col("label"), names).alias("option"), near=pl.col("rest").str.head(_NEAR))
    frame = frame.with_columns(_fault(names).alias("fault"))
    answered = pl.col("option").is_not_null() & pl.col("fault").is_null()
    return frame.select(
        pl.when(answered).then("option").alias("label"),
        pl.when(answered).then(_reason(pl.col("rest"))).alias("reason"),
        pl.when(answered).then(_rule()).otherwise(pl.coalesce("fault", pl.lit("no_label"))).alias("how"),
    )


def _option(said: pl.Expr, names: Names) -> pl.Expr:
    """The option of a spelling."""
    return spelled(said.str.strip_chars("_ ")).replace_strict(names.options, default=None, return_dtype=pl.String)


def _fault(names: Names) -> pl.Expr:
    """Why there is no answer; null where there is one."""
    near, label = pl.col("near"), pl.col("label")
    beside, below = (_option(near.str.extract(pattern, 1), names) for pattern in at.second(names))
    short = label.str.contains(r"^(?:.|[-+]?[\d.,]+)$")
    cut = short & (
        ~near.str.contains(at.SHORT) | near.str.contains(at.NUMBER) | pl.col("lead").str.contains(r"[-–—+−]\s*$")
    )
    unlabelled = (
        pl.when(pl.col("text").fill_null("").str.strip_chars() == "")
        .then(pl.lit("empty"))
        .when(pl.col("head").str.contains(at.negated(names)))
        .then(pl.lit("negated"))
        .when(pl.col("head").str.contains(at.side_by_side(names)))
        .then(pl.lit("echo"))
    )
    return (
        pl.when(pl.col("option").is_null())
        .then(unlabelled.otherwise(None))
        .when(near.str.contains(at.QUESTION))
        .then(pl.lit("question"))
        .when(near.str.contains(at.DENIED))
        .then(pl.lit("negated"))
        .when(near.str.contains(at.SCORES))
        .then(pl.lit("scores"))
        .when((beside != pl.col("option")).fill_null(False) | (below != pl.col("option")).fill_null(False))
        .then(pl.lit("several"))
        .when(cut | (near.str.contains(at.RUNS_ON) & ~near.str.contains(at.GOES_ON)))
        .then(pl.lit("runs_on"))
    )


def _rule() -> pl.Expr:
    lead = pl.col("lead")
    return (
        pl.when(lead.str.contains(rf"(?i)(?:{at.FIELD}|[<\\]\w+[>{{])\W*$"))
        .then(pl.lit("field"))
        .when(lead.str.contains(r"[\p{L}\p{N}]"))
        .then(pl.lit("sentence"))
        .when(_reason(pl.col("near")).is_null())
        .then(pl.lit("bare"))
        .otherwise(pl.lit("label_first"))
    )


def _reason(rest: pl.Expr) -> pl.Expr:
    """What follows the label, without the stop between, end tokens and a next prompt; null where nothing does."""
    text = rest.str.replace(at.REASON_START, "").str.replace(at.NEXT_PROMPT, "").str.replace(at.REASON_END, "")
    text = text.str.strip_chars()
    return pl.when(text.str.contains(r"[^\s\p{P}\p{S}]")).then(text)


def _by_letter(text: pl.Series, names: Names, letters: Names) -> pl.DataFrame:
    """Answers by letter; the option's own text may follow the letter, another option's may not."""
    found = _read(text, letters)
    spelt = _read(found["reason"], names).rename({"label": "named", "reason": "after", "how": "named_how"})
    beside = found.hstack(spelt)
    named, label = pl.col("named"), pl.col("label")
    other = (named != label).fill_null(False)
    how = pl.when(other).then(pl.lit("several")).when(label.is_not_null()).then(pl.lit("letter")).otherwise("how")
    return beside.select(
        pl.when(~other).then(label).alias("label"),
        pl.when(named.is_null()).then("reason").when(~other).then("after").alias("reason"),
        how.alias("how"),
    )


def _from_objects(text: pl.Series, names: Names) -> pl.DataFrame:
    """Answers in a JSON object; "several" where another key gives another label, "no_label" without a known key."""
    inner = text.str.replace(r"^[^{]*", "").str.replace(r"(?s)\}[^}]*$", "}")
    said = _first_value(inner, _KEYS)
    found = _read(said, names).with_columns(said=said, given=_first_value(inner, _REASON_KEYS).str.strip_chars())
    found = found.with_columns(first=_read(inner, names)["label"])
    label = pl.col("label")
    other = (label != pl.col("first")).fill_null(False)
    how = (
        pl.when(other)
        .then(pl.lit("several"))
        .when(label.is_not_null())
        .then(pl.lit("json"))
        .when(pl.col("said").is_null())
        .then(pl.lit("no_label"))
        .otherwise("how")
    )
    reason = pl.coalesce(pl.col("given").replace("", None), "reason")
    return found.select(
        pl.when(~other).then(label).alias("label"),
        pl.when(~other & label.is_not_null()).then(reason).alias("reason"),
        how.alias("how"),
    )


def _first_value(objects: pl.Series, keys: Sequence[str]) -> pl.Series:
    """The value of the first of these keys that each JSON object has, in lower case or with a capital."""
    found = pl.Series([None] * len(objects), dtype=pl.String)
    for key in (*keys, *(k.capitalize() for k in keys)):
        left = found.is_null()
        if not left.any():
            break
        values = objects.filter(left).str.json_path_match(f"$.{key}")
        found = found.scatter(left.arg_true(), values)
    return found


def _from_lines(text: pl.Series, names: Names) -> pl.DataFrame:
    """Answers in a later line of their own; the reason is what follows them, else what stands before."""
    pattern = rf"(?im)^(?:{at.MARK}|[-–—•]\s)*{at.FIELD}.*$"
    head = text.str.head(_HEAD)
    lines = pl.DataFrame({"line": head.str.extract_all(pattern)}).with_row_index("row").explode("line").drop_nulls()
    read = lines.hstack(_read(lines["line"], names)).filter(pl.col("label").is_not_null())
    first = read.group_by("row", maintain_order=True).agg(
        pl.col("label", "reason", "line").first(), several=pl.col("label").n_unique() > 1
    )
    rows = pl.DataFrame({"head": head}).with_row_index("row").join(first, on="row", how="left", maintain_order="left")
    before = pl.col("head").str.slice(0, pl.col("head").str.find(pl.col("line"), literal=True))
    several = pl.col("several").fill_null(False)
    return rows.select(
        pl.when(~several).then("label").alias("label"),
        pl.when(~several).then(pl.coalesce("reason", _reason(before))).alias("reason"),
        pl.when(several).then(pl.lit("several")).when(pl.col("label").is_not_null()).then(pl.lit("line"))
        .otherwise(pl.lit("no_label")).alias("how"),
    )  # fmt: skip
