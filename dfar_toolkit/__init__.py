"""From raw human judgements with reasons to a published dataset, and from model outputs to numbers one can trust.

Importing this package loads none of its rooms; the names below are found when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfar_toolkit import agreement, metrics
    from dfar_toolkit.estimate import Estimate
    from dfar_toolkit.journeys.load import load
    from dfar_toolkit.journeys.scores import score_run as score

__all__ = ["Estimate", "agreement", "load", "metrics", "score"]

_PLACES = {
    "Estimate": ("dfar_toolkit.estimate", "Estimate"),
    "agreement": ("dfar_toolkit.agreement", None),
    "load": ("dfar_toolkit.journeys.load", "load"),
    "metrics": ("dfar_toolkit.metrics", None),
    "score": ("dfar_toolkit.journeys.scores", "score_run"),
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted(__all__)
