"""The card of a run, written beside its ``run.json``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.run_settings import in_words, write_whole
from dfar_toolkit.hub.connection import without_token
from dfar_toolkit.hub.model_card import is_untouched, render_model_card
from dfar_toolkit.hub.model_facts import base_on_hub, model_facts
from dfar_toolkit.hub.staged_model import CARD
from dfar_toolkit.hub.whole_model_folder import read_model_folder


def write_model_card(run: Path) -> str:
    """Write the README.md of a trained model into the folder of its run, whole or not at all.

    A card that is there is brought up to date, unless somebody has edited it: that one stays as it is.

    Args:
        run: Folder of the run, with its ``run.json``.

    Returns:
        What must be known; empty where there is nothing.

    Raises:
        TableError: The folder holds no model, or cannot be written.
    """
    card, path = run_card(run), run / CARD
    for torn in run.glob(f"{CARD}.tmp-dfar-*"):  # of a process that was killed while it wrote
        torn.unlink(missing_ok=True)
    there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    if there == card:
        return ""
    if there is not None and not is_untouched(there):
        return f"{CARD} in the run was written or edited by hand; it stays as it is"
    with in_words(run):
        write_whole(path, lambda place: place.write_text(card, encoding="utf-8"))
    return ""


def run_card(run: Path) -> str:
    """The card of a run as its folder gives it.

    Args:
        run: Folder of the run.

    Returns:
        The card.

    Raises:
        TableError: The folder holds no model, or a token stands in what the card would say.
    """
    found = read_model_folder(run)
    model = dataclasses.replace(found, base_model=found.base_model or base_on_hub(run))
    card = render_model_card(model, model_facts(run, model))
    if holds_token(card):
        raise TableError(f"{run}: its settings hold something that looks like a token; no card is written.")
    return card


def holds_token(text: str) -> bool:
    r"""Whether a text, escaped as Markdown or not, holds something that looks like a token.

    Args:
        text: Any text.

    Example:
        >>> holds_token(r"| key | hf\_abcdefghijklmnopqrstuvwxyz01234567 |"), holds_token("| r | 64 |")
        (True, False)
    """
    plain = text.replace("\\", "")
    return without_token(plain) != plain


def is_edited(run: Path) -> bool:
    """Whether the folder of a run holds a card that somebody has written or edited.

    Args:
        run: Folder of the run.
    """
    path = run / CARD
    return path.is_file() and not is_untouched(path.read_text(encoding="utf-8", errors="replace"))
