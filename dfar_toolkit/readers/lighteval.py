"""lighteval: ``details_TASK_TIME.parquet`` with the struct columns ``doc``, ``metric`` and ``model_response``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import listing, log_probabilities, mapping, plain, strings_in, text, whole
from dfar_toolkit.readers.records import Record, Repeats, as_foreign
from dfar_toolkit.tabular.wording import quoted

# Token lists are long and of no use here: only these parts are read.
_PARTS: Final = (
    *("doc.id", "doc.query", "doc.original_query", "doc.choices", "doc.gold_index", "doc.specific"),
    *("doc.sampling_methods", "model_response.text", "model_response.text_post_processed", "model_response.logprobs"),
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT")


def parquet_names(path: Path) -> list[str]:
    """Names of a Parquet file's columns.

    Raises:
        TableError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        raise TableError(f"{path}: this Parquet file cannot be read ({str(fault).splitlines()[0]}).") from fault


def read_lighteval(path: Path | str) -> Foreign:
    """The outputs in a details file of lighteval (since June 2025): rows are not in the order of the documents.

    Log-probability tasks give ``choices`` and their summed ``logprobs`` (not normalised by length); generative tasks
    give a row per sample, the text without the reasoning that lighteval took out of it.

    Raises:
        TableError: Not such a file, damaged, in the older flat layout, or one doc.id twice with other content.
    """
    path = Path(path)
    records = _records(path)
    for n, record in enumerate(records, start=1):
        if plain(mapping(record["doc"]).get("id")) is None:
            raise TableError(f'{path}: row {n}: wanted an id in "doc", found none; matching needs it.')
    repeats = Repeats(path, "doc.id")
    records = [r for r in records if not repeats.copy(plain(mapping(r["doc"])["id"]), hash(repr(r)))]
    places = [whole(mapping(r["doc"])["id"]) for r in records]
    run = _model(path)
    rows: list[dict[str, Any]] = []
    for place, record in zip(places if None not in places else range(len(records)), records, strict=True):
        doc = mapping(record["doc"])
        own = [doc.get("query"), doc.get("original_query"), doc.get("specific")]
        shared = {"position": place, "key": plain(doc["id"]), "texts": strings_in(own), "run_id": run}
        rows += [shared | row for row in _answers(doc, mapping(record["model_response"]))]
    broken = sum(row["error"] is not None for row in rows)
    return as_foreign(
        path, "lighteval", rows, [*repeats.notes, *([f"rows without a usable answer: {broken}"] if broken else [])]
    )


def _records(path: Path) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = parquet_names(path)
    if not {"doc", "model_response"} <= set(names):
        if {"full_prompt", "predictions"} <= set(names):
            raise TableError(
                f"{path}: this is a details file of lighteval from before June 2025, whose flat columns are not "
                "read; evaluate again with a newer lighteval."
            )
        raise TableError(f'{path}: wanted the columns "doc" and "model_response", found {quoted(names)}.')
    try:
        with pq.ParquetFile(path) as file:  # read_table would look for partitions in the path
            table = file.read(columns=list(_PARTS), use_threads=False)
        lost = {"doc", "model_response"} - set(table.column_names)
        records: list[Record] = [] if lost else table.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
        raise TableError(f"{path}: this Parquet file cannot be read ({str(fault).splitlines()[0]}).") from fault
    if lost:
        raise TableError(f"{path}: the column {quoted(sorted(lost))} holds none of the fields that lighteval writes.")
    return records


def _answers(doc: dict[str, Any], response: dict[str, Any]) -> list[dict[str, Any]]:
    options = [str(option).strip() for option in listing(doc.get("choices"))]
    gold = [whole(g) for g in listing(doc.get("gold_index")) or [doc.get("gold_index")]]
    right = options[gold[0]] if len(gold) == 1 and gold[0] is not None and gold[0] < len(options) else None
    texts = listing(response.get("text_post_processed")) or listing(response.get("text"))
    if "LOGPROBS" in listing(doc.get("sampling_methods")) or not texts:
        return [_choice_row(options, right, listing(response.get("logprobs")))]
    return [
        {"sample": n, "raw": text(raw), "gold": right, "error": "no text came" if text(raw) is None else None}
        for n, raw in enumerate(texts)
    ]


def _choice_row(options: list[str], gold: str | None, found: list[object]) -> dict[str, Any]:
    logs = log_probabilities(found)
    usable = logs is not None and len(logs) == len(options)
    return {
        "sample": 0,
        "choices": options or None,
        "logprobs": logs if usable else None,
        "probs_kind": "forced" if usable else None,
        "gold": gold,
        "error": None if usable else "the log-probabilities are missing or are no numbers",
    }


def _model(path: Path) -> str | None:
    """The model by the folders ``details/ORG/MODEL/TIME/``, where the file lies in them."""
    folders = path.absolute().parts[:-1]
    if "details" not in folders or not _TIME.match(folders[-1]):
        return None
    last = len(folders) - 1 - folders[::-1].index("details")
    return "/".join(folders[last + 1 : -1]) or None
