"""A model whose weights are cut among processes (FSDP): what cannot be trained so, and what it can go on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import EngineError

_WEIGHTS: Final = "pytorch_model_fsdp*"  # beside a checkpoint's other files, where the model was cut


def cut_is_asked() -> bool:
    """Whether the launcher of this process asked for a model that is cut."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def check_cut(task: str, dtype: str = "") -> None:
    """Refuse what cannot be cut, before a model is loaded.

    Args:
        task: What is trained: ``causal``, ``classifier`` or ``ranker``.
        dtype: The type of the weights.

    Raises:
        EngineError: The launcher cuts the model, and it is a classifier or a ranker, or has weights of 4 bits.
    """
    if not cut_is_asked():
        return
    if task != "causal":
        raise EngineError(f"a {task} is not cut among processes (FSDP); launch it with ddp.yaml.")
    if dtype == "4bit":
        raise EngineError(
            "weights of 4 bits cannot be cut among processes (FSDP); launch it with ddp.yaml, or take the dtype bf16."
        )


def check_checkpoint(checkpoint: Path | None, *, cut: bool) -> None:
    """Refuse to go on from a checkpoint whose optimizer this way of training cannot read.

    Args:
        checkpoint: The checkpoint; None: the training begins.
        cut: Whether the model is cut now.

    Raises:
        EngineError: The model was cut when the checkpoint was made and is not now, or the other way round.
    """
    if checkpoint is None:
        return
    was = any(checkpoint.glob(_WEIGHTS))
    if was and not cut:
        raise EngineError(
            f"{checkpoint}: the model was cut among processes (FSDP) when this was written, and is whole now; go on "
            "with the launcher that began it (accelerate launch --config_file fsdp2.yaml), or begin anew (--fresh)."
        )
    if cut and not was:
        raise EngineError(
            f"{checkpoint}: the model was whole when this was written, and is cut among processes (FSDP) now; go on "
            "with the command that began it, or begin anew (--fresh)."
        )


def cut_notes(*, cut: bool) -> list[str]:
    """What must be known where a cut was asked for and there is none.

    Args:
        cut: Whether the model is cut.

    Example:
        >>> cut_notes(cut=True)
        []
    """
    if cut or not cut_is_asked():
        return []
    return [
        "the model was not cut among processes, though FSDP was asked for: without a GPU each process held it whole"
    ]
