"""As many points of integrated gradients as each input needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_attribution import near
from tiny_families import tiny_loaded

from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.attribution.gradient_batches import NO_MEMORY, AtPoint, Point
from dfar_toolkit.engines.attribution.settling import MOST, Settled, settled_path
from dfar_toolkit.engines.requests import Attribute, Attributed, Failed, ScoreOptions
from dfar_toolkit.prompts.conversation import plain
from dfar_toolkit.prompts.placing import Place

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

OPTIONS = ((" is fair to all",), (" is not fair",))
TEXTS = ("I lied to my friend.", "I paid.", "It is fair because I wanted to pay my neighbour for the work.")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Curves:
    """Stands for batches: each input is a curve whose slopes are known; counts what it is asked."""

    def __init__(self, curves: Sequence[Any]) -> None:
        self.curves, self.asked = curves, [list[float]() for _ in curves]

    def at(self, points: Sequence[Point], reductions: Sequence[str], *, own: bool = False) -> list[AtPoint | Failed]:
        assert own
        (name,) = reductions
        found: list[AtPoint | Failed] = []
        for point in points:
            self.asked[point.at].append(point.alpha)
            said = self.curves[point.at](point.alpha)
            found.append(said if isinstance(said, Failed) else AtPoint(said[0], {name: np.array(said[1])}))
        return found


def settled(*curves: Any) -> tuple[list[Settled | Failed], list[int]]:
    batches = Curves(curves)
    found = settled_path(batches, len(curves), "difference")  # type: ignore[arg-type]
    assert all(len(set(own)) == len(own) for own in batches.asked)  # no point is run twice
    return found, [len(own) for own in batches.asked]


def test_nine_points_do_what_is_smooth() -> None:
    # Boole's rule is exact to the fifth degree: slopes of a^6 + a; Simpson's misses it by too little to go on.
    found, asked = settled(
        lambda a: (a**6 + a, [6 * a**5, 1.0]),
        lambda _: (3.0, [0.0, 0.0]),  # nothing changes, and nothing is missed
        lambda a: (a, []),  # nothing is explained, so that the whole change is missed
    )
    smooth, flat, bare = found
    assert isinstance(smooth, Settled)
    assert smooth == (pytest.approx([1, 1], rel=1e-14), 0.0, 2.0, 9, True)
    assert isinstance(flat, Settled)
    assert (flat.points, flat.settled) == (9, True)
    assert isinstance(bare, Settled)
    assert not bare.settled
    assert asked == [9, 9, bare.points]


def test_by_hand() -> None:
    # Slopes that are 1 at 1/2 and 0 at the other 8 points: there two panels meet, of which Boole gives that end 7/90
    # and Simpson 1/6, of half of the way: 2 (1/2) (7/90) = 7/90, and 1/2 (1/6 - 7/90) = 2/45 off in each. The root of
    # two such squares is 0.06, more than 2 % of 7/90, and so both are halved. Of the four then the same is to be said
    # of those beside 1/2, with half of each number; the other two have nothing wrong and stay.
    def spike(alpha: float) -> tuple[float, list[float]]:
        return (0.0, [1.0 * (alpha == 0.5)])

    batches = Curves([spike])
    settled_path(batches, 1, "difference")  # type: ignore[arg-type]
    asked = batches.asked[0]
    assert sorted(asked[:9]) == [at / 8 for at in range(9)]
    assert sorted(asked[9:17]) == [at / 16 for at in (1, 3, 5, 7, 9, 11, 13, 15)]
    assert sorted(asked[17:25]) == [at / 32 for at in (9, 11, 13, 15, 17, 19, 21, 23)]


def test_where_only_the_sum_is_missed_the_panel_that_misses_it_is_halved() -> None:
    # Slopes of 1 everywhere are smooth for both rules; the value changes by 2 in the second half, of which the slopes
    # give half: its panel is 1/2 off, the other not. Halves of it are each 1/4 off, more than 2 % of the change leave.
    def curve(alpha: float) -> tuple[float, list[float]]:
        return (alpha + max(alpha - 0.5, 0), [1.0])

    batches = Curves([curve])
    (found,) = settled_path(batches, 1, "difference")  # type: ignore[arg-type]
    asked = batches.asked[0]
    assert sorted(asked[9:13]) == [at / 16 for at in (9, 11, 13, 15)]
    assert sorted(asked[13:21]) == [at / 32 for at in range(17, 32, 2)]
    assert isinstance(found, Settled)
    assert (found.points, found.settled) == (MOST, False)
    assert found.scores == pytest.approx([1.0])


def test_points_go_where_the_way_is_rough() -> None:
    # A step of a width of 1/200 at 0.3, as trained classifiers have them, beside a slow wave.
    def step(a: float) -> tuple[float, list[float]]:
        return (np.tanh(200 * (a - 0.3)), [200 / np.cosh(200 * (a - 0.3)) ** 2, 0.0])

    found, asked = settled(
        step,
        lambda a: (np.exp(20 * a), [20 * np.exp(20 * a)]),
        lambda a: (a + np.sin(50 * a) / 50, [1.0, np.cos(50 * a)]),
        lambda a: (a + np.sin(2000 * a), [1.0, 2000 * np.cos(2000 * a)]),
    )
    steep, growing, wave, rough = found
    assert isinstance(steep, Settled)
    assert steep.settled
    assert steep.points < 80  # 200 points of one rule for the whole way are wrong by 5 % and more
    assert steep.scores == pytest.approx([2, 0], rel=0.01)
    assert isinstance(growing, Settled)
    assert growing.settled
    assert growing.scores[0] == pytest.approx(np.exp(20) - 1, rel=0.01)
    assert isinstance(wave, Settled)
    assert wave.settled
    assert 9 < wave.points < MOST
    assert np.allclose(wave.scores, [1, np.sin(50) / 50], atol=0.01)
    assert isinstance(rough, Settled)
    assert (rough.points, rough.settled) == (MOST, False)
    assert asked == [one.points for one in (steep, growing, wave, rough)]


def test_a_sum_that_is_right_by_luck_settles_nothing() -> None:
    # The two scores swing against each other: their sum is right for every rule.
    (found,), _ = settled(lambda a: (a, [1 + 5 * np.cos(60 * a), -5 * np.cos(60 * a)]))
    assert isinstance(found, Settled)
    assert found.settled
    assert found.points > 17
    assert np.allclose(found.scores, [1 + np.sin(60) / 12, -np.sin(60) / 12], atol=0.02)


@given(
    places=st.lists(st.floats(0.02, 0.98), min_size=1, max_size=3),
    widths=st.lists(st.floats(3, 300), min_size=3, max_size=3),
    sizes=st.lists(st.floats(0.1, 3), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_what_has_settled_is_right(places: list[float], widths: list[float], sizes: list[float]) -> None:
    """One token for each step of the way, whose integral is known; none takes off what another adds to the sum.

    The sum may miss 1 % of three steps, which is 3 % of the largest, and the rules add their own.
    """

    def parts(alpha: float) -> list[float]:
        return [size * np.tanh(w * (alpha - at)) for at, w, size in zip(places, widths, sizes, strict=False)]

    def curve(alpha: float) -> tuple[float, list[float]]:
        slopes = [
            size * w / np.cosh(min(abs(w * (alpha - at)), 300)) ** 2
            for at, w, size in zip(places, widths, sizes, strict=False)
        ]
        return sum(parts(alpha)), slopes

    (found,), _ = settled(curve)
    assert isinstance(found, Settled)
    right = np.array(parts(1.0)) - parts(0.0)
    if found.settled:
        assert np.abs(found.scores - right).max() <= 0.05 * np.abs(right).max()


def test_what_lies_between_points_and_cancels_in_the_sum_is_not_seen() -> None:
    # Two steps of a width of 1/300 at 0.3, one up and one down, beside a slow one: no point of the nine is near them.
    def curve(alpha: float) -> tuple[float, list[float]]:
        steep, slow = 300 / np.cosh(300 * (alpha - 0.3)) ** 2, 3 / np.cosh(3 * (alpha - 0.5)) ** 2
        return (np.tanh(3 * (alpha - 0.5)), [steep, -steep, slow])

    (found,), _ = settled(curve)
    assert isinstance(found, Settled)
    assert (found.points, found.settled) == (9, True)
    assert found.scores == pytest.approx([0, 0, 2 * np.tanh(1.5)], abs=0.01)  # of the first two 2 and -2 would be right


def test_a_jump_that_the_grid_cannot_cut_leaves_points_to_the_rest() -> None:
    # One slope of 3000 at a place of the grid stays the roughest panel whatever is halved.
    def slopes(alpha: float) -> tuple[float, list[float]]:
        return (np.tanh(40 * (alpha - 0.7)), [40 / np.cosh(40 * (alpha - 0.7)) ** 2, 3000.0 * (alpha == 0.25)])

    (found,), (asked,) = settled(slopes)
    assert isinstance(found, Settled)
    assert (found.points, found.settled, asked) == (MOST, False, MOST)
    assert found.scores[0] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_no_points_are_run_for_what_is_not_finite(bad: float) -> None:
    found, asked = settled(
        lambda a: (bad if a == 0 else a, [1.0]),
        lambda a: (bad if a == 1 else a, [1.0]),
        lambda a: (a, [bad if a == 0.5 else 1.0, 0.0]),
    )
    assert [one.settled for one in found if isinstance(one, Settled)] == [False] * 3
    assert asked == [9] * 3


def test_what_fails_fails_alone() -> None:
    found, asked = settled(lambda a: (a, [1.0]), lambda a: NO_MEMORY if a > 0.4 else (a, [1.0]))
    assert isinstance(found[0], Settled)
    assert found[1] == NO_MEMORY
    assert asked == [9, 9]


def asked(text: str, **how: Any) -> Attribute:
    head = "Is it ethical or unethical?"
    places = (Place(0, 0, len(head) + 1, len(head) + 1 + len(text)),)
    settings = {"methods": ("integrated_gradients",), "steps": "auto"} | how
    return Attribute(ScoreOptions(plain(f"{head} {text} Answer:"), OPTIONS), 0, places, **settings)


def answered(requests: Sequence[Attribute]) -> list[Attributed]:
    found = attribute(tiny_loaded(), requests, budget=8192)
    assert all(isinstance(reply, Attributed) for reply in found), found
    return found  # type: ignore[return-value]


def test_as_three_hundred_points_and_batched_as_alone() -> None:
    with_others = ("integrated_gradients", "input_x_gradient", "gradient_l2")
    requests = [asked(text, methods=with_others if at else ("integrated_gradients",)) for at, text in enumerate(TEXTS)]
    together = answered(requests)
    fine = answered([asked(text, steps=300, methods=with_others) for text in TEXTS])
    for request, reply, wanted in zip(requests, together, fine, strict=True):
        (alone,) = answered([request])
        assert (reply.points, reply.settled) == (alone.points, True)
        assert (wanted.points, wanted.settled) == (300, None)
        assert reply.points is not None
        assert 17 <= reply.points <= MOST
        assert reply.gaps["integrated_gradients"] <= 0.01
        assert reply.value == pytest.approx(wanted.value, rel=1e-4)
        for name, scores in reply.scores.items():
            assert near(scores, alone.scores[name]), name
            assert near(scores, wanted.scores[name], 0.01 if name == "integrated_gradients" else 2e-4), name
    (plain_gradient,) = answered([asked(TEXTS[0], methods=("gradient_l2",))])
    assert (plain_gradient.points, plain_gradient.settled) == (None, None)
