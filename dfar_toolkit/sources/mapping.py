r"""Which column of somebody's table means what: by options, or as a small YAML file.

Every key of the file, with what it means; ``name``, ``statement``, a label and ``options`` are enough::

    name: everyday                     # begins every item id: everyday:test:s021
    title: Everyday conduct
    licence: cc0-1.0                   # an identifier of the Hub's list
    homepage: https://example.org
    citation: Who, when, where.
    languages: [en]
    layout: long                       # long: a row per rating; wide: a row per item
    files: annotations.csv             # or a file per split: {train: a.csv, test: b.csv}
    separator: ";"                     # only where it is not the usual one
    split: test                        # a fixed split, where no column and no file says it
    columns: {id: .., statement: .., context: [..], split: .., stem: .., context_key: ..,
              annotator: .., label: .., reason: .., at: ..}
    wide:                              # wide only: per rater, or by a pattern
      raters: {anna: {label: anna_says, reason: anna_why}}
      label: "label_{annotator}"
      reason: "reason_{annotator}"
    question: {id: ethical, kind: nominal, options: [ethical, unethical], wording: "Is it?"}
    labels: {"0": ethical, "1": unethical}
    raters: {file: raters.csv, annotator: annotator}

Everything in the file is read as text: no ``yes`` becomes true and no ``01`` becomes 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, Literal, get_args

import yaml

from dfar_toolkit.errors import SourceError
from dfar_toolkit.tabular import nearest, quoted

Layout = Literal["long", "wide"]
Kind = Literal["nominal", "ordinal", "interval", "ratio", "set"]
ANNOTATOR: Final = "{annotator}"  # what a pattern of column names has in place of the annotator's id

_KEYS: Final = {
    "": (
        *("name", "title", "licence", "homepage", "citation", "languages", "layout", "files", "separator", "split"),
        *("columns", "wide", "question", "labels", "raters"),
    ),
    "columns": ("id", "statement", "context", "split", "stem", "context_key", "annotator", "label", "reason", "at"),
    "wide": ("raters", "label", "reason"),
    "wide.raters": ("label", "reason"),
    "question": ("id", "kind", "options", "wording"),
    "raters": ("file", "annotator"),
}
_DEEPEST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What a table of judgements is called, where its files lie, and which of its columns means what.

    Every field is an option of the command line as well. ``files`` maps splits to paths relative to the raw folder
    (the split ``""``: said by a column, by ``fixed_split``, or ``train``); empty if the raw path is the file itself.
    ``labels`` maps published values to option names; ``wide_raters`` maps an annotator to the columns of their label
    and (or "") reason. Column fields are None where the table has no such column.
    """

    name: str = "table"
    title: str = ""
    licence: str = "unknown"
    homepage: str = ""
    citation: str = ""
    languages: tuple[str, ...] = ()
    layout: Layout = "long"
    files: dict[str, str] = field(default_factory=dict)
    separator: str | None = None
    fixed_split: str | None = None
    id: str | None = None
    statement: str = "statement"
    context: tuple[str, ...] = ()
    split: str | None = None
    stem: str | None = None
    context_key: str | None = None
    annotator: str | None = None
    label: str | None = None
    reason: str | None = None
    at: str | None = None
    wide_raters: dict[str, tuple[str, str]] = field(default_factory=dict)
    wide_label: str | None = None
    wide_reason: str | None = None
    question: str = "label"
    kind: Kind = "nominal"
    options: tuple[str, ...] = ()
    wording: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    raters_file: str | None = None
    raters_annotator: str = "annotator_id"

    def __post_init__(self) -> None:
        for wrong in (_wrong_names(self), _wrong_layout(self), _wrong_question(self), _wrong_paths(self)):
            if wrong:
                raise SourceError(f"mapping of {quoted([self.name])}: {wrong}")


