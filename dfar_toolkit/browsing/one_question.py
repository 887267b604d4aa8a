"""Which config a number is about: each config asks a question of its own, and no statistic pools questions."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.rated_question import rated_configs


def answered_configs(index: ItemIndex, run: str) -> list[str]:
    """The configs about whose items a run has an output, remembered; all of them where there is one."""
    configs = rated_configs(index)
    if len(configs) < 2:
        return configs
    return index.remembered(("configs of", run), lambda: _answered(index, run, configs))


def _answered(index: ItemIndex, run: str, configs: list[str]) -> list[str]:
    there = index.column("config").filter(index.column(f"state {run}") != "missing").unique().cast(pl.String).to_list()
    return [config for config in configs if config in there]


def chosen_config(index: ItemIndex, runs: Sequence[str], wished: str = "") -> str:
    """The config whose items runs are looked at on; empty where the set has one.

    Args:
        index: The items.
        runs: The runs.
        wished: The config asked for; one that there is not is passed over.

    Returns:
        The one wished for, else the first that all of the runs answer, else the first that one of them answers.
    """
    configs = rated_configs(index)
    if len(configs) < 2:
        return ""
    if wished in configs:
        return wished
    answered = [answered_configs(index, run) for run in runs]
    by_all = [config for config in configs if all(config in own for own in answered)]
    return next(iter([*by_all, *(config for own in answered for config in own), *configs]))


def within_config(config: str) -> ItemFilter:
    """The filter of the items of a config; of all where it is empty."""
    return ItemFilter(config=(config,)) if config else ItemFilter()
