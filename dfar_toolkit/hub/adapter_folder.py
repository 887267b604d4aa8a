"""What of a training run may leave the house: an adapter, its settings and its tokenizer, and nothing that can run."""

from __future__ import annotations

import json
import re
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
TOKENIZER: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja"),
)
_PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_MOST_HEADER: Final = 100_000_000  # bytes, as the library itself allows
_PLACES: Final = ("name_or_path", "tokenizer_file", "special_tokens_map_file")  # older tokenizers note where they lay
_LOCAL: Final = re.compile(r"[/~\\.]|[A-Za-z]:[\\/]")
_ON_HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as it will be published.

    Attributes:
        config: What ``adapter_config.json`` will say.
        base_model: The model on the Hub that it is an adapter of.
        files: Names of the files, the card left out.
        parameters: Numbers in the weights.
        dtypes: Their types.
        left_out: Files of the run that stay at home.
        notes: What was changed on the way.
    """

    config: dict[str, Any]
    base_model: str
    files: tuple[str, ...]
    parameters: int
    dtypes: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def stage_adapter(run: Path, folder: Path, *, base_model: str | None = None) -> Adapter:
    """Copy what may be published of a run into an empty folder.

    Args:
        run: Folder of the run, as peft saves it.
        folder: Empty folder to copy into.
        base_model: Name of the base model on the Hub, where the run knows it by a path.

    Returns:
        What was copied.

    Raises:
        TableError: There is no adapter, it is stored as a pickle, or its base model has no name on the Hub.
    """
    if not run.is_dir():
        raise TableError(f"{run}: wanted the folder of a run, found {'a file' if run.exists() else 'nothing'} there.")
    config = _json_object(run / CONFIG, f"{run}: wanted an adapter as peft saves it, found no {CONFIG}.")
    if not (run / WEIGHTS).is_file():
        pickled = next((p.name for p in sorted(run.glob("adapter_model.*")) if p.suffix in _PICKLES), None)
        said = f"found {pickled}, a pickle, which can run code where it is loaded" if pickled else "found none"
        raise TableError(f"{run}: wanted {WEIGHTS}, {said}; save it again with safe_serialization=True.")
    parameters, dtypes = _weights(run / WEIGHTS)
    base, notes = _base_model(config, base_model, run), []
    if base != config.get("base_model_name_or_path"):
        notes.append(f"{CONFIG}: the base model is called {base}")
        config["base_model_name_or_path"] = base
    names = [CONFIG, WEIGHTS, *(name for name in TOKENIZER if (run / name).is_file())]
    for name in names[1:]:
        if name.endswith(".json"):
            notes += _copied_json(run / name, folder / name)
        else:
            _check_no_pickle(run / name)
            shutil.copyfile(run / name, folder / name)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    others = [p.relative_to(run).as_posix() for p in sorted(run.rglob("*")) if p.is_file()]
    return Adapter(
        config, base, tuple(sorted(names)), parameters, dtypes, tuple(n for n in others if n not in names), tuple(notes)
    )


def _base_model(config: dict[str, Any], given: str | None, run: Path) -> str:
    """The base model's name on the Hub."""
    found = given or config.get("base_model_name_or_path")
    if not isinstance(found, str) or _LOCAL.match(found) or not _ON_HUB.fullmatch(found) or Path(found).is_dir():
        raise TableError(
            f"{run / CONFIG}: wanted the name of the base model on the Hub, found {found!r}; give it: --base-model "
            "ORG/NAME."
        )
    return found


def without_local_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings less those that are places on this machine, which say who works where.

    Example:
        >>> without_local_places({"lr": 1e-4, "output_dir": "/home/ann/runs"})
        {'lr': 0.0001}
    """
    return {name: value for name, value in settings.items() if not (isinstance(value, str) and _LOCAL.match(value))}


def _copied_json(source: Path, target: Path) -> list[str]:
    """Copy a JSON file of the tokenizer less the places on this machine; says what was left out."""
    content = _json_object(source, f"{source}: not there any more.")
    gone = [key for key in _PLACES if isinstance(content.get(key), str) and _LOCAL.match(content[key])]
    if not gone:
        shutil.copyfile(source, target)
        return []
    kept = {key: value for key, value in content.items() if key not in gone}
    target.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [f"{source.name}: left out {', '.join(gone)} (places on this machine)"]


def _json_object(path: Path, absent: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(absent) from None
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: wanted a JSON object, found something else ({str(error)[:80]}).") from None
    if not isinstance(found, dict):
        raise TableError(f"{path}: wanted a JSON object, found a {type(found).__name__}.")
    return found


def _weights(path: Path) -> tuple[int, tuple[str, ...]]:
    """Numbers and their types in a safetensors file, from its header; refuses what only has the name of one."""
    size = path.stat().st_size
    broken = f"{path}: wanted a safetensors file, found something else (a pickle with another name?); save it again."
    with path.open("rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise TableError(broken)
        try:
            header = json.loads(handle.read(length))
            tensors = {name: t for name, t in header.items() if name != "__metadata__"}
            count, end = 0, 0
            for tensor in tensors.values():
                numbers = 1
                for n in tensor["shape"]:
                    numbers *= int(n)
                count, end = count + numbers, max(end, int(tensor["data_offsets"][1]))
            dtypes = tuple(sorted({str(t["dtype"]) for t in tensors.values()}))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise TableError(broken) from None
    if end != size - 8 - length:
        raise TableError(f"{path}: the file is not whole ({size - 8 - length} bytes of {end}); save it again.")
    return count, dtypes


def _check_no_pickle(path: Path) -> None:
    """Refuse a pickle, or a zip that may hold one, under another file's name."""
    with path.open("rb") as handle:
        start = handle.read(4)
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or start == b"PK\x03\x04":
        raise TableError(f"{path}: this is a pickle or an archive, which is not published; save the tokenizer again.")
