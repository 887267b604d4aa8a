"""Which items are asked about, under which names, with which examples, and as whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.prompts.asking import Asked, Shot, asked_of
from dfar_toolkit.prompts.few_shot import as_shots, choose_shots
from dfar_toolkit.prompts.persona import persona_text
from dfar_toolkit.runners.prompting import Manner, unit_of
from dfar_toolkit.runners.units import Unit
from dfar_toolkit.tabular import nearest, quoted

_NOT_SAID_OF_PEOPLE = ("annotator_id", "kind")
_DEFAULT_SPLIT = "test"


class Selection(NamedTuple):
    """Which items, examples and people.

    Attributes:
        splits: Splits asked about; None: ``test``.
        limit: The first so many items of them; None: all.
        question: None: the primary one.
        shots: Examples before each question.
        shots_split: The split they are drawn from.
        annotators: Whether each annotator's own answer is asked for, told who they are.
        describe_by: Columns of the raters that say who they are; empty: all.
    """

    splits: tuple[str, ...] | None = None
    limit: int | None = None
    question: str | None = None
    shots: int = 0
    shots_split: str = "train"
    annotators: bool = False
    describe_by: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What of it decides the prompts, beside the items."""
        return {
            "shots": self.shots, "shots_split": self.shots_split if self.shots else "", "annotators": self.annotators,
            "describe_by": list(self.describe_by),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What the items are asked.

    Attributes:
        name: Id of the question.
        options: Its options.
        shown: The names that the model sees and answers with.
        says: From these to the options; empty where they are the same.
        wording: As people were asked.
        items: The items, in the order of the folder.
        splits: Their splits.
        notes: What must be known.
    """

    name: str
    options: tuple[str, ...]
    shown: tuple[str, ...]
    says: dict[str, str]
    wording: str
    items: pl.DataFrame
    splits: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def bare(self) -> Asked:
        """The question without an item."""
        return Asked(statement="", options=self.shown, wording=self.wording)


def question_of(folder: ItemsFolder, selection: Selection, label_map: dict[str, str] | None) -> Question:
    """The question and the items it is asked about.

    Args:
        folder: The items.
        selection: Which of them.
        label_map: From names that the model is shown to options; every option must be said by one.

    Returns:
        The question.

    Raises:
        TableError: An unknown question or split, a question without options, or a map that leaves an option out.
    """
    name = selection.question or folder.question
    rows = folder.questions.filter(pl.col("question") == name)
    if not rows.height:
        raise TableError(f"{folder.path}: no question {name!r}; there are {quoted(folder.questions['question'])}.")
    row = rows.row(0, named=True)
    options = tuple(row["options"] or ())
    if len(options) < 2 or row["kind"] in ("set", "span", "interval", "ratio", "circular", "bipolar"):
        raise TableError(
            f"{folder.path}: a model is asked to choose one of several options; the question {name!r} is of kind "
            f"{row['kind']} with {len(options)} options."
        )
    shown, says = _shown(options, label_map)
    items, splits = _selected(folder, selection)
    if len(shown) > len(options) and (items["option_texts"].list.len() > 0).any():
        raise TableError(
            f"{folder.path}: --map gives an option several names, but the items have one text for each option."
        )
    without = len(items.filter(pl.col("label").is_null())) if name == folder.question else 0
    notes = [f"{without} items have no gold label; they are asked about all the same"] if without else []
    return Question(name, options, shown, says, row["wording"] or "", items, splits, tuple(notes))


def _shown(options: Sequence[str], label_map: dict[str, str] | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names shown, in the order of the options that they say."""
    if not label_map:
        return tuple(options), {}
    strange = [given for given in label_map.values() if given not in options]
    if strange:
        raise TableError(f"--map carries to {strange[0]!r}, which is no option; the options are {', '.join(options)}.")
    silent = [option for option in options if option not in label_map.values()]
    if silent:
        raise TableError(f"--map gives no name for the option {silent[0]!r}; the model could never answer it.")
    shown = sorted(label_map, key=lambda given: list(options).index(label_map[given]))
    return tuple(shown), {given: label_map[given] for given in shown}


def _selected(folder: ItemsFolder, selection: Selection) -> tuple[pl.DataFrame, tuple[str, ...]]:
    there = folder.items["split"].unique(maintain_order=True).to_list()
    wanted = list(
        selection.splits or ([_DEFAULT_SPLIT] if _DEFAULT_SPLIT in there else there if len(there) == 1 else [])
    )
    if not wanted:
        raise TableError(f"{folder.path}: no split {_DEFAULT_SPLIT!r}; say which to ask about: --split {there[0]}.")
    for split in wanted:
        if split not in there:
            near = nearest(split, there)
            raise TableError(f"{folder.path}: no split {split!r}; there are {', '.join(there)}.{near}")
    items = folder.items.filter(pl.col("split").is_in(wanted))
    items = items if selection.limit is None else items.head(selection.limit)
    if not len(items):
        raise TableError(f"{folder.path}: no item to ask about in {', '.join(wanted)}.")
    return items, tuple(wanted)


def item_units(
    folder: ItemsFolder,
    question: Question,
    manner: Manner,
    shown_orders: Sequence[tuple[str, ...]],
    selection: Selection,
    seed: int,
) -> tuple[list[Unit], Asked, list[str]]:
    """A unit per item, asked as nobody in particular.

    Args:
        folder: All items; examples come from these.
        question: What is asked of which.
        manner: How.
        shown_orders: Orders of the options.
        selection: How many examples, from where.
        seed: Of the examples.

    Returns:
        The units, what the first is asked, and notes.
    """
    asked, notes = asked_items(folder, question, manner, selection, seed)
    ids = question.items["item_id"].to_list()
    units = [unit_of(item, one, manner, orders=shown_orders) for item, one in zip(ids, asked, strict=True)]
    return units, asked[0], notes


def asked_items(
    folder: ItemsFolder, question: Question, manner: Manner, selection: Selection, seed: int
) -> tuple[list[Asked], list[str]]:
    """What is asked about each item, as nobody in particular, with examples before it where they are wanted.

    Args:
        folder: All items; examples come from these.
        question: What is asked of which.
        manner: How.
        selection: How many examples, from where.
        seed: Of the examples.

    Returns:
        One per item, in their order, and notes.
    """
    asked = asked_of(question.items, list(question.shown), wording=question.wording)
    if not selection.shots:
        return asked, []
    shots, notes = _shots(_labelled(folder, question), question, manner, selection, seed)
    return [replace(one, shots=shots) for one in asked], notes


def annotator_units(
    folder: ItemsFolder,
    question: Question,
    manner: Manner,
    shown_orders: Sequence[tuple[str, ...]],
    selection: Selection,
    seed: int,
) -> tuple[list[Unit], Asked, list[str]]:
    """A unit per item and annotator who judged it: the model is told who they are, and shown their own examples.

    Args:
        folder: As in :func:`item_units`.
        question: As there.
        manner: As there.
        shown_orders: As there.
        selection: As there, and what is said of people.
        seed: As there.

    Returns:
        As there.

    Raises:
        TableError: Nothing is known of the annotators, or nobody is named.
    """
    own = folder.annotations.filter(pl.col("question") == question.name)
    pairs = own.join(question.items.select("item_id"), on="item_id", how="semi")
    pairs = pairs.unique(["item_id", "annotator_id"], maintain_order=True).select("item_id", "annotator_id")
    if not len(pairs):
        raise TableError(f"{folder.path}: nobody's own answers to {question.name!r} are known in these splits.")
    columns = list(selection.describe_by) or [c for c in folder.raters.columns if c not in _NOT_SAID_OF_PEOPLE]
    absent = [c for c in columns if c not in folder.raters.columns]
    if absent:
        raise TableError(
            f"{folder.path}: raters have no column {absent[0]!r}; there are {quoted(folder.raters.columns)}."
        )
    if not columns and not selection.shots:
        raise TableError(
            f"{folder.path}: nothing is known of the annotators (raters has no further column); show examples of "
            "theirs: --shots 4."
        )
    personas = {row["annotator_id"]: persona_text(row, columns) for row in folder.raters.iter_rows(named=True)}
    examples: dict[str, tuple[Shot, ...]] = {}
    notes: list[str] = []
    if selection.shots:
        examples, notes = _own_shots(folder, question, manner, selection, seed, own)
    ids = question.items["item_id"].to_list()
    by_item = dict(zip(ids, asked_of(question.items, list(question.shown), wording=question.wording), strict=True))
    asked = [
        replace(by_item[item], persona=personas.get(person, ""), shots=examples.get(person, ()))
        for item, person in pairs.iter_rows()
    ]
    units = [
        unit_of(item, one, manner, orders=shown_orders, annotator_id=person)
        for (item, person), one in zip(pairs.iter_rows(), asked, strict=True)
    ]
    nameless = sum(not text for text in personas.values())
    if nameless and columns:
        notes.append(f"of {nameless} of {len(personas)} annotators nothing is known")
    return units, asked[0], notes


def _labelled(folder: ItemsFolder, question: Question) -> pl.DataFrame:
    """All items with the label of the question that is asked."""
    if question.name == folder.question:
        return folder.items
    gold = folder.targets.filter(pl.col("question") == question.name).select("item_id", "label")
    return (
        folder.items.drop("label", "reasons")
        .join(gold, on="item_id", how="left", maintain_order="left")
        .with_columns(reasons=pl.lit([], dtype=folder.items.schema["reasons"]))
    )


def _own_shots(
    folder: ItemsFolder, question: Question, manner: Manner, selection: Selection, seed: int, own: pl.DataFrame
) -> tuple[dict[str, tuple[Shot, ...]], list[str]]:
    """Each annotator's own answers in the split of examples; whoever has too few is shown none, and counted."""
    found, without = {}, 0
    text = pl.col("reason").fill_null("").alias("text")
    split = folder.items.filter(pl.col("split") == selection.shots_split).drop("label", "reasons")
    for (person,), rows in own.group_by("annotator_id", maintain_order=True):
        said = rows.unique("item_id", maintain_order=True).select(
            "item_id",
            pl.col("value").alias("label"),
            pl.concat_list(pl.struct("annotator_id", "value", text)).alias("reasons"),
        )
        try:
            found[str(person)], _ = _shots(split.join(said, on="item_id"), question, manner, selection, seed)
        except TableError:
            without += 1
    if not found:
        raise TableError(f"no annotator has {selection.shots} answers of their own in {selection.shots_split}.")
    note = f"{without} annotators have too few answers in {selection.shots_split}; they are shown no examples"
    return found, [note] if without else []


def _shots(
    items: pl.DataFrame, question: Question, manner: Manner, selection: Selection, seed: int
) -> tuple[tuple[Shot, ...], list[str]]:
    """Examples with the names that the model is shown."""
    reasons = manner.style.answer in ("label_and_reason", "reason_and_label")
    chosen = choose_shots(
        items, k=selection.shots, targets=question.items, options=question.options, split=selection.shots_split,
        seed=seed, reasons=reasons,
    )  # fmt: skip
    said = {option: given for given, option in reversed(question.says.items())}
    named = chosen.items.with_columns(pl.col("label").replace(said))
    if len(question.shown) > len(question.options):
        if manner.style.answer == "shares":
            raise TableError(
                "--map gives an option several names, over which people's shares cannot be spread in "
                "examples; leave out --shots."
            )
        named = named.drop("label_probs", strict=False)
    return as_shots(named, list(question.shown), wording=question.wording), list(chosen.notes)


def as_text(asked: Asked, manner: Manner) -> str:
    """The first prompt as a person would read it."""
    style = manner.first_style
    label_next = not manner.writes and style is manner.style
    turns = style.conversation(asked, chat=manner.chat and not style.plain_only, up_to_label=label_next)
    return "\n\n".join(turn.text if turn.role == "text" else f"[{turn.role}]\n{turn.text}" for turn in turns)
