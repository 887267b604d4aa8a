"""`dfar check`: the audit of an items folder, and what else was asked for: overlap, word lists, suspects, shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from dfar_toolkit.corpus.audit import AuditThresholds, Finding, audit, gate
from dfar_toolkit.corpus.duplicates import CrowdedError
from dfar_toolkit.corpus.foreign_texts import read_foreign_texts
from dfar_toolkit.corpus.overlap import overlap_findings, overlap_shares, overlap_with
from dfar_toolkit.corpus.text_findings import given_reasons
from dfar_toolkit.corpus.word_lists import read_word_list, word_finding, word_shares
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items

Tell = Callable[[str], None]

_WINDOW = 20


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to look for beside the audit.

    ``against`` are items folders or files of texts, ``against_column`` their column of texts; ``words`` are files of
    words by the name of the list; ``suspects`` and ``shortcuts`` train a cheap classifier (scikit-learn).
    """

    thresholds: AuditThresholds = field(default_factory=AuditThresholds)
    accept: tuple[str, ...] = ()
    against: tuple[Path, ...] = ()
    against_column: str | None = None
    words: Mapping[str, Path] = field(default_factory=dict)
    suspects: bool = False
    shortcuts: bool = False


class Detail(NamedTuple):
    """A table that belongs to a finding."""

    finding: str
    title: str
    table: pl.DataFrame


class Checked(NamedTuple):
    """All findings, those that fail the gate, and the tables behind what was asked for."""

    findings: list[Finding]
    failed: list[Finding]
    details: list[Detail]


def check_folder(folder: Path, options: CheckOptions | None = None, *, progress: Tell | None = None) -> Checked:
    """Audit a folder as it stands; findings accepted at the build stay accepted.

    Args:
        folder: An items folder.
        options: What to look for beside the audit.
        progress: Called with a few words at each long step.

    Returns:
        The findings of the audit, then those asked for; only the audit's can fail the gate.

    Raises:
        TableError: The folder, a file to compare with or a list of words cannot be read, or scikit-learn is missing.
    """
    asked = options or CheckOptions()
    tell = progress or (lambda _: None)
    others = _others(asked)  # a file that cannot be read should stop us before the long work
    lists = {name: read_word_list(path) for name, path in asked.words.items()}
    read = read_items(folder)
    findings = list(
        audit(read.items, read.annotations, read.questions, raters=read.raters, thresholds=asked.thresholds)
    )
    failed = list(gate(findings, accept=(*read.manifest["audit"]["accepted"], *asked.accept)))
    details: list[Detail] = []
    if others:
        tell("comparing with the other sets")
        found, tables = _overlap(read, others, asked.thresholds)
        findings += found
        details += tables
    if lists:
        shares, finding = _words(read, lists)
        findings.append(finding)
        details.append(Detail("words.listed", "Statements and reasons with a listed word, by label", shares))
    if asked.suspects:
        tell("training a classifier on the statements")
        found, tables = _suspects(read, asked.thresholds.seed)
        findings += found
        details += tables
    if asked.shortcuts:
        tell("training a classifier on the reasons")
        found, tables = _shortcuts(read, asked.thresholds.seed)
        findings += found
        details += tables
    return Checked(findings, failed, details)


def _others(asked: CheckOptions) -> dict[str, pl.DataFrame]:
    names = _short_names(asked.against)
    return {
        name: read_foreign_texts(path, column=asked.against_column)
        for name, path in zip(names, asked.against, strict=True)
    }


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path; the whole path where that is shared."""
    last = [path.name or str(path) for path in paths]
    names = [str(path) if last.count(name) > 1 else name for path, name in zip(paths, last, strict=True)]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise TableError(f"wanted different sets to compare with, found {twice} twice.")
    return names


def _overlap(
    read: ItemsFolder, others: Mapping[str, pl.DataFrame], limits: AuditThresholds
) -> tuple[list[Finding], list[Detail]]:
    note = ""
    try:
        pairs = overlap_with(read.items, others, threshold=limits.near, seed=limits.seed)
    except CrowdedError:
        pairs = overlap_with(read.items, others, threshold=limits.near, seed=limits.seed, window=_WINDOW)
        note = f"; too many texts are alike to compare all: each with {_WINDOW} of the others, counts of near are low"
    shares = overlap_shares(read.items, pairs, against=list(others))
    findings = [
        replace(f, note=f.note + note) if f.finding == "overlap.near" else f
        for f in overlap_findings(read.items, pairs, shares)
    ]
    details = []
    for kind in ("exact", "near"):
        name = f"overlap.{kind}"
        details += [
            Detail(name, f"Items that stand in other sets, {kind}", shares.filter(pl.col("kind") == kind)),
            Detail(name, f"Pairs, {kind}", pairs.filter(pl.col("kind") == kind)),
        ]
    return findings, details


def _words(read: ItemsFolder, lists: Mapping[str, list[str]]) -> tuple[pl.DataFrame, Finding]:
    reasons = given_reasons(read.items, read.annotations)
    shares = word_shares(read.items, reasons, lists)
    return shares, word_finding(read.items, reasons, lists, shares)


def _suspects(read: ItemsFolder, seed: int) -> tuple[list[Finding], list[Detail]]:
    from dfar_toolkit.journeys.label_suspects import label_suspects

    found = label_suspects(read, seed=seed)
    name = found.finding.finding
    return [found.finding], [
        Detail(name, "Disagreement with consensus (a place to look, not an error)", found.suspects),
        Detail(name, "Whose ratings lie on these items", found.bands),
    ]


def _shortcuts(read: ItemsFolder, seed: int) -> tuple[list[Finding], list[Detail]]:
    from dfar_toolkit.corpus.shortcut_findings import length_shortcuts
    from dfar_toolkit.journeys.reason_shortcut import reason_shortcut

    areas = length_shortcuts(read.items, given_reasons(read.items, read.annotations), read.questions)
    found = reason_shortcut(read, seed=seed)
    return [found.finding], [
        Detail("shortcut.length", "Area under the curve of the length alone", areas),
        Detail("shortcut.reason", "The label from the wording of the reason alone", found.shares),
    ]
