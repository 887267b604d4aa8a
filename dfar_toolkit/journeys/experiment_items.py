"""The items of an experiment: read once, checked before anything is trained, without what leaks into any set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from dfar_toolkit.corpus.split_methods import fold_split
from dfar_toolkit.engines.model_files import find_model
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.hub.addresses import SCHEME
from dfar_toolkit.journeys.experiment_plan import OUT_OF_FOLD, OWN, EvaluationSet, Experiment
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
from dfar_toolkit.journeys.training import learns_shares
from dfar_toolkit.journeys.training_items import leaking, training_items
from dfar_toolkit.journeys.what_is_asked import Selection, question_of

HELD: Final = "held_out"


@dataclass(frozen=True, slots=True)
class ExperimentItems:
    """The items of an experiment.

    Attributes:
        base: The folder that is learned from.
        folders: The folder of each evaluation set.
        own_splits: Splits of ``base`` that are evaluated.
        foreign: Ids of items of ``base`` that stand, word for word or nearly, in the sets of other folders.
        folded: The set of the cross-validated items; its splits are empty where there is none.
        fold_of: Item id to fold.
        notes: What must be known.
    """

    base: ItemsFolder
    folders: dict[str, ItemsFolder]
    own_splits: tuple[str, ...]
    foreign: pl.Series
    folded: EvaluationSet
    fold_of: pl.DataFrame
    notes: list[str] = field(default_factory=list)

    @property
    def training_digest(self) -> dict[str, Any]:
        """Of the content that is learned from."""
        return dict(self.base.manifest.get("content_digest", {}))

    def digest(self, on: EvaluationSet) -> dict[str, Any]:
        """Of the content of an evaluation set."""
        return dict(self.folder(on).manifest.get("content_digest", {}))

    def foreign_digest(self, keep_leaked: bool) -> str:
        """Of the items that are left out because of other folders."""
        gone = [] if keep_leaked else sorted(self.foreign.to_list())
        return hashlib.sha256("\n".join(gone).encode()).hexdigest()[:16] if gone else ""

    def folder(self, on: EvaluationSet, *, fold: int | None = None) -> ItemsFolder:
        """The folder of an evaluation set, or the part of it that a fold holds out."""
        found = self.folders[on.name]
        return found if fold is None else replace(found, items=self._dealt(found, fold, "learned"))

    def training(self, keep_leaked: bool, fold: int | None, train: str) -> ItemsFolder:
        """The folder that is learned from, without what leaks into other folders, and without a fold."""
        found = self.base
        if fold is not None:
            found = replace(found, items=self._dealt(found, fold, train))
        if not keep_leaked and len(self.foreign):
            kept = (pl.col("split") == HELD) | ~pl.col("item_id").is_in(self.foreign.implode())
            found = replace(found, items=found.items.filter(kept))
        return found

    def _dealt(self, folder: ItemsFolder, fold: int, train: str) -> pl.DataFrame:
        """The dealt items alone, the fold as a split of its own."""
        dealt = folder.items.join(self.fold_of, on="item_id", how="inner", maintain_order="left")
        held = pl.col("fold") == fold
        return dealt.with_columns(split=pl.when(held).then(pl.lit(HELD)).otherwise(pl.lit(train))).drop("fold")


def experiment_items(plan: Experiment, *, fetch: bool = True) -> ExperimentItems:
    """Read and check all that an experiment rests on: items, splits, labels, options, styles, models.

    Args:
        plan: The experiment.
        fetch: Whether models on the Hub are fetched; without, only those in folders are looked at.

    Returns:
        The items.

    Raises:
        TableError: Something is not there, or does not fit; one line that names the set or the arm.
        EngineError: A model cannot be had.
    """
    base = items_of(_place(plan.items), plan.config)
    folders, own = {}, []
    for on in plan.sets:
        folders[on.name] = _named(f"evaluation set {on.name!r}", lambda on=on: _folder_of(on, plan, base))
        if _is_own(on, plan, folders[on.name], base):
            own += list(on.splits)
    folded = EvaluationSet(OUT_OF_FOLD, None, plan.config, plan.fold_splits, {}, None)
    fold_of = _folds(plan, base)
    folders[OUT_OF_FOLD] = base
    foreign = _foreign(plan, base, folders)
    found = ExperimentItems(base, folders, tuple(dict.fromkeys(own)), foreign, folded, fold_of)
    _check_training(plan, found)
    _check_asking(plan, found)
    for name, revision in dict.fromkeys((arm.model, arm.revision) for arm in plan.arms if arm.kind != "classical"):
        if fetch or Path(name).exists():
            find_model(name, revision=revision)
    return found


def _place(text: str) -> Path | str:
    return text if text.startswith(SCHEME) else Path(text)


def _named(what: str, made: Any) -> Any:
    try:
        return made()
    except TableError as error:
        raise TableError(f"{what}: {error}") from None


def _folder_of(on: EvaluationSet, plan: Experiment, base: ItemsFolder) -> ItemsFolder:
    if on.items is None and on.config in (None, plan.config):
        folder = base
    else:
        folder = items_of(_place(on.items or plan.items), on.config)
    labels = on.label_map
    if not labels and set(folder.options) != set(base.options):
        raise TableError(
            f"its options are {', '.join(folder.options)}, those learned {', '.join(base.options)}; say which means "
            f"which, such as map: {{{base.options[0]}: {folder.options[0]}, ...}}."
        )
    spoken = [arm for arm in plan.arms if not arm.speaks and arm.kind != "ranker"]
    silent = [name for name in base.options if labels and name not in labels]
    if spoken and silent:
        raise TableError(f"map says nothing of {silent[0]!r}, which {spoken[0].name} answers.")
    question_of(folder, Selection(splits=on.splits, limit=on.limit), labels or None)
    if on.limit is None:
        return folder
    # What is left out is not asked about, and no unanswered item.
    return replace(folder, items=folder.items.filter(pl.col("split").is_in(on.splits)).head(on.limit))


def _is_own(on: EvaluationSet, plan: Experiment, folder: ItemsFolder, base: ItemsFolder) -> bool:
    """Whether a set's splits are those of the folder that is learned from."""
    return folder.path == base.path and (on.config or plan.config) == plan.config


