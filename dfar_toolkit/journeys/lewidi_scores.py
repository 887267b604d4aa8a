"""From an outputs file to LeWiDi's official scores of both tasks, and the files to submit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.lewidi_submission import write_submission
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import OutputsOptions, read_any_outputs, reading_lines
from dfar_toolkit.metrics.answers import evaluated_items
from dfar_toolkit.metrics.lewidi import LewidiPredictions, lewidi_scores
from dfar_toolkit.metrics.lewidi_tasks import LEWIDI_TASKS, LewidiTask
from dfar_toolkit.metrics.predicted import predicted_distributions
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message

NOTHING: Final = "none"  # the label of a set of options that holds none of them
_NO_SHARES: Final = "distributions (label_probs), so it has no score in the soft task"
_NO_ANNOTATORS: Final = "predictions for annotators (annotator_id), so it has no score in the perspectivist task"


class LewidiScored(NamedTuple):
    """``table``: ``set, split, run_id, task, metric, predictor`` and an estimate's fields; baselines once per split.

    ``submission`` are the files written; ``notes`` what a person must know.
    """

    table: pl.DataFrame
    submission: tuple[Path, ...]
    notes: tuple[str, ...]


def score_lewidi(
    outputs: Path | str,
    items: Path | str | ItemsFolder,
    *,
    submission_dir: Path | str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    reading: OutputsOptions | None = None,
    shares: Literal["published", "ratings"] = "published",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
) -> LewidiScored:
    """Score an outputs file as LeWiDi does: soft labels, answers of single annotators, baselines.

    Rows without ``annotator_id`` predict an item: ``label_probs`` (for VariErrNLI each the probability that the label
    is given), or, where a rating is one label, several samples. Rows with one predict that annotator's ``label``. A set
    of labels is written with commas between, an empty one ``none``; its ``label_probs``, where given, mean every option
    above one half. A run without soft labels is given the shares of its annotators' predictions.

    Args:
        outputs: An outputs file or run folder.
        items: The items folder, built from ``lewidi:SET``.
        submission_dir: Where the files to submit are written; None writes none.
        split: Splits to score; by default those that occur in the file.
        label_map: From the file's labels to the options' names.
        reading: How files of other tools are read.
        shares: Soft labels as published, with two digits, or counted from the ratings.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        separator: Separator of CSV files where it is not a comma.

    Returns:
        The scores, the files written, and notes.

    Raises:
        TableError: A file is not what it must be, the folder is no LeWiDi set, annotators are not those of the folder,
            or a submission lacks predictions.
    """
    folder = items_of(items)
    key, task = _task(folder)
    read = read_any_outputs(outputs, folder, reading=reading, label_map=label_map, split=split, separator=separator)
    notes = reading_lines(outputs, read)
    rows = read.outputs.filter(pl.col("question") == folder.question, pl.col("condition") == "full")
    evaluated = _evaluated(folder.items, rows, split, outputs)
    runs = {str(run): part for (run,), part in rows.group_by("run_id", maintain_order=True)}
    predicted = {run: _predictions(part, folder, task, notes, run) for run, part in sorted(runs.items())}
    tables, written = [], []
    for (name,), part in evaluated.group_by("split", maintain_order=True):
        table = _scores_of_split(folder, key, task, str(name), part, predicted, shares, notes,
                                 confidence=confidence, n_boot=n_boot, seed=seed)  # fmt: skip
        tables.append(table)
        if submission_dir is not None:
            written += _submitted(submission_dir, folder, task, part, predicted)
    return LewidiScored(pl.concat(tables), tuple(written), tuple(notes))


def _task(folder: ItemsFolder) -> tuple[str, LewidiTask]:
    sources = folder.items["source"].unique().sort().to_list()
    key = sources[0].removeprefix("lewidi.") if len(sources) == 1 and sources[0].startswith("lewidi.") else ""
    if key not in LEWIDI_TASKS:
        raise TableError(
            f"{folder.path}: wanted the items of one LeWiDi set ({', '.join(LEWIDI_TASKS)}), found the source "
            f"{', '.join(sources) or 'of none'}. Build it with `dfar build lewidi:SET`."
        )
    return key, LEWIDI_TASKS[key]


def _evaluated(
    items: pl.DataFrame, rows: pl.DataFrame, split: Sequence[str] | None, outputs: Path | str
) -> pl.DataFrame:
    if not len(rows):
        raise TableError(f'{outputs}: no output answers the primary question in the condition "full".')
    strange = unknown_items(rows["item_id"], items)
    if len(strange):
        raise TableError(
            f"{outputs}: every output must be about one of the items; {unknown_items_message(strange, items)}."
        )
    return evaluated_items(items, rows, split=split)


def _predictions(
    rows: pl.DataFrame, folder: ItemsFolder, task: LewidiTask, notes: list[str], run: str
) -> LewidiPredictions:
    """What one run predicted, of items and of annotators."""
    options = folder.options
    plain = rows.filter(pl.col("annotator_id") == "")
    labelled = plain.with_columns(pl.when(pl.col("error").is_null()).then("label").alias("label_pred"))
    annotators = _annotators(rows.filter(pl.col("annotator_id") != ""), folder, task, notes, run)
    if task.kind == "set":
        labelled = labelled.with_columns(label_pred=pl.lit(None, dtype=pl.String))  # a set is no single label
    soft: pl.DataFrame | None = predicted_distributions(labelled, options) if len(labelled) else None
    if soft is not None and not len(soft):
        soft = None
    if soft is None and annotators is not None:
        soft = _shares_of(annotators, options)
        notes.append(f"{run}: no soft labels in the file; they are the shares of its predictions for annotators")
    absent = [] if soft is not None else [_NO_SHARES]
    absent += [] if annotators is not None else [_NO_ANNOTATORS]
    notes += [f"{run}: the file has no {what}" for what in absent]
    labels = None
    if task.edition == 2:
        labels = _hard_labels(labelled, soft, options)
    return LewidiPredictions(soft, annotators, labels)


def _hard_labels(labelled: pl.DataFrame, soft: pl.DataFrame | None, options: Sequence[str]) -> pl.DataFrame | None:
    """The label of the lowest sample; without rows of items, the option of the largest share where it is one."""
    if len(labelled):
        lowest = labelled.filter(pl.col("sample") == pl.col("sample").min().over("item_id"))
        return lowest.select("item_id", "label_pred").unique("item_id", keep="first", maintain_order=True)
    if soft is None:
        return None
    probs = pl.col("label_probs_pred")
    single = probs.list.eval(pl.element() == pl.element().max()).list.sum() == 1
    names = pl.lit(list(options), dtype=pl.List(pl.String))
    return soft.select("item_id", pl.when(single).then(names.list.get(probs.list.arg_max())).alias("label_pred"))


def _annotators(
    rows: pl.DataFrame, folder: ItemsFolder, task: LewidiTask, notes: list[str], run: str
) -> pl.DataFrame | None:
    """``item_id, annotator_id, value_pred`` (lists, null where no answer came) of the annotators of the folder."""
    if not len(rows):
        return None
    rows = _known_annotators(rows, folder)
    lowest = rows.filter(pl.col("sample") == pl.col("sample").min().over("item_id", "annotator_id"))
    if len(lowest) < len(rows):
        notes.append(f"{run}: {len(rows) - len(lowest)} predictions beside the lowest sample of an annotator set aside")
    rated = folder.annotations.filter(pl.col("question") == folder.question).select("item_id", "annotator_id").unique()
    asked = lowest.join(rated, on=["item_id", "annotator_id"], how="semi", maintain_order="left")
    if len(asked) < len(lowest):
        notes.append(
            f"{run}: {len(lowest) - len(asked)} predictions for annotators who did not rate the item set aside"
        )
    values = _values(asked, folder.options, task)
    return asked.select("item_id", "annotator_id", values.alias("value_pred"))


def _known_annotators(rows: pl.DataFrame, folder: ItemsFolder) -> pl.DataFrame:
    """The rows with the folder's ids; the source before an id may be left out."""
    known = folder.annotations["annotator_id"].unique()
    source = str(folder.items["source"][0])
    own = pl.col("annotator_id")
    whole = pl.concat_str(pl.lit(f"{source}:"), own)
    rows = rows.with_columns(pl.when(own.is_in(known.implode())).then(own).otherwise(whole).alias("annotator_id"))
    strange = rows.filter(~pl.col("annotator_id").is_in(known.implode()))["annotator_id"].unique().sort()
    if not len(strange):
        return rows
    facts = folder.manifest.get("annotators")
    hidden = isinstance(facts, dict) and bool(facts.get("pseudonyms"))
    mend = (
        "the folder holds pseudonyms: predict these, or build it again with --keep-ids"
        if hidden
        else "predict the folder's annotators"
    )
    raise TableError(
        f"{folder.path}: {len(strange)} predicted annotators are not those of the folder, e.g. "
        f"{strange[0].removeprefix(source + ':')!r}; its annotators are called {known.sort()[0]!r}; {mend}."
    )


