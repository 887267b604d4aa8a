"""Settings that a person gave, as the fields of a class have them; what does not fit is one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args, get_type_hints

from dfar_toolkit.engines.loaded import ModelSettings
from dfar_toolkit.errors import TableError
from dfar_toolkit.finetune.head_settings import HeadSettings
from dfar_toolkit.tabular import nearest

_SCHEDULES: Final = ("linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt")


def head_settings_of(given: Mapping[str, Any], loading: ModelSettings) -> HeadSettings:
    """Settings of a classifier or ranker, which takes its device from them and knows no revision.

    Args:
        given: Names and values.
        loading: How the model is loaded, as it was asked for.

    Returns:
        The settings.

    Raises:
        TableError: An unknown name, a value that it cannot have, or what only a language model takes.

    Example:
        >>> head_settings_of({"epochs": 1, "learning_rate": "1e-3"}, ModelSettings()).rate
        0.001
    """
    where = "the settings of a classifier or ranker"
    for name, wanted in (("revision", loading.revision), ("trust_remote_code", loading.trust_remote_code)):
        if wanted:
            raise TableError(f"--{name.replace('_', '-')} is for a language model; give a classifier as a folder.")
    if loading.device not in ("auto", "cpu"):
        raise TableError(f"a classifier or ranker is trained on auto or cpu, found --device {loading.device}.")
    if "preset" in given:
        raise TableError(f"{where}: presets are for language models; leave out the preset.")
    device = {"device": loading.device} if loading.device != "auto" else {}
    found = HeadSettings(**{**device, **checked_settings(HeadSettings, given, where)})
    if found.schedule not in _SCHEDULES:
        raise TableError(f"{where}: schedule must be one of {', '.join(_SCHEDULES)}, found {found.schedule!r}.")
    return found


def checked_settings(kind: Any, given: Mapping[str, Any], where: str, *, hidden: str = "") -> dict[str, Any]:
    """Names and values as the fields of a class have them; 1e-3, which YAML takes for a text, is a number.

    Args:
        kind: The class.
        given: Names and values.
        where: Where they come from, for errors.
        hidden: A field that is not given this way.

    Returns:
        The same names with their values.

    Raises:
        TableError: An unknown name, or a value of another kind.

    Example:
        >>> checked_settings(HeadSettings, {"warmup": "1e-1"}, "here")
        {'warmup': 0.1}
    """
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != hidden}
    found = {}
    for name, value in given.items():
        if name not in hints:
            hint = nearest(str(name), list(hints)) or f" Known are {', '.join(hints)}."
            raise TableError(f"{where}: unknown setting {name!r}.{hint}")
        kinds = get_args(hints[name]) or (hints[name],)
        kinds = tuple(each for one in kinds for each in (get_args(one) or (one,)))  # a choice, or none
        if float in kinds and isinstance(value, int | str) and not isinstance(value, bool):
            value = _number(value)
        fits = any(isinstance(value, each) if isinstance(each, type) else value == each for each in kinds)
        if not fits or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(_shown(each) for each in kinds)
            raise TableError(f"{where}: {name} must be {wanted}, found {value!r}.")
        found[name] = value
    return found


def _shown(kind: Any) -> str:
    said = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "none"}
    return said.get(kind, str(kind)) if isinstance(kind, type) else str(kind)


def _number(value: int | str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return str(value)
