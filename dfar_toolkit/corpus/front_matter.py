"""The YAML block at the head of a card: what the Hub shows and what ``load_dataset`` obeys."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import polars as pl
import yaml

from dfar_toolkit.corpus.features import dataset_features
from dfar_toolkit.corpus.licences import hub_licence
from dfar_toolkit.errors import TableError
from dfar_toolkit.markup import one_line

Manifest = Mapping[str, Any]

# Every key that is written here; any other key of an earlier card was put there by hand and stays.
GENERATED: Final = (
    "pretty_name", "language", "multilinguality", "license", "license_name", "license_link", "task_categories",
    "task_ids", "size_categories", "source_datasets", "annotations_creators", "tags", "configs", "dataset_info",
)  # fmt: skip
_CREATORS: Final = frozenset({"crowdsourced", "found", "expert-generated", "machine-generated", "no-annotation"})
_HUB_SETS: Final = re.compile(r"https?://(?:www\.)?huggingface\.co/datasets/([\w.-]+(?:/[\w.-]+)?)/?")
_ADDRESS: Final = re.compile(r"https?://[\w./~%?=&#+:@-]+")
_NAME: Final = re.compile(r"[^\w.-]+")
_SIZES: Final = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


def front_matter(manifest: Manifest, *, schemas: Mapping[str, pl.Schema]) -> dict[str, object]:
    """The generated keys of the card's head, every value from the manifest and the schemas of the files.

    Args:
        manifest: The manifest of the items folder.
        schemas: The columns of the files, by configuration (``default``, ...) and by table (``annotations``, ...).

    Returns:
        A mapping ready for YAML, in the order in which it is to be read.
    """
    sources: Sequence[Manifest] = manifest["sources"]
    languages = list(dict.fromkeys(str(code) for s in sources for code in s["languages"]))
    licences = list(dict.fromkeys(hub_licence(str(s["licence"])) for s in sources))
    head: dict[str, object] = {"pretty_name": one_line(manifest["title"])}
    if languages:
        head["language"] = languages
        head["multilinguality"] = ["multilingual" if len(languages) > 1 else "monolingual"]
    head["license"] = licences[0] if len(licences) == 1 else licences
    own_terms = [s for s in sources if hub_licence(str(s["licence"])) == "other"]
    if own_terms:
        head["license_name"] = "-and-".join(f"{_NAME.sub('-', one_line(s['name']))}-terms" for s in own_terms)
        links = [str(s["homepage"]) for s in own_terms if web_address(s["homepage"])]
        head |= {"license_link": links[0]} if links else {}  # the Hub takes one; the card links them all
    tasks = list(dict.fromkeys(s.get("task", "text-classification") for s in sources))
    head["task_categories"] = tasks
    if "text-classification" in tasks and (ids := _task_ids(manifest)):
        head["task_ids"] = ids
    head["size_categories"] = [size_category(manifest["rows"]["items"])]
    head["source_datasets"] = list(dict.fromkeys(_origin(s) for s in sources))
    made = ["machine-generated"] if manifest["annotators"].get("models") else []
    head["annotations_creators"] = ["other", *made]  # people; how they were found the manifest does not know
    tags = ["human-label-variation", "annotator-disagreement"]
    head["tags"] = [*tags, "free-text-reasons"] if manifest["annotators"]["with_reason"] else tags
    head["configs"] = _configs(manifest)
    head["dataset_info"] = _dataset_info(manifest, schemas)
    return head


def web_address(value: object) -> bool:
    """Whether a text is nothing but a plain web address, so that it may stand where readers make links.

    Example:
        >>> web_address("https://example.org/a"), web_address("javascript:alert(1)")
        (True, False)
    """
    return _ADDRESS.fullmatch(str(value)) is not None


def said_by_hand(key: str, value: object) -> bool:
    """Whether an earlier card's value of a generated key was put there by a person who knows more than the files.

    Example:
        >>> said_by_hand("annotations_creators", ["crowdsourced"]), said_by_hand("annotations_creators", ["other"])
        (True, False)
    """
    given = value if isinstance(value, list) else [value]
    return key == "annotations_creators" and bool(given) and all(v in _CREATORS for v in given)


def _task_ids(manifest: Manifest) -> list[str]:
    """The Hub's finer names of text classification that the questions' kinds bear out."""
    ids = {"set": "multi-label-classification", "interval": "text-scoring", "ratio": "text-scoring"}
    single = {"nominal": "multi-class-classification", "ordinal": "multi-class-classification"}
    kinds = [str(question["kind"]) for question in manifest["questions"]]
    return list(dict.fromkeys(name for kind in kinds if (name := (ids | single).get(kind))))


def _origin(source: Manifest) -> str:
    """What a source is to the Hub: a set there, another published one, or data that was never published."""
    if on_hub := _HUB_SETS.fullmatch(str(source["homepage"])):
        return f"extended|{on_hub.group(1)}"
    published = source["homepage"] or source["citation"]
    return f"extended|other-{_NAME.sub('-', one_line(source['name']))}" if published else "original"


def size_category(n: int) -> str:
    """The Hub's size category of ``n`` rows.

    Example:
        >>> size_category(999), size_category(1000), size_category(2_000_000_000)
        ('n<1K', '1K<n<10K', 'n>1B')
    """
    return next((name for limit, name in _SIZES if n < limit), "n>1B")


def class_labels(manifest: Manifest, schema: pl.Schema, *, config: str) -> dict[str, list[str]]:
    """The option names of ``label``, where the config's primary question has options; empty for a continuous one."""
    asked = manifest["questions"]
    own = [q for q in asked if q.get("primary_of") == config] or asked[:1]
    options = [str(o) for q in own[:1] for o in q["options"]]
    return {"label": options} if options and "label" in schema else {}


