"""Styles of prompted rationales: files that say how a model is asked which words of an item mattered to its answer.

A style's file is a Jinja file as :mod:`~dfar_toolkit.prompts.styles` describes, with the same blocks ``system``,
``user`` and ``answer_start``. Its values are ``answer``, which says how the answer is read (``words``: a list;
``redacted``: a copy with masks; ``edited``: an edited copy), ``about``, ``stops``, ``max_new_tokens`` and ``joint``.
Besides what blocks of prompt styles read, ``earlier`` holds ``texts`` (name and text of the parts whose words are
asked for), ``others`` (the same of the other parts), ``label``, ``wanted``, ``count`` and ``mask``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.conversation import Conversation, Turn, plain
from dfar_toolkit.prompts.item_words import OPTION, STATEMENT, item_fields
from dfar_toolkit.prompts.style_files import ENDING, SETTINGS, StyleBlocks, read_style_file

RationaleAnswer = Literal["words", "redacted", "edited"]
RATIONALE_TEMPLATES: Final = Path(__file__).resolve().parent / "rationale_templates"
SHOWN_STATEMENT: Final = "Statement"  # what prompts call the statement
# Our styles, and how the answer of a file in their place must be read.
ANSWERS: Final[dict[str, RationaleAnswer]] = {
    "unbounded": "words", "top_k": "words", "top_var": "words", "redaction": "redacted", "counterfactual": "edited",
}  # fmt: skip
_OWN_SETTINGS: Final = ("answer", "about", "stops", "max_new_tokens", "joint")
_PROBE: Final = Asked("a probe of the statement", options=("probe-label", "other-label"))


@dataclass(frozen=True, slots=True)
class RationaleTask:
    """What one request for a rationale says besides the item.

    Attributes:
        label: The label that the model gave.
        fields: Fields whose words are asked for; all other fields are only shown.
        wanted: The label that an edit is to lead to; "" where none is asked for.
        count: How many words are asked for; 0 where that is left open.
        mask: What stands for a masked word.
    """

    label: str
    fields: tuple[str, ...]
    wanted: str = ""
    count: int = 0
    mask: str = "[REDACTED]"


@dataclass(frozen=True, slots=True)
class RationaleStyle:
    """A style as read from its file.

    Attributes:
        name: Its name, or the path it was read from.
        about: One line on it.
        answer: How what is answered is read.
        stops: Texts that end an answer to a plain text.
        max_new_tokens: Tokens that an answer takes at most; a copy may take as many more as its text may have.
        joint: What stands between turns in a plain text.
        sha256: Of its file and the file's parents.
    """

    name: str
    about: str
    answer: RationaleAnswer
    stops: tuple[str, ...]
    max_new_tokens: int
    joint: str
    sha256: str
    _blocks: StyleBlocks = field(compare=False, repr=False)

    def conversation(self, asked: Asked, task: RationaleTask, *, chat: bool) -> Conversation:
        """What is asked, as turns, or as one plain text.

        Args:
            asked: The item; its shots are not shown.
            task: What is asked of it.
            chat: Whether turns are wanted.

        Returns:
            A system's turn where the style has one to say and the user's; or a text that ends with the start of the
            answer.

        Raises:
            TableError: The style's file fails.

        Example:
            >>> asked = Asked("I lied.", options=("bad", "good"), wording="Is it good?")
            >>> task = RationaleTask("bad", ("statement",), count=1)
            >>> load_rationale_style("top_k").conversation(asked, task, chat=True)[0].text.splitlines()[:6]
            ['Question: Is it good?', 'Possible labels: bad, good', '', 'Statement: I lied.', '', 'Answer: bad']
        """
        context = self._blocks.context(_values(asked, task))
        system, user = (self._blocks.render(block, context) for block in ("system", "user"))
        if chat:
            return (Turn("system", system), Turn("user", user)) if system else (Turn("user", user),)
        start = self._blocks.render("answer_start", context)
        return plain(self.joint.join(part for part in (system, user, start) if part))

    def __hash__(self) -> int:
        return hash((self.name, self.sha256))


def shown_texts(asked: Asked, fields: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What prompts call each of these fields, and its text.

    Example:
        >>> shown_texts(Asked("I lied.", options=("bad",), option_texts=("It hurt.",)), ("statement", "option:bad"))
        {'statement': ('Statement', 'I lied.'), 'option:bad': ('bad', 'It hurt.')}
    """
    names = {name: name.removeprefix(OPTION) for name in item_fields(asked)} | {STATEMENT: SHOWN_STATEMENT}
    return {name: (names[name], text) for name, text in item_fields(asked).items() if name in fields and text.strip()}


