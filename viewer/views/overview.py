"""Overview: what the set is, what its audit found, how far people agree, the runs, and where to go from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from dfar_toolkit._viewer.addresses import link
from dfar_toolkit._viewer.arguments import Arguments, arguments
from dfar_toolkit._viewer.markup import show
from dfar_toolkit._viewer.sources import opened, resolved, said_source, source_notes
from dfar_toolkit.browsing.item_columns import enum_names
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.label_mix import LabelMix, label_mixes
from dfar_toolkit.browsing.one_question import answered_configs, within_config
from dfar_toolkit.browsing.rated_question import rated_configs
from dfar_toolkit.browsing.run_standing import run_accuracy, run_states
from dfar_toolkit.browsing.set_facts import Row, SetFacts, agreement_rows, audit_findings, set_facts
from dfar_toolkit.estimate import Estimate
from dfar_toolkit.files.items import FINDINGS
from dfar_toolkit.report.cells import finite
from dfar_toolkit.tables import LEAK_KINDS

_CHEAP: Final = 200_000  # items up to which runs are counted here too
_DISPUTED: Final = ItemFilter(disagreement=(0.0001, None))
_RUNS: Final = 12  # runs shown whole
_MOST_SPLITS: Final = 12
_FACES: Final = {
    "fail": ("✗", "bad", "fails"), "warn": ("!", "odd", "worth a look"), "info": ("i", "quiet", "good to know"),
}  # fmt: skip


def findings(index: ItemIndex, rows: list[Row]) -> list[dict[str, Any]]:
    """What the audit found, with a link to the items where they can be listed."""
    cheap = len(index) <= _CHEAP
    named = set(enum_names(index.findings()["finding"])) if cheap else {str(r["finding"]) for r in rows}
    found = []
    for row in rows:
        name = str(row["finding"])
        count, total = row.get("count"), row.get("total")
        sign, kind, words = _FACES.get(str(row.get("severity")), ("·", "quiet", str(row.get("severity") or "")))
        found.append(
            {
                "name": name, "sign": sign, "kind": kind, "words": words, "note": str(row.get("note") or ""),
                "count": count if isinstance(count, int) else None, "total": total if isinstance(total, int) else None,
                "link": _finding_link(index, name, known=bool(row.get("examples")) and name in named),
            }
        )  # fmt: skip
    return found


def _finding_link(index: ItemIndex, name: str, *, known: bool) -> tuple[str, str]:
    """Words and address of the items that a finding names: all of them, or examples where the folder has no more."""
    if known:
        words = "items" if (index.files.folder / FINDINGS).is_file() else "examples"
        return words, link("items", ItemFilter(finding=(name,)))
    leak = name.removeprefix("leak.")
    if name.startswith("leak.") and leak in LEAK_KINDS:
        return "items", link("items", ItemFilter(leak=(leak,)))
    return "", ""


def headlines(rows: list[Row]) -> list[dict[str, Any]]:
    """Per question: the share of pairs of people who agree, and agreement beyond chance, with a sentence."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.get("rater_a") is not None or not finite(row.get("value")):
            continue
        of = found.setdefault(str(row.get("question") or ""), {})
        of.setdefault(str(row["statistic"]), row)
    return [
        {"question": question, "percent": of.get("percent_agreement"), "alpha": of.get("krippendorff_alpha")}
        for question, of in found.items()
        if "percent_agreement" in of or "krippendorff_alpha" in of
    ]


class RunLine(NamedTuple):
    """A run: its states with number and address, answers in all, items without one, accuracies by config."""

    run: str
    states: Sequence[tuple[str, int, str]] = ()
    n: int = 0
    missing: int = 0
    accuracies: Sequence[tuple[str, Estimate]] = ()


def runs(index: ItemIndex) -> list[RunLine]:
    """Each run with what became of its answers, where that costs little; of others the name."""
    shown = index.runs[:_RUNS] if len(index) <= _CHEAP else ()
    return [*(_counted(index, run) for run in shown), *(RunLine(run) for run in index.runs[len(shown) :])]


def _counted(index: ItemIndex, run: str) -> RunLine:
    states = run_states(index, run)
    links = [(s, n, link("items", ItemFilter(state=((run, s),)))) for s, n in states.items() if s != "missing"]
    return RunLine(run, links, sum(n for _, n, _ in links), states.get("missing", 0), accuracies(index, run))


def accuracies(index: ItemIndex, run: str) -> list[tuple[str, Estimate]]:
    """The run's accuracy, of several configs in each that it answers; the config is empty where there is one."""
    configs = answered_configs(index, run)[:_MOST_SPLITS] if len(rated_configs(index)) > 1 else [""]
    return [(config, run_accuracy(index, run, config=config)) for config in configs]


