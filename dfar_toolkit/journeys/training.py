"""From an items folder to a trained model: what may be learned, the training, and a run that predict takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.finetune.classical_models import (
    PREFIX,
    ClassicalSettings,
    classical_settings,
    fit_classical,
    is_classical,
)
from dfar_toolkit.finetune.head_runs import (
    BEGUN,
    RUN,
    delete_training,
    last_checkpoint,
    leave_nothing,
    read_training,
    torn_checkpoints,
)
from dfar_toolkit.finetune.outputs_rows import write_outputs
from dfar_toolkit.finetune.settings import STYLE_OF, settings_of
from dfar_toolkit.finetune.trackers import check_trackers, tracker_callbacks
from dfar_toolkit.finetune.watching import TrainingProgress
from dfar_toolkit.hub.addresses import SCHEME, address
from dfar_toolkit.hub.model_card_file import write_model_card
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.training_items import TrainingItems, training_items
from dfar_toolkit.journeys.training_labels import back_to_options, whole_map, with_other_labels
from dfar_toolkit.journeys.training_settings import checked_settings, head_settings_of

Head = Literal["language-model", "classifier", "ranker"]


class TrainOptions(NamedTuple):
    """What is learned, from what.

    Attributes:
        head: ``language-model``: it answers in words; ``classifier``: an output per option; ``ranker``: a score for
            the text of each option.
        settings: Names and values of the settings of the training; for a classical model those of its own.
        train: The split learned from.
        evaluation: Splits that nothing is learned from or chosen on.
        development: Share of the training items on which a checkpoint is chosen, or the name of a split; 0: none.
        keep_leaked: Whether items that stand in the evaluation too are learned.
        config: The config of the items, where they have several.
        seed: Of the development part, and of the training where ``settings`` names none.
        loading: How the model is loaded.
        fresh: Whether what an earlier training wrote into the folder is deleted first.
        label_map: From labels of the items to the names that are learned; those that it does not name stay.
        track: Trackers that are told of the training beside its own log: ``tensorboard``, ``wandb``, ``trackio``.
    """

    head: Head = "language-model"
    settings: Mapping[str, Any] = {}
    train: str = "train"
    evaluation: tuple[str, ...] = ("test",)
    development: float | str = 0.1
    keep_leaked: bool = False
    config: str | None = None
    seed: int = 0
    loading: ModelSettings = ModelSettings()
    fresh: bool = False
    label_map: Mapping[str, str] | None = None
    track: tuple[str, ...] = ()


class Trained(NamedTuple):
    """The run folder, what it is (``model``, or ``outputs`` of a classical one), what ``run.json`` says, and notes."""

    folder: Path
    kind: Literal["model", "outputs"]
    report: dict[str, Any]
    notes: tuple[str, ...]


def train_model(
    items: Path | str | ItemsFolder,
    model: str,
    out: Path,
    options: TrainOptions | None = None,
    *,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Trained:
    """Train a model on the items of a folder; the same call goes on where it was stopped.

    Args:
        items: The items folder.
        model: A folder, a name on the Hub, or ``classical:NAME``.
        out: The run folder: absent, empty, or of the same run.
        options: What is learned, from what.
        progress: Called at steps.

    Returns:
        The run.

    Raises:
        TableError: Items, options or folder do not fit each other; training or choosing on an evaluation split.
        EngineError: The model cannot be had or trained.
    """
    how = options or TrainOptions()
    first = os.environ.get("RANK", "0") == "0"  # of several processes, the one that deletes
    check_trackers(how.track)  # before anything is read
    folder = items_of(items, how.config)
    classical = is_classical(model)
    own = _options_of(folder)
    if how.label_map:
        if classical:
            raise TableError(
                f"{model} answers the items under their own options; leave out --map, and give it to score."
            )
        folder = with_other_labels(folder, how.label_map)
    names = folder.options
    chosen = training_items(
        folder, train=how.train, evaluation=how.evaluation, keep_leaked=how.keep_leaked, seed=how.seed,
        development=0.0 if classical else how.development,  # nothing is chosen there, so that all is learned
        shares=not classical and learns_shares(how.head, how.settings),
    )  # fmt: skip
    if classical:
        return _classical(folder, model, out, how, chosen, names)
    facts = {
        "items": dict(folder.manifest.get("content_digest", {})), "question": folder.question,
        "splits": {"train": how.train, "evaluation": list(how.evaluation), "development": how.development},
        "keep_leaked": how.keep_leaked, "counts": chosen.counts, "data": _data(items, folder),
        "label_map": whole_map(own, how.label_map) if how.label_map else None,
    }  # fmt: skip
    if how.fresh and first:
        delete_training(out)
    begun = (out / BEGUN).is_file()
    callbacks, notes = _callbacks(progress, how.track, out), (*_renamed(how.label_map), *chosen.notes, *_state_of(out))
    try:
        report, more = _trained(folder, model, out, how, chosen, names, facts, callbacks)
    except DfarError:
        if first and not begun:
            leave_nothing(out)
        raise
    return Trained(out, "model", report, (*notes, *more, *(_card(out) if first else ())))


def predict_options(report: Mapping[str, Any]) -> list[str]:
    """Options with which ``predict`` asks a trained model as it was trained.

    Args:
        report: What ``run.json`` of the training says.

    Returns:
        The options; none where those that predict takes by itself are right.

    Example:
        >>> predict_options({"task": "causal", "settings": {"objective": "L+R", "style": None, "chat": False}})
        ['--style', 'label_and_reason', '--no-chat']
        >>> predict_options({"task": "classifier"})
        []
        >>> predict_options({"task": "classifier", "decides": {"label_map": {"no": "nein", "yes": "ja"}}})
        ['--map', 'nein=no,ja=yes']
    """
    settings, said = report.get("settings"), (report.get("decides") or {}).get("label_map")
    back = back_to_options(said) if said else None
    renamed = [] if back is None else ["--map", back]
    if report.get("task") != "causal" or not isinstance(settings, dict):
        return renamed
    style = settings.get("style") or STYLE_OF.get(str(settings.get("objective")), "label")
    chat = settings.get("chat")
    turns = [] if chat is None else ["--chat" if chat else "--no-chat"]
    return [*(["--style", str(style)] if style != "label" else []), *turns, *renamed]


def asked_as_trained(model: str) -> tuple[str, bool | None]:
    """The style and the use of turns with which a model is asked as it was trained.

    Args:
        model: A run folder of a training, or any other model.

    Returns:
        The style, ``label`` where nothing is known, and whether turns are used; None: where there is a template.
    """
    try:
        report = read_training(Path(model) / RUN)
    except TableError:  # somebody else's run.json
        report = None
    settings = (report or {}).get("settings")
    if report is None or report.get("task") != "causal" or not isinstance(settings, dict):
        return "label", None
    return str(settings.get("style") or STYLE_OF.get(str(settings.get("objective")), "label")), settings.get("chat")


def _trained(
    folder: ItemsFolder,
    model: str,
    out: Path,
    how: TrainOptions,
    chosen: TrainingItems,
    names: Sequence[str],
    facts: Mapping[str, Any],
    callbacks: Sequence[Any],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The training itself: what ``run.json`` says, and notes."""
    given = {"seed": how.seed, **how.settings}
    if how.head == "language-model":
        from dfar_toolkit.finetune.recipe import train

        run = train(
            chosen.train, chosen.development, options=names, model=model, out=out, settings=settings_of(given),
            wording=str(folder.questions["wording"][0] or ""), loading=how.loading, callbacks=callbacks, facts=facts,
        )  # fmt: skip
        return run.report, run.notes
    head = head_settings_of(given, how.loading)
    if how.head == "classifier":
        from dfar_toolkit.finetune.classifiers import train_classifier

        trained = train_classifier(
            chosen.train, options=names, model=model, out=out, dev_items=chosen.development, settings=head,
            callbacks=callbacks, facts=facts,
        )  # fmt: skip
    else:
        from dfar_toolkit.finetune.rankers import train_ranker

        trained = train_ranker(
            chosen.train, options=names, model=model, out=out, dev_items=chosen.development, settings=head,
            callbacks=callbacks, facts=facts,
        )  # fmt: skip
    return trained.report, trained.notes