def _values(rows: pl.DataFrame, options: Sequence[str], task: LewidiTask) -> pl.Series:
    """Each row's predicted options as a list; null where no answer came."""
    label = pl.when(pl.col("error").is_null()).then("label")
    if task.kind == "set":
        parts = label.str.split(",").list.eval(pl.element().str.strip_chars()).list.unique(maintain_order=True)
        empty = pl.lit([], dtype=pl.List(pl.String))
        parts = pl.when(label.str.strip_chars() == NOTHING).then(empty).otherwise(parts)
        probs = pl.col("label_probs")
        above = [pl.when(probs.list.get(k, null_on_oob=True) > 0.5).then(pl.lit(o)) for k, o in enumerate(options)]
        given = pl.when(pl.col("error").is_null() & probs.is_not_null()).then(pl.concat_list(above).list.drop_nulls())
        found = rows.select(pl.coalesce(given, parts).alias("value_pred"))["value_pred"]
    else:
        found = rows.select(pl.when(label.is_not_null()).then(pl.concat_list(label)).alias("value_pred"))["value_pred"]
    strange = found.drop_nulls().explode(empty_as_null=False)
    strange = strange.filter(~strange.is_in(list(options))).unique().sort()
    if len(strange):
        also = f'; several with commas between, "{NOTHING}" for none' if task.kind == "set" else ""
        raise TableError(f"predicted labels must be one of {', '.join(options)}{also}; found {strange[0]!r}.")
    return found


