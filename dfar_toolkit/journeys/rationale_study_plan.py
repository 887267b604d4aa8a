"""What a study of rationales is: a model before and after fine-tuning, and methods, as written in a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.protocol import read_mapping
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.finetune.settings import settings_of
from dfar_toolkit.journeys.experiment_fields import Fields
from dfar_toolkit.journeys.training_settings import checked_settings
from dfar_toolkit.runners.rationales.explaining import HUMAN, METHODS, RANDOM, Perturbation
from dfar_toolkit.spans import WordUnit
from dfar_toolkit.tabular import nearest

StudyHead = Literal["language-model", "classifier"]
# Prompting and attribution, as the third paper sets them side by side, with people's words and random ones.
METHODS_OF_STUDY: Final = (
    "prompted_unbounded", "prompted_top_var", "attention", "gradient_l2", "input_x_gradient", HUMAN, RANDOM,
)  # fmt: skip
_TOP: Final = (
    "title", "model", "revision", "device", "items", "config", "train", "split", "limit", "head", "settings",
    "development", "keep_leaked", "methods", "operators", "shares", "draws", "words", "fields", "style", "seed",
    "confidence", "n_boot",
)  # fmt: skip
_OPERATORS: Final = ("remove", "mask", "replace", "mask_token", "attention_mask")
_CLASSIFIER_HAS_NONE: Final = "prompted_"


class RationaleStudy(NamedTuple):
    """A study, as it was written.

    Attributes:
        title: Its title.
        model: Folder or name on the Hub of the model that is looked at before fine-tuning.
        revision: Of that model.
        device: Where it runs.
        items: The items folder.
        config: Its config.
        train: The split that is learned; empty: nothing is learned, only ``before`` is looked at.
        split: The split that is explained.
        limit: The first so many items of it.
        head: What is trained.
        settings: Settings of the training.
        development: Share or split on which the training chooses.
        keep_leaked: Whether items that leak into ``split`` are learned.
        methods: Methods of rationales.
        operators: What becomes of words taken away; the first one is that of the table.
        shares: Shares of words taken away.
        draws: Random rationales per item.
        words: What a word is.
        fields: Fields whose words are looked at; None: all.
        style: The prompt.
        seed: Of everything drawn.
        confidence: Of the intervals.
        n_boot: Bootstrap draws.
    """

    title: str
    model: str
    revision: str | None
    device: str
    items: str
    config: str | None
    train: str
    split: str
    limit: int | None
    head: StudyHead
    settings: dict[str, Any]
    development: float | str
    keep_leaked: bool
    methods: tuple[str, ...]
    operators: tuple[Perturbation, ...]
    shares: tuple[float, ...]
    draws: int
    words: WordUnit
    fields: tuple[str, ...] | None
    style: str
    seed: int
    confidence: float
    n_boot: int


def read_rationale_study(path: Path) -> RationaleStudy:
    """Read the YAML file of a study.

    Args:
        path: The file; paths in it are as from the folder of the call.

    Returns:
        The study.

    Raises:
        TableError: A name or value that does not fit; one line that says where.
    """
    fields = Fields(read_mapping(path, "a study of rationales", "model: ..., items: ..."), str(path), _TOP)
    head = fields.text("head", "language-model")
    if head not in ("language-model", "classifier"):
        raise fields.refuse("head", "language-model or classifier")
    settings = fields.given.get("settings") or {}
    if not isinstance(settings, dict):
        raise fields.refuse("settings", "names with values")
    seed = fields.whole("seed", 0, least=0) or 0
    settings = {"seed": seed, **settings}
    if head == "classifier":
        settings = checked_settings(HeadSettings, settings, f"{path}: settings")
        try:
            HeadSettings(**settings)
        except TableError as error:
            raise TableError(f"{path}: settings: {error}") from error
    else:
        settings_of({"objective": "L", **settings})
        settings = {"objective": "L", **settings}
    methods = fields.texts("methods", _methods_of(head))
    for name in methods:
        if name not in METHODS:
            raise TableError(f"{path}: methods: unknown {name!r}.{nearest(name, METHODS)} Known: {', '.join(METHODS)}.")
        if head == "classifier" and name.startswith(_CLASSIFIER_HAS_NONE):
            raise TableError(f"{path}: methods: a classifier writes nothing, so that {name} is not for it.")
    operators = fields.texts("operators", ["mask"])
    if lost := [name for name in operators if name not in _OPERATORS]:
        raise TableError(f"{path}: operators: unknown {lost[0]!r}; wanted some of {', '.join(_OPERATORS)}.")
    words = fields.text("words", "whitespace")
    if words not in ("whitespace", "characters"):
        raise fields.refuse("words", "whitespace or characters")
    train = "" if fields.given.get("train") is False else fields.text("train", "train")
    return RationaleStudy(
        title=fields.text("title", path.stem), model=fields.text("model"), revision=fields.optional_text("revision"),
        device=fields.text("device", "auto"), items=fields.text("items"), config=fields.optional_text("config"),
        train=train, split=fields.text("split", "test"), limit=fields.whole("limit"),
        head=cast("StudyHead", head), settings=settings, development=_development(fields),
        keep_leaked=_flag(fields, "keep_leaked"), methods=tuple(methods),
        operators=cast("tuple[Perturbation, ...]", tuple(operators)), shares=_shares(fields),
        draws=fields.whole("draws", 5) or 5, words=cast("WordUnit", words),
        fields=tuple(fields.texts("fields")) or None, style=fields.text("style", "label"), seed=seed,
        confidence=fields.number("confidence", 0.95, low=0, high=1),
        n_boot=fields.whole("n_boot", 2000, least=100) or 0,
    )  # fmt: skip


def _methods_of(head: str) -> list[str]:
    spoken = head != "classifier"
    return [name for name in METHODS_OF_STUDY if spoken or not name.startswith(_CLASSIFIER_HAS_NONE)]


def _flag(fields: Fields, name: str) -> bool:
    value = fields.given.get(name, False)
    if not isinstance(value, bool):
        raise fields.refuse(name, "true or false")
    return value


def _development(fields: Fields) -> float | str:
    value = fields.given.get("development", 0.1)
    return value if isinstance(value, str) and value else fields.number("development", 0.1, low=0, high=1)


def _shares(fields: Fields) -> tuple[float, ...]:
    value = fields.given.get("shares", [0.1, 0.2, 0.5])
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(s, int | float) and not isinstance(s, bool) and 0 < s <= 1 for s in listed):
        raise fields.refuse("shares", "numbers above 0 and at most 1")
    return tuple(sorted({float(s) for s in listed}))
