"""Which statistics suit a question: by default observed agreement, alpha and AC1, on request all that apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import polars as pl

from dfar_toolkit.agreement.alpha import alpha_statistic
from dfar_toolkit.agreement.brennan_prediger import uniform_statistic
from dfar_toolkit.agreement.categories import offered
from dfar_toolkit.agreement.conger import conger_kappa
from dfar_toolkit.agreement.continuous.correlation import mean_correlation
from dfar_toolkit.agreement.continuous.cronbach import cronbach_alpha
from dfar_toolkit.agreement.continuous.icc import Form, icc
from dfar_toolkit.agreement.continuous.kendall_w import kendall_w
from dfar_toolkit.agreement.continuous.lin import lin_ccc
from dfar_toolkit.agreement.counting import Counts
from dfar_toolkit.agreement.distances import Level
from dfar_toolkit.agreement.fleiss import fleiss_statistic
from dfar_toolkit.agreement.gwet import ac_statistic
from dfar_toolkit.agreement.kappa import scott_pi
from dfar_toolkit.agreement.light import light_kappa
from dfar_toolkit.agreement.observed import observed_statistic
from dfar_toolkit.agreement.statistic import Resampling, Statistic
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate

MOST_SAME_OR_NOT: Final = 64  # distinct numbers above which "the same or not" says nothing about a question of numbers

_FORMS: Final[tuple[Form, ...]] = ("1", "A,1", "C,1", "A,k", "C,k")


class Counted(NamedTuple):
    """A statistic of counted ratings, by name and level (or weights)."""

    statistic: str
    level: str | None
    of: Callable[[Counts], Statistic]


class Asked(NamedTuple):
    """What all statistics of a table share; the ratings have canonical column names."""

    group: str | None
    by: Sequence[str] | None
    how: Resampling

    @property
    def drawn(self) -> Literal["bootstrap", "jackknife"] | None:
        """The interval of statistics that have no analytic one."""
        return self.how.ci if self.how.ci in ("jackknife", None) else "bootstrap"

    @property
    def exact(self) -> Literal["analytic", "bootstrap", "jackknife"] | None:
        """The interval of statistics whose own one, from F, rests on independent items."""
        return "analytic" if self.how.ci in ("analytic", "bootstrap") and self.group is None else self.drawn


class Single(NamedTuple):
    """A statistic of single ratings, by name and level (form, method)."""

    statistic: str
    level: str | None
    of: Callable[[pl.LazyFrame, Asked], Estimate | pl.DataFrame]


def levels_of(kind: str) -> list[Level]:
    """The levels at which alpha is given for a question of a kind: nominal, and its own."""
    if kind in ("nominal", "pair"):
        return ["nominal"]
    for level in get_args(Level):
        if kind == level:
            return ["nominal", level]
    if kind in ("set", "span"):
        instead = "set_alpha, or" if kind == "set" else "span_f1 and unitizing_alpha, or"
        raise TableError(
            f"agreement of single values is not for questions of kind {kind!r}; found kind {kind!r}; use {instead} "
            f"one yes/no question per value."
        )
    raise TableError(
        f"agreement is offered for questions of kind {', '.join(get_args(Level))}; found kind {kind!r}; "
        f"turn the values into one of these, e.g. one yes/no question per value of a set."
    )


def counted(kind: str, n_values: int, order: Sequence[str] | None, *, everything: bool) -> list[Counted]:
    """The statistics of counts that suit a question.

    Args:
        kind: Kind of the question.
        n_values: Distinct values in use.
        order: Names of the values from lowest to highest, for ordinal text.
        everything: The whole family.

    Returns:
        Statistics in the order of a table.
    """
    levels = levels_of(kind)
    named = order if kind == "ordinal" else None
    of_numbers = [
        Counted("krippendorff_alpha", level, lambda c, at=level: alpha_statistic(c, at, order=named))  # type: ignore[misc]
        for level in levels
        if level != "nominal"
    ]
    if same_or_not_says_nothing(kind, n_values):
        return of_numbers
    found = [
        Counted("percent_agreement", None, observed_statistic),
        Counted("krippendorff_alpha", "nominal", lambda c: alpha_statistic(c, "nominal")),
        *of_numbers,
        Counted("fleiss_kappa", None, lambda c: fleiss_statistic(c, offered(c, None))),
        Counted("gwet_ac1", None, lambda c: ac_statistic(c, offered(c, None, order=named))),
    ]
    if not everything:
        return found
    found.append(Counted("brennan_prediger", None, lambda c: uniform_statistic(c, offered(c, None, order=named))))
    if kind in ("ordinal", "interval", "ratio"):
        found += [
            Counted(
                "gwet_ac2", "quadratic", lambda c: ac_statistic(c, offered(c, "quadratic", order=named), "quadratic")
            ),
            Counted("fleiss_kappa", "quadratic", lambda c: fleiss_statistic(c, offered(c, "quadratic", order=named))),
        ]
    return found


def same_or_not_says_nothing(kind: str, n_values: int) -> bool:
    """Whether a question is of numbers so many that two people hardly ever give the same one."""
    return kind in ("interval", "ratio", "circular", "bipolar") and n_values > MOST_SAME_OR_NOT


def singles(kind: str, n_values: int, order: Sequence[str] | None) -> list[Single]:
    """The further statistics, of single ratings, that a question of this kind may be asked for."""
    found: list[Single] = []
    if not same_or_not_says_nothing(kind, n_values):
        found += [
            Single("scott_pi", None, lambda f, a: scott_pi(
                f, group=a.group, by=a.by, ci=a.how.ci, confidence=a.how.confidence, n_boot=a.how.n_boot,
                seed=a.how.seed)),
            Single("conger_kappa", None, lambda f, a: conger_kappa(
                f, group=a.group, by=a.by, ci=a.how.ci, confidence=a.how.confidence, n_boot=a.how.n_boot,
                seed=a.how.seed)),
            Single("light_kappa", None, lambda f, a: light_kappa(
                f, group=a.group, by=a.by, ci=a.drawn, confidence=a.how.confidence, n_boot=a.how.n_boot,
                seed=a.how.seed)),
        ]  # fmt: skip
    if kind in ("ordinal", "interval", "ratio"):
        named = order if kind == "ordinal" else None
        found += [
            Single("kendall_w", None, lambda f, a: kendall_w(
                f, order=named, group=a.group, by=a.by, ci=a.drawn, confidence=a.how.confidence, n_boot=a.how.n_boot,
                seed=a.how.seed)),
            Single("mean_correlation", "spearman", lambda f, a: mean_correlation(
                f, method="spearman", order=named, group=a.group, by=a.by, ci=a.drawn, confidence=a.how.confidence,
                n_boot=a.how.n_boot, seed=a.how.seed)),
        ]  # fmt: skip
    return found + (_of_numbers() if kind in ("interval", "ratio") else [])


def _of_numbers() -> list[Single]:
    forms = [
        Single("icc", form, lambda f, a, form=form: icc(  # type: ignore[misc]
            f, form=form, group=a.group, by=a.by, ci=a.exact, confidence=a.how.confidence, n_boot=a.how.n_boot,
            seed=a.how.seed))
        for form in _FORMS
    ]  # fmt: skip
    return [
        *forms,
        Single("cronbach_alpha", None, lambda f, a: cronbach_alpha(
            f, group=a.group, by=a.by, ci=a.exact, confidence=a.how.confidence, n_boot=a.how.n_boot, seed=a.how.seed)),
        Single("mean_correlation", "pearson", lambda f, a: mean_correlation(
            f, method="pearson", group=a.group, by=a.by, ci=a.drawn, confidence=a.how.confidence, n_boot=a.how.n_boot,
            seed=a.how.seed)),
        Single("lin_ccc", None, lambda f, a: lin_ccc(
            f, group=a.group, by=a.by, ci=a.exact, confidence=a.how.confidence, n_boot=a.how.n_boot, seed=a.how.seed)),
    ]  # fmt: skip