def _shares_of(annotators: pl.DataFrame, options: Sequence[str]) -> pl.DataFrame:
    """Soft labels from the predictions for annotators: the share that is predicted to give each option."""
    answered = annotators.filter(pl.col("value_pred").is_not_null())
    of = [pl.col("value_pred").list.contains(name).mean() for name in options]
    return answered.group_by("item_id").agg(pl.concat_list(of).alias("label_probs_pred")).sort("item_id")


def _scores_of_split(
    folder: ItemsFolder,
    key: str,
    task: LewidiTask,
    split: str,
    items: pl.DataFrame,
    predicted: Mapping[str, LewidiPredictions],
    shares: str,
    notes: list[str],
    *,
    confidence: float,
    n_boot: int,
    seed: int,
) -> pl.DataFrame:
    """Rows of every run, and of the baselines once."""
    ratings = folder.annotations.filter(pl.col("question") == folder.question)
    own = items.select("item_id", "group", *_published(items, task, folder.options, shares))
    reference = _reference(folder.items, ratings, split, notes)
    parts = []
    for place, (run, predictions) in enumerate(predicted.items()):
        table = lewidi_scores(
            own, ratings=ratings, task=key, options=folder.options, predictions=predictions, reference=reference,
            confidence=confidence, n_boot=n_boot, seed=seed,
        )  # fmt: skip
        kept = table if place == 0 else table.filter(pl.col("predictor") == "run")
        named = pl.when(pl.col("predictor") == "run").then(pl.lit(run)).otherwise(pl.lit("")).alias("run_id")
        parts.append(kept.select(pl.lit(task.name).alias("set"), pl.lit(split).alias("split"), named, pl.all()))
    return pl.concat(parts)


def _published(items: pl.DataFrame, task: LewidiTask, options: Sequence[str], shares: str) -> list[pl.Series]:
    """Soft labels and, in the second edition, hard labels as the record published them."""
    facts = [json.loads(text) for text in items["extra"]]
    columns = []
    if shares == "published":
        soft = [_soft_label(fact.get("soft_label"), task) for fact in facts]
        columns.append(pl.Series("soft_label", soft, dtype=pl.List(pl.Float64)))
    if task.edition == 2:
        names = dict(zip(task.values, options, strict=True))
        hard = [names.get(str(fact.get("hard_label"))) for fact in facts]
        columns.append(pl.Series("label", hard, dtype=pl.String))
    return columns


def _soft_label(published: object, task: LewidiTask) -> list[float] | None:
    """The shares in the order of the task's values; None where the record gives none of them."""
    if not isinstance(published, dict):
        return None
    given = {str(value).removesuffix(".0"): share for value, share in published.items()}
    listed = [given.get(value) for value in task.values]
    listed = [share.get("1") if isinstance(share, dict) else share for share in listed]
    found = [float(share) for share in listed if isinstance(share, int | float)]
    return found if len(found) == len(listed) else None


def _reference(items: pl.DataFrame, ratings: pl.DataFrame, split: str, notes: list[str]) -> pl.DataFrame | None:
    """The ratings that baselines are counted on: of train, else of the other splits."""
    train = items.filter(pl.col("split") == "train")
    others = train if len(train) and split != "train" else items.filter(pl.col("split") != split)
    where = ", ".join(others["split"].unique().sort()) or f"{split} itself"
    notes.append(f"baselines on {split} are counted on {where}")
    return ratings.filter(pl.col("item_id").is_in(others["item_id"].implode())) if len(others) else None


def _submitted(
    folder_out: Path | str,
    folder: ItemsFolder,
    task: LewidiTask,
    items: pl.DataFrame,
    predicted: Mapping[str, LewidiPredictions],
) -> list[Path]:
    if len(predicted) > 1:
        raise TableError(f"{folder_out}: a submission is of one run; the file holds {', '.join(predicted)}.")
    ratings = folder.annotations.filter(pl.col("question") == folder.question)
    (predictions,) = predicted.values()
    return write_submission(
        folder_out, items=items, ratings=ratings, task=task, options=folder.options, predictions=predictions
    )
