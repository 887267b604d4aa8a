"""How outputs files are read where a command takes several of them: renamed labels, splits, separator, filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from dfar_toolkit.errors import TableError

if TYPE_CHECKING:
    from dfar_toolkit.journeys.outputs import OutputsOptions


class HowRead(NamedTuple):
    """What ``dfar score`` is told about a file by options, for all files of a command together; hashable.

    ``label_map`` holds pairs of a model's label and the option it is; ``split`` the splits that rows are matched with;
    ``separator`` that of CSV files; ``method`` and ``by_position`` are about files of other tools.
    """

    label_map: tuple[tuple[str, str], ...] = ()
    split: tuple[str, ...] = ()
    separator: str | None = None
    method: str | None = None
    by_position: bool = False

    @property
    def renamed(self) -> dict[str, str] | None:
        """The labels' names, None where they stay as they are."""
        return dict(self.label_map) or None

    @property
    def splits(self) -> list[str] | None:
        """The splits, None for any."""
        return list(self.split) or None

    def options(self) -> OutputsOptions:
        """What is about files of other tools."""
        from dfar_toolkit.journeys.outputs import OutputsOptions  # polars is slow to import

        return OutputsOptions(method=self.method, by_position=self.by_position)

    def said(self) -> str:
        """What is said beside every number about labels that were renamed; empty where none was."""
        return f"labels renamed: {', '.join(f'{a} -> {b}' for a, b in self.label_map)}" if self.label_map else ""

    def words(self) -> list[str]:
        """The options of a command line that say the same.

        Example:
            >>> HowRead(label_map=(("wrong", "unethical"),), split=("test",), by_position=True).words()
            ['--map=wrong=unethical', '--split=test', '--by-position']
        """
        one = {"--separator": self.separator, "--method": self.method}
        return [
            *(f"--map={label}={option}" for label, option in self.label_map),
            *(f"--split={name}" for name in self.split),
            *(f"{name}={value}" for name, value in one.items() if value is not None),
            *(["--by-position"] if self.by_position else []),
        ]


AS_THEY_ARE: Final = HowRead()


def how_read(
    label_map: Mapping[str, str] | None = None,
    split: Sequence[str] | None = None,
    separator: str | None = None,
    method: str | None = None,
    by_position: bool = False,
) -> HowRead:
    """The same from what options give."""
    return HowRead(tuple((label_map or {}).items()), tuple(split or ()), separator, method, by_position)


def named_labels(given: Sequence[str] | None) -> dict[str, str] | None:
    """Pairs of ``--map``, given label to option.

    Args:
        given: What stood after each ``--map``.

    Returns:
        The pairs, None where there is none.

    Raises:
        TableError: They cannot be read.

    Example:
        >>> named_labels(["wrong=unethical,fine=ethical"])
        {'wrong': 'unethical', 'fine': 'ethical'}
    """
    if not given:
        return None
    text = ",".join(given)  # given once with all pairs, or again for each
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not pairs or any(not (a and sign and b) for a, sign, b in pairs):
        raise TableError(f"--map wants pairs such as wrong=unethical,fine=ethical, found {text!r}")
    named: dict[str, str] = {}
    for label, _, option in pairs:
        if named.setdefault(label, option) != option:
            raise TableError(f"--map gives two names for {label!r}")
    return named


def one_sign(separator: str | None) -> str | None:
    r"""Check ``--separator``: one character, or ``\t``.

    Raises:
        TableError: It is neither.

    Example:
        >>> one_sign(";"), one_sign(None)
        (';', None)
    """
    if separator is not None and len(separator) != 1 and separator != "\\t":
        raise TableError(f"--separator wants one character (or \\t), found {separator!r}")
    return separator