def _options_of(folder: ItemsFolder) -> list[str]:
    kind = str(folder.questions["kind"][0])
    if len(folder.options) < 2 or kind in ("set", "span", "interval", "ratio", "circular", "bipolar"):
        raise TableError(
            f"{folder.path}: a model learns to choose one of several options; the question {folder.question!r} is of "
            f"kind {kind} with {len(folder.options)} options."
        )
    return folder.options


def _state_of(out: Path) -> list[str]:
    """Whether the folder holds this run already, whole or in part; another one is refused when it is opened."""
    if (out / RUN).is_file():
        return ["the run was whole already: nothing was trained"]
    torn = ", ".join(path.name.replace("-", " ") for path in torn_checkpoints(out))
    notes = [f"{torn} was left half-written, and is passed over"] if torn else []
    checkpoint = last_checkpoint(out)
    return notes if checkpoint is None else [*notes, f"the run goes on after {checkpoint.name.replace('-', ' ')}"]


def _card(out: Path) -> list[str]:
    """The model card beside ``run.json``, also of a run that was whole before; a note where there can be none."""
    try:
        note = write_model_card(out)
    except TableError as error:  # the model itself is whole
        note = f"no model card was written: {error}"
    return [note] if note else []


def _renamed(label_map: Mapping[str, str] | None) -> list[str]:
    pairs = ", ".join(f"{given} -> {name}" for given, name in (label_map or {}).items())
    return [f"labels renamed: {pairs}"] if pairs else []


