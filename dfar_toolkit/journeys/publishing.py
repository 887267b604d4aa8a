"""`dfar publish`: the gate of a folder (audit, card, licences, annotators), then the Hub or a rehearsal of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from dfar_toolkit.corpus.card_blocks import unwritten
from dfar_toolkit.corpus.findings import ON_DEMAND, SEVERITIES, Finding, gate
from dfar_toolkit.corpus.front_matter import split_front_matter
from dfar_toolkit.corpus.licences import hub_licence
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.gate import GateFinding, accepted, cell_findings, check_gate, licence_findings
from dfar_toolkit.hub.publish import ACCEPTABLE, Published, PublishOptions, publish
from dfar_toolkit.hub.strange_tables import strange_tables

if TYPE_CHECKING:
    from dfar_toolkit.hub.rehearse import Rehearsed
    from dfar_toolkit.hub.repository import Repository

Tell = Callable[[str], None]

_CARD: Final = "README.md"
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class PublishedItems:
    """What was published or rehearsed, and what the gate found: ``stopped`` where a real publish would not happen."""

    done: Published | Rehearsed
    findings: tuple[GateFinding, ...]

    @property
    def stopped(self) -> bool:
        """Whether the gate stops a publish."""
        return any(one.stops for one in self.findings)

    @property
    def plan(self) -> list[dict[str, Any]]:
        """One row per file: ``path, action, bytes, sha256``."""
        return list(self.as_json()["files"])

    def as_json(self) -> dict[str, Any]:
        """The result for JSON."""
        from dfar_toolkit.hub.publish import Published as Real

        told = (
            self.done.as_json() if isinstance(self.done, Real) else {**self.done.published, "loaded": self.done.loaded}
        )
        gate_rows = [{"finding": f.name, "text": f.text, "stops": f.stops} for f in self.findings]
        return {**told, "verdict": self.done.verdict, "gate": gate_rows}


def check_accepted(names: Collection[str]) -> None:
    """Refuse a name that is neither a finding of the audit nor one of publishing.

    Raises:
        ValueError: Names the nearest one.
    """
    known = [*SEVERITIES, *ON_DEMAND, *ACCEPTABLE]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"is it {near[0]}?" if near else f"beside those of the audit there are {', '.join(ACCEPTABLE)}."
            raise ValueError(f"publish: there is no finding {name!r} that may be accepted; {hint}")


def gate_findings(
    folder: Path, *, public: bool, accept: Collection[str] = (), allow_small_cells: bool = False
) -> list[GateFinding]:
    """What stands against publishing a folder, and what is only worth saying.

    Args:
        folder: An items folder.
        public: Whether everybody would see it: then unknown or conflicting licences and small cells of annotators stop.
        accept: Findings that may stand, beside those accepted at the build.
        allow_small_cells: Whether fewer than 5 people may share all their bands.

    Returns:
        The findings, those that stop first.

    Raises:
        TableError: The folder is not whole, or its card cannot be read.
        ValueError: ``accept`` names something that is no finding.
    """
    check_accepted(accept)
    with strange_tables(folder):
        return _gate_findings(folder, public=public, accept=accept, allow_small_cells=allow_small_cells)


def _gate_findings(
    folder: Path, *, public: bool, accept: Collection[str], allow_small_cells: bool
) -> list[GateFinding]:
    """The findings of a folder, those that stop first."""
    read = read_items(folder)
    manifest = read.manifest
    stands = {*manifest["audit"].get("accepted", ()), *accept} & {*SEVERITIES, *ON_DEMAND}
    failed = gate([_finding(row, folder) for row in read.audit], accept=sorted(stands))
    found = [
        GateFinding(one.finding, f"{one.count} of {one.total}", f"mend it, or --accept {one.finding}", stops=True)
        for one in failed
    ]
    try:
        card = (folder / _CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"{folder / _CARD}: cannot be read ({error}); write it again with `dfar card {folder}`."
        ) from None
    found += _unwritten(card)
    licence = split_front_matter(card)[0].get("license")
    given = [str(one) for one in (licence if isinstance(licence, list) else [licence]) if one]
    sources = {
        str(source["name"]): hub_licence(str(source.get("licence") or "unknown")) for source in manifest["sources"]
    }
    found += licence_findings(given, sources, public=public)
    found += cell_findings(_people(read.raters), public=public, allowed=allow_small_cells)
    return sorted(accepted(found, accept), key=lambda one: not one.stops)


def _finding(row: dict[str, Any], folder: Path) -> Finding:
    try:
        return Finding(**{**row, "examples": tuple(row.get("examples", ()))})
    except TypeError:
        raise TableError(f"{folder}/audit.json: a row is no finding of the audit. Build the folder again.") from None


def _unwritten(card: str) -> list[GateFinding]:
    places = unwritten(card)
    if not places:
        return []
    shown = ", ".join(places[:_SHOWN]) + (f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else "")
    text = f"{len(places)} places of README.md are not written yet ({shown})"
    mend = "write there what you know, or that it is not known, then `dfar card`; or --accept card.unwritten"
    return [GateFinding("card.unwritten", text, mend, stops=True)]


def _people(raters: pl.DataFrame) -> pl.DataFrame:
    """The raters without those of whom not even the name is known."""
    return raters.filter(~pl.col("annotator_id").str.ends_with(":unknown"))


def publish_items(
    folder: Path,
    repo: Repository,
    options: PublishOptions,
    *,
    allow_small_cells: bool = False,
    progress: Tell | None = None,
) -> PublishedItems:
    """Look at the gate, then publish an items folder in one commit that is read back.

    Args:
        folder: An items folder.
        repo: Where it goes.
        options: How.
        allow_small_cells: Whether fewer than 5 people may share all their bands in public.
        progress: Called with a few words at each step.

    Returns:
        What was done (for a dry run: what would be), and the findings of the gate.

    Raises:
        HubError: The gate stops it (but for a dry run), or the Hub did.
        TableError: The folder is not whole.
    """
    found = gate_findings(folder, public=options.public, accept=options.accept, allow_small_cells=allow_small_cells)
    if not options.dry_run:
        check_gate(found)
    return PublishedItems(publish(folder, repo, options, progress=progress), tuple(found))


def rehearse_items(
    folder: Path,
    repo_id: str,
    options: PublishOptions,
    *,
    allow_small_cells: bool = False,
    progress: Tell | None = None,
) -> PublishedItems:
    """Publish to a Hub on this machine and load everything back; the gate is looked at, but stops nothing.

    Args:
        folder: An items folder.
        repo_id: The repository that it would be published to.
        options: How it would be published.
        allow_small_cells: Whether fewer than 5 people may share all their bands in public.
        progress: Called with a few words at each step.

    Returns:
        What was rehearsed, and what the gate would say.

    Raises:
        HubError: Publishing or loading back failed.
        TableError: The folder is not whole.
    """
    from dfar_toolkit.hub.rehearse import Rehearsal

    with Rehearsal(folder, repo_id, options, progress=progress) as running:  # the gate is looked at meanwhile
        found = gate_findings(folder, public=options.public, accept=options.accept, allow_small_cells=allow_small_cells)
        return PublishedItems(running.result(), tuple(found))