def mapping_from_yaml(path: Path | str) -> Mapping:
    r"""A mapping from its YAML file (its keys: see this module's text).

    Raises:
        SourceError: The file is missing or not YAML, a key is unknown or twice, or the mapping contradicts itself.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mapping.yaml"
        >>> _ = path.write_text("name: tiny\nfiles: a.csv\ncolumns: {label: y}\nquestion: {options: [no, yes]}\n")
        >>> mapping_from_yaml(path).options
        ('no', 'yes')
    """
    path = Path(path)
    top = _load(path)
    columns, wide = _section(top, "columns", path), _section(top, "wide", path)
    question, raters = _section(top, "question", path), _section(top, "raters", path)
    people = wide.get("raters", {})
    if not isinstance(people, dict):
        raise SourceError(f"{path}: wide.raters: wanted annotator: {{label: COLUMN, reason: COLUMN}} pairs.")
    pairs = {name: _section(people, name, path, keys="wide.raters") for name in people}
    files = top.get("files", {})
    given: dict[str, object] = {
        **{key: top.get(key) for key in ("name", "title", "licence", "homepage", "citation", "layout", "separator")},
        "languages": _texts(top.get("languages"), "languages", path),
        "fixed_split": top.get("split"),
        "files": {"": files} if isinstance(files, str) else _pairs(files, "files", path),
        **{key: value for key, value in columns.items() if key != "context"},
        "context": _texts(columns.get("context"), "columns.context", path),
        "wide_raters": {name: (_text(p, "label", path), _text(p, "reason", path)) for name, p in pairs.items()} or None,
        "wide_label": wide.get("label"),
        "wide_reason": wide.get("reason"),
        "question": question.get("id"),
        "kind": question.get("kind"),
        "wording": question.get("wording"),
        "options": _texts(question.get("options"), "question.options", path),
        "labels": _pairs(top.get("labels", {}), "labels", path),
        "raters_file": raters.get("file"),
        "raters_annotator": raters.get("annotator"),
    }
    nested = ("languages", "files", "context", "wide_raters", "options", "labels")
    for key, value in given.items():
        if value is not None and key not in nested and not isinstance(value, str):
            raise SourceError(f"{path}: {key}: wanted one text; found several values.")
    try:
        return Mapping(**{key: value for key, value in given.items() if value not in (None, "")})  # type: ignore[arg-type]
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None


def source_path(raw: Path, name: str) -> Path:
    """The file ``name`` of the raw folder.

    Raises:
        SourceError: The name leads out of the folder, by ``..``, by an absolute path or by a link.
    """
    path = raw / name
    if _leaves(name) or not path.resolve().is_relative_to(raw.resolve()):
        raise SourceError(f"wanted a path inside the raw folder; {quoted([name])} leads out of it.")
    return path


def _leaves(name: str) -> bool:
    windows = PureWindowsPath(name)
    return PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts


def _wrong_names(mapping: Mapping) -> str:
    if not mapping.name or any(mark in mapping.name for mark in ":/#") or mapping.name != mapping.name.strip():
        return "the name begins every id; wanted some text without colon, slash, # or spaces at its ends."
    if not mapping.statement:
        return "wanted the column of the statement."
    if mapping.separator is not None and mapping.separator != "\\t" and len(mapping.separator.encode()) != 1:
        return f'the separator must be one character (for a tab: "\\t"); found {quoted([mapping.separator])}.'
    return ""


def _wrong_layout(mapping: Mapping) -> str:
    is_wide = bool(mapping.wide_raters or mapping.wide_label)
    if mapping.layout not in get_args(Layout):
        return (
            f"layout: wanted long or wide; found {quoted([mapping.layout])}.{nearest(mapping.layout, get_args(Layout))}"
        )
    if mapping.layout == "long" and is_wide:
        return "the columns of single raters are for the wide layout; wanted layout: wide."
    if mapping.layout == "long" and not mapping.label:
        return "the long layout needs the column of the label."
    if mapping.layout == "wide" and not is_wide:
        return 'the wide layout needs its raters, one by one or as a pattern such as label: "label_{annotator}".'
    if mapping.layout == "wide" and (mapping.label or mapping.annotator or mapping.reason or mapping.at):
        return "a wide table has label, annotator, reason and at per rater: give them under wide, not as columns."
    if mapping.wide_raters and mapping.wide_label:
        return "give the raters of the wide table one by one or as a pattern, not both."
    if any(not label for label, _ in mapping.wide_raters.values()):
        return "every rater of a wide table needs the column of the label."
    if any(
        pattern is not None and pattern.count(ANNOTATOR) != 1 for pattern in (mapping.wide_label, mapping.wide_reason)
    ):
        return f"a pattern of column names needs {ANNOTATOR} once."
    splits = [bool(mapping.split), bool(mapping.fixed_split), any(mapping.files)]
    if sum(splits) > 1:
        return (
            "the split is given more than once: by a column, as a fixed one, or by a file per split; give one of them."
        )
    return ""