def learns_shares(head: str, settings: Mapping[str, Any]) -> bool:
    """Whether what is learned are people's shares or votes, which ties have too.

    Args:
        head: ``language-model``, ``classifier`` or ``ranker``.
        settings: Of the training.

    Example:
        >>> learns_shares("language-model", {"objective": "soft+R"}), learns_shares("classifier", {})
        (True, False)
    """
    objective = str(settings.get("objective", "hard"))
    return objective.startswith("soft") if head == "language-model" else objective != "hard"


def _data(items: Path | str | ItemsFolder, folder: ItemsFolder) -> dict[str, Any]:
    """What is learned from, for the card of the model: the digest of its items, and where they are on the Hub."""
    digests = folder.manifest.get("content_digest", {})
    configs = folder.items["config"].unique().to_list() if "config" in folder.items.columns else []
    found: dict[str, Any] = {"content_digest": digests.get(configs[0]) if len(configs) == 1 else None}
    if isinstance(items, str) and items.startswith(SCHEME):
        place = address(items)
        found |= {"repo_id": place.repo_id, "commit": place.revision}
    return {name: value for name, value in found.items() if value is not None}


def _callbacks(progress: Callable[[TrainingProgress], None] | None, track: Sequence[str], out: Path) -> Sequence[Any]:
    told = tracker_callbacks(track, out)
    if progress is None:
        return told
    from dfar_toolkit.finetune.watching import progress as watched

    return [watched(progress), *told]


def _classical(
    folder: ItemsFolder, model: str, out: Path, how: TrainOptions, chosen: TrainingItems, names: Sequence[str]
) -> Trained:
    """Fit, and answer the evaluated items at once: a fitted estimator is not kept, as loading one could run code."""
    given = checked_settings(ClassicalSettings, how.settings, f"the settings of {model}", hidden="name")
    for name, value in given.items():
        if not isinstance(value, bool) and value is not None and not (value > 0 or (value == 0 and name == "seed")):
            raise TableError(f"the settings of {model}: {name} must be above 0, found {value!r}.")
    if how.head != "language-model":
        raise TableError(f"{model} is a classifier already; leave out --as {how.head}.")
    if not how.evaluation:
        raise TableError(f"{model} answers when it is trained: nothing to answer; name splits by --evaluation.")
    fitted = fit_classical(
        chosen.train, options=names, settings=classical_settings(model, **{"seed": how.seed, **given})
    )
    evaluated = folder.items.filter(pl.col("split").is_in(how.evaluation))
    run_id = out.resolve().name or model.removeprefix(PREFIX)
    frame = fitted.predict(evaluated, question=folder.question, run_id=run_id)
    decides = {
        "items": dict(folder.manifest.get("content_digest", {})), "model": model, "of_model": fitted.settings._asdict(),
        "splits": {"train": how.train, "evaluation": list(how.evaluation)}, "keep_leaked": how.keep_leaked,
    }  # fmt: skip
    facts = {"model": {"model": model, **fitted.facts}, "counts": chosen.counts}
    write_outputs(frame, out, settings=decides, questions=folder.questions, facts=facts, fresh=how.fresh)
    return Trained(out, "outputs", facts, (*chosen.notes, *fitted.notes))
