"""The items folder as Croissant JSON-LD: files, record sets, and how people judged (the RAI vocabulary)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from dfar_toolkit.corpus.features import dataset_features
from dfar_toolkit.corpus.front_matter import Manifest, class_labels, web_address
from dfar_toolkit.corpus.licences import spdx
from dfar_toolkit.corpus.prose import biases, left_out, limitations, prose, without_options
from dfar_toolkit.errors import TableError
from dfar_toolkit.markup import one_line

CONFORMS_TO: Final = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
_OWN_TERMS: Final = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[dict[str, object]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _OWN_TERMS},
}
_PLAIN: Final = ("majority", "mean", "soft")  # ways from ratings to labels that are counting
_SPLITS: Final = {
    "published": "as published",
    "grouped": "made by group with seed {seed}",
    "random": "made item by item at random with seed {seed}",
    "annotator": "made such that no annotator and no group stands in two, with seed {seed}",
    "time": "made by time, earlier groups into earlier splits",
    "source": "made of whole sources",
    "folds": "dealt into folds by group with seed {seed}",
}
_TYPES: Final = {"bool": "sc:Boolean", "date32": "sc:Date", "string": "sc:Text", "binary": "sc:Text", "null": "sc:Text"}


def croissant(
    manifest: Manifest,
    *,
    schemas: Mapping[str, pl.Schema],
    agreement: Sequence[Mapping[str, Any]] = (),
) -> dict[str, object]:
    """The contents of ``croissant.json``: everything from the manifest, nothing from a clock.

    Args:
        manifest: The manifest, with ``files`` that name every parquet file.
        schemas: The columns of the files, by configuration and by table.
        agreement: The rows of ``agreement.json``, for the analysis of the annotation.

    Returns:
        A mapping ready for JSON; paths are relative to the folder.

    Raises:
        TableError: The manifest lacks a value that is needed.
    """
    try:
        sources: Sequence[Manifest] = manifest["sources"]
        citations = [str(s["citation"]) for s in sources if s["citation"]]
        described = {
            "@context": CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": list(CONFORMS_TO),
            "name": manifest["name"],
            "alternateName": one_line(manifest["title"]),
            "description": _description(manifest),
            "license": list(dict.fromkeys(_licence(str(s["licence"])) for s in sources)),
            "inLanguage": list(dict.fromkeys(code for s in sources for code in s["languages"])),
            "isBasedOn": [s["homepage"] for s in sources if web_address(s["homepage"])],
            "citeAs": "\n\n".join(citations),
            **_responsible(manifest, agreement),
            "distribution": _files(manifest),
            "recordSet": _record_sets(manifest, schemas),
        }
    except KeyError as error:
        raise TableError(f"croissant.json needs {error} in the manifest; build the items folder again") from error
    return {key: value for key, value in described.items() if value not in ("", [], None)}


def _licence(name: str) -> str:
    """The address of a licence that everybody knows, else its name as the source gives it."""
    known = spdx(name)
    return f"https://spdx.org/licenses/{known}" if known else one_line(name)


def _description(manifest: Manifest) -> str:
    rows, people = manifest["rows"], manifest["annotators"]
    if not people["ratings"]:
        return f"{one_line(manifest['title'])}: {rows['items']} items with published votes."
    by = f" by {people['count']} annotators" if people["known"] and not people.get("unnamed") else ""
    what = "judgements" if people.get("models") else "human judgements"
    return f"{one_line(manifest['title'])}: {rows['items']} items with {people['ratings']} {what}{by}."


def _responsible(manifest: Manifest, agreement: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """The RAI properties that the manifest can fill."""
    people = manifest["annotators"]
    per_item = people["ratings_per_item"]
    sources: Sequence[Manifest] = manifest["sources"]
    bands = [f"{name}: {_listed(counts)}" for name, counts in people["bands"].items()]
    uses = prose("uses")
    models = [one_line(name) for name in people.get("models", ())]
    made = [f"labels of {one_line(q)} by {m}" for q, m in manifest.get("labels", {}).items() if m not in _PLAIN]
    return {
        "rai:dataCollection": _collection(sources),
        "rai:dataCollectionRawData": _raw(sources),
        "rai:dataPreprocessingProtocol": _changes(sources),
        "rai:dataCollectionMissingData": _missing(manifest),
        "rai:dataManipulationProtocol": _split(manifest),
        "rai:dataAnnotationProtocol": [*(_question(q) for q in manifest["questions"]), *_shown(manifest)],
        "rai:dataAnnotationPlatform": uses["unsaid"],
        "rai:annotationsPerItem": "" if per_item["min"] is None else _spread(per_item),
        "rai:annotatorDemographics": [f"annotators: {people['count']}", *bands] if people["known"] else uses["unsaid"],
        "rai:machineAnnotationTools": [*models, *made] or "none known",
        "rai:dataAnnotationAnalysis": [*_disagreement(manifest), *(_agreement(row) for row in agreement)],
        "rai:personalSensitiveInformation": _personal(manifest),
        "rai:dataBiases": [one_line(sentence) for sentence in biases(manifest)] or "none that the counts show",
        "rai:dataLimitations": [*(one_line(sentence) for sentence in limitations(manifest)), *uses["limits"]],
        "rai:dataUseCases": [*uses["direct"], *(f"Not: {sentence}" for sentence in uses["refused"])],
        "rai:dataReleaseMaintenancePlan": uses["maintenance"],
    }


def _collection(sources: Sequence[Manifest]) -> str:
    """Where the data was taken from; how it came to be there only the sources' papers say."""
    parts = []
    for source in sources:
        n = len(source["files"])
        place = f", {one_line(source['homepage'])}" if source["homepage"] else ""
        parts.append(f"{one_line(source['title'])}: {n} file{'' if n == 1 else 's'} as published{place}")
    return "; ".join(parts)


