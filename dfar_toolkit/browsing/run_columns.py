"""What each run answered about each item: the row that counts as its answer, and what became of it.

A file may hold many rows of one item: several samples, answers about one annotator, answers within a test, rationales
and perturbed inputs. The answer is the row of condition ``full`` about nobody in particular, of no method (where the
run has such rows), with the lowest sample, to the primary question of the item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.browsing.item_columns import ItemFiles, reason
from dfar_toolkit.browsing.item_filter import STATES
from dfar_toolkit.browsing.own_run import RunRead, own_parquet, own_run
from dfar_toolkit.browsing.row_lookup import rows_of
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.outputs import read_outputs
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message
from dfar_toolkit.metrics.unknown_labels import unknown_labels_message
from dfar_toolkit.tables import HUMAN_RUN, of_config, primary_questions

_ROUNDING: Final = 1e-9  # probabilities that differ by less are equally probable
_ANSWERED: Final = {"row": pl.UInt32, "answer": pl.String, "probability": pl.Float64, "error": pl.Boolean}


class RunFile(NamedTuple):
    """A file of outputs: parquet of ours that is scanned, or rows of any other file in memory."""

    path: Path
    parquet: Path | None
    frame: pl.DataFrame | None

    def scan(self) -> pl.LazyFrame:
        """All of its rows."""
        if self.parquet is not None:
            return pl.scan_parquet(self.parquet, glob=False)
        return (pl.DataFrame() if self.frame is None else self.frame).lazy()


ReadRun = Callable[[Path], RunRead]


class OpenedRuns(NamedTuple):
    """The file of every run, why others could not be read, and how files of other tools were read."""

    files: dict[str, RunFile]
    problems: list[str]
    notes: list[str]


def open_runs(paths: Iterable[Path], files: ItemFiles, read: ReadRun | None = None) -> OpenedRuns:
    """The file of every run that can be read, and why the others cannot.

    A parquet file with all columns of the table outputs in their types is taken as it is; any other is read and
    checked as a whole, by ``read`` where it is given.
    """
    runs: dict[str, RunFile] = {}
    problems: list[str] = []
    notes: list[str] = []
    for path in paths:
        try:
            file, told = _opened(path, files, read)
            names = _names(file)
        except (DfarError, OSError, pl.exceptions.PolarsError) as error:
            problems.append(str(error) if isinstance(error, DfarError) else f"{path}: {reason(error)}")
            continue
        twice = [name for name in names if name in runs]
        problems += [f"{path}: the run {n!r} was read from {runs[n].path} already; left out." for n in twice]
        problems += [*told.problems] if names else [f"{path}: holds no rows."]
        notes += told.notes
        runs |= {name: file for name in names if name not in runs}
    return OpenedRuns(runs, problems, list(dict.fromkeys(notes)))


def _names(file: RunFile) -> list[str]:
    """The runs of a file.

    Raises:
        TableError: One has the name that is kept for people.
    """
    found: list[str] = file.scan().select(pl.col("run_id").unique()).collect().to_series().drop_nulls().sort().to_list()
    if HUMAN_RUN in found:
        raise TableError(f"{file.path}: the run name {HUMAN_RUN!r} is kept for people's own reasons; rename the run.")
    return found


def _opened(path: Path, files: ItemFiles, read: ReadRun | None) -> tuple[RunFile, RunRead]:
    found = own_run(path, files) if read is None else read(path)
    if found is None:  # somebody else's table: this says which columns it lacks
        found = RunRead(read_outputs(path, questions=files.questions))
    return RunFile(path, own_parquet(path) if found.frame is None else None, found.frame), found


class RunAnswers(NamedTuple):
    """``answer`` (text), ``probability`` of it, ``state`` for every item, and what is odd about the run."""

    frame: pl.DataFrame
    problems: tuple[str, ...]


def run_answers(file: RunFile, run: str, facts: pl.DataFrame, questions: pl.DataFrame) -> RunAnswers:
    """What a run answered about every item; missing everywhere where its file cannot be read.

    Args:
        file: Where its rows are.
        run: Its name.
        facts: ``item_id, config, label`` of every item.
        questions: The table of that name.
    """
    try:
        rows, problems = _answer_rows(file, run, facts, questions)
    except (OSError, TableError, pl.exceptions.PolarsError) as error:
        empty = pl.DataFrame(
            schema={"row": pl.UInt32, "answer": pl.String, "probability": pl.Float64, "error": pl.Boolean}
        )
        rows, problems = (
            empty,
            [f"{file.path}: cannot be read ({reason(error)}); run {run!r} is shown without answers."],
        )
    every = pl.DataFrame({"row": pl.int_range(len(facts), dtype=pl.UInt32, eager=True)})
    whole = len(rows) == len(facts) and rows["row"].equals(every["row"])
    found = rows if whole else every.join(rows, on="row", how="left", maintain_order="left")
    gold, answer = facts["label"].cast(pl.String), pl.col("answer")
    state = (
        pl.when(pl.col("error").is_null()).then(pl.lit("missing"))
        .when("error").then(pl.lit("failed"))
        .when(answer.is_null()).then(pl.lit("unparsed"))
        .when(pl.lit(gold).is_null()).then(pl.lit("answered"))
        .when(answer == pl.lit(gold)).then(pl.lit("right"))
        .otherwise(pl.lit("wrong"))
    )  # fmt: skip
    # A label with an error is no answer.
    shown = pl.when(~pl.col("error")).then(answer)
    probability = pl.when(shown.is_not_null()).then("probability")
    frame = found.select(
        shown.alias("answer"), probability.alias("probability"), state.cast(pl.Enum(STATES)).alias("state")
    )
    return RunAnswers(frame, tuple(problems))


def is_answer(questions: pl.DataFrame) -> pl.Expr:
    """Whether a row of outputs is an answer to one of the primary questions, of any sample and method."""
    asked = list(dict.fromkeys(primary_questions(questions).values()))
    plain = (pl.col("condition") == "full") & (pl.col("annotator_id") == "")
    return plain & pl.col("question").is_in(asked)


def first_answers(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Of the answers of one run, that of no method where it has such rows, with the lowest sample of each ``key``."""
    if (rows["method"] == "").any():
        rows = rows.filter(pl.col("method") == "") if (rows["method"] != "").any() else rows
    if rows[key].is_sorted() and not rows[key].is_duplicated().any():
        return rows
    return rows.sort(key, "sample", "method", "operator", "k", "draw", maintain_order=True).unique(
        key, keep="first", maintain_order=True
    )


