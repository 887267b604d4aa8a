"""Whether a model keeps the documents of a packed row apart, and the pieces of one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dfar_toolkit.engines.device_memory import out_of_memory
from dfar_toolkit.finetune.documents import Document
from dfar_toolkit.finetune.objectives import WantedLogits, token_log_probabilities
from dfar_toolkit.finetune.packing import Layout, Pass, as_tensor, laid

# A neighbour's tokens must change nothing at all; beside the document alone there is rounding.
_NEIGHBOUR: Final = 1e-3
_ALONE: Final = {"float32": 1e-3, "float64": 1e-6}
_ALONE_HALF: Final = 0.1


class PackingCheck(NamedTuple):
    """What was found.

    Attributes:
        apart: Whether documents may be packed.
        neighbour: The largest change of a token's log-probability when the tokens of another piece are changed.
        alone: The mean difference from the same documents each in a row of its own.
        why: Why they may not be packed; else empty.
    """

    apart: bool
    neighbour: float
    alone: float
    why: str


def most_pieces(documents: Sequence[Document], rows: Sequence[Sequence[int]]) -> int:
    """Pieces in the row that has most; with fewer than two there is nothing to be kept apart.

    Args:
        documents: Documents.
        rows: Places of those that each row holds.
    """
    return max(sum(len(documents[place].pieces) for place in row) for row in rows)


def check_packing(
    model: Any, documents: Sequence[Document], rows: Sequence[Sequence[int]], layout: Layout, *, device: Any, pad: int
) -> PackingCheck:
    """Runs packed rows, the same with other tokens in the first piece, and the pieces each alone.

    Args:
        model: A causal model; its modes are as before afterwards.
        documents: Documents.
        rows: Places of those that each row holds.
        layout: The packed layout.
        device: Where the model is.
        pad: Token put after the end of rows.

    Returns:
        What was found; rows of one piece show nothing and pass.
    """
    import torch

    run = WantedLogits(model)
    if not run.positions:
        return PackingCheck(False, float("nan"), float("nan"), "the model takes no positions")
    if most_pieces(documents, rows) < 2:
        return PackingCheck(True, 0.0, 0.0, "")
    rows = sorted(rows, key=lambda row: -most_pieces(documents, [row]))
    packed = laid(documents, rows, layout, pad)
    changed = packed.input_ids.copy()
    first = len(documents[rows[0][0]].pieces[0])
    changed[0, :first] = (changed[0, :first] + 1) % (changed.max() + 1)
    single = laid(documents, [[place] for row in rows for place in row], layout._replace(packed=False), pad)
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad():
            one, other, alone = (
                _logs(run, model, each, device) for each in (packed, packed._replace(input_ids=changed), single)
            )
            kind = str(next(iter(model.parameters())).dtype).removeprefix("torch.")
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        if out_of_memory(error):
            raise
        why = f"the model does not take a packed row ({' '.join(str(error).split())[:120]})"
        return PackingCheck(False, float("nan"), float("nan"), why)
    finally:
        for module in training:
            module.training = True
    where = packed.rows[np.concatenate([packed.learned_state, packed.read_state])]
    rest = (where[:, 0] > 0) | (where[:, 1] >= first)
    neighbour = float(np.abs(one - other)[rest].max())
    difference = float(np.abs(one - alone).mean())
    if not neighbour <= _NEIGHBOUR:
        return PackingCheck(False, neighbour, difference, "a document sees its neighbours in the row")
    if not difference <= _ALONE.get(kind, _ALONE_HALF):
        return PackingCheck(False, neighbour, difference, "a document is read otherwise than alone")
    return PackingCheck(True, neighbour, difference, "")


def _logs(run: WantedLogits, model: Any, own: Pass, device: Any) -> Any:
    """Log-probabilities of the learned tokens and of the options' tokens."""
    import torch

    logits = run(model, own, device)
    states = torch.cat([as_tensor(own.learned_state, device), as_tensor(own.read_state, device)])
    tokens = torch.cat([as_tensor(own.learned[:, 1], device), as_tensor(own.reads[:, 2], device)])
    return token_log_probabilities(logits, states, tokens).cpu().numpy()
