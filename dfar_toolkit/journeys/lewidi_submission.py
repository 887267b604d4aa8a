"""A run as the files that LeWiDi's scorers read: one per data set and task, each written whole or not at all.

Third edition: ``<SET>_<split>_soft.tsv`` and ``<SET>_<split>_pe.tsv``, per item its own key, a tab and a list: the
shares in the order of the set's values (VariErrNLI: a pair no, yes per label), or the annotators' values in the order
of the published file (VariErrNLI: a list of 0 and 1 per label). Second edition: ``<SET>_results.tsv`` with hard label
and both shares, in the order of the keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.swap import write_error
from dfar_toolkit.metrics.lewidi import LewidiPredictions
from dfar_toolkit.metrics.lewidi_tasks import LewidiTask


def write_submission(
    folder: Path | str,
    *,
    items: pl.DataFrame,
    ratings: pl.DataFrame,
    task: LewidiTask,
    options: Sequence[str],
    predictions: LewidiPredictions,
) -> list[Path]:
    """Write the files of one run and split.

    Args:
        folder: Where to; made if absent. Files of the same names are replaced.
        items: The items of one published split, in the order of the published file.
        ratings: Their annotations of the question; ``rating_id`` ends in the place in the published record.
        task: The data set.
        options: The options' names in the order of the task's values.
        predictions: What the run predicted.

    Returns:
        The files written: the soft task's and the perspectivist one's, as far as there are predictions.

    Raises:
        TableError: A prediction is missing, the split is not the published one, or a file cannot be written.
    """
    split, keys = one_split(items)
    texts: dict[str, list[str]] = {}
    if predictions.soft is not None:
        shares = _shares(items, predictions.soft, task)
        if task.edition == 2:
            texts[f"{task.name}_results.tsv"] = _results(items, keys, shares, predictions.labels, task, options)
        else:
            texts[f"{task.name}_{split}_soft.tsv"] = _lines(keys, [_soft(row, task) for row in shares])
    if predictions.annotators is not None and task.edition == 3:
        answers = _answers(items, ratings, predictions.annotators, task)
        lists = [_values(answer, task, options) for answer in answers]
        texts[f"{task.name}_{split}_pe.tsv"] = _lines(keys, lists)
    if not texts:
        raise TableError(
            f"{folder}: nothing to submit for {task.name}: the run has neither soft labels nor, in the third edition, "
            "predictions for single annotators."
        )
    return [_write(Path(folder) / name, lines) for name, lines in texts.items()]


def one_split(items: pl.DataFrame) -> tuple[str, list[str]]:
    """The one published split that the items are of, and each item's own key; ids are source:split:key.

    Args:
        items: Rows with ``item_id`` and ``split``.

    Returns:
        The split's name, and the keys in the order of the items.

    Raises:
        TableError: The items are of several splits, or stand in another than they were published in.

    Example:
        >>> one_split(pl.DataFrame({"item_id": ["lewidi.csc:test:7"], "split": ["test"]}))
        ('test', ['7'])
    """
    parts = [str(item).split(":", 2) for item in items["item_id"]]
    published = sorted({part[1] if len(part) == 3 else "" for part in parts})
    splits = items["split"].unique().sort().to_list()
    if len(splits) != 1 or splits != published:
        raise TableError(
            f"a submission is one published split; the items are of {', '.join(published) or 'none'} and stand in the "
            f"split {', '.join(map(str, splits)) or 'none'}. Build the folder with the published splits."
        )
    return str(splits[0]), [part[2] for part in parts]


def _shares(items: pl.DataFrame, soft: pl.DataFrame, task: LewidiTask) -> list[list[float]]:
    joined = items.select("item_id").join(
        soft.select("item_id", "label_probs_pred"), on="item_id", how="left", maintain_order="left"
    )
    _refuse_missing(
        joined.filter(pl.col("label_probs_pred").is_null()), len(joined), "a soft label for every item", task
    )
    rows = np.asarray(joined["label_probs_pred"].to_list(), dtype=np.float64)
    if task.kind != "set":
        rows = rows / rows.sum(axis=1, keepdims=True)
    found: list[list[float]] = rows.tolist()
    return found


def _soft(shares: list[float], task: LewidiTask) -> list[Any]:
    return [[1 - yes, yes] for yes in shares] if task.kind == "set" else list(shares)


def _results(
    items: pl.DataFrame,
    keys: list[str],
    shares: list[list[float]],
    labels: pl.DataFrame | None,
    task: LewidiTask,
    options: Sequence[str],
) -> list[str]:
    """The second edition's lines: no keys, so the order is theirs, which count from 1."""
    if labels is None or not all(key.isdecimal() for key in keys):
        raise TableError(f"{task.name}: its lines have a hard label and stand in the order of keys that are numbers.")
    joined = items.select("item_id").join(labels, on="item_id", how="left", maintain_order="left")
    _refuse_missing(joined.filter(pl.col("label_pred").is_null()), len(joined), "a hard label for every item", task)
    values = dict(zip(options, task.values, strict=True))
    rows = sorted(zip(map(int, keys), joined["label_pred"], shares, strict=True))
    return ["\t".join([values[label], *map(repr, share)]) for _, label, share in rows]


def _answers(
    items: pl.DataFrame, ratings: pl.DataFrame, predicted: pl.DataFrame, task: LewidiTask
) -> list[list[list[str]]]:
    """Per item, the predicted values of its annotators in the order of the published record."""
    place = pl.col("rating_id").str.extract(r"#(\d+)$").cast(pl.Int64)
    wanted = ratings.select("item_id", "annotator_id", place.alias("place")).unique()
    wanted = items.select("item_id").join(wanted, on="item_id", how="inner").sort("item_id", "place")
    joined = wanted.join(predicted, on=["item_id", "annotator_id"], how="left", maintain_order="left")
    _refuse_missing(joined.filter(pl.col("value_pred").is_null()), len(joined), "a prediction for every rating", task)
    listed = joined.group_by("item_id", maintain_order=True).agg("value_pred")
    ordered = items.select("item_id").join(listed, on="item_id", how="left", maintain_order="left")
    return [answers or [] for answers in ordered["value_pred"].to_list()]


def _values(answers: list[list[str]], task: LewidiTask, options: Sequence[str]) -> list[Any]:
    """What the scorer compares: a number per annotator, or per label and annotator 0 or 1."""
    if task.kind == "set":
        return [[int(option in answer) for answer in answers] for option in options]
    values = dict(zip(options, task.values, strict=True))
    return [int(values[answer[0]]) for answer in answers]


def _refuse_missing(missing: pl.DataFrame, total: int, what: str, task: LewidiTask) -> None:
    if not len(missing):
        return
    row = missing.row(0, named=True)
    who = f" and annotator {row['annotator_id']!r}" if "annotator_id" in row else ""
    raise TableError(
        f"{task.name}: a submission needs {what}; {len(missing)} of {total} are missing, e.g. item "
        f"{row['item_id']!r}{who}. None of the files of this split was written."
    )


def _lines(keys: list[str], lists: list[list[Any]]) -> list[str]:
    return [f"{key}\t{json.dumps(row)}" for key, row in zip(keys, lists, strict=True)]


def _write(path: Path, lines: list[str]) -> Path:
    """Under a temporary name first: what stands under the real one is always whole."""
    fresh = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(f"{line}\n" for line in lines)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(path)
    except OSError as error:
        raise TableError(write_error(path, error)) from error
    finally:
        fresh.unlink(missing_ok=True)
    return path
