"""How many items each split has, and which labels."""

from __future__ import annotations

from typing import NamedTuple

from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.files.items import config_options


class LabelMix(NamedTuple):
    """The items of one split of a config; ``labels`` in the order of the options, ``n_unlabelled`` have none."""

    config: str
    split: str
    n_items: int
    labels: tuple[tuple[str, int], ...]
    n_unlabelled: int


def label_mixes(index: ItemIndex) -> list[LabelMix]:
    """The label mix of every split, in the order of the files, counted from what could be read; remembered."""
    return index.remembered("label mixes", lambda: _label_mixes(index))


def _label_mixes(index: ItemIndex) -> list[LabelMix]:
    counted = index.frame(["config", "split", "label"]).group_by("config", "split", "label", maintain_order=True).len()
    options = config_options(index.files.questions)
    found: dict[tuple[str, str], dict[str | None, int]] = {}
    for config, split, label, n in counted.iter_rows():
        found.setdefault((str(config), str(split)), {})[label] = n
    return [
        LabelMix(
            config, split, sum(of.values()), tuple((name, of[name]) for name in options[config] if name in of),
            of.get(None, 0),
        )
        for (config, split), of in found.items()
    ]  # fmt: skip
