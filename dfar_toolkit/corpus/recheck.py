"""Look at an items folder again: audit it afresh, or render its card afresh."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dfar_toolkit.corpus.assemble import write_beside
from dfar_toolkit.corpus.audit import AuditThresholds, Finding, audit, gate
from dfar_toolkit.files.items import FORMAT, read_items, read_previous_card
from dfar_toolkit.files.swap import MANIFEST, replacing

_BESIDE = ("README.md", "croissant.json", "audit.json", "agreement.json", MANIFEST)


def recheck(
    folder: Path, *, thresholds: AuditThresholds | None = None, accept: tuple[str, ...] = ()
) -> tuple[list[Finding], list[Finding]]:
    """Audit a folder as it stands; findings accepted at the build stay accepted.

    Returns:
        All findings, and those that fail the gate.
    """
    read = read_items(folder)
    limits = thresholds or AuditThresholds()
    findings = audit(read.items, read.annotations, read.questions, raters=read.raters, thresholds=limits)
    accepted = (*read.manifest["audit"]["accepted"], *accept)
    return list(findings), list(gate(findings, accept=accepted))


def refresh_card(folder: Path) -> None:
    """Render ``README.md`` from the manifest again; text outside the generated blocks is kept."""
    read = read_items(folder)
    previous = read_previous_card(folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    with replacing(folder, kind=FORMAT) as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_BESIDE))
        write_beside(fresh, manifest, audit_rows=read.audit, agreement_rows=read.agreement, previous=previous)
