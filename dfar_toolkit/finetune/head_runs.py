"""The folder of a training run of a head: what decides it from the first moment, ``run.json`` last."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.run_settings import as_json, in_words, remove_temporaries, write_whole

FORMAT: Final = "dfar-training"
FORMAT_VERSION: Final = 1
RUN: Final = "run.json"
BEGUN: Final = "training.json"
CHECKPOINTS: Final = "checkpoints"
TENSORBOARD: Final = "tensorboard"
_NUMBERED: Final = re.compile(r"checkpoint-(\d+)")
_SHOWN: Final = 3
# Files of a run: our own, weights with their settings, the tokenizer.
_OURS: Final = re.compile(
    r"(run|training|config|generation_config|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens"
    r"|vocab)\.json|log\.jsonl|(adapter_)?model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|chat_template\.jinja"
    r"|vocab\.txt|merges\.txt|[\w.]+\.model|training_args\.bin|README\.md(\.tmp-dfar-[0-9a-f]+)?"
)


def begin_training(folder: Path, decides: Mapping[str, Any]) -> dict[str, Any] | None:
    """Make the folder that of a training run, or see that it is one with the same settings.

    Args:
        folder: Absent, empty, or the folder of a run that the same settings began.
        decides: All that decides the weights at the end.

    Returns:
        What ``run.json`` says where the run has ended; None where it begins or goes on.

    Raises:
        TableError: The folder holds other files, or a run with other settings; nothing there was touched.
    """
    wanted = as_json(_finite(decides))
    with in_words(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (RUN, BEGUN):
        found = read_training(folder / name)
        if found is None:
            continue
        differing = sorted(key for key in {*found["decides"], *wanted} if found["decides"].get(key) != wanted.get(key))
        if differing:
            raise TableError(
                f"{folder}: holds a training run with other settings ({', '.join(differing)})"
                f"{_changed(found['decides'], wanted)}. Give another --out, or --fresh "
                "to delete that run and begin anew."
            )
        return found if name == RUN else None
    others = sorted(path.name for path in folder.iterdir())
    if others:
        raise TableError(
            f"{folder}: wanted an absent or empty folder, or one of a training run, found other files (such as "
            f"{others[0]!r}). Give another --out; nothing was touched."
        )
    _write(folder / BEGUN, {"decides": wanted})
    return None


def finish_training(folder: Path, decides: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``run.json``; what was only needed to go on is deleted.

    Args:
        folder: The folder.
        decides: As the run began.
        facts: What came of it.

    Returns:
        What ``run.json`` says.
    """
    known = {"labels": decides.get("options"), "data": decides.get("data")}  # as a model card looks for them
    known = {name: value for name, value in known.items() if value is not None}
    content = as_json(_finite({**known, **facts, "decides": decides}))
    said = _write(folder / RUN, content)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / BEGUN).unlink(missing_ok=True)
    return said


def delete_training(folder: Path) -> None:
    """Delete what a training wrote into a folder, whole or not; nothing where there is none.

    Args:
        folder: The folder of a run, absent or empty.

    Raises:
        TableError: It holds no training, or files of somebody else beside it; nothing was deleted.

    Example:
        >>> delete_training(Path("nothing/there"))
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if all(read_training(folder / name) is None for name in (RUN, BEGUN)):
        raise TableError(f"{folder}: wanted the folder of a training to begin anew, found none; nothing was touched.")
    remove_temporaries(folder)
    paths = sorted(folder.iterdir())
    checkpoints, kept = folder / CHECKPOINTS, [folder / CHECKPOINTS, folder / TENSORBOARD]
    inside = sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []
    others = [path for path in paths if path not in kept and (path.is_dir() or not _OURS.fullmatch(path.name))]
    others += [path for path in inside if not _NUMBERED.fullmatch(path.name)]
    if others:
        raise TableError(
            f"{folder}: holds files that the training did not write (such as {others[0].relative_to(folder)}); move "
            "them, or give another --out. Nothing was deleted."
        )
    with in_words(folder):
        for place in kept:
            if place.is_dir():
                shutil.rmtree(place)
        # What says that the folder is ours goes last: a kill leaves something that can be deleted again.
        for path in sorted(paths, key=lambda each: each.name in (RUN, BEGUN)):
            if path not in kept:
                path.unlink(missing_ok=True)


def leave_nothing(folder: Path) -> None:
    """Where no checkpoint was made yet, a training that failed does not stand in the way of one with other settings.

    Args:
        folder: The folder that the run which failed has begun.
    """
    if (folder / BEGUN).is_file() and not (folder / RUN).exists() and last_checkpoint(folder) is None:
        with suppress(TableError):  # files of somebody else: it stays as it is
            delete_training(folder)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first settings that differ, in words; of a model whose files are others, that."""
    said = _differing(old.get("settings"), new.get("settings"))
    before, now = (_marks(each.get("model")) for each in (old, new))
    if before and now and before != now:
        said.insert(0, "the model's files are not those that it began with")
    return f": {', '.join(said[:_SHOWN])}{', ...' if len(said) > _SHOWN else ''}" if said else ""


def _marks(model: Any) -> dict[str, Any]:
    """What tells the files of a model from others of the same name."""
    said = model.items() if isinstance(model, dict) else ()
    return {name: value for name, value in said if name.endswith(("_fingerprint", "_commit"))}


def _differing(old: Any, new: Any) -> list[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return []
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return [f"{name} is {old.get(name)} there, {new.get(name)} now" for name in names]


def read_training(path: Path) -> dict[str, Any] | None:
    """What a ``run.json`` of a training says; None where there is none.

    Raises:
        TableError: It is none of ours.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(f"{path}: cannot be read as JSON ({str(error)[:80]}).") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("decides"), dict):
        raise TableError(f'{path}: wanted a training run ("format": "{FORMAT}"), found other content.')
    return found


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint that is whole; None where there is none.

    Args:
        folder: The folder of the run.
    """
    return max((path for path in _checkpoints(folder) if _is_whole(path)), key=_step, default=None)


def torn_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that a kill left half-written after the last whole one.

    Args:
        folder: The folder of the run.
    """
    whole = last_checkpoint(folder)
    later = (path for path in _checkpoints(folder) if whole is None or _step(path) > _step(whole))
    return sorted(later, key=_step)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in (folder / CHECKPOINTS).glob("checkpoint-*") if _NUMBERED.fullmatch(path.name)]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    """The trainer's own state is what it writes last."""
    try:
        said = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("global_step") == _step(checkpoint)


def _write(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, **content}
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    with in_words(path.parent):
        write_whole(path, lambda place: place.write_text(text, encoding="utf-8"))
    return dict(whole)


def _finite(value: Any) -> Any:
    """Numbers that are none as null."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
