"""One colour and one letter per model: the same on every page, told apart without seeing colours too."""

from __future__ import annotations

from typing import Final

N_COLOURS: Final = 8  # of the style sheet: --run-0 to --run-7
PEOPLE: Final = "people"


def run_number(run: str, runs: tuple[str, ...] | list[str]) -> int:
    """The place of a run, which gives its colour (of eight) and its letter."""
    return list(runs).index(run) if run in runs else 0


def run_letter(place: int) -> str:
    """A, B, ... Z, AA, AB, ...

    Example:
        >>> run_letter(0), run_letter(25), run_letter(26)
        ('A', 'Z', 'AA')
    """
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
