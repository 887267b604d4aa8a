"""The words of an item that a rationale is made of, and the item without some of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.spans import WordUnit, word_spans

STATEMENT: Final = "statement"
OPTION: Final = "option:"  # what the field of an option's own text begins with

_SHOWN: Final = 60  # characters of a statement in a message

Operator = Literal["remove", "mask", "replace"]


class Word(NamedTuple):
    """A word of an item: the characters ``start`` to ``end`` of the text of a field."""

    field: str
    start: int
    end: int


def item_fields(asked: Asked) -> dict[str, str]:
    """The texts of an item by the names of their fields, in reading order: contexts, statement, texts of options.

    Raises:
        TableError: Two texts have the same name.

    Example:
        >>> item_fields(Asked("I lied.", options=("bad", "good"), option_texts=("It hurt.", None)))
        {'statement': 'I lied.', 'option:bad': 'It hurt.'}
    """
    named = [*((context.field, context.text) for context in asked.context), (STATEMENT, asked.statement)]
    own = zip(asked.options, asked.option_texts, strict=False)
    named += [(f"{OPTION}{name}", text) for name, text in own if text is not None]
    texts = dict(named)
    if len(texts) < len(named):
        names = [name for name, _ in named]
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(
            f"the item {asked.statement[:_SHOWN]!r} has two texts named {twice!r}, so that their words cannot be told "
            "apart; give its contexts other names."
        )
    return texts


def item_words(asked: Asked, *, fields: Sequence[str] | None = None, unit: WordUnit = "whitespace") -> tuple[Word, ...]:
    """The words of an item, in reading order.

    Args:
        asked: The item.
        fields: Only the words of these fields; None: of all.
        unit: What a word is; see :func:`~dfar_toolkit.spans.word_spans`.

    Returns:
        The words.

    Example:
        >>> item_words(Asked("I lied."))
        (Word(field='statement', start=0, end=1), Word(field='statement', start=2, end=7))
    """
    texts = item_fields(asked)
    chosen = [name for name in texts if fields is None or name in fields]
    return tuple(Word(name, *span) for name in chosen for span in word_spans(texts[name], unit=unit))


def without_words(
    asked: Asked,
    words: Sequence[Word],
    gone: Collection[int],
    *,
    operator: Operator = "remove",
    mask: str = "[MASK]",
    substitutes: Mapping[int, str] | None = None,
) -> Asked:
    """The item without some of its words.

    Args:
        asked: The item.
        words: Its words, from :func:`item_words`.
        gone: Indices of those that go.
        operator: ``remove``: cut out, with the blanks before the next word; ``mask``: each replaced by ``mask``;
            ``replace``: each replaced by its substitute.
        mask: What stands for a masked word.
        substitutes: For ``replace``, what stands for each word that goes.

    Returns:
        The item with other texts; all else is the same.

    Example:
        >>> asked = Asked("I lied to you.")
        >>> words = item_words(asked)
        >>> without_words(asked, words, {1}).statement, without_words(asked, words, {0, 3}, operator="mask").statement
        ('I to you.', '[MASK] lied to [MASK]')
    """
    texts = item_fields(asked)
    changed: dict[str, str] = {}
    instead = substitutes or {}
    for name in dict.fromkeys(words[place].field for place in gone):
        own = [(place, word) for place, word in enumerate(words) if word.field == name]
        pieces: list[str] = []
        end = 0
        for place, word in own:
            gap, end = texts[name][end : word.start], word.end
            if place in gone and operator == "remove":
                continue
            said = texts[name][word.start : word.end]
            if place in gone:
                said = mask if operator == "mask" else instead[place]
            pieces += [gap, said] if pieces or place == own[0][0] else [said]
        rest = texts[name][end:]
        changed[name] = "".join(pieces) + (rest if pieces else "")
    return with_texts(asked, changed)


def with_texts(asked: Asked, texts: Mapping[str, str]) -> Asked:
    """The item with other texts in some fields.

    Args:
        asked: The item.
        texts: By names of fields, as :func:`item_fields` has them.

    Returns:
        The item.
    """
    context = tuple(one._replace(text=texts.get(one.field, one.text)) for one in asked.context)
    own = tuple(
        text if text is None else texts.get(f"{OPTION}{name}", text)
        for name, text in zip(asked.options, asked.option_texts, strict=False)
    )
    return replace(asked, statement=texts.get(STATEMENT, asked.statement), context=context, option_texts=own)
