"""What an experiment is: arms, seeds, evaluation sets and ways of asking, as a person writes them in a YAML file."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.protocol import read_mapping
from dfar_toolkit.finetune.classical_models import classical_settings, is_classical
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.settings import TrainSettings, settings_of
from dfar_toolkit.journeys.experiment_fields import Fields
from dfar_toolkit.journeys.training_settings import checked_settings

ArmKind = Literal["language-model", "classifier", "ranker", "classical", "untrained"]
OWN: Final = "own"
OUT_OF_FOLD: Final = "out-of-fold"
LEAKED: Final = "+leaked"
PRIMARY: Final = ("accuracy", "macro_f1", "soft_cross_entropy", "brier_score_unbiased")
_HEADS: Final = ("language-model", "classifier", "ranker", "untrained")
_TOP: Final = (
    "title", "model", "revision", "device", "items", "config", "train", "development", "seeds", "keep_leaked",
    "settings", "head_settings", "arms", "reference", "primary", "evaluate", "predict", "cross_validation",
    "confidence", "draws", "reports",
)  # fmt: skip
_ARM: Final = ("name", "head", "model", "revision", "settings", "style")
_SET: Final = ("name", "items", "config", "split", "map", "limit")
_PREDICT: Final = ("style", "temperature", "samples", "top_p", "max_new_tokens", "orders", "calibration", "elicit")
_ALLOWED: Final = {
    "orders": ("none", "reverse", "rotations", "all"), "calibration": ("none", "contextual", "batch"),
    "elicit": ("forced", "samples"),
}  # fmt: skip
_FOLDS: Final = ("folds", "splits")
_NAME: Final = re.compile(r"[\w+=.-][\w+=., -]{0,59}")


class Arm(NamedTuple):
    """A way of training.

    Attributes:
        name: Its name; with ``+leaked`` where leaked items are learned beside an arm that leaves them out.
        kind: What is trained, if anything is.
        model: The model that it begins with.
        revision: Of that model, on the Hub.
        settings: All settings that are given, the common ones included.
        style: The prompt style that it is asked in where none is set for all.
        keep_leaked: Whether items that leak into an evaluation are learned.
        plain: The name without ``+leaked``.
    """

    name: str
    kind: ArmKind
    model: str
    revision: str | None
    settings: dict[str, Any]
    style: str
    keep_leaked: bool
    plain: str

    @property
    def speaks(self) -> bool:
        """Whether it is asked by a prompt."""
        return self.kind in ("language-model", "untrained")

    @property
    def tuned(self) -> TrainSettings:
        """The settings of a language model, in full."""
        return settings_of(self.settings)


class EvaluationSet(NamedTuple):
    """Items that are answered: ``items`` None means the folder of the training."""

    name: str
    items: str | None
    config: str | None
    splits: tuple[str, ...]
    label_map: dict[str, str]
    limit: int | None


class Asking(NamedTuple):
    """A way of asking; ``name`` is empty for the first, which the comparison is about."""

    name: str
    style: str
    temperature: float | None


class Experiment(NamedTuple):
    """An experiment, as it was written; see the documentation of the file."""

    title: str
    device: str
    items: str
    config: str | None
    train: str
    development: float | str
    seeds: tuple[int, ...]
    keep_leaked: tuple[bool, ...]
    arms: tuple[Arm, ...]
    reference: str
    primary: str
    sets: tuple[EvaluationSet, ...]
    askings: tuple[Asking, ...]
    predict: dict[str, Any]
    folds: int | None
    fold_splits: tuple[str, ...]
    confidence: float
    draws: int
    reports: bool

    def arm(self, name: str) -> Arm:
        """The arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)


def read_experiment(path: Path) -> Experiment:
    """An experiment from its YAML file.

    Args:
        path: The file.

    Returns:
        The experiment.

    Raises:
        TableError: The file cannot be read, or says something that is unknown or does not fit; one line.
    """
    example = "model: ..., items: ..., arms: [...], evaluate: [...]"
    return experiment_of(read_mapping(path, "an experiment", example), where=str(path))


