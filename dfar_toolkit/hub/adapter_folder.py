"""What of a training run may leave the house: an adapter, its settings and its tokenizer, and nothing that can run."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.hub.model_run_notes import RUN, read_run_notes
from dfar_toolkit.hub.staged_model import (
    PICKLES,
    TOKENIZER,
    StagedModel,
    check_run_folder,
    copy_part,
    files_left_out,
    is_hub_name,
    json_object,
    weights_of,
    write_json,
)

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"


def read_adapter_folder(run: Path) -> StagedModel:
    """Look at the adapter of a run, without copying it.

    Args:
        run: Folder of the run, as peft saves it.

    Returns:
        What is there; the base model as the adapter names it, where that may be on the Hub.

    Raises:
        TableError: There is no adapter, or it is stored as a pickle.
    """
    check_run_folder(run)
    absent = f"{run}: wanted a model as peft or transformers saves it, found no {CONFIG} or config.json."
    config = json_object(run / CONFIG, absent)
    if not (run / WEIGHTS).is_file():
        pickled = next((p.name for p in sorted(run.glob("adapter_model.*")) if p.suffix in PICKLES), None)
        said = f"found {pickled}, a pickle, which can run code where it is loaded" if pickled else "found none"
        raise TableError(f"{run}: wanted {WEIGHTS}, {said}; save it again with safe_serialization=True.")
    parameters, dtypes = weights_of(run / WEIGHTS)
    named = config.get("base_model_name_or_path")
    names = tuple(sorted([CONFIG, WEIGHTS, *(name for name in TOKENIZER if (run / name).is_file())]))
    return StagedModel(config, str(named) if is_hub_name(named) else "", names, parameters, dtypes)


def stage_adapter(run: Path, folder: Path, *, base_model: str | None = None) -> StagedModel:
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
    found = read_adapter_folder(run)
    named = found.config.get("base_model_name_or_path")
    base, notes = base_model or named, list[str]()
    if not isinstance(base, str) or not is_hub_name(base):
        raise TableError(
            f"{run / CONFIG}: wanted the name of the base model on the Hub, found {base!r}; give it: --base-model "
            "ORG/NAME."
        )
    if base != named:
        notes.append(f"{CONFIG}: the base model is called {base}")
    config = {**found.config, "base_model_name_or_path": base}
    for name in found.files:
        if name == WEIGHTS:
            shutil.copyfile(run / name, folder / name)
        elif name != CONFIG:
            notes += copy_part(run / name, folder / name)
    write_json(folder / CONFIG, config)
    names = found.files
    if outputs := _named_outputs(run, config):
        # Not a config.json: transformers would take the folder for a whole model, and not load it.
        write_json(folder / RUN, {"task": "classifier", "id2label": outputs})
        names = tuple(sorted([*names, RUN]))
        notes.append(f"{RUN}: the names of the classifier's outputs go, and nothing else of it")
    return dataclasses.replace(
        found, config=config, base_model=base, files=names, left_out=files_left_out(run, names), notes=tuple(notes)
    )


def _named_outputs(run: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The names of a classifying head's outputs by number, as the run says them; empty where it says none."""
    notes = read_run_notes(run)
    if config.get("task_type") != "SEQ_CLS" or notes.text("task") != "classifier":
        return {}
    named = notes.section("id2label")
    return named if all(isinstance(name, str) for name in named.values()) else {}
