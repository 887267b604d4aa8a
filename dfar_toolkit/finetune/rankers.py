"""Rankers for dilemmas: one score per option's text by a shared model with one output, softmax over the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.device_memory import free_cached, out_of_memory
from dfar_toolkit.engines.loaded import LoadedModel, ModelSettings
from dfar_toolkit.engines.model_loading import load_model
from dfar_toolkit.engines.without_gradients import without_gradients
from dfar_toolkit.errors import TableError
from dfar_toolkit.finetune.classifier_data import Floats, Text, head_examples, texts_per_option, votes_of
from dfar_toolkit.finetune.head_batches import Encoded, encode_texts, padded
from dfar_toolkit.finetune.head_runs import RUN, read_training
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.head_training import Development, TrainedHead, train_head
from dfar_toolkit.finetune.outputs_rows import outputs_rows

_AS_IT_COMES = HeadSettings()
_BUDGET = 8192


class Ranker(NamedTuple):
    """A ranker that answers.

    Attributes:
        loaded: The model, one output.
        options: Names of the options it was trained on.
        with_statement: Whether it reads the statement before each option's text.
        facts: What a run says of it.
    """

    loaded: LoadedModel
    options: tuple[str, ...]
    with_statement: bool
    facts: dict[str, Any]


def train_ranker(
    train_items: pl.DataFrame,
    *,
    options: Sequence[str],
    model: Any,
    out: Path,
    dev_items: pl.DataFrame | None = None,
    settings: HeadSettings = _AS_IT_COMES,
    tokenizer: Any = None,
    callbacks: Sequence[Any] = (),
    facts: Mapping[str, Any] | None = None,
) -> TrainedHead:
    r"""Train a ranker; the same call goes on where it was stopped.

    With $z_{ik}$ the score of the text of option k of item i: $q_{ik} = e^{z_{ik}} / \sum_j e^{z_{ij}}$, as Scruples
    ranks actions; the losses are those of a classifier with these logits. Contexts stand before each text.

    Args:
        train_items: Items with ``option_texts`` and ``label``, ``label_counts`` or ``label_probs``.
        options: Names of the options, in the order of texts, counts and shares.
        model: As for a classifier; one in memory has one output (``num_labels=1``).
        out: As for a classifier.
        dev_items: As for a classifier.
        settings: How.
        tokenizer: Of a model in memory.
        callbacks: Further callbacks of the trainer, such as :func:`~dfar_toolkit.finetune.watching.progress`.
        facts: Further facts that decide the run.

    Returns:
        The ranker.

    Raises:
        EngineError: The model cannot be had, or has another head.
        TableError: The items teach nothing, or ``out`` holds something else.

    Source:
        Lourie, Le Bras and Choi (2021), Scruples, AAAI, arXiv 2008.09094, section 6.
    """
    whole = settings.with_statement
    texts = texts_per_option(train_items, options, with_statement=whole)
    examples = head_examples(train_items, texts, votes_of(train_items, options), settings.objective)
    development = None
    if dev_items is not None:
        read = texts_per_option(dev_items, options, with_statement=whole)
        development = Development(dev_items, read, votes_of(dev_items, options))
    return train_head(
        "ranker", examples, development, model, out, settings, options=options, tokenizer=tokenizer,
        predict=ranked_probabilities, callbacks=callbacks, facts=facts,
    )  # fmt: skip


def is_ranker(folder: Path | str) -> bool:
    """Whether a folder is a training run of a ranker.

    Args:
        folder: Any folder.

    Example:
        >>> is_ranker("nothing/there")
        False
    """
    try:
        said = read_training(Path(folder) / RUN)
    except TableError:  # another tool's
        return False
    return said is not None and said.get("task") == "ranker"


def load_ranker(folder: Path | str, settings: ModelSettings | None = None) -> Ranker:
    """A ranker from the folder of its training run.

    Args:
        folder: The folder.
        settings: How it is loaded.

    Returns:
        The ranker.

    Raises:
        EngineError: It cannot be loaded.
        TableError: The folder is none of a ranker.
    """
    said = read_training(Path(folder) / RUN)
    if said is None or said.get("task") != "ranker":
        raise TableError(f"{folder}: wanted the training run of a ranker, found none.")
    loaded = load_model(str(folder), settings or ModelSettings(max_length=said.get("max_length")))
    return Ranker(loaded, tuple(said["options"]), bool(said.get("with_statement")), dict(loaded.facts))


def ranked_outputs(
    ranker: Ranker, items: pl.DataFrame, *, options: Sequence[str], question: str, run_id: str, budget: int = _BUDGET
) -> pl.DataFrame:
    """What a ranker answers, as rows of the table outputs.

    Args:
        ranker: The ranker.
        items: Items with ``option_texts``.
        options: Names of the options, in the order of the texts.
        question: What is asked.
        run_id: Name of the run.
        budget: Tokens of a batch.

    Returns:
        A row per item: ``label``, ``label_probs``, ``probs_kind`` ``classifier``, and beside them ``option_scores``;
        ``error`` where a text is longer than the model reads.

    Raises:
        TableError: Items without a text per option.
    """
    texts = texts_per_option(items, options, with_statement=ranker.with_statement)
    scores = option_scores(ranker.loaded, texts, budget=budget)
    failed = np.asarray(np.isnan(scores).any(axis=1)).tolist()
    why = f"too_long: an option's text has no token, or more than the {ranker.loaded.max_length} that the model reads"
    shown = [None if bad else row for row, bad in zip(scores.tolist(), failed, strict=True)]
    return outputs_rows(
        items["item_id"].to_list(),
        options=options,
        question=question,
        run_id=run_id,
        probs=_softmax(scores),
        errors=[why if bad else None for bad in failed],
        beside={"option_scores": pl.Series(shown, dtype=pl.List(pl.Float64))},
    )


def ranked_probabilities(loaded: LoadedModel, texts: Sequence[tuple[Text, ...]], *, budget: int = _BUDGET) -> Floats:
    """Softmax over the options of the scores of their texts.

    Args:
        loaded: A model with one output.
        texts: Of each item the K texts.
        budget: Tokens of a batch.

    Returns:
        Probabilities (N, K), ``nan`` where a text is too long.
    """
    return _softmax(option_scores(loaded, texts, budget=budget))


def option_scores(loaded: LoadedModel, texts: Sequence[tuple[Text, ...]], *, budget: int = _BUDGET) -> Floats:
    """The score of each option's text, in batches of about equal lengths.

    Args:
        loaded: A model with one output.
        texts: Of each item the K texts.
        budget: Tokens of a batch at most, padding included.

    Returns:
        Scores (N, K), ``nan`` where a text is too long.
    """
    if not texts:
        return np.zeros((0, 0))
    rows = encode_texts(loaded.tokenizer, [text for item in texts for text in item])
    lengths = [len(row["input_ids"]) for row in rows]
    fit = [at for at, length in enumerate(lengths) if 0 < length <= loaded.max_length]
    found = np.full(len(rows), np.nan)
    for batch in token_batches([lengths[at] for at in fit], budget):
        places = [fit[at] for at in batch]
        found[places] = _scores(loaded, [rows[at] for at in places])
    return found.reshape(len(texts), len(texts[0]))


def _scores(loaded: LoadedModel, rows: list[Encoded]) -> list[float]:
    """Scores of one batch; of halves of it where it does not fit the memory."""
    model = loaded.model
    config = model.config.get_text_config()
    known = config.pad_token_id
    held = {token for row in rows for token in row["input_ids"]}
    pad = next(token for token in range(len(held) + 1) if token not in held) if known is None else int(known)
    inputs = {key: values.to(model.device) for key, values in padded(rows, pad).items()}
    config.pad_token_id = pad
    try:
        with without_gradients(model):
            return list(model(**inputs).logits.float().reshape(-1).tolist())
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not out_of_memory(error):
            raise
    finally:
        config.pad_token_id = known
    free_cached(model.device)
    half = len(rows) // 2
    return _scores(loaded, rows[:half]) + _scores(loaded, rows[half:])


def _softmax(scores: Floats) -> Floats:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True)) if scores.size else scores
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True) if scores.size else scores
    return found
