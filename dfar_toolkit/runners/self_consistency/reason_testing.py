"""How free-text reasons are tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from dfar_toolkit.engines.requests import Attribution
from dfar_toolkit.errors import TableError
from dfar_toolkit.runners.prompting import Manner
from dfar_toolkit.spans import WordUnit

ReasonTest = Literal["cct", "cot_early", "cot_mistake", "cot_filler", "cot_paraphrase", "cc_shap"]
Mistake = Literal["model", "other_sentence"]
Cut = Literal["sentences", "words"]
Filler = Literal["words", "characters"]
TESTS: Final[tuple[ReasonTest, ...]] = get_args(ReasonTest)
CHAIN_TESTS: Final = ("cot_early", "cot_mistake", "cot_filler", "cot_paraphrase")
CC_SHAP: Final = "cc_shap"
LEAVE_ONE_OUT: Final = "leave_one_out"
_FOLDER: Final = Path(__file__).resolve().parent


def edit_prompt(name_or_path: str | Path) -> str:
    """The text of a prompt that has a reason edited: ours by name (``mistake``, ``paraphrase``), or a file's.

    ``{reason}`` is the reason, ``{statement}`` the item's statement, ``{sentence}`` the sentence to replace.

    Raises:
        TableError: No such file, or none in UTF-8.

    Example:
        >>> "{sentence}" in edit_prompt("mistake")
        True
    """
    ours = {"mistake", "paraphrase"}
    path = _FOLDER / f"{name_or_path}.txt" if str(name_or_path) in ours else Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: wanted a prompt in UTF-8, or one of {', '.join(sorted(ours))}.") from error


@dataclass(frozen=True, slots=True)
class ReasonTesting:
    """How the reasons of a run are tested.

    Attributes:
        manner: How the model is asked; its style must give reasons.
        tests: Which tests, from ``TESTS``.
        places: Places of an item where words are inserted.
        words_per_place: Words tried at each place.
        unit: What a word is, of items and of reasons.
        fields: Fields of the item that words are inserted into; None: the statement, where it has words, else all.
        shares: Shares of the reason that early answering keeps.
        cut: What the reason is cut into: ``sentences``, or ``words`` for reasons of one sentence.
        mistake: ``model``: the model itself writes a sentence with a mistake; ``other_sentence``: a sentence of another
            item's reason.
        mistakes: Mistakes tried per reason, each at another sentence.
        filler: ``words``: "..." for each word; ``characters``: "." for each character.
        mistake_prompt: What has a mistake written.
        paraphrase_prompt: What has a paraphrase written.
        edit_tokens: Tokens at most of a mistake or paraphrase.
        attribution: How contributions of words are come by: an attribution method, or ``leave_one_out``.
        seed: Of everything drawn.
    """

    manner: Manner
    tests: tuple[ReasonTest, ...] = ("cct",)
    places: int = 4
    words_per_place: int = 4
    unit: WordUnit = "whitespace"
    fields: tuple[str, ...] | None = None
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    cut: Cut = "sentences"
    mistake: Mistake = "model"
    mistakes: int = 1
    filler: Filler = "words"
    mistake_prompt: str = field(default_factory=lambda: edit_prompt("mistake"))
    paraphrase_prompt: str = field(default_factory=lambda: edit_prompt("paraphrase"))
    edit_tokens: int = 256
    attribution: Attribution | Literal["leave_one_out"] = "input_x_gradient"
    seed: int = 0


def check_reason_testing(how: ReasonTesting) -> None:
    """Refuse tests that the way of asking has nothing for.

    Raises:
        TableError: A style without reasons, one that gives its label before the reason where the reason's share in the
            label is tested, several steps where reasons are changed, or numbers out of range.

    Example:
        >>> from dfar_toolkit.prompts.styles import load_style
        >>> check_reason_testing(ReasonTesting(Manner(load_style("reason_first")), tests=("cct", "cot_early")))
    """
    style, several = how.manner.style, how.manner.rephrase is not None or how.manner.drafts is not None
    unknown = [test for test in how.tests if test not in TESTS]
    if unknown or not how.tests:
        found = repr(unknown[0]) if unknown else "none"
        raise TableError(f"wanted tests of reasons among {', '.join(TESTS)}; found {found}.")
    if style.answer not in ("label_and_reason", "reason_and_label"):
        raise TableError(
            f"tests of reasons need a style that gives reasons; {style.name!r} answers with {style.answer}; use "
            "'label+reason' or 'reason_first'."
        )
    chained = [test for test in how.tests if test in CHAIN_TESTS]
    if chained and style.answer != "reason_and_label":
        raise TableError(
            f"{chained[0]} asks whether the label hangs on the reason before it; the style {style.name!r} gives its "
            "label first; use 'reason_first' or 'cot'."
        )
    if several and (chained or CC_SHAP in how.tests):
        raise TableError(f"{', '.join([*chained, CC_SHAP])} ask in one step; the style {style.name!r} asks in several.")
    _check_numbers(how)


def _check_numbers(how: ReasonTesting) -> None:
    for name, number in (("places", how.places), ("words_per_place", how.words_per_place), ("mistakes", how.mistakes)):
        if number < 1:
            raise TableError(f"{name} must be 1 or more, found {number}.")
    if not how.shares or any(not 0 <= share <= 1 for share in how.shares) or len(set(how.shares)) < len(how.shares):
        raise TableError(f"shares must be different numbers from 0 to 1, found {', '.join(map(str, how.shares))}.")
    for name, text, part in (
        ("mistake", how.mistake_prompt, "{sentence}"), ("paraphrase", how.paraphrase_prompt, "{reason}"),
    ):  # fmt: skip
        if part not in text:
            raise TableError(f"the prompt for a {name} must hold {part}, where the text to edit is put.")
