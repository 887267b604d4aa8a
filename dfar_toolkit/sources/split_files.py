"""Files that are named by set and split, found in a folder or its sub-folders."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources.layout import folders_with
from dfar_toolkit.tabular import nearest, quoted


def split_files(
    raw: Path, set_and_split: Callable[[str], tuple[str, str] | None], *, what: str, splits: Sequence[str]
) -> dict[str, dict[str, Path]]:
    """Set -> split -> file, splits in the order of ``splits``.

    Args:
        raw: The folder, or one whose sub-folders hold the files.
        set_and_split: The set and the split that a file name stands for; None for other files.
        what: The wanted files in words, for the error.
        splits: All splits there can be.

    Raises:
        SourceError: No such file, or two files for one split of a set.

    Example:
        >>> import tempfile
        >>> raw = Path(tempfile.mkdtemp())
        >>> _ = (raw / "a_test.csv").write_text("x")
        >>> list(split_files(raw, lambda name: ("a", "test"), what="a_test.csv", splits=["test"])["a"])
        ['test']
    """
    found: dict[str, dict[str, Path]] = {}
    for paths in folders_with(raw, lambda name: set_and_split(name) is not None, what=what).values():
        for path in paths:
            name, split = set_and_split(path.name) or ("", "")
            other = found.setdefault(name, {}).setdefault(split, path)
            if other != path:
                names = quoted(sorted(str(p.relative_to(raw)) for p in (other, path)))
                raise SourceError(f"{raw}: found two files for the split {split}, {names}; keep one of them here.")
    return {name: {split: files[split] for split in splits if split in files} for name, files in found.items()}


def chosen_set(raw: Path, set_name: str, *, source: str, sets: Sequence[str], present: Collection[str]) -> str:
    """The name of the set to read, or why there is no telling.

    Args:
        raw: The folder, for the error.
        set_name: As the user gave it; empty where none was.
        source: Name of the source.
        sets: All sets of the source.
        present: The sets that the files can give and that may be meant where none is named.

    Raises:
        SourceError: An unknown set, or none named and several there.

    Example:
        >>> chosen_set(Path("raw"), "", source="ethics", sets=["justice", "commonsense"], present=["justice"])
        'justice'
    """
    name = set_name.strip().lower()
    if name:
        if name not in sets:
            raise SourceError(
                f"{source} has no set {quoted([set_name])}; known are {quoted(sets)}.{nearest(name, sets)}"
            )
        return name
    if len(present) != 1:
        first = next(name for name in sets if name in present)
        raise SourceError(f"{raw}: found several sets ({quoted(present)}); name one, as in {source}:{first}.")
    return next(iter(present))
