"""Hugging Face Trainer: ``predict_results.txt`` (index, label), and logits saved with NumPy (``.npz``, ``.npy``)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.json_parts import whole
from dfar_toolkit.readers.records import as_foreign, file_bytes, text_of
from dfar_toolkit.readers.zip_members import zip_members
from dfar_toolkit.tabular.wording import quoted

LOGITS: Final = ("predictions", "logits")  # what the array of logits is called in a .npz, likeliest first
_GOLD: Final = ("label_ids", "labels")
_IGNORED: Final = -100  # the Trainer's mark for "no label"
HEADER: Final = "index\tprediction"


def read_hf_trainer(path: Path | str) -> Foreign:
    """The outputs of ``Trainer.predict`` as people save them; the index in the file is their only key.

    ``predict_results.txt`` gives label names as ``answer``. Logits z of shape (N, K) give ``probs``, the softmax
    exp(z_k) / sum_j exp(z_j), of classes that are known by number only: ``choices`` are "0" to "K-1", as is ``gold``.
    Class numbers saved instead of logits, shape (N,), give ``answer``.

    Raises:
        TableError: Not such a file, damaged, of another shape, or holding Python objects.
    """
    path = Path(path)
    data = file_bytes(path)
    if data[:2] == b"PK":
        predictions, gold = _archive(path)
    elif data[:6] == b"\x93NUMPY":
        predictions, gold = _array(data, path), None
    else:
        return _named(path, text_of(data, path))
    numbered = predictions.ndim == 1 and predictions.dtype.kind in "iu"
    rows = [{"answer": str(k)} for k in predictions.tolist()] if numbered else _classified(predictions, path)
    if gold is not None:
        rows = [row | {"gold": k} for row, k in zip(rows, _gold(gold, len(rows), path), strict=True)]
    broken = sum(row.get("error") is not None for row in rows)
    notes = [
        "the file names no items: only the order of its rows can match it",
        "classes are known by number only: map 0, 1, ... to labels",
        *([f"rows without usable logits: {broken}"] if broken else []),
    ]
    return as_foreign(path, "hf_trainer", rows, notes)


def _gold(labels: NDArray[Any], n: int, path: Path) -> list[str | None]:
    """The Trainer's labels as texts, null where it ignored one."""
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise TableError(
            f"{path}: wanted {n} whole numbers as {_GOLD[0]}, one per row; found an array of {labels.dtype.name} of "
            f"shape {labels.shape}."
        )
    return [None if k == _IGNORED else str(k) for k in labels.tolist()]


def _named(path: Path, content: str) -> Foreign:
    """``predict_results.txt``: written without quotes, so it is split by hand."""
    lines = content.lstrip().split("\n")
    if lines[0].strip() != HEADER:
        raise TableError(
            f'{path}: wanted the first line "index", a tab and "prediction", found {quoted([lines[0][:60]])}.'
        )
    rows: dict[int, dict[str, Any]] = {}
    for n, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        index, tab, label = line.partition("\t")
        place = whole(index.strip())
        if place is None or not tab:
            raise TableError(
                f"{path}: line {n}: wanted a whole number, a tab and a label, found {quoted([line[:60]])}."
            )
        if place in rows:
            raise TableError(f"{path}: line {n}: the index {place} stands there twice; keep one prediction per item.")
        said = label.strip()
        rows[place] = {"position": place, "answer": said or None, "error": None if said else "no label stands there"}
    notes = ["the file names no items: only the index can match it"]
    return as_foreign(path, "hf_trainer", list(rows.values()), notes)


def _archive(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    with zip_members(path) as members:
        found = [name.removesuffix(".npy") for name in members.names if name.endswith(".npy")]
        logits = next((name for name in LOGITS if name in found), None)
        if logits is None:
            raise TableError(f"{path}: wanted an array {quoted(LOGITS[:1])} in this file, found {quoted(found)}.")
        gold = next((name for name in _GOLD if name in found), None)
        arrays = [_array(members.read(f"{name}.npy"), path, name) for name in (logits, gold) if name is not None]
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def _array(data: bytes, path: Path, name: str = LOGITS[0]) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as fault:
        raise TableError(
            f"{path}: the array {quoted([name])} cannot be read ({str(fault).splitlines()[0]}); save the logits "
            "alone, as one array of numbers."
        ) from fault
    return array


def _classified(logits: NDArray[Any], path: Path) -> list[dict[str, Any]]:
    if logits.ndim != 2 or logits.shape[1] < 2 or logits.dtype.kind not in "fiu":
        raise TableError(
            f"{path}: wanted logits of shape (items, classes) with at least two classes, found an array of "
            f"{logits.dtype.name} of shape {logits.shape}."
        )
    z = logits.astype(np.float64)
    top = z.max(axis=1, keepdims=True, initial=-np.inf)
    sound = np.isfinite(top[:, 0])  # NaN wins a maximum
    with np.errstate(all="ignore"):
        weights = np.exp(z - top)
        probs = weights / weights.sum(axis=1, keepdims=True)
    options = [str(k) for k in range(z.shape[1])]
    return [
        {"choices": options, "probs": p, "probs_kind": "classifier"}
        if ok
        else {"error": "the logits are no finite numbers"}
        for p, ok in zip(probs.tolist(), sound.tolist(), strict=True)
    ]