def _raw(sources: Sequence[Manifest]) -> str:
    files = [f"{one_line(f['name'])} (file: sha256 {f['sha256']})" for s in sources for f in s["files"]]
    return "; ".join(files)


def _shown(manifest: Manifest) -> list[str]:
    """What people saw beside the statement."""
    parts = []
    for seen in manifest.get("shown", ()):
        name = one_line(seen["field"]) or "texts of the options"
        role = f" ({one_line(seen['role'])})" if seen["field"] and seen["role"] else ""
        parts.append(f"shown with the statement: {name}{role}, in {seen['items']} items of {one_line(seen['config'])}")
    return parts


def _personal(manifest: Manifest) -> list[str]:
    people = manifest["annotators"]
    traits = [f"annotators are described by {one_line(name)}" for name in people["bands"]]
    names = "annotators have pseudonyms" if people["pseudonyms"] else "annotators are named as in the source"
    free = ["reasons in people's own words can give a person away"] if people["with_reason"] else []
    return [*traits, *([names] if people["known"] else []), *free] or ["none known"]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{one_line(name)} {n}" for name, n in counts.items())


def _spread(of: Mapping[str, Any]) -> str:
    return f"least {of['min']}, median {of['median']}, most {of['max']}"


def _question(question: Manifest) -> str:
    options = "; ".join(one_line(o) for o in question["options"] or ()) or "none fixed"
    wording = one_line(question["wording"]) or "wording not given"
    return f"{one_line(question['question'])} ({question['kind']}): {wording}; options: {options}"


def _changes(sources: Sequence[Manifest]) -> list[str]:
    dropped = [
        f"{one_line(d['file'])}: {left_out(d)} left out, because {one_line(d['reason'])}"
        for source in sources
        for d in source["dropped"]
    ]
    return dropped + [f"mended: {one_line(repair)}" for source in sources for repair in source["repairs"]]


def _missing(manifest: Manifest) -> str:
    numbers = without_options(manifest)
    parts = [
        f"{config}/{split}: {facts['unlabelled']} of {facts['rows']} items without a label"
        for config, its in manifest["configs"].items()
        for split, facts in its["splits"].items()
        if config not in numbers
    ]
    return "; ".join(parts)


def _split(manifest: Manifest) -> str:
    split, groups = manifest["split"], manifest["groups"]
    how = _SPLITS.get(split["method"], f"made by {one_line(split['method'])}").format(**split)
    if carved := split.get("carved"):
        how += f", then {carved['share']:g} of {carved['out_of']} taken out by group as {carved['split']}"
    return f"splits {how}; {groups['count']} groups of related items, the largest of {groups['largest']}"


def _disagreement(manifest: Manifest) -> list[str]:
    counts = manifest["disagreement"]
    if not counts["of"]:
        return []
    return [f"people differed on {counts['items']} of the {counts['of']} items that two or more judged"]


