"""Where the reader of the Faithfulness page stands: the run, the number looked at, the step, and links from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from dfar_toolkit._viewer.addresses import link, parameter
from dfar_toolkit._viewer.faithfulness_numbers import METRICS, Metric
from dfar_toolkit.browsing.perturbed_items import STATES, Side, step_of
from dfar_toolkit.metrics.faithfulness.perturbed import Step
from dfar_toolkit.metrics.rationale.gold_words import GoldRule


@dataclass(frozen=True, slots=True)
class FaithPlace:
    """What the address says, with the first choice where it says nothing that is known.

    Attributes:
        run: The run.
        metric: The metric of the curves.
        over: Whether random words of equal number are taken off.
        operator: How words are taken away; empty: the first that there is.
        gold: By whom words must be marked.
        method: Whose items are listed; empty: none are.
        step: At which step.
        side: What these items are looked at without: the words, or all others.
        show: Which of them; empty: all.
        large: Whether a large file was asked for.
    """

    run: str
    metric: Metric
    over: bool
    operator: str
    gold: GoldRule
    method: str
    step: Step | None
    side: Side
    show: str
    large: bool

    def to(self, **change: str) -> str:
        """The address with some parameters changed; an empty value takes one away."""
        query = {**self._query(), **change}
        if not query.get("method"):
            query = {name: value for name, value in query.items() if name not in ("step", "side", "show")}
        return str(link("faithfulness", more=query))

    def _query(self) -> dict[str, str]:
        query = {"run": self.run, "operator": self.operator, "large": "yes" if self.large else ""}
        query["metric"] = "" if self.metric == METRICS[0] else self.metric.name
        query |= {"over": "random" if self.over else "", "marked_by": "" if self.gold == "majority" else self.gold}
        if self.method:
            query |= {"method": self.method, "step": parameter("step"), "side": self.side, "show": self.show}
        return query


def faith_place(run: str) -> FaithPlace:
    """The place of the address, about a run."""
    named = {metric.name: metric for metric in METRICS}
    metric = named.get(parameter("metric"), METRICS[0])
    gold, side, show = parameter("marked_by"), parameter("side"), parameter("show")
    sides = get_args(Side)
    return FaithPlace(
        run, metric, parameter("over") == "random" and metric.matched, parameter("operator"),
        gold if gold in get_args(GoldRule) else "majority",
        parameter("method"), step_of(parameter("step")), side if side in sides else sides[0],
        show if show in STATES else "", parameter("large") == "yes",
    )  # fmt: skip
