"""Batches of about equal lengths that hold no more tokens than a budget."""

from __future__ import annotations

from collections.abc import Sequence


def token_batches(
    lengths: Sequence[int], budget: int, *, rows: Sequence[int] | None = None, padding: int | None = None
) -> list[list[int]]:
    """Cuts things, the longest first, so that rows times the longest length stay within a budget.

    Args:
        lengths: Tokens of each thing.
        budget: Tokens of a batch at most, padding included; a thing that alone has more is a batch of its own.
        rows: Rows that each thing takes; None: one each.
        padding: Tokens of a batch that may be padding; None: any number.

    Returns:
        Places of the things, batch by batch; each thing once; equal lengths in the order given.

    Raises:
        ValueError: A budget below 1.

    Example:
        >>> token_batches([3, 9, 4, 8], 18)
        [[1, 3], [2, 0]]
        >>> token_batches([3, 3, 3], 9, rows=[1, 3, 1])
        [[0], [1], [2]]
        >>> token_batches([9, 3, 2, 8], 99, padding=1)
        [[0, 3], [1, 2]]
    """
    if budget < 1:
        raise ValueError(f"the budget of tokens must be 1 or more, found {budget}.")
    batches: list[list[int]] = []
    width = held = spare = 0
    for place in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        own = 1 if rows is None else rows[place]
        spare += own * (width - lengths[place])
        if batches and (held + own) * width <= budget and (padding is None or spare <= padding):
            batches[-1].append(place)
            held += own
        else:
            batches.append([place])
            width, held, spare = max(lengths[place], 1), own, 0
    return batches