def _agreement(row: Mapping[str, Any]) -> str:
    """One statistic with its interval, as the card prints it."""
    name = f"{row['name']} ({row['level']})" if row["level"] else str(row["name"])
    head = f"{one_line(row['question'])}, {name}"
    if row["value"] is None:
        return f"{head}: undefined; {one_line(row['note'])}; n = {row['n']}"
    text = f"{head}: {row['value']:.3f}"
    if row["low"] is not None and row["high"] is not None:
        text += f" [{row['low']:.3f}, {row['high']:.3f}] ({100 * row['confidence']:g} % {row['method']})"
    return f"{text}; n = {row['n']}, {row['n_units']} {row['unit']}"


def _files(manifest: Manifest) -> list[dict[str, object]]:
    """Every parquet file with its sha256, and one set of files per configuration of items."""
    listed: list[dict[str, object]] = [
        {
            "@type": "cr:FileObject",
            "@id": quote(name),
            "name": name,
            "contentUrl": name,
            "contentSize": f"{facts['n_bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": facts["sha256"],
        }
        for name, facts in manifest["files"].items()
        if name.endswith(".parquet")
    ]
    for config, its in manifest["configs"].items():
        listed.append(
            {
                "@type": "cr:FileSet",
                "@id": f"files-of-{quote(config)}",
                "name": f"files of {config}",
                "encodingFormat": "application/x-parquet",
                "includes": [f"data/{config}/{split}.parquet" for split in its["splits"]],
            }
        )
    return listed


def _record_sets(manifest: Manifest, schemas: Mapping[str, pl.Schema]) -> list[dict[str, object]]:
    sets = []
    for config in manifest["configs"]:
        source = {"fileSet": {"@id": f"files-of-{quote(config)}"}}
        sets.append(
            _record_set(config, schemas[config], source, class_labels(manifest, schemas[config], config=config))
        )
    for table in manifest["tables"]:
        sets.append(_record_set(table, schemas[table], {"fileObject": {"@id": f"{table}.parquet"}}, {}))
    return sets


def _record_set(
    name: str, schema: pl.Schema, source: Mapping[str, object], labels: Mapping[str, Sequence[str]]
) -> dict[str, object]:
    features = dataset_features(schema, class_labels=labels)
    fields = [_field(quote(name), feature, source) for feature in features]
    return {"@type": "cr:RecordSet", "@id": quote(name), "name": name, "field": fields}


def _field(parent: str, feature: Mapping[str, Any], source: Mapping[str, object]) -> dict[str, object]:
    """One column. A list is ``repeated``; the parts of a record are sub-fields that reach into the column."""
    name = str(feature["name"])
    own = f"{parent}/{quote(name, safe='')}"
    column = {**source, "extract": {"column": name}}
    field: dict[str, object] = {"@type": "cr:Field", "@id": own, "name": name}
    held: Any = feature
    while isinstance(held, dict) and "list" in held:
        field["repeated"] = True
        held = held["list"]
    parts = held["struct"] if isinstance(held, dict) and "struct" in held else held
    if isinstance(parts, list):
        field["subField"] = [
            {
                "@type": "cr:Field",
                "@id": f"{own}/{quote(str(part['name']), safe='')}",
                "name": part["name"],
                "dataType": _data_type(part),
                "source": {**column, "transform": {"jsonPath": part["name"]}},
            }
            for part in parts
        ]
        return field
    if isinstance(held, dict) and isinstance(held["dtype"], dict):
        names = held["dtype"]["class_label"]["names"]
        field["description"] = "The number of an option: " + "; ".join(f"{i} {one_line(n)}" for i, n in names.items())
    return {**field, "dataType": _data_type(held), "source": column}


def _data_type(feature: Any) -> str:
    """The Croissant type of a plain value; text for anything deeper."""
    dtype = feature.get("dtype") if isinstance(feature, dict) else feature
    if isinstance(dtype, dict):
        return "cr:Int64"
    if not isinstance(dtype, str):
        return "sc:Text"
    if dtype.startswith("timestamp"):
        return "sc:DateTime"
    if dtype.startswith(("int", "uint", "float")):
        return "cr:UInt" + dtype.removeprefix("uint") if dtype.startswith("uint") else "cr:" + dtype.capitalize()
    return _TYPES[dtype]
