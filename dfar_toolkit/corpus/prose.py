"""The sentences of ``datacards/*.yaml``, and statements about a set that follow from its manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from dfar_toolkit.corpus.templates import datacards_folder
from dfar_toolkit.errors import TableError

_FEW: Final = 5  # people; METHODS asks for more before the spread of a set is spoken of
_LOPSIDED: Final = 0.75  # share of one label from which a reader is warned
_HALF: Final = 0.5
_SHOWN: Final = 6  # statements of one kind


def prose(name: str) -> dict[str, Any]:
    """The contents of ``datacards/NAME.yaml``.

    Raises:
        TableError: The file is no mapping; the installation is not whole.

    Example:
        >>> sorted(prose("uses"))[:2]
        ['direct', 'limits']
    """
    return _read(datacards_folder() / f"{name}.yaml")


@lru_cache
def _read(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict):
        raise TableError(f"datacards/{path.name} must be a mapping; install dfar-toolkit again")
    return loaded


def biases(manifest: Mapping[str, Any]) -> list[str]:
    """What the counts of a manifest say about leanings of the set, as plain sentences that are not yet escaped.

    Args:
        manifest: The manifest of an items folder.

    Returns:
        Sentences; empty where nothing stands out.

    Example:
        >>> facts = {"annotators": {"known": True, "count": 2, "ratings_per_item": {"median": 1}}, "configs": {}}
        >>> biases(facts)[0]
        'Only 2 people judged: what they share, the data shares.'
    """
    people = manifest["annotators"]
    humans = people["count"] - len(people.get("models") or ())
    found = []
    if not people["known"]:
        found.append("Nobody can say whose judgements these are, so no leaning of the annotators can be looked for.")
    elif people.get("unnamed"):
        found.append(f"Nobody can say whose {people['unnamed']} of the judgements are.")
    elif humans <= _FEW:
        said = f"{humans} people" if humans > 1 else "one person" if humans else "models, and no people,"
        found.append(f"Only {said} judged: what they share, the data shares.")
    if people["ratings_per_item"]["median"] == 1:
        found.append("At least half of the items were judged by one person only, whose view stands for all.")
    numbers = without_options(manifest)
    lopsided = []
    for config, its in manifest["configs"].items():
        for split, facts in its["splits"].items():
            label, most = max(facts["labels"].items(), key=lambda pair: pair[1], default=("", 0))
            given = sum(facts["labels"].values())
            if given and most / given >= _LOPSIDED:
                share = f"{100 * most / given:.1f} %"
                lopsided.append(f"In {config}, split {split}, {share} of the labelled items are {label!r}.")
            if config not in numbers and facts["rows"] and facts["unlabelled"] / facts["rows"] >= _HALF:
                lopsided.append(
                    f"In {config}, split {split}, {facts['unlabelled']} of {facts['rows']} items have no label."
                )
    return found + _first(lopsided, "See the composition for further splits that lean so.")


def without_options(manifest: Mapping[str, Any]) -> list[str]:
    """The configs whose primary question is answered by a number, so that their items have no label.

    Example:
        >>> without_options({"configs": {"default": {}}, "questions": [{"kind": "ratio", "options": []}]})
        ['default']
    """
    asked = manifest.get("questions") or []
    own = {config: [q for q in asked if q.get("primary_of") == config] or asked[:1] for config in manifest["configs"]}
    return [config for config, primary in own.items() if primary and not primary[0]["options"]]


def limitations(manifest: Mapping[str, Any], *, found: Collection[str] | None = None) -> list[str]:
    """What the build itself found wanting: failed and accepted findings, rows left out, labels that a model made.

    Args:
        manifest: The manifest of an items folder.
        found: Names of the findings that occur, where that is known: makers accept some that then do not.

    Returns:
        Sentences that are not yet escaped; empty where there is nothing to say.

    Example:
        >>> limitations({"audit": {"failed": ["label.conflict"], "accepted": []}, "sources": []})
        ['The audit failed on label.conflict.']
    """
    audit = manifest["audit"]
    said = [f"The audit failed on {name}." for name in audit["failed"] if name not in audit["accepted"]]
    if found is None:
        said += [f"The makers accept findings of {name}." for name in audit["accepted"]]
    else:
        said += [f"The audit found {name}, accepted by the makers." for name in audit["accepted"] if name in found]
    lost = [
        f"{source['name']}: {left_out(d)} of {d['file']} {'was' if d['count'] == 1 else 'were'} left out, because "
        f"{d['reason']}."
        for source in manifest["sources"]
        for d in source["dropped"]
    ]
    said += _first(lost, "More was left out; the manifest lists it.")
    modelled = [q for q, m in manifest.get("labels", {}).items() if m not in ("majority", "mean", "soft")]
    return said + [
        f"The labels of {question} are what a model of the annotators makes of them." for question in modelled
    ]


def left_out(dropped: Mapping[str, Any]) -> str:
    """How many of what an entry of ``dropped`` in the manifest counts; rows where it does not say.

    Example:
        >>> left_out({"count": 1}), left_out({"count": 1200, "unit": "ratings"})
        ('1 row', '1,200 ratings')
    """
    unit, count = str(dropped.get("unit", "rows")), dropped["count"]
    return f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"


def _first(sentences: list[str], further: str) -> list[str]:
    return sentences if len(sentences) <= _SHOWN else [*sentences[:_SHOWN], further]
