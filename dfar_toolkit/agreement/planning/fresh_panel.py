"""Fresh panels for items that were rated once: who sits on them, and whom each item's votes say they would elect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.agreement.cells import Cells, read_cells
from dfar_toolkit.agreement.counting import Floats, Ints
from dfar_toolkit.agreement.planning.dirichlet_multinomial import (
    BELOW_CHANCE,
    Prior,
    fit_prior,
    posterior,
    vote_table,
)
from dfar_toolkit.agreement.planning.plurality import check_panel, lone_winners, vote_leader
from dfar_toolkit.agreement.ratings import RatingsLike, shown
from dfar_toolkit.errors import TableError


class Panels(NamedTuple):
    """Votes of each group of raters ``votes`` (G, N, V), and how many of each sit on an item's panel (G, N)."""

    votes: Floats
    sizes: Ints


@dataclass(frozen=True, slots=True, eq=False)
class FreshPanels:
    """Rated items and what a fresh panel would make of them.

    ``label`` (N,) is the index of the value that alone has most votes now, -1 for a tie. ``priors`` are those of the
    groups of raters; ``note`` says why nothing can be said ("" where it can), ``remark`` what to know beside it.
    """

    cells: Cells
    panels: Panels
    label: Ints
    priors: tuple[Prior, ...]
    note: str
    remark: str

    def winners(self, priors: tuple[Prior, ...] | None = None) -> Floats:
        """The chance that each value alone leads on each item's fresh panel (N, V); ``nan`` where undefined."""
        if self.note:
            return np.full(self.panels.votes.shape[1:], np.nan)
        return panel_winners(self.panels, self.priors if priors is None else priors)


def read_panels(
    ratings: RatingsLike,
    *,
    function: str,
    panel: int | None,
    mix: Mapping[str, int] | None,
    rater_group: str | None,
    item: str,
    rater: str,
    value: str,
    group: str | None = None,
) -> FreshPanels:
    """Read ratings and seat a fresh panel for each item.

    Args:
        ratings: Long ratings, one row per item and rater.
        function: Name of the caller's function, for messages.
        panel: Raters of a fresh panel, or None: as many as the item has now.
        mix: Raters of each group, or None.
        rater_group: Column of the rater's group, or None: all raters are alike.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value.
        group: Column of the item's resampling unit.

    Returns:
        The items with their fresh panels.

    Raises:
        ValueError: The wishes contradict each other.
        TableError: The ratings cannot be used, or a group of the mix has no ratings.
    """
    _check_wishes(function, panel, mix, rater_group)
    beside = () if rater_group is None else (rater_group,)
    cells = read_cells(ratings, item=item, rater=rater, value=value, group=group, beside=beside)
    every = vote_table(cells)
    votes = every[None] if rater_group is None else _votes_by_group(cells, rater_group, mix)
    n_items = len(cells.items)
    if mix is not None:
        sizes = np.repeat(np.array(list(mix.values()), dtype=np.int64)[:, None], n_items, axis=1)
    elif panel is not None:
        sizes = np.full((1, n_items), panel, dtype=np.int64)
    else:
        sizes = votes.sum(axis=2).astype(np.int64)
        check_panel(function, int(sizes.sum(axis=0).max(initial=1)))
    fits = [fit_prior(table) for table in votes]
    names = list(mix) if mix is not None else [""] * len(fits)
    notes = [f'group "{name}": {why}' if name else why for name, (_, why) in zip(names, fits, strict=True) if why]
    below = any(prior.alpha[0] <= 0 for prior, _ in fits)
    return FreshPanels(
        cells,
        Panels(votes, sizes),
        vote_leader(every),
        tuple(prior for prior, _ in fits),
        "; ".join(dict.fromkeys(notes)),
        BELOW_CHANCE if below else "",
    )


def panel_winners(panels: Panels, priors: tuple[Prior, ...]) -> Floats:
    """The chance that each value alone leads on each item's fresh panel (N, V), computed once per distinct item.

    Each group's prior is one for all items (leading axis 1) or has a row per item (leading axis N).
    """
    votes, sizes = panels
    own_means = [prior.mean for prior in priors if len(prior.mean) > 1]
    distinct, first, place = np.unique(
        np.concatenate([sizes.T, *votes, *own_means], axis=1), axis=0, return_index=True, return_inverse=True
    )
    shapes, shape = np.unique(distinct[:, : len(sizes)].astype(np.int64), axis=0, return_inverse=True)
    found = np.empty((len(distinct), votes.shape[2]))
    for k, seats in enumerate(shapes.tolist()):
        here = np.flatnonzero(shape.ravel() == k)
        groups = [
            posterior(_of_items(prior, first[here]), table[first[here]])
            for prior, table in zip(priors, votes, strict=True)
        ]
        seated = [(g, size) for g, size in zip(groups, seats, strict=True) if size]
        found[here] = lone_winners([g for g, _ in seated], [size for _, size in seated])
    winners: Floats = found[place.ravel()]
    return winners


def _of_items(prior: Prior, items: Ints) -> Prior:
    """The prior of some items; one for all stays one."""
    return prior if len(prior.mean) == 1 else Prior(prior.mean[items], prior.alpha[items], prior.rho[items])


def _check_wishes(function: str, panel: int | None, mix: Mapping[str, int] | None, rater_group: str | None) -> None:
    if mix is not None and (panel is not None or rater_group is None):
        raise ValueError(f"{function}: mix= needs rater_group= and no panel=; give the column of the raters' group")
    if panel is not None:
        check_panel(function, panel)
        if rater_group is not None:
            raise ValueError(f'{function}: with rater_group= say who sits on the panel, e.g. mix={{"a": 2, "b": 2}}')
    if mix is not None:
        for size in mix.values():
            if size != 0:
                check_panel(function, size)
        check_panel(function, sum(mix.values()))


def _votes_by_group(cells: Cells, rater_group: str, mix: Mapping[str, int] | None) -> Floats:
    """Votes of each group of raters (G, N, V); the groups of the mix, or all there are."""
    who = cells.beside[rater_group].cast(pl.String)
    if who.null_count():
        raise TableError(
            f'the column "{rater_group}" must name the group of every rating; found {who.null_count()} nulls; '
            f"fill them or leave these rows out."
        )
    there = who.unique().sort().to_list()
    names = [str(name) for name in (there if mix is None else mix)]
    lost = [name for name in names if name not in there]
    if lost:
        found = ", ".join(f'"{shown(name)}"' for name in there[:6])
        raise TableError(f'mix names the group "{lost[0]}", which has no ratings; found {found}.')
    masks: list[npt.NDArray[np.bool_]] = [(who == name).to_numpy() for name in names]
    return np.stack([vote_table(cells.only(mask)) for mask in masks])