def experiment_of(given: dict[str, Any], *, where: str = "experiment") -> Experiment:
    """An experiment from names and values, as :func:`read_experiment` reads them.

    Args:
        given: Names and values.
        where: Where they come from, for errors.

    Returns:
        The experiment.

    Raises:
        TableError: As :func:`read_experiment`.

    Example:
        >>> said = {"model": "org/some-7b", "items": "out/dfar", "seeds": 3, "evaluate": [{"name": "dfar"}],
        ...         "arms": [{"name": "L", "settings": {"objective": "L"}}, {"name": "L+R"}]}
        >>> experiment_of(said).seeds
        (0, 1, 2)
    """
    top = Fields(given, where, _TOP)
    keep = tuple(top.flags("keep_leaked"))
    arms = _arms(top, keep)
    plain = [arm.plain for arm in arms]
    reference = top.text("reference", plain[0])
    if reference not in plain:
        raise top.refuse("reference", f"the name of an arm ({', '.join(dict.fromkeys(plain))})")
    primary = top.text("primary", "accuracy")
    if primary not in PRIMARY:
        raise top.refuse("primary", f"one of {', '.join(PRIMARY)}")
    train = top.text("train", "train")
    folds = Fields(top.given.get("cross_validation") or {}, f"{where}: cross_validation", _FOLDS)
    if folds.given and "folds" not in folds.given:
        raise folds.refuse("folds", "a whole number of 2 or more")
    sets = _sets(top)
    if not sets and not folds.given:
        raise top.refuse(
            "evaluate", "a list of sets with names, such as [{name: test}], or cross_validation: {folds: 5}"
        )
    askings, rest = _askings(top)
    reports = top.flags("reports") if "reports" in top.given else [True]
    return Experiment(
        title=top.text("title", "Experiment"), device=top.text("device", "auto"), items=top.text("items"),
        config=top.optional_text("config"), train=train, development=_development(top), seeds=_seeds(top),
        keep_leaked=keep, arms=arms, reference=next(arm.name for arm in arms if arm.plain == reference),
        primary=primary, sets=sets, askings=askings, predict=rest, folds=folds.whole("folds", least=2),
        fold_splits=tuple(folds.texts("splits", [train])),
        confidence=top.number("confidence", 0.95, low=0.5, high=1), draws=top.whole("draws", 2000, least=100) or 2000,
        reports=reports[0],
    )  # fmt: skip


def slug(name: str) -> str:
    """The name as that of a folder.

    Example:
        >>> slug("L+R, shuffled")
        'L+R,_shuffled'
    """
    return name.replace(" ", "_")


def _arms(top: Fields, keep: tuple[bool, ...]) -> tuple[Arm, ...]:
    given = top.listed("arms")
    if not given:
        raise top.refuse("arms", "a list of arms with names, such as [{name: L, settings: {objective: L}}]")
    found: list[Arm] = []
    for place, each in enumerate(given, 1):
        fields = Fields(each, f"{top.where}: arm {place}", _ARM)
        name = _named(fields)
        fields.where = f"{top.where}: arm {name!r}"
        found += _arm(top, fields, name, keep)
    _different([arm.name for arm in found], f"{top.where}: arms")
    return tuple(found)


def _arm(top: Fields, fields: Fields, name: str, keep: tuple[bool, ...]) -> list[Arm]:
    """The arm, and with leaked items once more."""
    model, own = fields.optional_text("model") or top.optional_text("model"), fields.mapping("settings")
    if model is None:
        raise fields.refuse("model", "the name of a model, here or for all arms")
    revision = fields.optional_text("revision") or (None if "model" in fields.given else top.optional_text("revision"))
    head = fields.text("head", "language-model")
    if head not in _HEADS:
        raise fields.refuse("head", f"one of {', '.join(_HEADS)}")
    kind = cast("ArmKind", "classical" if is_classical(model) else head)
    if kind == "classical" and fields.given.get("head") is not None:
        raise fields.refuse("head", f"left out with {model}")
    if kind == "untrained" and own:
        raise fields.refuse("settings", "left out, as nothing is trained")
    common = {"language-model": "settings", "classifier": "head_settings", "ranker": "head_settings"}.get(kind)
    settings = {**(top.mapping(common) if common else {}), **own}
    if kind in ("classifier", "ranker") and top.given.get("device") == "cpu":
        settings = {"device": "cpu", **settings}
    if "seed" in settings:
        raise TableError(f"{fields.where}: the seed is that of the experiment (seeds: [0, 1, 2]); leave it out.")
    style = fields.text("style", "label")
    settings = _checked(fields.where, kind, model, settings)
    if kind == "language-model" and fields.optional_text("style") is None:
        style = settings_of(settings, where=fields.where).style_name
    if "style" in fields.given and kind not in ("language-model", "untrained"):
        raise fields.refuse("style", f"left out, as a {kind} model reads no prompt")
    variants = keep if kind != "untrained" else (False,)
    names = {False: name, True: f"{name}{LEAKED}" if len(variants) > 1 else name}
    return [Arm(names[leak], kind, model, revision, settings, style, leak, name) for leak in sorted(variants)]


