"""Simulated populations of items and raters, and samples of ratings from them, for benchmarks/agreement_coverage.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.cells import Cells

Array = npt.NDArray[Any]

SHARES = {"nominal": np.array([0.45, 0.25, 0.2, 0.1]), "rare": np.array([0.95, 0.05])}
OF_ITEMS, OF_RATERS, ERROR = 1.0, 0.45**2, 0.7**2  # variances of numbers


@dataclass(frozen=True)
class Design:
    """Items, raters and values of a sample.

    ``per_item`` ratings of each item: by all ``n_raters`` where equal, else by some at random. ``raters`` are fixed, or
    new in every sample, or new for every item. Items in turn share two thirds of their variance where ``group_size`` is
    more than 1. ``questions`` are about the same items, or about other ones where ``apart``.
    """

    name: str
    values: Literal["nominal", "rare", "ordinal", "numbers"]
    n_raters: int
    per_item: int
    raters: Literal["fixed", "new", "new for every item"] = "fixed"
    group_size: int = 1
    questions: int = 1
    apart: bool = False


class Raters(NamedTuple):
    """What is peculiar to each rater: how often they see what there is, how high they place it, and what they guess."""

    skill: Array
    height: Array
    guess: Array


def raters_of(design: Design, n: int, rng: np.random.Generator) -> Raters:
    share = SHARES.get(design.values, np.ones(2) / 2)
    return Raters(rng.normal(1.0, 0.7, n), rng.normal(0, np.sqrt(OF_RATERS), n), rng.dirichlet(20 * share, n))


def draw(design: Design, n_items: int, raters: Raters | None, rng: np.random.Generator) -> list[Cells]:
    """One sample: the ratings of each question. Without ``raters``, nobody rates two items."""
    n = n_items + (-n_items) % design.group_size
    item = np.repeat(np.arange(n), design.per_item)
    lonely = raters is None
    raters = raters_of(design, len(item), rng) if raters is None else raters
    who = np.arange(len(item)) if lonely else assigned(design, n, rng)
    traits = [item_traits(design, n, rng) for _ in range(2)]
    found = []
    for question in range(design.questions):
        if design.questions > 1:  # alike, and the second one harder
            traits = traits if not (design.apart and question) else [item_traits(design, n, rng) for _ in range(2)]
            latent, hard = (0.8 * trait + 0.6 * item_traits(design, n, rng) for trait in traits)
            hard = hard + question
        else:
            latent, hard = traits
        value = rated(design, latent, hard, item, who, raters, rng)
        found.append(as_cells(item, who, value, design, first=n * question if design.apart else 0))
    return found


def item_traits(design: Design, n: int, rng: np.random.Generator) -> Array:
    """A standard normal number per item, two thirds of its variance the group's where items come in groups."""
    own = rng.normal(size=n)
    if design.group_size == 1:
        return own
    of_group = np.repeat(rng.normal(size=n // design.group_size), design.group_size)
    return np.asarray(np.sqrt(2 / 3) * of_group + np.sqrt(1 / 3) * own)


def assigned(design: Design, n: int, rng: np.random.Generator) -> Array:
    """The raters of the items, one after the other (N m,)."""
    m, n_raters = design.per_item, design.n_raters
    if m == n_raters:
        return np.tile(np.arange(n_raters), n)
    step = rng.integers(1, n_raters // m, n)  # different raters: start, start + step, ...
    return np.sort((rng.integers(0, n_raters, n)[:, None] + np.arange(m) * step[:, None]) % n_raters, axis=1).ravel()


def rated(
    design: Design, latent: Array, hard: Array, item: Array, who: Array, raters: Raters, rng: np.random.Generator
) -> Array:
    """The values given (N m,)."""
    from scipy.special import expit, ndtr

    if design.values == "numbers":
        return np.asarray(latent[item] + raters.height[who] + rng.normal(0, np.sqrt(ERROR), len(item)))
    if design.values == "ordinal":
        seen = latent[item] + raters.height[who] + rng.normal(0, 0.7 + 0.4 * ndtr(hard[item]), len(item))
        return np.digitize(seen, [-1.2, -0.4, 0.4, 1.2])
    there = np.searchsorted(np.cumsum(SHARES[design.values])[:-1], ndtr(latent))
    sees = rng.random(len(item)) < expit(raters.skill[who] - hard[item])
    edges = np.cumsum(raters.guess[who], axis=1)[:, :-1]
    guessed = (rng.random(len(item))[:, None] > edges).sum(axis=1)
    return np.where(sees, there[item], guessed)


def as_cells(item: Array, who: Array, value: Array, design: Design, *, first: int) -> Cells:
    used, rater = np.unique(who, return_inverse=True)
    values, code = np.unique(value, return_inverse=True)
    n = int(item[-1]) + 1
    group = None if design.group_size == 1 else np.arange(n) // design.group_size
    names = pl.Series(np.arange(first, first + n))
    return Cells(item, rater, code, names, pl.Series(used), pl.Series(values), group, pl.DataFrame())


def as_frame(cells: Cells) -> pl.DataFrame:
    group = np.arange(len(cells.items)) if cells.group is None else cells.group
    return pl.DataFrame(
        {
            "item_id": cells.items.gather(cells.item),
            "annotator_id": cells.raters.gather(cells.rater),
            "value": cells.values.gather(cells.value),
            "group": group[cells.item],
        }
    )