def ways(index: ItemIndex) -> list[tuple[str, str, str]]:
    """Where to go from here: words, what is there, address."""
    mixes = label_mixes(index)
    found = [
        ("Most disputed items", "where people part most", link("items", _DISPUTED, order="-disagreement")),
        ("All items", "search and filter", link("items")),
    ]
    if any(mix.n_unlabelled for mix in mixes):
        found.append(("Ties", "items without a label", link("items", ItemFilter(gold=("",)))))
    if index.column("leak_kind").null_count() < len(index):
        leaked = ItemFilter(leak=tuple(LEAK_KINDS))
        found.append(("Leaked items", "their text stands in the training data too", link("items", leaked)))
    for run in index.runs[:_RUNS]:
        found.append((f"Errors of {run}", "items it gets wrong", link("items", ItemFilter(differs=(run,)))))
    if index.runs:
        found.append(("Runs", "metrics, calibration, label shares", link("runs")))
    if len(index.runs) > 1:
        found.append(("Compare", "two runs side by side", link("compare")))
    return [*found, ("Agreement", "who agrees with whom, and about what", link("agreement"))]


def tiles(index: ItemIndex, facts: SetFacts) -> list[tuple[str, str, str, str]]:
    """The numbers at the top: value, words, what stands beside it, address."""
    people, differing = facts.people, facts.differing
    spread = ""
    if people.per_item is not None:
        low, _, high = people.per_item
        spread = f"{low:g} per item" if low == high else f"{low:g} to {high:g} per item"
    n_splits = len({(mix.config, mix.split) for mix in label_mixes(index)})
    split = f"{n_splits} split{'s' if n_splits != 1 else ''}"
    found = [(f"{len(index):,}", "items", split, link("items"))]
    if people.ratings is not None:
        found.append((f"{people.ratings:,}", "ratings", spread, link("agreement")))
    if people.n_people is not None and people.known:
        found.append((f"{people.n_people:,}", "annotators", "", link("agreement")))
    if people.with_reason is not None and people.with_reason:
        found.append((f"{people.with_reason:,}", "reasons of people", "", link("items", ItemFilter(has_reason=True))))
    if differing is not None:
        share = f"of {differing[1]:,} with two or more ratings"
        found.append((f"{differing[0]:,}", "disputed items", share, link("items", _DISPUTED, order="-disagreement")))
    if index.runs:
        found.append((f"{len(index.runs):,}", f"model run{'s' if len(index.runs) > 1 else ''}", "", link("runs")))
    return found


def main() -> None:
    """The page."""
    index = opened()
    facts = set_facts(index.files.manifest)
    audit, agreement = audit_findings(index.files), agreement_rows(index.files)
    mixes = label_mixes(index)
    found = findings(index, [row for row in audit.rows if row.get("count")])
    show(
        "overview.jinja",
        {
            "facts": facts, "tiles": tiles(index, facts), "mixes": mixes[:_MOST_SPLITS],
            "more_splits": max(0, len(mixes) - _MOST_SPLITS), "configs": len({m.config for m in mixes}) > 1,
            "label_order": list(dict.fromkeys(name for m in mixes for name, _ in m.labels)),
            "findings": found, "checks": len(audit.rows), "audit_problem": audit.problem,
            "headlines": headlines(agreement.rows), "n_statistics": len(agreement.rows),
            "agreement_problem": agreement.problem, "runs": runs(index), "names": index.runs,
            "ways": ways(index), "place": _place(arguments()), "is_large": len(index) > _CHEAP,
            "sides": {mix: label_links(index, mix) for mix in mixes[:_MOST_SPLITS]},
            "whole": {mix: link("items", of_mix(index, mix)) for mix in mixes},
            "unlabelled": {mix: link("items", replace(of_mix(index, mix), gold=("",))) for mix in mixes},
            "problems": [*source_notes(arguments()), *index.problems],
            "notes": index.notes, "some_given": bool(resolved().outputs),
        },
    )  # fmt: skip


def _place(given: Arguments) -> str:
    """Where the set is read from, as it was given; the folder one stands in by its name."""
    said = said_source(given)
    return said if Path(said).name else Path(said).resolve().name


def of_mix(index: ItemIndex, mix: LabelMix) -> ItemFilter:
    """The filter of a split's items; of several configs the split of its own one."""
    return replace(within_config(mix.config if len(rated_configs(index)) > 1 else ""), split=(mix.split,))


def label_links(index: ItemIndex, mix: LabelMix) -> list[tuple[str, int, str]]:
    """Each label of a split with the address of its items."""
    return [(name, n, link("items", replace(of_mix(index, mix), gold=(name,)))) for name, n in mix.labels]


main()
