"""The prompt of a simulator: which label somebody gave, who wrote this reason about this item.

It is a style that answers with one label, as :mod:`~dfar_toolkit.prompts.styles` describes, and shows the reason as
``earlier.reason`` where that is defined; ours is ``templates/_simulate.jinja``, which a file may extend. The reason is
put in as it stands: nothing in it is a template.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.style_files import ENDING, TEMPLATES
from dfar_toolkit.prompts.styles import PromptStyle, load_style

SIMULATE: Final = "simulate"
_STATEMENT: Final = "a probe of the statement"
_REASON: Final = "a probe of the reason"


def with_reason(asked: Asked, reason: str) -> Asked:
    """The item with the reason that somebody wrote about it.

    Example:
        >>> with_reason(Asked("I lied."), "It hurt.").earlier
        {'reason': 'It hurt.'}
    """
    return replace(asked, earlier={**asked.earlier, "reason": reason})


def reason_alone(asked: Asked, reason: str) -> Asked:
    """The reason that somebody wrote without anything of the item: only the question and its options are left.

    Example:
        >>> reason_alone(Asked("I lied.", options=("bad", "good")), "It hurt.").statement
        ''
    """
    return with_reason(replace(asked, statement="", context=(), option_texts=()), reason)


def simulation_style(name_or_path: str) -> PromptStyle:
    """The style of a simulator: ours by its name ``simulate``, or a file's.

    Args:
        name_or_path: ``simulate``, or the path of a Jinja file.

    Returns:
        The style.

    Raises:
        TableError: A file that is no style, whose answer is more than a label, or that does not show the reason, or the
            item, where they are given.

    Example:
        >>> style = simulation_style("simulate")
        >>> asked = Asked("I lied.", options=("bad", "good"))
        >>> style.plain_text(reason_alone(asked, "It hurt.")).splitlines()[-3:]
        ['Their reason: It hurt.', '', 'Label:']
    """
    if name_or_path == SIMULATE:
        return replace(load_style(TEMPLATES / f"_{SIMULATE}{ENDING}"), name=SIMULATE)
    style = load_style(name_or_path)
    if style.answer != "label" or style.steps:
        raise TableError(
            f"a simulator says one label and nothing else; the style {style.name!r} answers with {style.answer}; leave "
            "out --style, or give a file whose answer is label."
        )
    _check_shown(style)
    return style


def _check_shown(style: PromptStyle) -> None:
    """A file that leaves out what it is about, or shows what it must not, stops before a model is loaded."""
    item = Asked(_STATEMENT, options=("probe-label", "other-label"))
    shown = {
        "the item": (item, True, False),
        "item and reason": (with_reason(item, _REASON), True, True),
        "the reason alone": (reason_alone(item, _REASON), False, True),
    }
    for what, (asked, statement, reason) in shown.items():
        text = style.plain_text(asked)
        for name, probe, wanted in (("statement", _STATEMENT, statement), ("earlier.reason", _REASON, reason)):
            if (probe in text) != wanted:
                raise TableError(f"{style.name}: asked about {what}, the prompt does not show {{{{ {name} }}}}.")
