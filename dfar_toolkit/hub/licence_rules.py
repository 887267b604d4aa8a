"""What the licences of sources ask of a set made from them. A small table of well-known rules, no legal advice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = ("", "unknown", "none", "null")
# Licences under which a work made from one under the left-hand licence may be given away as a whole.
_SAME_TERMS: Final[Mapping[str, Collection[str]]] = {
    "cc-by-sa-3.0": ("cc-by-sa-3.0", "cc-by-sa-4.0"),
    "cc-by-sa-4.0": ("cc-by-sa-4.0", "gpl-3.0"),
    "cc-by-nc-sa-2.0": ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    "cc-by-nc-sa-3.0": ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    "cc-by-nc-sa-4.0": ("cc-by-nc-sa-4.0",),
    "gpl": ("gpl", "gpl-2.0", "gpl-3.0"),
    "gpl-2.0": ("gpl-2.0",),
    "gpl-3.0": ("gpl-3.0", "agpl-3.0"),
    "agpl-3.0": ("agpl-3.0",),
    "odbl": ("odbl",),
    "gfdl": ("gfdl",),
    "cdla-sharing-1.0": ("cdla-sharing-1.0",),
}
_NON_COMMERCIAL: Final = ("fair-noncommercial-research-license", "intel-research")


@dataclass(frozen=True, slots=True)
class LicenceFault:
    """One thing that is wrong with a licence: ``unknown`` or ``conflict``, and the words for it."""

    kind: str
    text: str


def non_commercial(licence: str) -> bool:
    """Whether a licence forbids commercial use.

    Example:
        >>> non_commercial("cc-by-nc-4.0"), non_commercial("cc-by-4.0")
        (True, False)
    """
    return "-nc-" in f"{licence}-" or licence in _NON_COMMERCIAL


def licence_faults(published: Sequence[str], sources: Mapping[str, str]) -> list[LicenceFault]:
    """What speaks against giving a set away under these licences.

    A source that allows no changes cannot be rebuilt at all. One that forbids commercial use, or asks for its own
    terms, binds the whole unless the card lists its licence beside the others (then each part stays under its own);
    even so non-commercial terms and copyleft do not go together.

    Args:
        published: The card's licences, as identifiers of the Hub.
        sources: Name of each source to its licence.

    Returns:
        The faults, unknown licences first; empty where nothing is known to be wrong.

    Example:
        >>> [fault.text for fault in licence_faults(["mit"], {"ethos": "gpl-3.0"})]
        ['ethos is under gpl-3.0, which asks for gpl-3.0 or agpl-3.0; the card says mit']
        >>> licence_faults(["cc-by-nc-sa-4.0"], {"a": "cc-by-nc-4.0", "b": "mit"})
        []
    """
    given = [licence.strip().lower() for licence in published]
    asked = {name: licence.strip().lower() for name, licence in sources.items()}
    found = []
    if not given or any(licence in UNKNOWN for licence in given):
        found.append(LicenceFault("unknown", "the card names no licence"))
    for name, licence in asked.items():
        if licence in UNKNOWN:
            found.append(LicenceFault("unknown", f"the licence of {name} is unknown"))
    found += [LicenceFault("conflict", text) for text in _conflicts(given, asked)]
    return found


def _conflicts(given: Sequence[str], asked: Mapping[str, str]) -> list[str]:
    said, found = " and ".join(given) or "nothing", []
    for name, licence in asked.items():
        same = _SAME_TERMS.get(licence, ())
        kept_apart = len(given) > 1 and licence in given
        if "-nd-" in f"{licence}-":
            found.append(f"{name} is under {licence}, which allows no changed copies")
        elif same and not kept_apart and not (len(given) == 1 and given[0] in same):
            found.append(f"{name} is under {licence}, which asks for {' or '.join(same)}; the card says {said}")
        elif not same and non_commercial(licence) and not kept_apart and not all(map(non_commercial, given)):
            found.append(f"{name} is under {licence}, which allows no commercial use; the card says {said}")
    limited = [name for name, licence in asked.items() if non_commercial(licence)]
    copyleft = [name for name, licence in asked.items() if licence in _SAME_TERMS and not non_commercial(licence)]
    if limited and copyleft:
        found.append(
            f"{limited[0]} allows no commercial use ({asked[limited[0]]}) and {copyleft[0]} allows no such limit "
            f"({asked[copyleft[0]]}): publish them as two sets"
        )
    return found
