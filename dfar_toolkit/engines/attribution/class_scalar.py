"""What a sequence classifier says of a class, as one number that gradients are taken of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dfar_toolkit.engines.attribution.embedding_line import EmbeddingLine, Stretch
from dfar_toolkit.engines.attribution.target_values import Weighed, weighed
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.requests import TargetKind


@dataclass(frozen=True)
class ClassInput:
    """A text, and the classes that its number is made of.

    Attributes:
        encoded: What the tokenizer makes of it: ``input_ids``, ``attention_mask``, ``token_type_ids``.
        explained: Places of its tokens, rising.
        target: Number of the explained class.
        contrast: Number of the class that is taken off; None: of none.
    """

    encoded: dict[str, list[int]]
    explained: tuple[int, ...]
    target: int
    contrast: int | None

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.encoded["input_ids"])

    @property
    def rows(self) -> int:
        """Rows that it takes."""
        return 1


class ClassScalar:
    """Runs texts through a classifier.

    Args:
        loaded: The classifier.
        kind: Which number.
    """

    def __init__(self, loaded: LoadedModel, kind: TargetKind) -> None:
        self._kind = kind
        self.model, self.device = loaded.model, loaded.model.device

    def beginnings(self, inputs: Sequence[ClassInput], *, own: bool) -> list[tuple[int, ...]]:
        """Nothing is run once for several rows: a classifier may look ahead."""
        return [() for _ in inputs]

    def begin(self, prefix: tuple[int, ...]) -> None:
        """There is no beginning."""

    def __call__(self, inputs: Sequence[ClassInput], line: EmbeddingLine) -> Weighed:
        """The numbers of a batch of inputs."""
        count = len(inputs)
        line.expect(Stretch(range(count), [0] * count, [one.length for one in inputs]))
        with _padding(self.model, inputs) as pad, line.on(self.model):
            logits = self.model(**self._tensors(inputs, pad)).logits
        logits = logits.float()
        return weighed(logits if self._kind == "logit" else logits.log_softmax(-1), inputs, self._kind)

    def _tensors(self, inputs: Sequence[ClassInput], pad: int) -> dict[str, Any]:
        import torch

        width = max(one.length for one in inputs)
        filling = {"input_ids": pad, "token_type_ids": 0, "attention_mask": 0}
        return {
            key: torch.tensor(
                [[*one.encoded[key], *[filling[key]] * (width - one.length)] for one in inputs], device=self.device
            )
            for key in inputs[0].encoded
            if key in filling
        }


@contextmanager
def _padding(model: Any, inputs: Sequence[ClassInput]) -> Iterator[int]:
    """The padding token; decoders classify at the last token that is none, so that one must be set for the time."""
    config = model.config.get_text_config()
    known = config.pad_token_id
    if known is not None:
        yield int(known)
        return
    held = {token for one in inputs for token in one.encoded["input_ids"]}
    try:
        config.pad_token_id = next(token for token in range(len(held) + 1) if token not in held)
        yield config.pad_token_id
    finally:
        config.pad_token_id = None