def _answer_rows(
    file: RunFile, run: str, facts: pl.DataFrame, questions: pl.DataFrame
) -> tuple[pl.DataFrame, list[str]]:
    """``row, answer, probability, error`` of the items that the run answers, in their order."""
    kept = (pl.col("run_id") == run) & is_answer(questions)
    key = ("question", "sample", "method", "operator", "k", "draw")
    read = file.scan().filter(kept).select(
        "item_id", *key, "label", "label_probs", "options", pl.col("error").is_not_null()
    ).collect()  # fmt: skip
    places, strange = rows_of(read["item_id"], facts["item_id"])
    problems = [_about_nothing(file, run, read["item_id"], places, facts)] if strange else []
    read = read.drop("item_id").with_columns(places.alias("row"))
    lost = strange and places.null_count() == len(places)  # which is said already
    read = read.drop_nulls("row") if strange else read
    if len(set(primary_questions(questions).values())) > 1:
        asked = facts["config"].cast(pl.String).gather(read["row"]).to_frame().select(of_config(questions)).to_series()
        read = read.filter((asked == read["question"]).fill_null(False))
    if not len(read) and not lost:
        problems.append(f"{file.path}: the run {run!r} has no answers to the primary question.")
    problems += _several_methods(file, run, read)
    first = first_answers(read, "row")
    unread = first["label"].null_count() == len(first) and file.scan().filter(kept).select(
        pl.col("raw").is_not_null().any()
    ).collect().item()  # fmt: skip
    answered = _probability(first.rename({"label": "answer"}) if unread else _labelled(first, questions), questions)
    known = dict.fromkeys(name for names in questions["options"].to_list() for name in names or ())
    unknown = answered["answer"].drop_nulls()
    unknown = unknown.filter(~unknown.is_in(list(known))) if known else unknown.clear()
    if len(unknown):
        told = unknown_labels_message(unknown, [str(name) for name in known])
        problems.append(f"{file.path}: {run!r} gives labels that are no option: {told}")
    return answered.select("row", "answer", "probability", "error"), problems