def _checked(where: str, kind: ArmKind, model: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, numbers that YAML takes for texts (1e-3) read; what does not fit is refused."""
    if kind == "language-model":
        settings_of(settings, where=where)
        return settings
    try:
        if kind in ("classifier", "ranker"):
            of = "the settings of a classifier or ranker"
            settings = checked_settings(HeadSettings, settings, of, hidden="seed")
            HeadSettings(**settings)
        elif kind == "classical":
            known = [name for name in classical_settings(model)._fields if name not in ("name", "seed")]
            Fields(settings, f"the settings of {model}", known)
    except (TableError, TypeError) as error:
        raise TableError(f"{where}: {error}") from None
    return settings


def _sets(top: Fields) -> tuple[EvaluationSet, ...]:
    found = []
    for place, each in enumerate(top.listed("evaluate"), 1):
        fields = Fields(each, f"{top.where}: evaluation set {place}", _SET)
        name = _named(fields)
        fields.where = f"{top.where}: evaluation set {name!r}"
        labels = fields.mapping("map")
        if not all(isinstance(option, str) for option in labels.values()):
            raise fields.refuse("map", "labels with options, such as {unethical: hate_speech} (quote yes and no)")
        found.append(
            EvaluationSet(
                name, fields.optional_text("items"), fields.optional_text("config"),
                tuple(fields.texts("split", ["test"])), labels, fields.whole("limit"),
            )
        )  # fmt: skip
    names = [each.name for each in found]
    if OUT_OF_FOLD in names:
        raise TableError(f"{top.where}: evaluate: {OUT_OF_FOLD!r} is the name of the cross-validated items.")
    _different(names, f"{top.where}: evaluation sets")
    return tuple(found)


def _askings(top: Fields) -> tuple[tuple[Asking, ...], dict[str, Any]]:
    """Every style with every temperature, the first of each first; and what is the same for all."""
    fields = Fields(top.given.get("predict") or {}, f"{top.where}: predict", _PREDICT)
    found: list[Asking] = []
    styles = fields.texts("style", [OWN])
    given = fields.given.get("temperature")
    temperatures = given if isinstance(given, list) else [given]
    numbers = [t for t in temperatures if isinstance(t, int | float) and not isinstance(t, bool) and t >= 0]
    if not temperatures or (given is not None and len(numbers) < len(temperatures)):
        raise fields.refuse("temperature", "a number of 0 or more, or a list of such numbers")
    _different([str(each) for each in temperatures], f"{fields.where}: temperatures")
    for style, temperature in product(styles, temperatures):
        parts = [Path(style).stem] if len(styles) > 1 else []
        parts += [f"t={temperature:g}"] if len(temperatures) > 1 else []
        found.append(Asking("" if not found else "-".join(parts), style, temperature))
    _different([each.name for each in found], f"{fields.where}: ways of asking")
    for name in ("samples", "max_new_tokens"):
        fields.whole(name, 1)
    fields.number("top_p", 1.0, low=0, high=1.0000001)
    for name, allowed in _ALLOWED.items():
        if fields.given.get(name, allowed[0]) not in allowed:
            raise fields.refuse(name, f"one of {', '.join(allowed)}")
    return tuple(found), {k: v for k, v in fields.given.items() if k not in ("style", "temperature")}


def _seeds(top: Fields) -> tuple[int, ...]:
    given = top.given.get("seeds", [0])
    seeds = list(range(given)) if isinstance(given, int) and not isinstance(given, bool) else given
    whole = isinstance(seeds, list) and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise top.refuse("seeds", "a number of seeds, or a list of different whole numbers")
    return tuple(seeds)


def _development(top: Fields) -> float | str:
    given = top.given.get("development", 0.1)
    if isinstance(given, str) and given:
        return given
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1:
        raise top.refuse("development", "a share from 0 to below 1, or the name of a split")
    return float(given)


def _named(fields: Fields) -> str:
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        raise fields.refuse("name", "letters, digits, blanks and + = . , _ - (at most 60)")
    return name


def _different(names: list[str], where: str) -> None:
    """Names become folders, also where capitals do not tell folders apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(slug(name).casefold(), name)
        if other is not name:
            raise TableError(f"{where}: {other!r} and {name!r} would have one folder; give them different names.")
