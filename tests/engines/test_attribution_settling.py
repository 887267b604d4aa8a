"""As many points of integrated gradients as each input needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from naive_attribution import near
from tiny_families import tiny_loaded

from dfar_toolkit.engines.attribution.attributing import attribute
from dfar_toolkit.engines.attribution.gradient_batches import NO_MEMORY, AtPoint, Point
from dfar_toolkit.engines.attribution.nested_rules import nested_rules
from dfar_toolkit.engines.attribution.settling import Settled, settled_path
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


def test_rules_are_nested_and_exact_for_polynomials() -> None:
    rules = nested_rules()
    assert [len(rule.alphas) for rule in rules] == [9, 17, 33, 65, 129, 257]
    for coarse, fine in pairwise(rules):
        assert set(coarse.places) < set(fine.places)
    for rule in rules:
        assert np.array_equal(rule.alphas, rules[-1].alphas[list(rule.places)])
        assert (rule.weights > 0).all()
        for degree in (0, 1, len(rule.alphas) - 1):
            assert rule.weights @ rule.alphas**degree == pytest.approx(1 / (degree + 1), rel=1e-12)
    # At the ends of n = 8: 1 / (2 (n^2 - 1)).
    assert rules[0].weights[[0, -1]].tolist() == pytest.approx([1 / 126] * 2, rel=1e-12)


def test_smooth_inputs_stop_early_and_rough_ones_go_on() -> None:
    # Slopes of a^2 + a are of degree 1, which 9 points do; a wave of 8 turns takes more, of 300 turns too many.
    found, asked = settled(
        lambda a: (a * a + a, [2 * a, 1.0]),
        lambda a: (np.exp(20 * a), [20 * np.exp(20 * a)]),
        lambda a: (a + np.sin(50 * a) / 50, [1.0, np.cos(50 * a)]),
        lambda a: (a + np.sin(2000 * a), [1.0, 2000 * np.cos(2000 * a)]),
        lambda _: (3.0, [0.0, 0.0]),
    )
    smooth, steep, wave, rough, flat = found
    assert isinstance(smooth, Settled)
    assert (smooth.points, smooth.settled, smooth.empty, smooth.real) == (17, True, 0.0, 2.0)
    assert np.allclose(smooth.scores, [1, 1], rtol=1e-12)
    assert isinstance(steep, Settled)
    assert steep.settled
    assert steep.scores[0] == pytest.approx(np.exp(20) - 1, rel=0.01)
    assert isinstance(wave, Settled)
    assert wave.settled
    assert wave.points > smooth.points
    assert np.allclose(wave.scores, [1, np.sin(50) / 50], atol=1e-3)
    assert isinstance(rough, Settled)
    assert (rough.points, rough.settled) == (257, False)
    assert isinstance(flat, Settled)
    assert (flat.points, flat.settled) == (17, True)  # nothing changes, and nothing is missed
    assert asked == [one.points for one in (smooth, steep, wave, rough, flat)]


def test_a_sum_that_is_right_by_luck_settles_nothing() -> None:
    # The two scores swing against each other: their sum is right for every rule.
    (found,), _ = settled(lambda a: (a, [1 + 5 * np.cos(60 * a), -5 * np.cos(60 * a)]))
    assert isinstance(found, Settled)
    assert found.settled
    assert found.points > 17
    assert np.allclose(found.scores, [1 + np.sin(60) / 12, -np.sin(60) / 12], atol=0.02)


def test_what_fails_fails_alone() -> None:
    found, asked = settled(lambda a: (a, [1.0]), lambda a: NO_MEMORY if a > 0.4 else (a, [1.0]))
    assert isinstance(found[0], Settled)
    assert found[1] == NO_MEMORY
    assert asked == [17, 17]


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
        assert reply.points in (17, 33, 65, 129)
        assert reply.gaps["integrated_gradients"] <= 0.01
        assert reply.value == pytest.approx(wanted.value, rel=1e-4)
        for name, scores in reply.scores.items():
            assert near(scores, alone.scores[name]), name
            assert near(scores, wanted.scores[name], 0.01 if name == "integrated_gradients" else 2e-4), name
    (plain_gradient,) = answered([asked(TEXTS[0], methods=("gradient_l2",))])
    assert (plain_gradient.points, plain_gradient.settled) == (None, None)
