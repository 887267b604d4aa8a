"""What a reader wants to know of a data set first, in words, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfar_toolkit.errors import TableError


def data_facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Size, labels, people, groups and split of an items folder.

    Args:
        manifest: The manifest of an items folder.

    Returns:
        Facts by name, in the order shown.

    Raises:
        TableError: The manifest lacks an entry.
    """
    try:
        return _facts(manifest)
    except KeyError as error:
        raise TableError(
            f"manifest.json: wanted the entry {error}, found none. Build the items folder anew."
        ) from error


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    people, differing = manifest["annotators"], manifest["disagreement"]
    facts = {"items": f"{manifest['rows']['items']:,} ({_splits(manifest)})"}
    facts |= {f"labels in {split}": text for split, text in _label_mix(manifest).items()}
    judged = f"{manifest['rows']['annotations']:,}, {people['with_reason']:,} of them with a reason"
    facts["judgements"] = f"{judged}, by {people['count']} annotators" if people["known"] else judged
    if people["known"]:
        spread = people["ratings_per_item"]
        facts["ratings of an item"] = f"{spread['min']} to {spread['max']}, median {spread['median']}"
    if differing["of"]:
        facts["items on which people differ"] = f"{differing['items']:,} of {differing['of']:,}"
    facts |= {f"annotators by {band}": _listed(counts) for band, counts in people["bands"].items()}
    method = str(manifest["split"]["method"])
    use = "what intervals resample" + (" and splits keep whole" if method == "grouped" else "")
    facts["groups"] = f"{manifest['groups']['count']:,} ({use})"
    facts["split"] = method
    audit = manifest["audit"]
    facts["audit"] = f"failed: {_names(audit['failed'])}; accepted: {_names(audit['accepted'])}"
    facts["content digest of the items"] = str(manifest["content_digest"]["default"])
    return facts


def _splits(manifest: Mapping[str, Any]) -> str:
    parts = manifest["configs"]["default"]["splits"]
    return ", ".join(f"{split} {facts['rows']:,}" for split, facts in parts.items())


def _label_mix(manifest: Mapping[str, Any]) -> dict[str, str]:
    parts = manifest["configs"]["default"]["splits"]
    mixes = {split: _listed(facts["labels"]) for split, facts in parts.items()}
    return {s: mix + (f", none {parts[s]['unlabelled']}" if parts[s]["unlabelled"] else "") for s, mix in mixes.items()}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _names(findings: Sequence[object]) -> str:
    return ", ".join(map(str, findings)) or "none"
