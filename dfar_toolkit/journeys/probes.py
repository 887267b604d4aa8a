"""From outputs files to what they show beyond a score: position, prompts, shortcuts, parts, reasons, judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import polars as pl

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.journeys.answer_probes import probe_position, probe_prompts, probe_with_reason
from dfar_toolkit.journeys.item_probes import probe_annotator_groups, probe_shortcuts, probe_subgroups
from dfar_toolkit.journeys.one_config import items_of
from dfar_toolkit.journeys.outputs import OutputsOptions, read_runs, scorable
from dfar_toolkit.journeys.probe_inputs import How, ProbeInputs, ProbeTable
from dfar_toolkit.journeys.reason_probes import probe_judges, probe_reason_metrics
from dfar_toolkit.journeys.scores import check_judges
from dfar_toolkit.metrics.unknown_items import unknown_items, unknown_items_message

PROBES: Final[Mapping[str, Callable[[ProbeInputs], list[ProbeTable]]]] = MappingProxyType(
    {
        "position": probe_position,
        "prompts": probe_prompts,
        "with-reason": probe_with_reason,
        "shortcuts": probe_shortcuts,
        "subgroups": probe_subgroups,
        "annotator-groups": probe_annotator_groups,
        "reason-metrics": probe_reason_metrics,
        "judges": probe_judges,
    }
)


class Probed(NamedTuple):
    """The tables of the probes that were run, and of the others why not."""

    tables: list[ProbeTable]
    left_out: dict[str, str]

    def rows(self) -> list[dict[str, object]]:
        """All rows, each with the name of its probe."""
        return [{"probe": table.probe, **row} for table in self.tables for row in table.rows.to_dicts()]


def probe_files(
    paths: Sequence[Path],
    *,
    items: Path | str | ItemsFolder,
    of: Sequence[str] | None = None,
    judgements: Path | str | None = None,
    judge_models: Sequence[str] = (),
    by: str | None = None,
    split: Sequence[str] | None = None,
    label_map: Mapping[str, str] | None = None,
    reading: OutputsOptions | None = None,
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    separator: str | None = None,
    said: Callable[[str], None] | None = None,
) -> Probed:
    """Probe the runs of outputs files.

    Args:
        paths: Outputs files or run folders.
        items: The items folder, or what ``read_items`` returned.
        of: Which of ``PROBES``; None means those that the inputs allow.
        judgements: Judgements of the reasons.
        judge_models: Judges that are models, beside those that the items folder calls so.
        by: Column of the items (subgroups) or of the raters (annotator-groups).
        split: Splits to look at; by default those that occur in the outputs.
        label_map: From the models' labels to the options' names.
        reading: How files of other tools are read.
        confidence: Coverage of the intervals.
        n_boot: Bootstrap draws.
        seed: Seed of the draws.
        separator: Separator of CSV files where it is not a comma.
        said: Called with each line that a person must know of how a file was read.

    Returns:
        The tables, and what was left out.

    Raises:
        TableError: A file is not what it must be or is about other items, a probe asked for is not possible, or no
            probe is.
        ValueError: An unknown probe.
    """
    unknown = [name for name in of or () if name not in PROBES]
    if unknown:
        raise ValueError(f"probe: of must be among {', '.join(PROBES)}, found {unknown[0]!r}")
    folder = items_of(items)
    runs = read_runs(
        paths, folder, reading=(reading or OutputsOptions())._replace(shown=True), label_map=label_map, split=split,
        separator=separator, said=said, rename=judgements is None,
    )  # fmt: skip
    judged = read_judgements(judgements, questions=folder.questions, separator=separator) if judgements else None
    if judged is not None:
        check_judges(judged, judge_models, str(judgements))
    _check_items(runs, folder.items)
    scored = {run: scorable(outputs, folder) for run, outputs in runs.items()}
    asked = next((pair[1] for pair in scored.values()), folder.items)
    how = How(confidence, n_boot, seed)
    inputs = ProbeInputs(
        folder, asked, {run: pair[0] for run, pair in scored.items()}, judged, judge_models, by, split, how,
        named=of is not None,
    )  # fmt: skip
    tables: list[ProbeTable] = []
    left_out: dict[str, str] = {}
    for name, probe in PROBES.items():
        if of is not None and name not in of:
            continue
        try:
            tables += probe(inputs)
        except TableError as refusal:
            if of is not None:
                raise TableError(f"probe of {name}: {refusal}") from refusal
            left_out[name] = str(refusal)
    if not tables:
        reasons = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in left_out.items())
        raise TableError(f"probe: the inputs allow no probe: {reasons}.")
    return Probed(tables, left_out)


def _check_items(runs: Mapping[str, pl.DataFrame], items: pl.DataFrame) -> None:
    """Refuse outputs about other items before any probe is left out for it."""
    ids = pl.concat([outputs["item_id"] for outputs in runs.values()])
    strange = unknown_items(ids, items)
    if len(strange):
        raise TableError(
            f"probe: every output must be about one of the items; {unknown_items_message(strange, items)}. Are these "
            "the right items?"
        )
