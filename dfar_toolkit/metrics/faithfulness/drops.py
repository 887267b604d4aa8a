r"""How far an answer moves from the whole input to a changed one: by probability, entropy or Kullback-Leibler.

With p the distribution on the whole input, q that on the changed one and y the label explained:
probability $p_y - q_y$; entropy $H(p) - H(q)$; kl $KL(q \| p) = \sum_c q_c \ln (q_c / p_c)$, in nats.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.faithfulness.item_means import (
    ItemRows,
    distribution_column,
    item_rows,
    number_column,
    same_length,
)
from dfar_toolkit.metrics.faithfulness.perturbed import Perturbed, Said
from dfar_toolkit.metrics.labels import Column

Variant = Literal["probability", "entropy", "kl"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)


def entropy_drop(before: Floats, after: Floats) -> Floats:
    """Entropy of each distribution before less that after, (R, K) twice to (R,).

    Example:
        >>> entropy_drop(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).round(6).tolist()
        [-0.693147]
    """
    return _entropy(_whole(before)) - _entropy(_whole(after))


def kl_drop(before: Floats, after: Floats) -> Floats:
    """KL(after || before) of distributions (R, K) in nats (R,); infinite where only the former is above 0.

    Example:
        >>> kl_drop(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])).round(6).tolist()
        [0.693147]
    """
    p, q = _whole(before), _whole(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(q == 0, 0.0, q * np.log(q / p))
    found: Floats = terms.sum(axis=1)
    return found


def _whole(probs: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = probs / probs.sum(axis=1, keepdims=True)
    return found


def _entropy(p: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = -np.where(p == 0, 0.0, p * np.log(p)).sum(axis=1)
    return found


def row_drops(perturbed: Perturbed, side: Literal["without", "only"], variant: Variant) -> Floats:
    """The drop from the whole item to one side of every row (R,); ``nan`` where an answer has no probabilities."""
    if variant == "probability":
        after = perturbed.p_without() if side == "without" else perturbed.p_only()
        return perturbed.p_before() - after
    said: Said = perturbed.without if side == "without" else perturbed.only
    before = perturbed.full.probs[perturbed.item]
    return entropy_drop(before, said.probs) if variant == "entropy" else kl_drop(before, said.probs)


def drop_columns(
    name: str,
    frame: pl.DataFrame | None,
    *,
    before: Column,
    after: Column,
    role: str,
    variant: Variant,
    item: Column | None,
    group: Column | None,
) -> tuple[Floats, ItemRows]:
    """Drops (R,) from columns or values, and which items they are about.

    Raises:
        ValueError: An unknown variant, a missing column, or columns of several lengths.
    """
    if variant not in VARIANTS:
        raise ValueError(f"{name}: variant must be one of {', '.join(VARIANTS)}, found {variant!r}")
    if variant == "probability":
        p, q = number_column(name, frame, before, "before"), number_column(name, frame, after, role)
    else:
        p, q = distribution_column(name, frame, before, "before"), distribution_column(name, frame, after, role)
        if p.shape[1:] != q.shape[1:] and len(p) == len(q):
            raise ValueError(f"{name}: before has {p.shape[1]} options, {role} {q.shape[1]}; they must be the same")
    rows = item_rows(name, frame, same_length(name, {"before": p, role: q}), item=item, group=group)
    if variant == "probability":
        return p - q, rows
    return (entropy_drop(p, q) if variant == "entropy" else kl_drop(p, q)), rows
