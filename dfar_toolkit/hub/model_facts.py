"""The facts of a model card, gathered from the folder of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.hub.addresses import Address, address
from dfar_toolkit.hub.model_run_notes import RunNotes, read_run_notes
from dfar_toolkit.hub.staged_model import StagedModel, is_hub_name, without_local_places

SCORES: Final = "scores.json"
HERE: Final = "RUN"  # stands for the folder of the run in what a card says of its use
Task = Literal["causal", "classifier", "ranker", ""]
_OF_ADAPTER: Final[dict[str, Task]] = {"CAUSAL_LM": "causal", "SEQ_CLS": "classifier"}
_OF_CLASS: Final[dict[str, Task]] = {"ForCausalLM": "causal", "LMHeadModel": "causal",
                                     "ForSequenceClassification": "classifier"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the card says beside what the model's own files say.

    Attributes:
        title: Name of the model.
        place: What it is loaded by: its name on the Hub, or ``RUN`` for the folder that the card lies in.
        task: ``causal``, ``classifier``, ``ranker``; empty where unknown.
        data: The data set on the Hub and the commit it was trained on; None where it is not there.
        data_digest: Digest of the content of the training data; empty where unknown.
        licence: As the Hub calls it.
        labels: The labels that it gives, in the order of its outputs.
        settings: How it was trained.
        scores: Rows of ``dfar score --json``.
        intended_use: For what; empty for the usual words.
        run: What ``run.json`` says.
    """

    title: str
    place: str
    task: Task
    run: RunNotes
    data: Address | None = None
    data_digest: str = ""
    licence: str = "unknown"
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    scores: tuple[Mapping[str, Any], ...] = ()
    intended_use: str = ""


def model_facts(
    run: Path,
    model: StagedModel,
    *,
    title: str | None = None,
    place: str = HERE,
    data: Address | None = None,
    licence: str | None = None,
    scores: Path | None = None,
    intended_use: str = "",
) -> ModelFacts:
    """What the card of a run says: as given, else as ``run.json`` says.

    Args:
        run: Folder of the run.
        model: The model in it.
        title: Name of the model; None: that of the folder.
        place: What it is loaded by.
        data: The data set on the Hub that it was trained on.
        licence: The model's licence.
        scores: What ``dfar score --json`` printed; None: ``scores.json`` in the folder, if it is there.
        intended_use: What the model is for.

    Returns:
        The facts.

    Raises:
        TableError: ``run.json`` or the scores cannot be read.
    """
    if scores is not None and not scores.is_file():
        raise TableError(f"{scores}: wanted the output of dfar score --json, found nothing there.")
    notes = read_run_notes(run)
    rows = read_scores(scores if scores is not None else run / SCORES)
    settings = notes.section("settings")
    return ModelFacts(
        title=title or run.resolve().name,
        place=place,
        task=_task(notes, model),
        run=notes,
        data=data or _data(notes),
        data_digest=notes.text("data", "content_digest"),
        licence=(licence or notes.text("licence") or "unknown").lower(),
        labels=notes.texts("labels") or _labels_scored(rows),
        settings=without_local_places(settings) or None,
        scores=rows,
        intended_use=intended_use,
    )


def base_on_hub(run: Path) -> str:
    """The model on the Hub that a run began from, as its ``run.json`` says; empty where it came from elsewhere.

    Args:
        run: Folder of the run.

    Raises:
        TableError: ``run.json`` cannot be read.
    """
    said = read_run_notes(run)
    named = base_name(said)
    return named if base_mark(said, "commit") and is_hub_name(named) else ""


def base_name(notes: RunNotes) -> str:
    """How a run calls the model that it began from, without the place on this machine; empty where it does not say."""
    named = notes.text("model", "base_model") or notes.text("model", "model")
    return named if base_mark(notes, "commit") else named.replace("\\", "/").rstrip("/").rpartition("/")[2]


def base_mark(notes: RunNotes, kind: Literal["commit", "fingerprint"]) -> str:
    """The commit of the base model on the Hub, or the fingerprint of its files; empty where unknown."""
    return notes.text("model", f"base_model_{kind}") or notes.text("model", f"model_{kind}")


def read_scores(path: Path) -> tuple[dict[str, Any], ...]:
    """The rows that ``dfar score --json`` printed.

    Args:
        path: The file; absent means no scores.

    Returns:
        The rows.

    Raises:
        TableError: It is something else.
    """
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not valid JSON ({str(error)[:80]}); write it with dfar score --json.") from None
    if not isinstance(rows, list) or any(not isinstance(r, dict) or not {"metric", "value"} <= set(r) for r in rows):
        raise TableError(f"{path}: wanted the list that dfar score --json prints, found something else.")
    return tuple(rows)


def _task(notes: RunNotes, model: StagedModel) -> Task:
    """What the run says, else what the model's files say."""
    said = notes.text("task")
    for task in ("causal", "classifier", "ranker"):
        if said == task:
            return task
    if not model.whole:
        return _OF_ADAPTER.get(str(model.config.get("task_type")), "")
    names = RunNotes(model.config).texts("architectures")
    return next((task for end, task in _OF_CLASS.items() if any(name.endswith(end) for name in names)), "")


def _data(notes: RunNotes) -> Address | None:
    """The data set on the Hub, where the run names one."""
    named = notes.text("data", "repo_id")
    if not named:
        return None
    try:
        return address(named, revision=notes.text("data", "commit") or None)
    except HubError as error:
        raise TableError(f"run.json: {error}") from None


def _labels_scored(scores: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    """The labels that scores are given for."""
    return tuple(dict.fromkeys(str(row["label"]) for row in scores if row.get("label")))
