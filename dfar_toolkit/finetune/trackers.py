"""Trackers of runs that others offer: only those that were asked for, and only if they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.head_runs import TENSORBOARD

TRACKERS: Final[dict[str, tuple[str, ...]]] = {  # by their names, packages of which one is needed
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}


def check_trackers(asked: Sequence[str]) -> tuple[str, ...]:
    """The trackers that were asked for, each once.

    Args:
        asked: Their names; empty: none, whatever is installed.

    Returns:
        The names.

    Raises:
        EngineError: An unknown name, or a tracker whose package is not installed.

    Example:
        >>> check_trackers([])
        ()
    """
    names = tuple(dict.fromkeys(asked))
    for name in names:
        if name not in TRACKERS:
            raise EngineError(f"unknown tracker {name!r}; wanted some of {', '.join(TRACKERS)}, or none.")
        if not any(importlib.util.find_spec(package) for package in TRACKERS[name]):
            package = TRACKERS[name][0]
            raise EngineError(
                f"the tracker {name} needs the package {package}, which is not installed: pip install {package}; or "
                "leave it out: log.jsonl is written always."
            )
    return names


def tracker_callbacks(asked: Sequence[str], folder: Path) -> list[Any]:
    """The callbacks of the trackers that were asked for.

    They go after the log's callback, whose numbers they then get, and the trainer's own ``report_to`` stays ``none``.

    Args:
        asked: As in :func:`check_trackers`.
        folder: Of the run; TensorBoard's files go into its ``tensorboard``, as the checkpoints are deleted in the end.

    Returns:
        Callbacks for a transformers trainer.

    Raises:
        EngineError: As :func:`check_trackers`, or the tracker's package is too old.
    """
    names = check_trackers(asked)
    if not names:
        return []
    import transformers.integrations

    made: Any = transformers.integrations
    try:
        found = [kind() for kind in made.get_reporting_integration_callbacks(list(names))]
    except (ImportError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise EngineError(f"the tracker {', '.join(names)} cannot be used here: {said}") from error
    for callback in found:
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(folder / TENSORBOARD)
    return found