def _folds(plan: Experiment, base: ItemsFolder) -> pl.DataFrame:
    if plan.folds is None:
        return pl.DataFrame(schema={"item_id": pl.String, "fold": pl.Int64})
    there = base.items["split"].unique(maintain_order=True).to_list()
    for split in plan.fold_splits:
        if split not in there:
            raise TableError(f"cross_validation: {base.path}: no split {split!r}; there are {', '.join(there)}.")
    if isinstance(plan.development, str):
        raise TableError("cross_validation deals the items anew; give development a share, such as 0.1.")
    dealt = base.items.filter(pl.col("split").is_in(plan.fold_splits))
    try:
        found = fold_split(dealt, folds=plan.folds).frame
    except ValueError as error:
        raise TableError(f"cross_validation: {str(error).removeprefix('fold_split: ')}") from None
    return found.select("item_id", fold=pl.col("split").str.strip_prefix("fold").cast(pl.Int64) - 1)


def _foreign(plan: Experiment, base: ItemsFolder, folders: dict[str, ItemsFolder]) -> pl.Series:
    """Items that may be learned and stand in the evaluated splits of other folders."""
    seen = [
        folders[on.name].items.filter(pl.col("split").is_in(on.splits)).drop("label")
        for on in plan.sets
        if not _is_own(on, plan, folders[on.name], base)
    ]
    if not seen:
        return pl.Series("item_id", [], dtype=pl.String)
    learned = base.items.filter(pl.col("split").is_in([plan.train, *plan.fold_splits])).drop("label")
    return leaking(learned, pl.concat(seen, how="diagonal_relaxed").unique("item_id", maintain_order=True))


def _check_training(plan: Experiment, found: ExperimentItems) -> None:
    """Splits, labels and leaks, said before the first model is loaded."""
    if all(arm.kind == "untrained" for arm in plan.arms):
        return
    trained = [arm for arm in plan.arms if arm.kind != "untrained"]
    kinds = {arm.kind != "classical" and learns_shares(arm.kind, arm.settings) for arm in trained}
    leaked = {}
    for shares in sorted(kinds) if plan.sets else ():
        chosen = training_items(
            found.training(True, None, plan.train), train=plan.train, evaluation=found.own_splits,
            development=plan.development, keep_leaked=True, shares=shares,
        )  # fmt: skip
        leaked[shares] = chosen.counts["leaked"]
    if any(leaked.values()):
        more = max(leaked.values()) - min(leaked.values())
        ties = f" ({more} of them, without a label, are learned only where people's shares are)" if more else ""
        found.notes.append(f"{max(leaked.values())} items of {plan.train} leak into the evaluated splits{ties}")
    if len(found.foreign):
        found.notes.append(f"{len(found.foreign)} items of {plan.train} stand in sets of other folders too")
    if any(arm.kind == "ranker" for arm in plan.arms):
        for name, folder in found.folders.items():
            if (folder.items["option_texts"].list.len().fill_null(0) == 0).any():
                raise TableError(f"evaluation set {name!r}: a ranker needs a text per option, which items here lack.")


def _check_asking(plan: Experiment, found: ExperimentItems) -> None:
    for arm in plan.arms:
        for asking in plan.askings if arm.speaks else ():
            style = arm.style if asking.style == OWN else asking.style
            try:
                manner_of(PredictOptions(style=style, temperature=asking.temperature, **plan.predict), chat=False)
            except (TableError, TypeError, ValueError) as error:
                raise TableError(f"arm {arm.name!r}: predict: {error}") from None
