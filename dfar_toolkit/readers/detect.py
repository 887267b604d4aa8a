"""Which tool wrote an outputs file: by its content (keys, ZIP members, Parquet columns), never by its name alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from dfar_toolkit.errors import TableError
from dfar_toolkit.readers.foreign import Foreign
from dfar_toolkit.readers.helm import STATE, read_helm
from dfar_toolkit.readers.hf_trainer import HEADER, LOGITS, read_hf_trainer
from dfar_toolkit.readers.inspect_ai import read_inspect_ai
from dfar_toolkit.readers.lighteval import parquet_names, read_lighteval
from dfar_toolkit.readers.llama_factory import read_llama_factory
from dfar_toolkit.readers.lm_eval import read_lm_eval
from dfar_toolkit.readers.openai_batch import read_openai_batch
from dfar_toolkit.readers.vllm_offline import read_vllm
from dfar_toolkit.readers.zip_members import zip_members
from dfar_toolkit.tabular.whole_file import refuse_special
from dfar_toolkit.tabular.wording import ContentError

Format = Literal["lm_eval", "inspect_ai", "lighteval", "openai_batch", "vllm", "helm", "hf_trainer", "llama_factory"]
_READERS: Final[dict[str, Callable[[Path], Foreign]]] = {
    "lm_eval": read_lm_eval,
    "inspect_ai": read_inspect_ai,
    "lighteval": read_lighteval,
    "openai_batch": read_openai_batch,
    "vllm": read_vllm,
    "helm": read_helm,
    "hf_trainer": read_hf_trainer,
    "llama_factory": read_llama_factory,
}
FORMATS: Final = tuple(_READERS)

# Keys of the first object that name a format, the surest first. A file of averages or requests is named as well, since
# its reader says which file is wanted instead.
_KEYS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("lm_eval", frozenset({"doc_id", "doc", "resps", "filtered_resps"})),
    ("lm_eval", frozenset({"results", "configs", "versions"})),
    ("inspect_ai", frozenset({"version", "status", "eval"})),
    ("helm", frozenset({"adapter_spec", "request_states"})),
    ("helm", frozenset({"adapter_spec", "scenario_spec", "metric_specs"})),
    ("helm", frozenset({"instance_id", "train_trial_index", "stats"})),
    ("openai_batch", frozenset({"custom_id", "response", "error"})),
    ("openai_batch", frozenset({"custom_id", "response", "id"})),
    ("openai_batch", frozenset({"custom_id", "method", "url", "body"})),
    ("openai_batch", frozenset({"object", "model", "choices"})),
    ("openai_batch", frozenset({"object", "model", "output", "status"})),
    ("vllm", frozenset({"request_id", "prompt", "outputs"})),
    ("vllm", frozenset({"prompt_token_ids", "outputs"})),
)
_LLAMA_FACTORY: Final = {"prompt", "predict", "label"}  # these alone: a table may have them among others
_FIRST: Final = 1 << 26  # bytes of a first line that are parsed whole
_SCANNED: Final = 1 << 20  # bytes of a document in which its first keys are looked for
_TOKEN: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|([{\[])|([}\]])', re.DOTALL)


def detect_format(path: Path | str) -> Format | None:
    """The format of an outputs file or run folder of another tool, None for anything else, such as a plain table.

    Raises:
        TableError: The file is absent, empty, or damaged so that it cannot be told what it is.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "any.jsonl"
        >>> _ = file.write_text('{"prompt": "p", "predict": "ethical", "label": "ethical"}')
        >>> detect_format(file)
        'llama_factory'
    """
    path = Path(path)
    if path.is_dir():
        return "helm" if (path / STATE).is_file() else None
    try:
        refuse_special(path)
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(0)
            line = next(
                (row for row in iter(lambda: file.readline(_FIRST), b"") if row.strip(b"\xef\xbb\xbf \t\r\n")), b""
            )
            rest = file.read(_SCANNED)
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file.") from None
    except ContentError as bad:
        raise TableError(f"{path}: {bad}") from None
    except OSError as fault:
        raise TableError(f"{path}: cannot be read: {fault.strerror}.") from fault
    if not line:
        raise TableError(f"{path}: the file is empty.")
    return _by_magic(path, start) or _by_text(line.removeprefix(b"\xef\xbb\xbf").strip(), rest)


def read_foreign(path: Path | str, *, format: Format | None = None) -> Foreign | None:
    """The outputs in a file of another tool, in one shape; None where the file is no such file (a plain table, say).

    Args:
        path: A file, or a run folder of HELM.
        format: One of ``FORMATS``, where the file is to be read as that; by default the content decides. ``vllm`` is
            right for the lines of ``vllm run-batch`` as well.

    Raises:
        TableError: The file is absent, damaged, or looks like another format than ``format``.
    """
    if format is not None and format not in _READERS:
        raise ValueError(f"read_foreign: format must be one of {', '.join(FORMATS)}, found {format!r}")
    path = Path(path)
    found = detect_format(path)
    if format is None:
        return None if found is None else _READERS[found](path)
    if found is not None and found != format and (format, found) != ("vllm", "openai_batch"):
        raise TableError(
            f"{path}: wanted a file of {format}, but this looks like {found}; leave the format out, or give {found}."
        )
    return _READERS[found or format](path)


def _by_magic(path: Path, start: bytes) -> Format | None:
    """The format of a file that is no text."""
    if start.startswith(b"PAR1"):
        names = set(parquet_names(path))
        flat = {"full_prompt", "predictions", "gold_index"} <= names
        return "lighteval" if flat or {"doc", "model_response"} <= names else None
    if start.startswith(b"\x93NUMPY"):
        return "hf_trainer"
    if not start.startswith(b"PK\x03\x04"):
        return None
    with zip_members(path) as members:
        names = set(members.names)
    if any(f"{name}.npy" in names for name in LOGITS):
        return "hf_trainer"
    logged = {"_journal/start.json", "start.json"} & names or {"header.json", "summaries.json"} <= names
    return "inspect_ai" if logged or any(n.startswith("samples/") and "_epoch_" in n for n in names) else None


def _by_text(line: bytes, rest: bytes) -> Format | None:
    """The format of a text by its first line that is not blank, or by the keys of the document it begins."""
    if line == HEADER.encode():
        return "hf_trainer"
    if line[:1] not in (b"{", b"["):
        return None
    keys = _keys_of_line(line) or _first_keys(line[:_SCANNED] + b"\n" + rest)
    if keys == _LLAMA_FACTORY:
        return "llama_factory"
    for name, wanted in _KEYS:
        if wanted <= keys:
            return name  # type: ignore[return-value]
    return None


def _keys_of_line(line: bytes) -> set[str]:
    """The keys of the object that is the whole line, or the first of a list that is; none if it is neither."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    first = value[0] if isinstance(value, list) and value else value
    return set(first) if isinstance(first, dict) else set()


def _first_keys(start: bytes) -> set[str]:
    """The keys of the first object of a document of which only the start is known."""
    keys: set[str] = set()
    depth, level = 0, 1 if start.lstrip()[:1] == b"{" else 2
    for match in _TOKEN.finditer(start):
        name, colon, opens, closes = match.groups()
        depth += bool(opens) - bool(closes)
        if closes and depth < level:
            break
        if name is not None and colon and depth == level:
            keys.add(name.decode("utf-8", "replace"))
    return keys
