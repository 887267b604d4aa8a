"""Where each source is published: addresses, file names, sizes, checksums, licences. Nothing else is ever contacted.

A checksum stands here only where it is known: computed from the published bytes, or stated in public by others who
fetched the same address. ``None`` means that none is known; it is then recorded at the first fetch and checked from
then on. An address on a branch (``master``) may change under us; the checksum says so when it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dfar_toolkit.errors import SourceError
from dfar_toolkit.tabular import nearest, quoted

_RAW: Final = "https://raw.githubusercontent.com"
_DFAR: Final = f"{_RAW}/apurba-nsu-rnd-lab/DFAR/3a413d891e278c4eb5a7f8232213f4139d406385/DFAR%20dataset"
_ETHOS: Final = f"{_RAW}/intelligence-csd-auth-gr/Ethos-Hate-Speech-Dataset"
_SCRUPLES: Final = "https://storage.googleapis.com/ai2-mosaic-public/projects/scruples/v1.0/data"
_COUNTS: Final = (
    f"{_RAW}/allenai/scruples/3276bfa556eb5cd020c0b878ce0d502902583531/src/scruples/demos/scoracle/templates"
)
_ESNLI: Final = f"{_RAW}/OanaMariaCamburu/e-SNLI/master/dataset"
_HATEXPLAIN: Final = f"{_RAW}/hate-alert/HateXplain/master/Data"
_LEWIDI: Final = f"{_RAW}/Le-Wi-Di/le-wi-di.github.io"
_ERASER: Final = "https://www.eraserbenchmark.com/zipped"
_MEDICAL: Final = (
    "https://huggingface.co/datasets/coastalcph/medical-bios/resolve/65cc389e43ee31d5efa5983c19acdc23392aa984"
)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One published file.

    ``unpack``: patterns of the members to take out of an archive, which is then removed; empty: the file itself.
    ``redirects``: endings of the hosts that the address may lead on to, beside its own.
    """

    name: str
    address: str
    n_bytes: int | None = None
    sha256: str | None = None
    unpack: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A source (or one set of it) as it is published; without ``files``, ``where`` says how to come by it."""

    spec: str
    licence: str
    licence_address: str
    files: tuple[PublishedFile, ...] = ()
    where: str = ""


def _lewidi(name: str, commit: str, known: dict[str, tuple[int | None, str | None]]) -> tuple[PublishedFile, ...]:
    folder = f"{_LEWIDI}/{commit}/LeWiDi_3-2025/{name}"
    files = ((f"{name}_{part}.json", *sums) for part, sums in known.items())
    return tuple(PublishedFile(file, f"{folder}/{file}", size, sha256) for file, size, sha256 in files)


def _brexit(part: str) -> PublishedFile:
    name = f"HS-Brexit_{part}.json"
    return PublishedFile(name, f"{_LEWIDI}/main/LeWiDi_2-2023/HS-Brexit_dataset/{name}")


def _eraser(name: str, n_bytes: int | None = None, sha256: str | None = None) -> Published:
    archive = PublishedFile(f"{name}.tar.gz", f"{_ERASER}/{name}.tar.gz", n_bytes, sha256, unpack=("*",))
    return Published(f"eraser:{name}", "other", "https://www.eraserbenchmark.com", (archive,))


_LEWIDI_TERMS: Final = "https://le-wi-di.github.io"
_NOTHING: Final = (None, None)
_ENTRIES: Final = (
    Published(
        "dfar",
        "mit",
        "https://github.com/apurba-nsu-rnd-lab/DFAR/blob/b15da76fe7f8db8fccf9634024adec2e52ce91a6/LICENSE",
        (
            PublishedFile(
                "DFAR_trainset.csv",
                f"{_DFAR}/DFAR_trainset.csv",
                2518351,
                "28fb58aeaa1f85ddbba2b53313761f9d51b26ddd71f8013342c2e0a17ddda849",
            ),
            PublishedFile(
                "DFAR_testset.csv",
                f"{_DFAR}/DFAR_testset.csv",
                231286,
                "f1c74c1a40c056368ba3872d32b05fda875f645b1a42648913a2f4ffabf48b00",
            ),
        ),
    ),
    Published(
        "ethics",
        "mit",
        "https://github.com/hendrycks/ethics/blob/master/LICENSE",
        (
            PublishedFile(
                "ethics.tar", "https://people.eecs.berkeley.edu/~hendrycks/ethics.tar", unpack=("*.csv", "*.txt")
            ),
        ),
    ),
    Published(
        "ethos",
        "gpl-3.0",
        "https://github.com/intelligence-csd-auth-gr/Ethos-Hate-Speech-Dataset",
        (
            PublishedFile(
                "Ethos_Dataset_Binary.csv",
                f"{_ETHOS}/41e2594eef28e8996213952811397e7ad575e53f/ethos/ethos_data/Ethos_Dataset_Binary.csv",
                123919,
                "0cd0050c2592afcb5eca5876df485ca15cda9d7d16fe32c269857260fd10d96c",
            ),
            PublishedFile(
                "Ethos_Dataset_Multi_Label.csv",
                f"{_ETHOS}/d56add0060eac89a51ea7e4ac96af0c2ff7c2347/Ethos_Dataset_Multi_Label.csv",
                62836,
                "488c72a1582abdaf489a6e9eceeebba505447a00a25bd02e72fd6a56f9a3d83d",
            ),
        ),
    ),
    Published(
        "scruples",
        "apache-2.0",
        "https://github.com/allenai/scruples/blob/master/LICENSE",
        tuple(
            PublishedFile(f"{part}.tar.gz", f"{_SCRUPLES}/{part}.tar.gz", unpack=("*.jsonl",))
            for part in ("anecdotes", "dilemmas")
        ),
    ),
    Published(
        "scruples:label-counts",
        "apache-2.0",
        "https://github.com/allenai/scruples/blob/master/LICENSE",
        (
            PublishedFile(
                "dev.scruples-anecdotes_label-counts.json",
                f"{_COUNTS}/dev.scruples-anecdotes_label-counts.json",
                38436,
                "2aee4a2dc5a09b0096aadb469ee6a2d702c5e2434960ddf4fd053a02bc1ca8ac",
            ),
            PublishedFile(
                "dev.scruples-dilemmas_label-counts.json", f"{_COUNTS}/dev.scruples-dilemmas_label-counts.json"
            ),
        ),
    ),
    Published(
        "esnli",
        "mit",
        "https://github.com/OanaMariaCamburu/e-SNLI/blob/bab0fa0212be9e5c6737da70c639a596f882e931/LICENSE",
        tuple(
            PublishedFile(f"esnli_{part}.csv", f"{_ESNLI}/esnli_{part}.csv", n_bytes, sha256)
            for part, n_bytes, sha256 in (
                ("train_1", 90169741, "7311c7bc16ad9f6a9adcd116a62ef991e1803dc0d71e253ce66b975c2aba8ee5"),
                ("train_2", 99406852, "c8827fa2ba1ef5891f077d6fafbfc2fdb6cab1271968b74257e08d3b2b3cbacc"),
                ("dev", 7501310, "d7a656d196eea18fd827d6f5486b00f5d4cf469dbf13a252cc211495a186bcb4"),
                ("test", 7438107, "9269aa8075dbfed0fa8a5012eb2ac9c18a92be139671f05df897f69092592927"),
            )
        ),
    ),
    Published(
        "hatexplain",
        "mit",
        "https://github.com/hate-alert/HateXplain/blob/b94c830456f2088714a5635a2c79edac652a5c7b/LICENSE",
        (
            PublishedFile(
                "dataset.json",
                f"{_HATEXPLAIN}/dataset.json",
                12256170,
                "63bb3340fee0ec469b09690d04cb68f7c187787dd8b83807f071892c084967fb",
            ),
            PublishedFile(
                "post_id_divisions.json",
                f"{_HATEXPLAIN}/post_id_divisions.json",
                591921,
                "c2fb0d89862e7897b11ea3e9380753f15a793482b4b70ad0532dfb1212212835",
            ),
        ),
    ),
    Published(
        "medical_bios",
        "cc-by-nc-sa-4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        (
            PublishedFile(
                "bios.zip",
                f"{_MEDICAL}/bios.zip",
                1912483,
                "b103f40af6ecf43f2ea8c38d6beb169fd8616d60ed6f8fb6dfd6768a042abd37",
                unpack=("*",),
                redirects=(".huggingface.co", ".hf.co"),
            ),
        ),
    ),
    Published(
        "lewidi:varierrnli",
        "other",
        _LEWIDI_TERMS,
        _lewidi(
            "VariErrNLI",
            "d87a8f74243973d6154867f0c8dcb2dee82ea994",
            {
                "train": (560187, "466a507dec72eb118d528e52aa5a905cb23a4e5acaf7af02062938ea958d1a0d"),
                "dev": (69902, "6d1b5ca80ee4eb79c608de828b386f524cacddc608d0396464c71d728b369efd"),
                "test": (61459, "872fa56f32a999fd46954cae144528ea7445186cf35ca473fabf6d3eeb43340a"),
                "annotators_meta": (422, "3cd41a2a8cad537788b5bdf46b2c9dac3731142a6a9704484b60275fa0b2dc66"),
            },
        ),
    ),
    Published(
        "lewidi:csc",
        "other",
        _LEWIDI_TERMS,
        _lewidi(
            "CSC",
            "dfb846f03915200796a65b0bfe73e7a4955376a5",
            {
                "train": _NOTHING,
                "dev": (710094, "e20b142573639c50640b2ab720d79d348005b174e36bc8332fbadbfd53160be5"),
                "test": (579075, "80b7c33bd11de5bf6637876b73d923735029e8732eda3eba3f7b8b257f7b4181"),
                "annotators_meta": (41188, "06a4b494e6cbb7f4b5636efd7f6174316c3311ab870988bcedbfa4fd3cfac4bd"),
            },
        ),
    ),
    Published(
        "lewidi:mp",
        "other",
        _LEWIDI_TERMS,
        _lewidi(
            "MP",
            "52a2147263a244164fe1ba72fcd8d91c58375ebb",
            dict.fromkeys(("train", "dev", "test", "annotators_meta"), _NOTHING),
        ),
    ),
    Published(
        "lewidi:paraphrase",
        "other",
        _LEWIDI_TERMS,
        _lewidi(
            "Paraphrase",
            "124ad2c2b97b6198db8f1a80008bc48a81675d3a",
            dict.fromkeys(("train", "dev", "test", "annotators_meta"), _NOTHING),
        ),
    ),
    # No checksum: another public copy of the training file is known to have other bytes.
    Published("lewidi:hs-brexit", "other", _LEWIDI_TERMS, tuple(map(_brexit, ("train", "dev", "test")))),
    *(
        Published(
            f"lewidi:{name}",
            "other",
            _LEWIDI_TERMS,
            where="download the data of the second edition from https://le-wi-di.github.io and unpack it",
        )
        for name in ("md-agreement", "armis", "convabuse")
    ),
    _eraser("movies", 3899487, "66e18d4e6c9df9e9f5544572b0bfe92a39673f74ecbfc3859b46cedb2f5b2dee"),
    _eraser("multirc", 1667550, "7d3364fad630d0949b40cc5c4b9fd7fac0ec9ebb3a31ffa92a491e3883edd826"),
    *map(_eraser, ("boolq", "cose", "esnli", "evidence_inference", "fever", "scifact")),
    Published("table", "unknown", "", where="it is a file of your own: give it to dfar build table --raw FILE"),
)
PUBLISHED: Final[dict[str, Published]] = {entry.spec: entry for entry in _ENTRIES}


def published(spec: str) -> Published:
    """What is known of where a source, or one set of it, is published.

    Args:
        spec: ``SOURCE`` or ``SOURCE:SET``; where a source is published as one, its set is not looked at.

    Raises:
        SourceError: An unknown source or set, or a source that is published set by set; the message lists them.

    Example:
        >>> [file.name for file in published("dfar").files]
        ['DFAR_trainset.csv', 'DFAR_testset.csv']
        >>> published("ethics:justice").spec
        'ethics'
    """
    name, _, set_name = spec.partition(":")
    sets = [known.partition(":")[2] for known in PUBLISHED if known.startswith(f"{name}:")]
    if spec in PUBLISHED:
        return PUBLISHED[spec]
    if name in PUBLISHED and (set_name or not sets):
        return PUBLISHED[name]
    if sets:
        found = f"; found {quoted([set_name])}.{nearest(set_name, sets)}" if set_name else "."
        raise SourceError(f"{name}: fetched set by set; name one of {quoted(sets)}, as in {name}:{sets[0]}{found}")
    names = list(dict.fromkeys(known.partition(":")[0] for known in PUBLISHED))
    raise SourceError(f"unknown source {quoted([name])}; known are {quoted(names)}.{nearest(name, names)}")


def can_be_fetched(name: str) -> bool:
    """Whether ``dfar fetch`` knows an address of the source or of one of its sets.

    Example:
        >>> can_be_fetched("lewidi"), can_be_fetched("table")
        (True, False)
    """
    return any(entry.files for spec, entry in PUBLISHED.items() if spec.partition(":")[0] == name)
