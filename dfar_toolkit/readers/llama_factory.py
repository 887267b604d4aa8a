"""LLaMA-Factory: ``generated_predictions.jsonl``, ``{"prompt", "predict", "label"}`` per line, without any id."""

from __future__ import annotations

from pathlib import Path

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import strings_in, text
from dfar_toolkit.readers.records import as_foreign, read_records


def read_llama_factory(path: Path | str) -> Foreign:
    """The outputs in LLaMA-Factory's predictions; the order of the lines is their only key.

    Raises:
        TableError: Not such a file, or damaged.
    """
    path = Path(path)
    rows = []
    for number, record, _ in read_records(path):
        lost = [name for name in ("prompt", "predict", "label") if name not in record]
        if lost:
            raise TableError(f'{path}: record {number}: wanted "prompt", "predict" and "label", found no "{lost[0]}".')
        raw = text(record["predict"])
        rows.append(
            {
                "texts": strings_in(record["prompt"]),
                "raw": raw,
                "gold": text(record["label"]),
                "error": None if raw else "no text came",
            }
        )
    empty = sum(row["error"] is not None for row in rows)
    notes = ["the file names no items: only prompts that equal a statement, or the order of the lines, can match it"]
    return as_foreign(path, "llama_factory", rows, [*notes, *([f"outputs without a text: {empty}"] if empty else [])])
