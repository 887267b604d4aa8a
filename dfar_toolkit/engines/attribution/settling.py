r"""Integrated gradients with as many points as each input needs, where it needs them.

The way from the baseline to the input is cut into panels. Of a panel with five points at equal distances Boole's rule
\(B\) uses all, Simpson's rule \(S\) the two ends and the middle; their difference says how rough the panel is, and a
panel that is halved keeps its points. Trained models often change within a short stretch of the way, where rules for
the whole way have few points.

References: Lyness (1969), Journal of the ACM 16, 483-495 (halving by the difference of two rules); Abramowitz and
Stegun (1972), 25.4.6 and 25.4.14 (Simpson's and Boole's rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dfar_toolkit.engines.attribution.gradient_batches import AtPoint, Point, Points
from dfar_toolkit.engines.requests import Failed

MOST: Final = 257  # points of an input
GAP_SETTLED: Final = 0.01  # of f(x) - f(baseline)
ROUGHNESS_SETTLED: Final = 0.02  # of the largest score; see settled_path
_BOOLE: Final = np.array([7, 32, 12, 32, 7]) / 90
_SIMPSON: Final = np.array([1, 0, 4, 0, 1]) / 6
_GRID: Final = 4096  # places on the way that points can have
_PANELS: Final = 2  # at first
_LEAVES: Final = 0.8  # of the roughness that is settled: what panels that are not halved may have together
_GAPS_LEAVE: Final = 2.0  # of the gap that is settled: gaps of panels partly cancel, and these are sizes


class Settled(NamedTuple):
    """An input's integral.

    Attributes:
        scores: One number per explained token, a float64 array.
        empty: The value at the baseline.
        real: The value at the input.
        points: Points that were run.
        settled: Whether they were enough; else no more could be run, or a number was not finite.
    """

    scores: Any
    empty: float
    real: float
    points: int
    settled: bool


class _Panel(NamedTuple):
    """A stretch of the way, in steps of the grid: where it starts, and a quarter of its width."""

    start: int
    quarter: int

    @property
    def places(self) -> list[int]:
        return [self.start + self.quarter * at for at in range(5)]

    def halves(self) -> list[_Panel]:
        half = self.quarter // 2
        return [_Panel(self.start, half), _Panel(self.start + 4 * half, half)]


class _Part(NamedTuple):
    """What two rules say of a panel.

    Attributes:
        boole: Boole's integral, (tokens,).
        rough: How far Simpson's is from it, (tokens,).
        gap: How far the sum of Boole's is from the change of the value over the panel.
    """

    boole: Any
    rough: Any
    gap: float


class _Path:
    """What is known of the way to an input."""

    def __init__(self, reduction: str) -> None:
        quarter = _GRID // (4 * _PANELS)
        self.panels = [_Panel(4 * quarter * at, quarter) for at in range(_PANELS)]
        self.seen: dict[int, AtPoint] = {}
        self._reduction = reduction
        self._parts: dict[_Panel, _Part] = {}

    def missing(self) -> list[int]:
        """Places that its panels need and that were not run yet, rising."""
        return sorted({place for panel in self.panels for place in panel.places} - self.seen.keys())

    def judged(self) -> Settled:
        """The integral by now; where it has not settled, the worst panels are halved, as far as points are left."""
        empty, real, points = self.seen[0].value, self.seen[_GRID].value, len(self.seen)
        with np.errstate(invalid="ignore"):
            parts = [self._part(panel) for panel in self.panels]
            scores = np.sum([part.boole for part in parts], axis=0)
        if not (np.isfinite([empty, real]).all() and np.isfinite(scores).all()):
            return Settled(scores, empty, real, points, settled=False)  # more points mend nothing
        squares = np.array([part.rough for part in parts]) ** 2  # (panels, tokens)
        most = ROUGHNESS_SETTLED * np.abs(scores).max(initial=0.0)
        smooth = bool(np.sqrt(squares.sum(axis=0)).max(initial=0.0) <= most)
        gap = GAP_SETTLED * abs(real - empty)
        whole = bool(abs(float(scores.sum()) - (real - empty)) <= gap)
        if not smooth:
            self._halve(squares, (_LEAVES * most) ** 2)
        elif not whole:
            self._halve(np.array([[part.gap] for part in parts]), _GAPS_LEAVE * gap)
        return Settled(scores, empty, real, points, smooth and whole)

    def _part(self, panel: _Panel) -> _Part:
        """Both rules on a panel."""
        if panel not in self._parts:
            seen = [self.seen[place] for place in panel.places]
            values = np.array([point.scores[self._reduction] for point in seen])
            width = 4 * panel.quarter / _GRID
            boole = width * (_BOOLE @ values)
            gap = abs(float(boole.sum()) - (seen[-1].value - seen[0].value))
            self._parts[panel] = _Part(boole, width * np.abs((_BOOLE - _SIMPSON) @ values), gap)
        return self._parts[panel]

    def _halve(self, sizes: Any, leave: float) -> None:
        """Of the panels that are wide enough as few as leave no more, the largest first; each takes four more points.

        Args:
            sizes: What is wrong with each panel, (panels, tokens).
            leave: Up to what sum over the panels that stay no token asks for more.
        """
        room = (MOST - len(self.seen)) // 4
        rest, chosen = sizes.sum(axis=0), set[int]()
        for at in np.argsort(-sizes.max(axis=1, initial=0.0), kind="stable").tolist():
            if len(chosen) >= room or (chosen and rest.max(initial=0.0) <= leave):
                break
            if self.panels[at].quarter > 1:
                chosen.add(at)
                rest = rest - sizes[at]
        self.panels = [
            own
            for at, panel in enumerate(self.panels)
            for own in (panel.halves() if at in chosen else [panel])
        ]  # fmt: skip


def settled_path(batches: Points, count: int, reduction: str) -> list[Settled | Failed]:
    r"""Integrals over more and more panels; an input goes on until it has settled, or has 257 points.

    It has settled where the scores sum to \(f(x) - f(b)\) within 1 % of that, which alone can be right by luck, and for
    no token \(\sqrt{\sum_p (B_p - S_p)^2}\) over the panels is more than 2 % of the largest score. That is about the
    error of Simpson's rule; that of Boole's is far smaller: of 760 inputs of ten random models four settled with a
    score that is wrong by more than 1 % of the largest (1.5 % at most). A change between two points that hardly
    alters the sum is not seen. Where it has not settled, as few panels are halved as bring the roughness of the rest
    below four fifths of what may be; or, where only the sum is missed, those that miss it, as the values at their ends
    say. Only new points are run, those of all inputs that go on together. With P points of an input and T explained
    tokens the arithmetic grows with P T.

    Args:
        batches: What runs points.
        count: Number of inputs.
        reduction: What is integrated.

    Returns:
        One per input, in order.
    """
    paths = [_Path(reduction) for _ in range(count)]
    found: dict[int, Settled | Failed] = {}
    while len(found) < count:
        going = [at for at in range(count) if at not in found]
        new = [(at, place) for at in going for place in paths[at].missing()]
        replies: Sequence[AtPoint | Failed] = batches.at(
            [Point(at, place / _GRID) for at, place in new], (reduction,), own=True
        )
        for (at, place), reply in zip(new, replies, strict=True):
            if isinstance(reply, Failed):
                found[at] = reply
            else:
                paths[at].seen[place] = reply
        for at in going:
            if at not in found:
                now = paths[at].judged()
                if now.settled or not paths[at].missing():
                    found[at] = now
    return [found[at] for at in range(count)]