def _several_methods(file: RunFile, run: str, answers: pl.DataFrame) -> list[str]:
    """What is said of a run that answers by several methods and by none of its own: scoring takes no such run."""
    methods = answers["method"].unique().sort().to_list()
    if len(methods) < 2 or "" in methods:
        return []
    named = ", ".join(repr(name[:60]) for name in methods[:5])
    return [
        f"{file.path}: {run!r} answers by {len(methods)} methods ({named}): the first is shown; choose one (--method)."
    ]


def _about_nothing(file: RunFile, run: str, ids: pl.Series, places: pl.Series, facts: pl.DataFrame) -> str:
    """What is said of answers about items that the set does not have."""
    lost = places.null_count()
    told = unknown_items_message(unknown_items(ids.filter(places.is_null()), facts), facts)
    one, many = f"1 answer of {run!r} is about an item", f"{lost:,} answers of {run!r} are about items"
    those = f"{one} that is not there and is" if lost == 1 else f"{many} that are not there and are"
    return f"{file.path}: {those} left out: {told}."


def _options(questions: pl.DataFrame) -> pl.Expr:
    """The order of the probabilities: the row's own, else that of its question."""
    own = {q: list(o or []) for q, o in zip(questions["question"], questions["options"].to_list(), strict=True)}
    order = pl.lit(next(iter(own.values()), []), dtype=pl.List(pl.String))
    for question, names in own.items():
        order = pl.when(pl.col("question") == question).then(pl.lit(names, dtype=pl.List(pl.String))).otherwise(order)
    return pl.col("options").fill_null(order)


def _labelled(rows: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """``answer``: the label; of a run that gives probabilities and not one label, its single most probable option."""
    if rows["label"].null_count() < len(rows) or rows["label_probs"].null_count() == len(rows):
        return rows.rename({"label": "answer"})
    probs = pl.col("label_probs")
    alone = probs.list.eval(pl.element() >= pl.element().max() - _ROUNDING).list.sum() == 1
    best = _options(questions).list.get(probs.list.arg_max(), null_on_oob=True)
    return rows.with_columns(pl.when(alone).then(best).alias("answer"))


def _probability(rows: pl.DataFrame, questions: pl.DataFrame) -> pl.DataFrame:
    """``probability`` of the answer; null where it is not known."""
    probs, answer = pl.col("label_probs"), pl.col("answer")
    if not len(rows) or rows["label_probs"].null_count() == len(rows):
        return rows.with_columns(pl.lit(None, dtype=pl.Float64).alias("probability"))
    names = _single_order(rows, questions)
    if names:
        found = [pl.when(answer == name).then(probs.list.get(at, null_on_oob=True)) for at, name in enumerate(names)]
        return rows.with_columns(pl.coalesce(found).alias("probability"))
    ordered = rows.with_columns(_options(questions).alias("order"))
    fitting = ordered.filter(probs.list.len() == pl.col("order").list.len())
    long = fitting.select("row", "answer", "order", "label_probs").explode("order", "label_probs")
    named = long.filter(answer == pl.col("order")).unique("row", keep="first")
    named = named.select("row", pl.col("label_probs").alias("probability"))
    return rows.join(named, on="row", how="left", maintain_order="left")


def _single_order(rows: pl.DataFrame, questions: pl.DataFrame) -> list[str]:
    """The order of the probabilities where it is one and the same in all rows; empty where it is not."""
    own = rows["options"]
    if own.null_count() == len(own):
        return list(questions["options"][0] or []) if len(questions) == 1 else []
    lengths = own.list.len()
    width = int(lengths[0] or 0)
    if own.null_count() or not width or not (lengths == width).all():
        return []
    flat = own.explode()
    names: list[str] = flat.head(width).to_list()
    same = all(name is not None and (flat.gather_every(width, at) == name).all() for at, name in enumerate(names))
    return names if same else []
