"""From the outputs of an explained run to :class:`~dfar_toolkit.metrics.faithfulness.perturbed.Perturbed`.

Cost: a few sorts of the rows; 1e5 items x 5 methods x 12 steps (12 million outputs) take 10 to 30
seconds and 6 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Floats
from dfar_toolkit.metrics.faithfulness.perturbed import EVIDENCE_K, Perturbed, Said
from dfar_toolkit.metrics.labels import Codes
from dfar_toolkit.metrics.predicted import renamed_probabilities
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message
from dfar_toolkit.metrics.unknown_labels import unknown_labels_message

Of = Literal["predicted", "target"]

_WITHOUT: Final = ("without_top", "without_evidence")
_ONLY: Final = ("only_top", "only_evidence")
_ASKED: Final = ("full", "empty", *_WITHOUT, *_ONLY)
_RATIONALE: Final = "rationale"
_BESIDE: Final[dict[str, pl.DataType]] = {
    "share": pl.Float64(), "shares": pl.List(pl.Float64()), "n_words": pl.Int64(), "n_removed": pl.Int64(),
    "target": pl.String(),
}  # fmt: skip
_KEPT: Final = (
    "item_id", "condition", "method", "operator", "k", "draw", "sample", "label", "label_probs", "options", "error",
    "annotator_id", *_BESIDE,
)  # fmt: skip


class _Codes(NamedTuple):
    """Names that codes stand for."""

    items: pl.Series
    options: tuple[str, ...]
    methods: tuple[str, ...]
    operators: tuple[str, ...]


def perturbed_outputs(
    outputs: pl.DataFrame,
    items: pl.DataFrame | None = None,
    *,
    question: str | None = None,
    options: Sequence[str] | None = None,
    of: Of = "predicted",
) -> Perturbed:
    """The answers of one explained run to its items and to their changed forms.

    Looked at are rows of the conditions full, empty, without_top, only_top, without_evidence and only_evidence that
    predict no particular annotator; of several samples the one with the lowest number. An item belongs to the run if
    it has any row of these conditions.

    Args:
        outputs: The table outputs, of one run.
        items: The table items, for their groups; None: every item stands alone.
        question: The question; needed where the outputs hold several.
        options: Names of the labels in order; None means those of the column ``options``, else the labels, sorted.
        of: Whose probability counts: that of the label ``predicted`` on the whole item, or of the ``target`` that the
            rationale explains (where its row names none, as of random words, that of the item's other rationales).

    Returns:
        The rows in flat arrays.

    Raises:
        TableError: Several runs or questions, nothing perturbed, an unknown item or label.
        ValueError: An impossible argument.

    Example:
        >>> rows = [("full", "", "", -1, [0.9, 0.1]), ("without_top", "attention", "remove", 1, [0.4, 0.6])]
        >>> outputs = pl.DataFrame([
        ...     {"run_id": "r", "item_id": "i", "question": "q", "condition": c, "method": m, "operator": o, "k": k,
        ...      "label": "ab"[p[1] > 0.5], "label_probs": p, "options": ["a", "b"]} for c, m, o, k, p in rows])
        >>> found = perturbed_outputs(outputs)
        >>> found.p_before().tolist(), found.p_without().tolist(), found.without.label.tolist()
        ([0.9], [0.4], [1])
    """
    if of not in get_args(Of):
        raise ValueError(f'perturbed_outputs: of must be "predicted" or "target", found {of!r}')
    rows, told = _rows(outputs, question)
    asked = rows.filter(pl.col("condition") != _RATIONALE)
    names = _names(rows, asked, options)
    asked = _in_order(asked, names.options)
    codes = _coded(asked, names)
    return _assembled(rows, codes, names, _groups(items, names.items), of, told)


def _rows(outputs: pl.DataFrame, question: str | None) -> tuple[pl.DataFrame, str]:
    """The rows looked at, with every column that is needed, and what was set aside."""
    for column, hint in (("run_id", "take them one by one"), ("question", "choose one (question=)")):
        found = outputs[column].unique().sort().to_list() if column in outputs.columns else []
        if column == "question" and question is not None:
            if question not in found:
                raise TableError(f"faithfulness: no output answers the question {question!r}; found {found}.")
            outputs = outputs.filter(pl.col("question") == question)
        elif len(found) > 1:
            raise TableError(f"faithfulness: outputs of one {column} are wanted, found {', '.join(found)}; {hint}.")
    defaults = {"annotator_id": "", "method": "", "operator": "", "k": EVIDENCE_K, "draw": 0, "sample": 0}
    kinds: dict[str, pl.DataType] = {"label": pl.String(), "error": pl.String(), "label_probs": pl.List(pl.Float64()),
                                     "options": pl.List(pl.String()), **_BESIDE}  # fmt: skip
    absent = [pl.lit(v).alias(c) for c, v in defaults.items() if c not in outputs.columns]
    absent += [pl.lit(None, dtype=t).alias(c) for c, t in kinds.items() if c not in outputs.columns]
    rows = outputs.with_columns(absent).filter(
        pl.col("condition").is_in([*_ASKED, _RATIONALE]), pl.col("annotator_id") == ""
    )
    words = [pl.col(c).list.len().cast(pl.Int64) for c in ("words", "word_scores") if c in rows.columns]
    words = [w for w in words if isinstance(rows.schema[w.meta.root_names()[0]], pl.List)]
    rows = rows.with_columns(pl.coalesce(pl.col("n_words").cast(pl.Int64), *words).alias("n_words")).select(_KEPT)
    if not rows["condition"].is_in([*_WITHOUT, *_ONLY]).any():
        raise TableError(
            "faithfulness: no output has a condition such as without_top or only_top; explain the items first "
            "(dfar explain), with at least one operator."
        )
    return _lowest_sample(rows)


def _lowest_sample(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    if rows["sample"].n_unique() < 2:
        return rows, ""
    key = ["item_id", "condition", "method", "operator", "k", "draw"]
    kept = rows.sort("sample").unique(key, keep="first", maintain_order=True)
    return kept, f"{len(rows) - len(kept)} outputs beside the lowest sample of each set aside"


def _names(rows: pl.DataFrame, asked: pl.DataFrame, options: Sequence[str] | None) -> _Codes:
    first = rows["options"].is_not_null().arg_max()  # lists of millions of rows are not copied for the first one
    given = rows["options"][first or 0] if len(rows) else None
    labels = asked["label"].drop_nulls().unique().sort()
    names = tuple(options) if options is not None else tuple(given) if given is not None else tuple(labels)
    unknown = labels.filter(~labels.is_in(list(names)))
    if len(unknown):
        raise TableError(f"faithfulness: {unknown_labels_message(unknown, names)}")
    told = asked.select("condition", "method", "operator").unique()
    changed = told.filter(pl.col("condition").is_in([*_WITHOUT, *_ONLY]))
    operators = told.filter(pl.col("condition") != "full")["operator"]
    return _Codes(
        asked["item_id"].unique().sort(), names,
        tuple(changed["method"].unique().sort()), tuple(operators.unique().sort()),
    )  # fmt: skip


def _in_order(asked: pl.DataFrame, options: tuple[str, ...]) -> pl.DataFrame:
    """The rows with ``label_probs`` in the order of the options."""
    lists = asked.filter(pl.col("label_probs").is_not_null(), pl.col("error").is_null())
    wanted = pl.lit(list(options), dtype=pl.List(pl.String))
    ours = pl.col("options").is_null() | (pl.col("options") == wanted)
    if lists.select((ours & (pl.col("label_probs").list.len() == len(options))).all()).item():
        return asked
    named = asked.with_columns(run_id=pl.lit(""), label_mass=pl.lit(None, dtype=pl.Float64))
    return renamed_probabilities(named, options, {}).drop("run_id", "label_mass")


def _groups(items: pl.DataFrame | None, ids: pl.Series) -> pl.Series | None:
    if items is None:
        return None
    strange = unknown_items(ids, items)
    if len(strange):
        raise TableError(
            f"faithfulness: every output must be about one of the items; {unknown_items_message(strange, items)}. Are "
            "these the right items?"
        )
    if "group" not in items.columns:
        return None
    known = items.select("item_id", "group").unique("item_id", keep="first")
    return ids.alias("item_id").to_frame().join(known, on="item_id", how="left", maintain_order="left")["group"]


def _coded(asked: pl.DataFrame, names: _Codes) -> pl.DataFrame:
    """Rows as numbers: codes of item, method, operator and label, and one column per probability."""
    k = len(names.options)
    failed = pl.col("error").is_not_null()
    label = pl.col("label").cast(pl.Enum(names.options)).to_physical().cast(pl.Int64).fill_null(k)
    probs = [
        pl.when(~failed).then(pl.col("label_probs").list.get(at, null_on_oob=True)).fill_null(np.nan).alias(f"p{at}")
        for at in range(k)
    ]
    return asked.select(
        "condition", "share", "draw", "k", pl.col("n_removed").cast(pl.Int64),
        _code("item_id", names.items).alias("item"),
        _code("method", names.methods).alias("method"), _code("operator", names.operators).alias("operator"),
        pl.when(failed).then(k + 1).otherwise(label).alias("label"), *probs,
    )  # fmt: skip


def _code(column: str, names: Sequence[str] | pl.Series) -> pl.Expr:
    return pl.col(column).cast(pl.Enum(list(names)), strict=False).to_physical().cast(pl.Int64)


def _assembled(
    rows: pl.DataFrame, coded: pl.DataFrame, names: _Codes, groups: pl.Series | None, of: Of, note: str
) -> Perturbed:
    n, n_options = len(names.items), len(names.options)
    full = _of_items(coded.filter(pl.col("condition") == "full"), n, n_options)
    empty = coded.filter(pl.col("condition") == "empty")
    empties = tuple(
        _of_items(empty.filter(pl.col("operator") == code), n, n_options) for code in range(len(names.operators))
    )
    changed = coded.filter(pl.col("condition").is_in([*_WITHOUT, *_ONLY])).with_columns(_key(coded, names))
    sides = [_side(changed, conditions) for conditions in (_WITHOUT, _ONLY)]
    key = sides[0].key if np.array_equal(sides[0].key, sides[1].key) else np.union1d(sides[0].key, sides[1].key)
    without, only = (_placed(side, key, n_options) for side in sides)
    item, method, operator, draw, k = _parts(key, coded, names)
    share = _first_known(sides, key, "share")
    removed = np.where(k == EVIDENCE_K, np.nan_to_num(_first_known(sides, key, "n_removed"), nan=-1), k)
    target = full.label[item]
    if of == "target":
        target = _targets(rows, names, item, method, draw, target)
    target = np.where(target < n_options, target, n_options)
    return Perturbed(
        names.items, groups, names.options, names.methods, names.operators, _n_words(rows, names), full, empties, item,
        method, operator, draw, k, removed.astype(np.int64), share, target, without, only, _shares(rows),
        _set_sizes(names, item, method, k, removed.astype(np.int64)), note,
    )  # fmt: skip


class _Side(NamedTuple):
    """Rows of one side by their key, sorted."""

    key: Codes
    columns: dict[str, npt.NDArray[np.float64]]


def _key(coded: pl.DataFrame, names: _Codes) -> pl.Expr:
    n_draws, n_ks = _sizes(coded)
    if len(names.methods) * len(names.operators) * len(names.items) * n_draws * n_ks >= 2**63:
        raise TableError(
            f"faithfulness: k up to {n_ks - 2} and draws up to {n_draws - 1} are no numbers of words and of draws."
        )
    block = pl.col("method") * len(names.operators) + pl.col("operator")
    return (((block * len(names.items) + pl.col("item")) * n_draws + pl.col("draw")) * n_ks + pl.col("k") + 1).alias(
        "key"
    )


def _sizes(coded: pl.DataFrame) -> tuple[int, int]:
    largest = coded.select(pl.col("draw").max(), pl.col("k").max()).row(0)
    return int(largest[0]) + 1, int(largest[1]) + 2


def _parts(key: Codes, coded: pl.DataFrame, names: _Codes) -> tuple[Codes, Codes, Codes, Codes, Codes]:
    n_draws, n_ks = _sizes(coded)
    rest, k = np.divmod(key, n_ks)
    rest, draw = np.divmod(rest, n_draws)
    rest, item = np.divmod(rest, len(names.items))
    method, operator = np.divmod(rest, len(names.operators))
    return item, method, operator, draw, k - 1


def _side(changed: pl.DataFrame, conditions: tuple[str, ...]) -> _Side:
    rows = changed.filter(pl.col("condition").is_in(conditions))
    key = rows["key"].to_numpy()
    order = np.argsort(key)
    names = ["label", "share", "n_removed", *(c for c in rows.columns if c[0] == "p")]
    columns = {name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()[order] for name in names}
    return _Side(key[order], columns)


def _at(side: _Side, key: Codes) -> slice | Codes:
    """Where the rows of a side stand among all keys."""
    return slice(None) if len(side.key) == len(key) else np.searchsorted(key, side.key).astype(np.int64)


def _placed(side: _Side, key: Codes, n_options: int) -> Said:
    """The answers of a side at every key; missing where it has none."""
    label = np.full(len(key), n_options + 2, dtype=np.int64)
    probs = np.full((len(key), n_options), np.nan)
    at = _at(side, key)
    label[at] = side.columns["label"].astype(np.int64)
    for place in range(n_options):
        probs[at, place] = side.columns[f"p{place}"]
    return Said(label, probs)


def _first_known(sides: Sequence[_Side], key: Codes, column: str) -> Floats:
    found = np.full(len(key), np.nan)
    for side in sides:
        at = _at(side, key)
        found[at] = np.where(np.isnan(found[at]), side.columns[column], found[at])
    return found


def _of_items(rows: pl.DataFrame, n: int, n_options: int) -> Said:
    """One answer per item."""
    label = np.full(n, n_options + 2, dtype=np.int64)
    probs = np.full((n, n_options), np.nan)
    at = rows["item"].to_numpy()
    label[at] = rows["label"].to_numpy()
    for place in range(n_options):
        probs[at, place] = rows[f"p{place}"].to_numpy()
    return Said(label, probs)


def _n_words(rows: pl.DataFrame, names: _Codes) -> Codes:
    known = rows.filter(pl.col("n_words").is_not_null()).select(_code("item_id", names.items).alias("item"), "n_words")
    counted = known.drop_nulls("item").group_by("item").agg(pl.col("n_words").max())
    found = np.zeros(len(names.items), dtype=np.int64)
    found[counted["item"].to_numpy()] = counted["n_words"].to_numpy()
    return found


def _shares(rows: pl.DataFrame) -> tuple[float, ...]:
    """The shares of words that were asked for; several are one row where they come to the same number of words."""
    named = pl.concat(
        [rows["share"].cast(pl.Float64), rows["shares"].cast(pl.List(pl.Float64)).explode().rename("share")]
    )
    return tuple(named.drop_nulls().unique().sort())


def _set_sizes(names: _Codes, item: Codes, method: Codes, k: Codes, removed: Codes) -> dict[str, Codes]:
    """Of every method whose rationales are sets of words, how many they have in each item; -1 where unknown."""
    found = {}
    for code, name in enumerate(names.methods):
        own = (method == code) & (k == EVIDENCE_K)
        if own.any():
            sizes = np.full(len(names.items), -1, dtype=np.int64)
            sizes[item[own]] = removed[own]
            found[name] = sizes
    return found


def _targets(rows: pl.DataFrame, names: _Codes, item: Codes, method: Codes, draw: Codes, predicted: Codes) -> Codes:
    """The label that each row's rationale explains.

    One that names none (random words, people's) takes that of the item's others, which it is compared with: the
    predicted one where they name none, no label at all where they name several.
    """
    known = rows.filter(pl.col("condition") == _RATIONALE, pl.col("target").is_in(list(names.options)))
    explained = known.select(
        _code("item_id", names.items).alias("item"), _code("method", names.methods).alias("method"), "draw",
        _code("target", names.options).alias("target"),
    ).drop_nulls("item")  # fmt: skip
    one = pl.col("target").n_unique() == 1
    others = explained.group_by("item").agg(pl.when(one).then(pl.col("target").first()).otherwise(len(names.options)))
    asked = pl.DataFrame({"item": item, "method": method, "draw": draw})
    joined = asked.join(explained.drop_nulls().unique(["item", "method", "draw"]), on=["item", "method", "draw"],
                        how="left", maintain_order="left")  # fmt: skip
    joined = joined.join(others.rename({"target": "others"}), on="item", how="left", maintain_order="left")
    return joined.select(pl.coalesce("target", "others").fill_null(pl.Series(predicted))).to_series().to_numpy()
