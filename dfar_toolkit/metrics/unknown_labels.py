"""What to say about labels that are no option: which were found, and which rename would mend them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

import polars as pl

_CLOSE: Final = 0.8  # difflib's ratio from which two spellings count as the same word
_SHOWN: Final = 5
_LONGEST: Final = 60


def unknown_labels_message(labels: pl.Series, options: Sequence[str]) -> str:
    r"""One line: the options, the labels found with their counts, and how to rename them.

    A rename is proposed only where a label is an option in other letters (case, a slip of the pen), never a label
    that merely ends in an option or the other way round: "ethical" is not a slip of "unethical".

    Args:
        labels: The labels that are no option, one per row.
        options: Names of the options.

    Returns:
        The message.

    Example:
        >>> unknown_labels_message(pl.Series("label_pred", ["Wrong"]), ["fine", "wrong"])
        'labels must be one of fine, wrong; found \'Wrong\' (1 times). Rename them with --map "Wrong=wrong".'
    """
    counts = labels.value_counts(sort=True).sort("count", labels.name, descending=[True, False])
    shown = ", ".join(f"{value[:_LONGEST]!r} ({count} times)" for value, count in counts.head(_SHOWN).iter_rows())
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    given = counts[labels.name].head(_SHOWN).to_list()
    near = {value: option for value in given if (option := _same_word(value, options)) is not None}
    renames = ",".join(f"{value}={option}" for value, option in near.items())
    message = f"labels must be one of {', '.join(options)}; found {shown}{more}. "
    if len(near) == len(given):
        return f'{message}Rename them with --map "{renames}".'
    one = f'--map "{renames}", the others with --map "GIVEN=OPTION"' if near else '--map "GIVEN=OPTION"'
    return f"{message}Rename them with {one}; text from which no label can be read belongs into raw, with label empty."


def _same_word(given: str, options: Sequence[str]) -> str | None:
    """The option that ``given`` is in other letters, where there is exactly one."""
    folded = {option: option.strip().casefold() for option in options}
    word = given.strip().casefold()
    equal = [option for option, text in folded.items() if text == word]
    if len(equal) == 1 and given.isprintable():
        return equal[0]
    related = {
        text: option
        for option, text in folded.items()
        if len(text.split()) == len(word.split()) and not (text.endswith(word) or word.endswith(text))
    }
    close = difflib.get_close_matches(word, list(related), n=1, cutoff=_CLOSE)
    return related[close[0]] if close and not equal and given.isprintable() else None
