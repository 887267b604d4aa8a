"""Labels under other names before they are learned, as ``--map`` gives them; several may become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.finetune.classifier_data import votes_of
from dfar_toolkit.tabular import nearest


def with_other_labels(folder: ItemsFolder, label_map: Mapping[str, str]) -> ItemsFolder:
    """The items with the names that a model is to learn.

    Renamed are the options, each item's ``label`` and the values of its reasons. Of options that get one name votes and
    shares are added up; where a label was what most people chose (or null, as they were even), it is so afterwards too.

    Args:
        folder: The items.
        label_map: From labels of the items to the names; labels that it does not name stay.

    Returns:
        The items under these names, the options in their old order.

    Raises:
        TableError: A label that the items do not have, a single option that is left, or options with texts of their
            own that get one name.
    """
    options = folder.options
    known = [*options, *(name for name in _labels(folder.items) if name not in options)]
    strange = [given for given in label_map if given not in known]
    if strange:
        hint = nearest(strange[0], known) or f" The labels are {', '.join(known)}."
        raise TableError(f"{folder.path}: --map renames {strange[0]!r}, which is no label of the items.{hint}")
    ours = [label_map.get(option, option) for option in options]
    names = list(dict.fromkeys(ours))
    lost = [name for given, name in label_map.items() if given not in options and name not in names]
    if lost:
        raise TableError(f"--map carries to {lost[0]!r}, which is no option; the options are {', '.join(names)}.")
    if len(names) < 2:
        raise TableError(f"--map leaves the one option {names[0]!r}; a model learns to choose one of several.")
    merged = len(names) < len(options)
    if merged and (folder.items["option_texts"].list.len() > 0).any():
        raise TableError(
            f"{folder.path}: --map gives several options one name, but the items have one text for each option."
        )
    items = folder.items.with_columns(
        pl.col("label").cast(pl.String).replace(dict(label_map)), *_reasons(folder.items, label_map)
    )
    if merged:
        items = _added_up(folder.items, items, options, ours, names)
    rows = folder.questions["options"].to_list()
    return replace(
        folder, items=items, questions=folder.questions.with_columns(pl.Series("options", [names, *rows[1:]]))
    )


def whole_map(options: Sequence[str], label_map: Mapping[str, str]) -> dict[str, str]:
    """From every option, and every further label that is renamed, to its name.

    Example:
        >>> whole_map(["no", "yes"], {"yes": "ja"})
        {'no': 'no', 'yes': 'ja'}
    """
    return {**{option: option for option in options}, **label_map}


def back_to_options(label_map: Mapping[str, str]) -> str | None:
    """What ``predict --map`` takes to carry a model's answers back; None where they cannot be.

    Example:
        >>> back_to_options({"no": "no", "yes": "ja"})
        'no=no,ja=yes'
        >>> back_to_options({"never": "no", "no": "no", "yes": "yes"}) is None
        True
    """
    if len(set(label_map.values())) < len(label_map) or any(
        sign in name for pair in label_map.items() for name in pair for sign in "=,"
    ):
        return None
    return ",".join(f"{name}={option}" for option, name in label_map.items())


def _labels(items: pl.DataFrame) -> list[str]:
    return items["label"].cast(pl.String).drop_nulls().unique().sort().to_list()


def _reasons(items: pl.DataFrame, label_map: Mapping[str, str]) -> list[pl.Expr]:
    """The reasons with their values renamed."""
    kind = items.schema.get("reasons")
    inner = kind.inner if isinstance(kind, pl.List) else None
    if not (isinstance(inner, pl.Struct) and "value" in [field.name for field in inner.fields]):
        return []  # no item has any
    renamed = pl.element().struct.field("value").cast(pl.String).replace(dict(label_map))
    return [pl.col("reasons").list.eval(pl.element().struct.with_fields(value=renamed))]


def _added_up(
    before: pl.DataFrame, items: pl.DataFrame, options: Sequence[str], ours: Sequence[str], names: Sequence[str]
) -> pl.DataFrame:
    """Votes and shares of options with one name in one, and the label that is by votes so again."""
    places = [[at for at, own in enumerate(ours) if own == name] for name in names]
    votes = votes_of(before.drop("label"), options)  # lists of another length are refused here
    columns = [name for name in ("label_counts", "label_probs") if name in items.columns]
    summed = items.with_columns(
        pl.when(pl.col(column).is_not_null())
        .then(
            pl.concat_list(
                sum((pl.col(column).list.get(at) for at in own[1:]), pl.col(column).list.get(own[0])) for own in places
            )
        )
        .alias(column)
        for column in columns
    )
    by_votes = pl.Series([options[code] if code >= 0 else None for code in votes.code], dtype=pl.String)
    label = before["label"].cast(pl.String)
    decided = pl.Series((votes.code >= 0) | votes.tied) & label.eq_missing(by_votes)
    now = votes_of(summed.drop("label"), names).code
    again = pl.Series([names[code] if code >= 0 else None for code in np.asarray(now)], dtype=pl.String)
    return summed.with_columns(label=pl.when(decided).then(again).otherwise(pl.col("label")))
