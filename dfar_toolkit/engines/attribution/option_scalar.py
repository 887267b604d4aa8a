"""What a causal model says of an option, as one number that gradients are taken of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dfar_toolkit.engines.attribution.embedding_line import EmbeddingLine, Stretch
from dfar_toolkit.engines.attribution.kept_prefix import kept, prefixes_of, repeated
from dfar_toolkit.engines.attribution.target_values import Weighed, option_table, weighed
from dfar_toolkit.engines.forward_pass import ForwardPass, Held
from dfar_toolkit.engines.option_scoring import OptionJob
from dfar_toolkit.engines.requests import TargetKind
from dfar_toolkit.engines.shared_prefix import Tokens, Ways

_FORKED: Final = 8  # rows from which a second, short pass is made good by what it saves


@dataclass(frozen=True)
class OptionInput:
    """A prompt, and the options that its number is made of.

    Attributes:
        job: The prompt with those options; of each option one spelling.
        explained: Places in the prompt, rising.
        target: Number of the explained option in ``job.options``.
        contrast: Number of the option that is taken off; None: of none.
    """

    job: OptionJob
    explained: tuple[int, ...]
    target: int
    contrast: int | None

    @property
    def length(self) -> int:
        """Tokens of its longest row."""
        return self.job.length

    @property
    def rows(self) -> int:
        """Rows that it takes."""
        return self.job.rows


class OptionScalar:
    """Runs prompts with their options.

    Args:
        run: The model's pass.
        ways: What the model's cache allows.
        kind: Which number.

    Attributes:
        kind: Which number.
        model: The model.
        device: Where it is.
    """

    def __init__(self, run: ForwardPass, ways: Ways, kind: TargetKind) -> None:
        self._run, self._ways, self.kind = run, ways, kind
        self._prefix: Tokens = ()
        self._held: Held | None = None
        self._left: tuple[Tokens, Held | None] = ((), None)
        self.model, self.device = run.model, run.device

    def beginnings(self, inputs: Sequence[OptionInput], *, own: bool) -> list[Tokens]:
        """What rows begin with and is run once."""
        if not self._ways.holes:
            return [() for _ in inputs]
        return prefixes_of([one.job.prompt for one in inputs], [one.explained[0] for one in inputs], own=own)

    def begin(self, prefix: Tokens) -> None:
        """Runs a beginning, unless it was the last one that was run; what follows goes on from it."""
        if prefix and prefix != self._left[0]:
            self._held, self._left = None, ((), None)  # makes room first
            self._left = prefix, kept(self._run, prefix, early=self._ways.early)
        self._prefix, self._held = self._left if prefix else ((), None)

    def __call__(self, inputs: Sequence[OptionInput], line: EmbeddingLine) -> Weighed:
        """The numbers of a batch of inputs, which all begin with the prefix."""
        slots = max(len(one.job.prompt) for one in inputs) + max(one.length - len(one.job.prompt) for one in inputs)
        fits, done = self._ways.fits(slots), len(self._prefix)
        places = _Places()
        with line.on(self.model):
            if fits and len(inputs) >= _FORKED and all(len(one.job.prompt) > done + 1 for one in inputs):
                logits = self._forked(inputs, line, places)
            else:
                logits = self._whole(inputs, line, places, held=fits)
        return weighed(option_table(logits, places.asked(inputs), self.kind), inputs, self.kind)

    @property
    def held(self) -> Held | None:
        """What the beginning left."""
        return self._held

    def _forked(self, inputs: Sequence[OptionInput], line: EmbeddingLine, places: _Places) -> Any:
        """Prompts but for their last token, then that and the options: only those reach the model's last layer."""
        done = len(self._prefix)
        bodies = [one.job.prompt[done:-1] for one in inputs]
        line.expect(Stretch(range(len(inputs)), [done] * len(inputs), list(map(len, bodies))))
        before = repeated(self._held, len(inputs))
        held = self._run.left(bodies, held=before, early=self._ways.early, unmasked=True)
        branches = [(at, stem) for at, one in enumerate(inputs) for stem in one.job.stems or [()]]
        owners = [at for at, _ in branches]
        for row, (at, stem) in enumerate(branches):
            places.add(at, stem, row, 0)
        held = held if owners == list(range(len(inputs))) else held.select(owners)
        rows = [(inputs[at].job.prompt[-1], *stem) for at, stem in branches]
        line.expect(Stretch(owners, [len(inputs[at].job.prompt) - 1 for at in owners], [1] * len(owners)))
        return self._run(rows, places.wanted, held=held)[0]

    def _whole(self, inputs: Sequence[OptionInput], line: EmbeddingLine, places: _Places, *, held: bool) -> Any:
        """Every prompt with every option as a row of its own."""
        done = len(self._prefix) if held else 0
        rows: list[Tokens] = []
        owners: list[int] = []
        for at, one in enumerate(inputs):
            for stem in one.job.stems or [()]:
                places.add(at, stem, len(rows), len(one.job.prompt) - 1 - done)
                rows.append((*one.job.prompt[done:], *stem))
                owners.append(at)
        line.expect(Stretch(owners, [done] * len(rows), [len(inputs[at].job.prompt) - done for at in owners]))
        return self._run(rows, places.wanted, held=repeated(self._held, len(rows)) if held else None)[0]


class _Places:
    """Where the logits of each token stand."""

    def __init__(self) -> None:
        self.lines: dict[tuple[int, Tokens], int] = {}
        self.wanted: list[tuple[int, int]] = []

    def add(self, at: int, stem: Tokens, row: int, place: int) -> None:
        """The logits after the prompt, and after each token of a stem."""
        for end in range(len(stem) + 1):
            if (at, stem[:end]) not in self.lines:
                self.lines[at, stem[:end]] = len(self.wanted)
                self.wanted.append((row, place + end))

    def asked(self, inputs: Sequence[OptionInput]) -> list[tuple[int, int, int, int]]:
        """Quadruples of input, option, line and token."""
        return [
            (at, option, self.lines[at, tail[:end]], tail[end])
            for at, one in enumerate(inputs)
            for option, (tail,) in enumerate(one.job.options)
            for end in range(len(tail))
        ]
