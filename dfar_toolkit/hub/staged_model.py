"""A trained model as it may leave the house: its parts looked at without being loaded, and places taken out of them."""

from __future__ import annotations

import json
import re
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError

CARD: Final = "README.md"
TOKENIZER: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja"),
)
PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_MOST_HEADER: Final = 100_000_000  # bytes, as the library itself allows
_PLACES: Final = (  # older tokenizers and configurations note where they lay
    "name_or_path", "_name_or_path", "tokenizer_file", "special_tokens_map_file",
)  # fmt: skip
_LOCAL: Final = re.compile(r"[/~\\.]|[A-Za-z]:[\\/]")
_ON_HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StagedModel:
    """A trained model: an adapter, or a model with all its weights.

    Attributes:
        config: What ``adapter_config.json`` or ``config.json`` says, or will say where it is published.
        base_model: The model on the Hub that it was trained from; empty where that is not known to be there.
        files: Names of the files that may be published, the card left out.
        parameters: Numbers in the weights.
        dtypes: Their types.
        left_out: Files of the run that stay at home.
        notes: What was changed on the way.
        whole: Whether all weights are there, and no base model is needed.
    """

    config: dict[str, Any]
    base_model: str
    files: tuple[str, ...]
    parameters: int
    dtypes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    whole: bool = False


def is_hub_name(name: object) -> bool:
    """Whether a name may be that of a model on the Hub, and is no place on this machine.

    Example:
        >>> is_hub_name("org/base-7b"), is_hub_name("/models/base"), is_hub_name(None)
        (True, False, False)
    """
    return (
        isinstance(name, str)
        and not _LOCAL.match(name)
        and _ON_HUB.fullmatch(name) is not None
        and not Path(name).is_dir()
    )


def without_local_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings less those that are places on this machine, which say who works where.

    Example:
        >>> without_local_places({"lr": 1e-4, "output_dir": "/home/ann/runs"})
        {'lr': 0.0001}
    """
    return {name: value for name, value in settings.items() if not (isinstance(value, str) and _LOCAL.match(value))}


def check_run_folder(run: Path) -> None:
    """Refuse what is no folder.

    Args:
        run: Where the run should be.

    Raises:
        TableError: It is a file, or nothing.
    """
    if not run.is_dir():
        raise TableError(f"{run}: wanted the folder of a run, found {'a file' if run.exists() else 'nothing'} there.")


def files_left_out(run: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Files of a run beside the named ones; its card is none of them, as one is made anew.

    Args:
        run: Folder of the run.
        names: Those that are published.
    """
    others = (path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file())
    return tuple(name for name in others if name not in (*names, CARD))


def copy_part(source: Path, target: Path) -> list[str]:
    """Copy a file of settings or of the tokenizer; of a JSON file without the places on this machine.

    Args:
        source: The file.
        target: Where to.

    Returns:
        Notes on what was left out.

    Raises:
        TableError: No JSON object where there should be one, or a pickle under another name.
    """
    if source.suffix != ".json":
        _check_no_pickle(source)
        shutil.copyfile(source, target)
        return []
    content = json_object(source, f"{source}: not there any more.")
    gone = [key for key in _PLACES if isinstance(content.get(key), str) and _LOCAL.match(content[key])]
    if not gone:
        shutil.copyfile(source, target)
        return []
    write_json(target, {key: value for key, value in content.items() if key not in gone})
    return [f"{source.name}: left out {', '.join(gone)} (places on this machine)"]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object as the libraries do.

    Args:
        path: The file.
        content: The object.
    """
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def json_object(path: Path, absent: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        absent: What is said where there is none.

    Returns:
        The object.

    Raises:
        TableError: There is no file, or something else in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(absent) from None
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: wanted a JSON object, found something else ({str(error)[:80]}).") from None
    if not isinstance(found, dict):
        raise TableError(f"{path}: wanted a JSON object, found a {type(found).__name__}.")
    return found


def weights_of(path: Path) -> tuple[int, tuple[str, ...]]:
    """Numbers and their types in a safetensors file, from its header alone.

    Args:
        path: The file.

    Returns:
        How many numbers, and their types.

    Raises:
        TableError: It only has the name of one, or is not whole.
    """
    size = path.stat().st_size
    broken = f"{path}: wanted a safetensors file, found something else (a pickle with another name?); save it again."
    with path.open("rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise TableError(broken)
        try:
            count, end, dtypes = _tensors(handle.read(length))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise TableError(broken) from None
    if end != size - 8 - length:
        raise TableError(f"{path}: the file is not whole ({size - 8 - length} bytes of {end}); save it again.")
    return count, dtypes


def _tensors(header: bytes) -> tuple[int, int, tuple[str, ...]]:
    """Numbers, bytes and types of the tensors that a header names."""
    tensors = {name: tensor for name, tensor in json.loads(header).items() if name != "__metadata__"}
    count, end = 0, 0
    for tensor in tensors.values():
        numbers = 1
        for n in tensor["shape"]:
            numbers *= int(n)
        count, end = count + numbers, max(end, int(tensor["data_offsets"][1]))
    return count, end, tuple(sorted({str(tensor["dtype"]) for tensor in tensors.values()}))


def _check_no_pickle(path: Path) -> None:
    """Refuse a pickle, or a zip that may hold one, under another file's name."""
    with path.open("rb") as handle:
        start = handle.read(4)
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or start == b"PK\x03\x04":
        raise TableError(f"{path}: this is a pickle or an archive, which is not published; save the tokenizer again.")
