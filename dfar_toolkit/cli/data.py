"""Commands from raw files to a checked items folder: sources, build, check, card."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer

from dfar_toolkit.cli.printing import print_json, print_table, say, usage

if TYPE_CHECKING:
    from dfar_toolkit.corpus.audit import AuditThresholds, Finding
    from dfar_toolkit.corpus.splitting import SplitPlan
    from dfar_toolkit.sources import ExportSettings, Mapping

_SPLITS: Final = ("published", "grouped", "random", "annotator", "time", "source", "folds")
_WIDEST: Final = 70  # characters of an example in a table

Json = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]
Folder = Annotated[Path, typer.Argument(help="An items folder.")]
Accept = Annotated[list[str] | None, typer.Option("--accept", help="A finding that may stand; may be given again.")]
Near = Annotated[float, typer.Option("--near", min=0.5, max=1.0, help="Jaccard similarity that counts as near.")]
Length = Annotated[
    list[str] | None,
    typer.Option("--length", help="statement=MIN:MAX or reason=MIN:MAX: characters that are usual; again for both."),
]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="FINDING=N: up to N of a finding pass; may be given again.")
]


def sources(json: Json = False) -> None:
    """List the published layouts that can be built.

    Example: dfar sources
    """
    from dfar_toolkit.sources import source_facts

    facts = source_facts()
    if json:
        print_json(facts.to_dicts())
        return
    shown = ["name", "sets", "licence", "fetch", "title", "homepage"]
    rows = [[_text(row[c]) for c in shown] for row in facts.iter_rows(named=True)]
    print_table(shown, rows)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")


def build(
    source: Annotated[
        list[str],
        typer.Argument(help="A source, or SOURCE:SET; several make a corpus, each as SOURCE=DIR. See `dfar sources`."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Items folder to write: absent, empty, or an earlier build.")],
    raw: Annotated[Path | None, typer.Option("--raw", help="Folder with the published files.")] = None,
    name: Annotated[str, typer.Option(help="What a corpus of several sources is called.")] = "corpus",
    mapping: Annotated[Path | None, typer.Option(help="table: a YAML file that names the columns.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="table, exports: KEY=VALUE (docs/sources.md), such as statement=text; for each."),
    ] = None,
    split: Annotated[str, typer.Option(help=f"How to split: {', '.join(_SPLITS)}.")] = "published",
    size: Annotated[
        list[str] | None,
        typer.Option("--size", help="SPLIT=SHARE, such as test=0.2; the others share the rest."),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="folds: how many.")] = 5,
    place: Annotated[
        list[str] | None, typer.Option("--place", help="source: SPLIT=SOURCE, such as test=ethos; again for each.")
    ] = None,
    dev: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of train that becomes the split dev, by whole groups.")
    ] = 0.0,
    labels: Annotated[
        str, typer.Option(help="From ratings to labels: majority, soft, dawid_skene, one_coin, mace or glad.")
    ] = "majority",
    seed: Annotated[int, typer.Option(min=0, help="Seed of pseudonyms and the grouped split.")] = 0,
    keep_ids: Annotated[bool, typer.Option("--keep-ids", help="Keep annotator ids as they are.")] = False,
    no_repair: Annotated[
        bool, typer.Option("--no-repair", help="Refuse damaged files, even where it is clear.")
    ] = False,
    accept: Accept = None,
    near: Near = 0.8,
    length: Length = None,
    allow: Allow = None,
) -> None:
    """Build an items folder from published files, audit it, and exit 1 if the audit fails.

    Example: dfar build dfar --raw raw/dfar --out out/dfar --split grouped
    """
    from dfar_toolkit.agreement.labels.votes import Method
    from dfar_toolkit.corpus.assemble import BuildOptions, build_items
    from dfar_toolkit.sources import EXPORTS, SOURCES, read_source

    _known("--accept", accept or ())
    if labels not in get_args(Method):
        usage(f"--labels must be one of {', '.join(get_args(Method))}, found {labels!r}")
    options = BuildOptions(
        _plan(split, size, folds, place, dev), seed, keep_ids, tuple(accept or ()),
        _thresholds(near, allow, length), labels=cast("Method", labels), name=name,
    )  # fmt: skip
    places = _raw_folders(source, raw)
    for spec in places:
        if spec.partition(":")[0] not in SOURCES:
            usage(f"unknown source {spec!r}; `dfar sources` lists {', '.join(SOURCES)}")
    columns, exported = _meanings(list(places), column, mapping)
    tables = [
        read_source(
            spec, folder, repair=not no_repair, mapping=columns if spec == "table" else None,
            settings=exported if spec.partition(":")[0] in EXPORTS else None,
        )
        for spec, folder in places.items()
    ]  # fmt: skip
    for each in tables:
        for file in each.files:
            if not file.rows:
                say(f"note: {file.name}: holds no rows")
        for repair in each.repairs:
            say(f"note: {repair}")
        for lost in each.dropped:
            unit = lost.unit.removesuffix("s") if lost.count == 1 else lost.unit
            say(f"dropped {lost.count} {unit} of {lost.file}: {lost.reason}")
    built = build_items(tables, out, options=options, progress=lambda step: say(f"{step} ..."))
    rows = built.manifest["rows"]
    say(f"wrote {out}: {rows['items']} items, {rows['annotations']} annotations, {_people(built.manifest)}")
    _print_findings([f for f in built.findings if f.count], failed=[f.finding for f in built.failed])
    _stop_at(out, [f.finding for f in built.failed])


def _raw_folders(sources: list[str], raw: Path | None) -> dict[str, Path]:
    """Each source and the folder of its files, from SOURCE=DIR or --raw."""
    found: dict[str, Path] = {}
    for given in sources:
        spec, equals, folder = given.partition("=")
        if not equals and raw is None:
            usage(f"where are the files of {spec}? Give --raw DIR, or {spec}=DIR")
        if spec in found:
            usage(f"the source {spec} is given twice")
        found[spec] = Path(folder) if equals else cast("Path", raw)
    if raw is not None and all("=" in given for given in sources):
        usage("--raw is for sources given without =DIR; every one has its own here")
    return found


def _meanings(
    specs: list[str], column: list[str] | None, mapping: Path | None
) -> tuple[Mapping | None, ExportSettings | None]:
    """What --column and --mapping say of a table's columns or an export's fields; exits where they fit neither."""
    from dfar_toolkit.errors import SourceError
    from dfar_toolkit.journeys.column_settings import export_settings, mapping_from_settings
    from dfar_toolkit.sources import EXPORTS

    if not column and mapping is None:
        return None, None
    exports = [spec for spec in specs if spec.partition(":")[0] in EXPORTS]
    if ("table" in specs) == bool(exports):
        usage("--column and --mapping say what a table's columns or an export's fields mean: of one such source")
    settings = _pairs("--column", column)
    try:  # settings that contradict each other were typed, not read
        if exports:
            if mapping is not None:
                usage("--mapping is for the source table; an export takes --column KEY=VALUE")
            return None, export_settings(settings)
        return mapping_from_settings(settings, mapping=mapping), None
    except SourceError as error:
        usage(str(error))


def _plan(split: str, size: list[str] | None, folds: int, place: list[str] | None, dev: float) -> SplitPlan:
    """The split asked for on the command line; exits where options do not go together."""
    from dfar_toolkit.corpus.splitting import SplitMethod, SplitPlan

    if split not in get_args(SplitMethod):
        usage(f"--split must be one of {', '.join(get_args(SplitMethod))}, found {split!r}")
    if size and split in ("published", "source", "folds"):
        usage("--size goes with --split grouped, random, annotator or time")
    if bool(place) != (split == "source"):
        usage("--place goes with --split source, which needs it: --place train=dfar --place test=ethos")
    places: dict[str, list[str]] = {}
    for given in place or ():
        name, equals, source = given.partition("=")
        if not (name and equals and source):
            usage(f"--place wants SPLIT=SOURCE, found {given!r}")
        places.setdefault(name, []).append(source)
    sizes = _sizes(size) if split not in ("published", "source", "folds") else None
    return SplitPlan(cast("SplitMethod", split), sizes, folds, places or None, dev)


def check(
    folder: Folder,
    accept: Accept = None,
    near: Near = 0.8,
    length: Length = None,
    allow: Allow = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="An items folder or file of texts to look for overlap with; again for more."),
    ] = None,
    against_column: Annotated[
        str | None, typer.Option("--against-column", help="Column of its texts, where the name is not obvious.")
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Option("--words", help="NAME=FILE: words or phrases to look for, one a line; again for more lists."),
    ] = None,
    suspects: Annotated[
        bool, typer.Option("--suspects", help="List labels that a cheap classifier disagrees with (extra models).")
    ] = False,
    shortcuts: Annotated[
        bool, typer.Option("--shortcuts", help="Read labels off the lengths and the reasons alone (extra models).")
    ] = False,
    json: Json = False,
) -> None:
    """Audit an items folder: leaks, duplicates, conflicts, damaged text; exit 1 if a gate fails.

    Example: dfar check demo/items
    """
    from dfar_toolkit.cli.check_tables import finding_rows, print_details
    from dfar_toolkit.journeys.checking import CheckOptions, check_folder

    _known("--accept", accept or ())
    if against_column is not None and not against:
        usage("--against-column goes with --against")
    lists = {name: Path(file) for name, file in _pairs("--words", words).items()}
    options = CheckOptions(
        _thresholds(near, allow, length), tuple(accept or ()), tuple(against or ()), against_column, lists, suspects,
        shortcuts,
    )  # fmt: skip
    checked = check_folder(folder, options, progress=lambda step: say(f"{step} ..."))
    names = [f.finding for f in checked.failed]
    if json:
        print_json(finding_rows(checked))
    else:
        _print_findings(checked.findings, failed=names)
        print_details(checked.details)
    _stop_at(folder, names)


def _print_findings(findings: list[Finding], *, failed: list[str]) -> None:
    rows = [
        ["FAILS" if f.finding in failed else f.severity, f.finding, f.count, f.total, _short(f.examples), f.note]
        for f in findings
    ]
    print_table(["", "finding", "count", "of", "examples", "note"], rows)


def _short(examples: tuple[str, ...]) -> str:
    """The first example, cut to fit a table; the JSON has them all."""
    first = examples[0] if examples else ""
    return first if len(first) <= _WIDEST else first[: _WIDEST - 1] + "…"


def _people(manifest: dict[str, Any]) -> str:
    annotators = manifest["annotators"]
    if not annotators["known"]:
        return "unknown annotators"
    return f"{annotators['count']} annotator{'' if annotators['count'] == 1 else 's'}"


def _stop_at(folder: Path, failed: list[str]) -> None:
    if failed:
        again = " ".join(f"--accept {name}" for name in failed)
        say(f"{folder}: the audit fails on {', '.join(failed)}. Mend the data, or say that it may stand: {again}")
        raise typer.Exit(1)


def card(folder: Folder) -> None:
    """Render the card of an items folder again; text outside the generated blocks is kept.

    Example: dfar card demo/items
    """
    from dfar_toolkit.corpus.card_blocks import unwritten
    from dfar_toolkit.corpus.recheck import refresh_card

    refresh_card(folder)
    say(f"wrote {folder / 'README.md'}")
    left = unwritten((folder / "README.md").read_text(encoding="utf-8"))
    if left:
        say(f"still to be written by hand: {', '.join(left)}")


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        key, sign, value = text.partition("=")
        if not (key and sign and value):
            usage(f"{option} wants KEY=VALUE, found {text!r}")
        if key in pairs:
            usage(f"{option} gives {key!r} twice")
        pairs[key] = value
    return pairs


def _sizes(texts: list[str] | None) -> dict[str, float] | None:
    if not texts:
        return None
    sizes = {}
    for split, text in _pairs("--size", texts).items():
        try:
            sizes[split] = float(text)
        except ValueError:
            usage(f"--size wants SPLIT=SHARE such as test=0.2, found {split}={text}")
    return sizes


def _thresholds(near: float, allow: list[str] | None, length: list[str] | None) -> AuditThresholds:
    from dfar_toolkit.corpus.audit import AuditThresholds

    counts = {}
    for finding, text in _pairs("--allow", allow).items():
        if not text.isdecimal():
            usage(f"--allow wants FINDING=N with a whole number, found {finding}={text}")
        counts[finding] = int(text)
    _known("--allow", counts)
    usual = AuditThresholds()
    limits = {
        "statement": (usual.statement_min, usual.statement_max),
        "reason": (usual.reason_min, usual.reason_max),
        **_lengths(length),
    }
    return AuditThresholds(
        near=near,
        statement_min=limits["statement"][0],
        statement_max=limits["statement"][1],
        reason_min=limits["reason"][0],
        reason_max=limits["reason"][1],
        max_count=counts,
    )


def _lengths(texts: list[str] | None) -> dict[str, tuple[int, int]]:
    limits: dict[str, tuple[int, int]] = {}
    for field, text in _pairs("--length", texts).items():
        least, colon, most = text.partition(":")
        if field not in ("statement", "reason") or not (colon and least.isdecimal() and most.isdecimal()):
            usage(f"--length wants statement=MIN:MAX or reason=MIN:MAX, found {field}={text}")
        if int(least) > int(most):
            usage(f"--length wants MIN up to MAX, found {field}={text}")
        limits[field] = (int(least), int(most))
    return limits


def _known(option: str, findings: Iterable[str]) -> None:
    """Stop at the name of a finding that the audit does not know."""
    from dfar_toolkit.corpus.findings import SEVERITIES

    for name in findings:
        if name not in SEVERITIES:
            near = get_close_matches(name, SEVERITIES, n=1)
            usage(f"{option}: no finding {name!r}" + (f"; is it {near[0]}?" if near else "; `dfar check` lists them"))