def load_rationale_style(name_or_path: str | Path) -> RationaleStyle:
    """A style by its name, or from a file.

    Args:
        name_or_path: One of ``ANSWERS``, or the path of a Jinja file.

    Returns:
        The style.

    Raises:
        TableError: An unknown name, or a file that is no style or does not show the item's texts and the label.

    Example:
        >>> load_rationale_style("redaction").answer
        'redacted'
    """
    name = str(name_or_path)
    if name in ANSWERS:
        return _ours(name)
    path = Path(name)
    if not path.is_file():
        known = ", ".join(ANSWERS)
        raise TableError(
            f"unknown style {name!r} of rationales; wanted one of {known}, or the path of a {ENDING} file."
        )
    return _style(name, read_style_file(path))


def rationale_styles(files: Mapping[str, str | Path] | None = None) -> dict[str, RationaleStyle]:
    """The styles by which rationales are asked for.

    Args:
        files: Files in the place of ours, by the names of ``ANSWERS``.

    Returns:
        A style for each of these names.

    Raises:
        TableError: An unknown name, or a file whose answer is read in another way.

    Example:
        >>> list(rationale_styles())
        ['unbounded', 'top_k', 'top_var', 'redaction', 'counterfactual']
    """
    given = dict(files or {})
    if unknown := sorted(set(given) - set(ANSWERS)):
        raise TableError(f"no rationales are called {unknown[0]!r}; wanted {', '.join(ANSWERS)}.")
    found = {name: load_rationale_style(given.get(name, name)) for name in ANSWERS}
    for name, style in found.items():
        if style.answer != ANSWERS[name]:
            raise TableError(f"{style.name}: the answer of {name} must be {ANSWERS[name]!r}, found {style.answer!r}.")
    return found


@lru_cache(maxsize=16)
def _ours(name: str) -> RationaleStyle:
    return _style(name, read_style_file(RATIONALE_TEMPLATES / f"{name}{ENDING}"))


def _style(name: str, blocks: StyleBlocks) -> RationaleStyle:
    constants = blocks.constants
    for key in constants:
        if key in SETTINGS and key not in _OWN_SETTINGS:
            raise TableError(f"{blocks.path}: {key} is no setting of rationales ({', '.join(_OWN_SETTINGS)}).")
    answer, stops, limit = constants.get("answer"), constants.get("stops", []), constants.get("max_new_tokens", 256)
    about, joint = constants.get("about", ""), constants.get("joint", "\n\n")
    if answer not in get_args(RationaleAnswer):
        known = ", ".join(get_args(RationaleAnswer))
        raise TableError(f"{blocks.path}: answer must be one of {known}, found {answer!r}.")
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        raise TableError(f'{blocks.path}: stops must be a list of texts, such as ["\\n\\n"], found {stops!r}.')
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise TableError(f"{blocks.path}: max_new_tokens must be a whole number from 1 up, found {limit!r}.")
    if not isinstance(about, str) or not isinstance(joint, str):
        raise TableError(f"{blocks.path}: about and joint must be texts, found {about!r} and {joint!r}.")
    style = RationaleStyle(name, about, answer, tuple(stops), limit, joint, blocks.sha256, blocks)  # type: ignore[arg-type]
    _check_shown(style)
    return style


def _check_shown(style: RationaleStyle) -> None:
    """A file that leaves out what it is about stops before a model is loaded."""
    task = RationaleTask("probe-label", (STATEMENT,), wanted="other-label", count=7, mask="[PROBE-MASK]")
    text = "\n".join(turn.text for turn in style.conversation(_PROBE, task, chat=True))
    needed = {"statement": _PROBE.statement, "label": task.label}
    needed |= {"mask": task.mask} if style.answer == "redacted" else {}
    needed |= {"wanted": task.wanted} if style.answer == "edited" else {}
    for name, said in needed.items():
        if said not in text:
            where = name if name == "statement" else f"earlier.{name}"
            raise TableError(f"{style.name}: the prompt does not show {{{{ {where} }}}}.")


def _values(asked: Asked, task: RationaleTask) -> dict[str, Any]:
    """What the blocks read."""
    texts = shown_texts(asked, tuple(item_fields(asked)))
    own = tuple(asked.option_texts) or (None,) * len(asked.options)
    return {
        "statement": asked.statement, "context": asked.context, "options": asked.options,
        "option_texts": asked.option_texts, "wording": asked.wording.strip(), "persona": asked.persona, "first": True,
        "choices": tuple(("", name, text) for name, text in zip(asked.options, own, strict=False)),
        "earlier": {
            "texts": [texts[name] for name in texts if name in task.fields],
            "others": [texts[name] for name in texts if name not in task.fields],
            "label": task.label, "wanted": task.wanted, "count": task.count, "mask": task.mask,
        },
    }  # fmt: skip
