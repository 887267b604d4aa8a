r"""Points on the line from nothing to the input, put in where the model looks its embeddings up.

With \(x\) the embeddings of a row and \(b\) the baseline, the model reads \(b + \alpha (x - b)\) at the explained
tokens and \(x\) at all others. This is a hook on the embedding module's output: the model still gets its token ids, so
that whatever else it reads off them (padding, the last token) stays right, and models that take no embeddings work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from dfar_toolkit.errors import EngineError


class Stretch(NamedTuple):
    """Rows of one pass.

    Attributes:
        owners: For each row the number of its point within the batch.
        starts: For each row the place of its first token within its input.
        lengths: For each row its tokens that may be explained; what follows them is not.
    """

    owners: Sequence[int]
    starts: Sequence[int]
    lengths: Sequence[int]

    def tokens(self, explained: Sequence[Any]) -> tuple[Any, Any, Any]:
        """The explained tokens of the pass.

        Args:
            explained: For each point of the batch the places of its input that are explained, an array.

        Returns:
            For each token its row, its place in the row, and its number among the explained ones of its input.

        Example:
            >>> import numpy as np
            >>> pass_ = Stretch(owners=[0, 1], starts=[4, 4], lengths=[3, 3])
            >>> [found.tolist() for found in pass_.tokens([np.array([3, 5]), np.array([4, 6, 7])])]
            [[0, 1, 1], [1, 0, 2], [1, 0, 1]]
        """
        import numpy as np

        own = [explained[owner] for owner in self.owners]
        counts = np.array([len(places) for places in own], dtype=np.int64)
        rows = np.repeat(np.arange(len(own)), counts)
        numbers = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        places = np.concatenate(own) - np.asarray(self.starts)[rows]
        inside = (places >= 0) & (places < np.asarray(self.lengths)[rows])
        return rows[inside], places[inside], numbers[inside]


class Read(NamedTuple):
    """What a model read in one pass.

    Attributes:
        stretch: The rows.
        leaf: Embeddings at the point, (rows, width, hidden); gradients are taken of them.
        difference: Input less baseline, of the same shape.
    """

    stretch: Stretch
    leaf: Any
    difference: Any


class EmbeddingLine:
    """Replaces embeddings while a model runs.

    Args:
        alphas: For each point of the batch how far it is on the way from nothing (0) to the input (1).
        explained: For each point the places of its input that are explained, an array of whole numbers.
        nothing: The baseline's embedding, (hidden,).
        apart: Whether the difference of input and baseline is asked for; else it may be left out.

    Attributes:
        reads: What the model read, pass by pass.
    """

    def __init__(self, alphas: Sequence[float], explained: Sequence[Any], nothing: Any, *, apart: bool = True) -> None:
        self._alphas, self._explained, self._nothing, self._apart = alphas, explained, nothing, apart
        self._next: Stretch | None = None
        self.reads: list[Read] = []

    def expect(self, stretch: Stretch) -> None:
        """Says what the next pass is about."""
        self._next = stretch

    @contextmanager
    def on(self, model: Any) -> Iterator[None]:
        """Within this the model reads the points."""
        hook = model.get_input_embeddings().register_forward_hook(self._moved)
        try:
            yield
        finally:
            hook.remove()

    def _moved(self, _module: Any, _args: Any, output: Any) -> Any:
        import torch

        stretch = self._next
        if stretch is None or output.ndim != 3 or output.shape[0] != len(stretch.owners):
            raise EngineError(
                "the model looks its embeddings up in another way than row by row, once a pass; its tokens cannot be "
                "explained by gradients. Use leave_one_out, occlusion or a prompted rationale."
            )
        self._next = None
        real = output.detach()
        point, difference = real.clone(), real
        if self._apart or any(self._alphas[owner] != 1 for owner in stretch.owners):
            marks = self._marks(stretch, output.shape[1], output.device)
            full = real.float() if real.dtype in (torch.float16, torch.bfloat16) else real
            difference = (full - self._nothing.to(full)) * marks
            missing = torch.tensor([1 - self._alphas[owner] for owner in stretch.owners], dtype=torch.float64).to(full)
            point = (full - missing[:, None, None] * difference).to(real.dtype)
        leaf = point.requires_grad_()
        self.reads.append(Read(stretch, leaf, difference))
        return leaf

    def _marks(self, stretch: Stretch, width: int, device: Any) -> Any:
        """(rows, width, 1), 1 where a token is explained."""
        import numpy as np
        import torch

        marks = np.zeros((len(stretch.owners), width, 1), dtype=np.float32)
        rows, places, _ = stretch.tokens(self._explained)
        marks[rows, places] = 1.0
        return torch.from_numpy(marks).to(device)