def _wrong_question(mapping: Mapping) -> str:
    if mapping.kind not in get_args(Kind):
        return f"question.kind: wanted one of {quoted(get_args(Kind))}; found {quoted([mapping.kind])}."
    if len(set(mapping.options)) < len(mapping.options):
        return f"the options {quoted(mapping.options)} name one twice."
    names = [*mapping.options, *mapping.labels.values()]
    odd = [name for name in names if not name.strip() or name != name.strip() or not _is_text(name)]
    if odd:
        return f"options are texts without white space at their ends; found {quoted([ascii(odd[0])])}."
    numeric = mapping.kind in ("interval", "ratio")
    if numeric and (mapping.options or mapping.labels):
        return f"a question of kind {mapping.kind} has numbers for values, so it takes no options and no labels."
    lost = [name for name in mapping.labels.values() if name not in mapping.options]
    if mapping.options and lost:
        near = nearest(lost[0], mapping.options)
        return f"labels: {quoted(lost)} is not among the options {quoted(mapping.options)}.{near}"
    return ""


def _is_text(name: str) -> bool:
    """Whether the name can be written down: half a surrogate pair cannot."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _wrong_paths(mapping: Mapping) -> str:
    names = [*mapping.files.values(), *([mapping.raters_file] if mapping.raters_file else [])]
    out = [name for name in names if not name or _leaves(name)]
    return f"wanted paths inside the raw folder; found {quoted(out)}." if out else ""


def _load(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(text)
        alias = next((event for event in yaml.parse(text) if isinstance(event, yaml.AliasEvent)), None)
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such mapping file.") from None
    except OSError as fault:
        raise SourceError(f"{path}: cannot be read: {fault.strerror}.") from fault
    except UnicodeDecodeError as fault:
        raise SourceError(f"{path}: invalid UTF-8 at offset {fault.start}.") from fault
    except yaml.YAMLError as fault:
        place = getattr(fault, "problem_mark", None)
        line = f"line {place.line + 1}: " if isinstance(place, yaml.Mark) else ""
        problem = str(getattr(fault, "problem", "") or "not YAML").splitlines()[0]
        raise SourceError(f"{path}: {line}this is not YAML that can be read ({problem}).") from fault
    except RecursionError as fault:
        raise SourceError(f"{path}: nested too deeply for a mapping.") from fault
    if alias is not None:  # copies of copies grow without end
        raise SourceError(f"{path}: the alias *{alias.anchor}: write the value out instead.")
    top = _plain(node, path, 0) if node is not None else {}
    if not isinstance(top, dict):
        raise SourceError(f"{path}: wanted keys and values; found something else.")
    _check_keys(top, "", path)
    return top


def _plain(node: yaml.Node, path: Path, depth: int) -> object:
    """Texts, lists and dicts of a YAML document; nothing is converted, nothing is constructed."""
    line = node.start_mark.line + 1
    if depth > _DEEPEST:
        raise SourceError(f"{path}: line {line} is nested too deeply for a mapping.")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(inner, path, depth + 1) for inner in node.value]
    if isinstance(node, yaml.MappingNode):
        made: dict[str, object] = {}
        for key_node, value in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            if not key or key in made:
                raise SourceError(f"{path}: line {key_node.start_mark.line + 1}: the key {quoted([key])} stands twice.")
            made[key] = _plain(value, path, depth + 1)
        return made
    return str(node.value)


def _check_keys(found: Iterable[str], section: str, path: Path) -> None:
    known = _KEYS[section]
    for key in found:
        if key not in known:
            where = f" under {section}" if section else ""
            raise SourceError(f"{path}: the key {quoted([key])}{where} is unknown.{nearest(key, known)}")


def _section(top: dict[str, object], key: str, path: Path, *, keys: str = "") -> dict[str, object]:
    value = top.get(key) or {}
    if not isinstance(value, dict):
        raise SourceError(f"{path}: {key}: wanted keys and values ({quoted(_KEYS[keys or key])}).")
    _check_keys(value, keys or key, path)
    return value


def _text(section: dict[str, object], key: str, path: Path) -> str:
    value = section.get(key, "")
    if not isinstance(value, str):
        raise SourceError(f"{path}: {key}: wanted one text.")
    return value


def _texts(value: object, key: str, path: Path) -> tuple[str, ...] | None:
    values = [value] if isinstance(value, str) else value
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise SourceError(f"{path}: {key}: wanted a list of texts.")
    return tuple(values)


def _pairs(value: object, key: str, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise SourceError(f"{path}: {key}: wanted pairs of texts, as in {{a: b}}.")
    return value