def filled(tables: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """The tables (or splits) that have rows: ``load_dataset`` refuses one without, so a card declares none.

    Example:
        >>> list(filled({"raters": {"rows": 0}, "targets": {"rows": 1}}))
        ['targets']
    """
    return {name: facts for name, facts in tables.items() if facts["rows"]}


def _configs(manifest: Manifest) -> list[dict[str, object]]:
    configs = {name: splits for name, config in manifest["configs"].items() if (splits := filled(config["splits"]))}
    first = "default" if "default" in configs else next(iter(configs), None)
    listed: list[dict[str, object]] = []
    for name, splits in configs.items():
        files = [{"split": split, "path": f"data/{name}/{split}.parquet"} for split in splits]
        entry: dict[str, object] = {"config_name": name, "data_files": files}
        listed.append({**entry, "default": True} if name == first else entry)
    for name in filled(manifest["tables"]):
        listed.append({"config_name": name, "data_files": [{"split": name, "path": f"{name}.parquet"}]})
    return listed


def _dataset_info(manifest: Manifest, schemas: Mapping[str, pl.Schema]) -> list[dict[str, object]]:
    listed = [
        _info(name, schemas, splits, manifest=manifest)
        for name, config in manifest["configs"].items()
        if (splits := filled(config["splits"]))
    ]
    return listed + [_info(name, schemas, {name: table}) for name, table in filled(manifest["tables"]).items()]


def _info(
    name: str,
    schemas: Mapping[str, pl.Schema],
    splits: Mapping[str, Manifest],
    *,
    manifest: Manifest | None = None,
) -> dict[str, object]:
    """One configuration; ``manifest`` only for items, whose ``label`` is a number with names."""
    if name not in schemas:
        raise ValueError(f"render_card: schemas must hold the columns of {name!r}, found {list(schemas)}")
    labels = class_labels(manifest, schemas[name], config=name) if manifest is not None else {}
    return {
        "config_name": name,
        "features": dataset_features(schemas[name], class_labels=labels),
        "splits": [
            {"name": split, "num_bytes": facts["n_bytes"], "num_examples": facts["rows"]}
            for split, facts in splits.items()
        ],
        "download_size": sum(facts["n_bytes"] for facts in splits.values()),
    }


def dump_front_matter(head: Mapping[str, object]) -> str:
    """The head as YAML between two lines ``---``, such that reading it gives the same head again."""
    for allow_unicode in (True, False):
        text = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=allow_unicode, width=110)
        # Readers of cards look for the closing line with splitlines, which knows more line breaks than YAML.
        if "---" not in text.splitlines() and text.splitlines() == text.split("\n")[:-1]:
            return f"---\n{text}---\n"
    raise TableError("the head of the card cannot be written as YAML: a name holds a line of three dashes; rename it")


def split_front_matter(card: str) -> tuple[dict[str, object], str]:
    """The head of a card as a mapping (empty where it has none) and the text after it.

    Raises:
        TableError: The head is not closed, is not YAML, is no mapping, or has a key twice.
    """
    lines = card.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return {}, card
    end = next((i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), None)
    if end is None:
        raise TableError('the YAML head of the earlier README.md must end in a line "---", found none; add it')
    try:
        head = yaml.load("".join(lines[1:end]), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise TableError(
            f"the YAML head of the earlier README.md cannot be read: {one_line(error)}; mend it"
        ) from error
    if head is not None and not isinstance(head, dict):
        raise TableError(f"the YAML head of the earlier README.md must be a mapping, found a {type(head).__name__}")
    return head or {}, "".join(lines[end + 1 :])


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, except that a key that stands twice in one mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((k for k in keys if keys.count(k) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)
