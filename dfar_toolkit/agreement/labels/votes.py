"""From ratings to one label per item, and to shares of labels: the majority, soft labels, and models on request.

The majority and the shares take every voice as it is. The models (Dawid-Skene, one-coin, MACE, GLAD) weigh annotators
by how well they go with the others: agreement with consensus, not correctness. They are never a default, the votes
stand beside what they say, and :func:`~dfar_toolkit.agreement.annotators.annotator_accuracy` shows, by group of
annotators, whose view their labels are. Time grows with the ratings, memory with items x values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl

from dfar_toolkit.agreement.counting import Floats
from dfar_toolkit.agreement.labels.crowd import fit_glad, fit_mace
from dfar_toolkit.agreement.labels.dawid_skene import fit_dawid_skene, rows_as_lists
from dfar_toolkit.agreement.labels.one_coin import fit_one_coin
from dfar_toolkit.agreement.labels.responses import Repeats, Responses, options_order, read_responses
from dfar_toolkit.agreement.ratings import RatingsLike

Method = Literal["majority", "soft", "dawid_skene", "one_coin", "mace", "glad"]

_EQUAL: Final = 1e-9  # probabilities that differ by less share the lead


def majority_vote(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    repeats: Repeats = "error",
) -> pl.DataFrame:
    r"""The value most raters gave, and none where several share the lead.

    With $n_{iv}$ ratings of item i with value v and $n_i$ in all, the label is $\arg\max_v n_{iv}$ and ``share`` is
    $\max_v n_{iv} / n_i$. The lead need not be more than half.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        repeats: ``error`` refuses a rater who stands twice on an item; ``keep`` counts each time.

    Returns:
        One row per item, sorted: the item, ``label`` (null on a tie), ``tied`` (the values that share the lead, sorted;
        empty where one leads), ``n_ratings``, ``share`` of the ratings for each value in the lead.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`.

    Example:
        >>> majority_vote([("i", "x", "no"), ("i", "y", "no"), ("j", "x", "no"), ("j", "y", "yes")]).rows()
        [('i', 'no', [], 2, 1.0), ('j', None, ['no', 'yes'], 2, 0.5)]
    """
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    cell, place = np.unique(responses.item * len(responses.values) + responses.value, return_inverse=True)
    count = np.bincount(place, weights=responses.times)
    owner = cell // len(responses.values)
    top = np.maximum.reduceat(count, np.flatnonzero(np.diff(owner, prepend=-1)))
    lead = count == top[owner]
    n = responses.n_per_item
    leaders = _leaders(owner[lead], responses.values.gather(cell[lead] % len(responses.values)))
    return pl.DataFrame({item: responses.items, **leaders, "n_ratings": n, "share": top / n})


def soft_labels(
    ratings: RatingsLike,
    *,
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    options: Sequence[Any] | None = None,
    smoothing: float = 0.0,
    repeats: Repeats = "error",
) -> pl.DataFrame:
    r"""How many raters gave each value, and the shares: the label as a distribution of people.

    With $n_{iv}$ ratings of item i with value v, $n_i$ in all and O options, $p_{iv} = (n_{iv} + s) / (n_i + s O)$.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        options: Every value that could have been given, in the order of the lists; None: the values in use, sorted.
        smoothing: s, votes added to every option; 0 gives the plain shares.
        repeats: ``error`` refuses a rater who stands twice on an item; ``keep`` counts each time.

    Returns:
        One row per item, sorted: the item, ``label_counts`` (O whole numbers), ``label_probs`` (O shares),
        ``n_ratings``.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`, or a value is not an option.
        ValueError: ``smoothing`` is negative, or ``options`` do not fit.

    Example:
        >>> soft_labels([("i", "x", "no"), ("i", "y", "yes")], options=["yes", "no", "unsure"], smoothing=1).rows()
        [('i', [1, 1, 0], [0.4, 0.4, 0.2], 2)]
    """
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"soft_labels: smoothing must be 0 or more, found {smoothing}")
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    named, places = options_order(responses, options, caller="soft_labels")
    counts = _spread(responses, responses.counts(), len(named), places)
    return pl.DataFrame(
        {
            item: responses.items,
            "label_counts": rows_as_lists(counts).cast(pl.List(pl.Int64)),
            "label_probs": rows_as_lists(_smoothed(counts, smoothing)),
            "n_ratings": responses.n_per_item,
        }
    )


def votes(
    ratings: RatingsLike,
    *,
    method: Method = "majority",
    item: str = "item_id",
    rater: str = "annotator_id",
    value: str = "value",
    options: Sequence[Any] | None = None,
    smoothing: float = 0.0,
    repeats: Repeats = "error",
    seed: int = 0,
) -> pl.DataFrame:
    """One label per item by the method asked for, with the votes beside it.

    Args:
        ratings: A frame, or (item, rater, value) triples.
        method: ``majority``; ``soft`` (the same label, shares smoothed); or a model: ``dawid_skene``, ``one_coin``, or
            through the extra ``crowd`` ``mace``, ``glad``. A model's label measures consensus, not correctness.
        item: Column of the item.
        rater: Column of the rater.
        value: Column of the value; null is a missing rating.
        options: Every value that could have been given, in the order of the lists; None: the values in use, sorted.
        smoothing: Of ``soft``, ``dawid_skene`` and ``one_coin``; the others take none.
        repeats: ``error`` refuses a rater who stands twice on an item; ``keep`` counts each time.
        seed: Seed of ``mace``; nothing else is drawn.

    Returns:
        One row per item, sorted: the item, ``label`` (null where several lead), ``tied`` (those that share the lead),
        ``label_counts`` (votes, in the order of ``options``), ``label_probs`` (in the same order: shares of the votes,
        or what the model holds the chance of each label to be), ``n_ratings``, ``method``.

    Raises:
        TableError: As :func:`~dfar_toolkit.agreement.responses.read_responses`, or a value is not an option.
        ValueError: An option is out of its range or has no meaning for the method.
        ImportError: The method needs the extra ``crowd``.

    Example:
        >>> votes([("i", "x", "no"), ("i", "y", "no"), ("i", "z", "yes")]).select("label", "label_counts").rows()
        [('no', [2, 1])]
    """
    _check(method, smoothing)
    responses = read_responses(ratings, item=item, rater=rater, value=value, repeats=repeats)
    named, places = options_order(responses, options, caller="votes")
    counts = _spread(responses, responses.counts(), len(named), places)
    if method in ("majority", "soft"):
        leading, probs = counts, _smoothed(counts, smoothing)
    else:
        leading = probs = _spread(responses, _posterior(responses, method, smoothing, seed), len(named), places)
    lead = leading >= leading.max(axis=1, keepdims=True) - _EQUAL
    owner, code = np.nonzero(lead)
    return pl.DataFrame(
        {
            item: responses.items,
            **_leaders(owner, named.gather(code)),
            "label_counts": rows_as_lists(counts).cast(pl.List(pl.Int64)),
            "label_probs": rows_as_lists(probs),
            "n_ratings": responses.n_per_item,
            "method": pl.repeat(method, len(responses.items), dtype=pl.String, eager=True),
        }
    )


def _leaders(owner: np.typing.NDArray[np.int64], value: pl.Series) -> dict[str, pl.Series]:
    """From the (item, value) pairs in the lead, sorted by item: ``label`` and ``tied`` of each item."""
    found = pl.DataFrame({"item": owner, "value": value}).group_by("item", maintain_order=True).agg("value")
    alone = pl.col("value").list.len() == 1
    shown = found.select(
        pl.when(alone).then(pl.col("value").list.first()).alias("label"),
        pl.when(alone).then(pl.col("value").list.head(0)).otherwise("value").alias("tied"),
    )
    return {name: shown[name] for name in ("label", "tied")}


def _check(method: str, smoothing: float) -> None:
    if method not in get_args(Method):
        raise ValueError(f"votes: method must be one of {', '.join(get_args(Method))}, found {method!r}")
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"votes: smoothing must be 0 or more, found {smoothing}")
    if smoothing and method not in ("soft", "dawid_skene", "one_coin"):
        raise ValueError(f"votes: the method {method} takes no smoothing, found {smoothing}")


def _posterior(responses: Responses, method: str, smoothing: float, seed: int) -> Floats:
    """What a model holds the chance of each value to be (N, V)."""
    if method == "dawid_skene":
        return fit_dawid_skene(responses, smoothing=smoothing).posterior
    if method == "one_coin":
        return fit_one_coin(responses, smoothing=smoothing).posterior
    if method == "mace":
        return fit_mace(responses, seed=seed).posterior
    return fit_glad(responses).posterior


def _smoothed(counts: Floats, smoothing: float) -> Floats:
    found: Floats = (counts + smoothing) / (counts.sum(axis=1, keepdims=True) + smoothing * counts.shape[1])
    return found


def _spread(responses: Responses, table: Floats, n_options: int, places: np.typing.NDArray[np.int64]) -> Floats:
    """A table of the values in use (N, V) as one of the options (N, O)."""
    responses.refuse_cells(len(table) * n_options)
    spread = np.zeros((len(table), n_options))
    spread[:, places] = table
    return spread
