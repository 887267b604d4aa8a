"""Where the card's prose lies: one finder for a checkout and for an installed wheel."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path

from dfar_toolkit.errors import TableError

PACKAGE = "dfar_toolkit._datacards"
_BESIDE = Path(__file__).resolve().parents[2] / "datacards"  # a checkout that was put on the path, not installed


def datacards_folder() -> Path:
    """The folder with the card's templates.

    In a checkout it is ``datacards/`` beside the package that runs (another one may be installed); in a wheel the
    package ``dfar_toolkit._datacards``.

    Returns:
        The folder; it holds ``card.md.jinja``.

    Raises:
        TableError: There is neither; the installation is not whole.

    Example:
        >>> (datacards_folder() / "card.md.jinja").is_file()
        True
    """
    if (_BESIDE / "card.md.jinja").is_file():
        return _BESIDE
    try:
        import_module(PACKAGE)
    except ModuleNotFoundError:
        folder = _BESIDE
    else:
        # A package on the file system: as_file hands out its own folder and copies nothing.
        with as_file(files(PACKAGE)) as found:
            folder = Path(found)
    if not (folder / "card.md.jinja").is_file():
        raise TableError(
            f"the templates of the card must lie in the package {PACKAGE}, found no card.md.jinja there; "
            "install dfar-toolkit again"
        )
    return folder
