"""What of a training of all weights may leave the house: weights, settings, tokenizer, and nothing that can run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from dfar_toolkit.errors import TableError
from dfar_toolkit.hub.adapter_folder import CONFIG as ADAPTER
from dfar_toolkit.hub.adapter_folder import read_adapter_folder, stage_adapter
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
)

WHOLE_CONFIG: Final = "config.json"
WHOLE_WEIGHTS: Final = "model*.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_GENERATION: Final = "generation_config.json"
_CODE: Final = "auto_map"  # classes that come with the model as Python files


def read_model_folder(run: Path) -> StagedModel:
    """Look at the model of a run, an adapter or all weights, without copying it.

    Args:
        run: Folder of the run.

    Returns:
        What is there.

    Raises:
        TableError: There is no model, or it is stored as a pickle.
    """
    check_run_folder(run)
    if (run / ADAPTER).is_file() or not (run / WHOLE_CONFIG).is_file():
        return read_adapter_folder(run)
    config = json_object(run / WHOLE_CONFIG, f"{run}: found no {WHOLE_CONFIG}.")
    parts = sorted(path.name for path in run.glob(WHOLE_WEIGHTS) if path.is_file())
    if not parts:
        pickled = next((p.name for p in sorted(run.iterdir()) if p.suffix in PICKLES), None)
        said = f"found {pickled}, a pickle, which can run code where it is loaded" if pickled else "found none"
        raise TableError(f"{run}: wanted {WHOLE_WEIGHTS}, {said}; save it again with safe_serialization=True.")
    counted = [weights_of(run / name) for name in parts]
    dtypes = sorted({dtype for _, each in counted for dtype in each})
    others = [name for name in (_GENERATION, _INDEX, *TOKENIZER) if (run / name).is_file()]
    names = tuple(sorted([WHOLE_CONFIG, *parts, *others]))
    return StagedModel(config, "", names, sum(count for count, _ in counted), tuple(dtypes), whole=True)


def stage_model(run: Path, folder: Path, *, base_model: str | None = None, known_base: str = "") -> StagedModel:
    """Copy what may be published of a run into an empty folder, the weights of a whole model left where they are.

    Args:
        run: Folder of the run.
        folder: Empty folder to copy into.
        base_model: Name of the base model on the Hub, where the run knows it by a path.
        known_base: The base model on the Hub of a whole model, as ``run.json`` says it.

    Returns:
        What may be published.

    Raises:
        TableError: There is no model that can be published.
    """
    found = read_model_folder(run)
    if not found.whole:
        return stage_adapter(run, folder, base_model=base_model)
    if base_model is not None and not is_hub_name(base_model):
        raise TableError(f"--base-model wants the name of a model on the Hub (ORG/NAME), found {base_model!r}.")
    if _CODE in found.config:
        raise TableError(
            f"{run / WHOLE_CONFIG}: names code of its own ({_CODE}), which is not published; a model needs it to load."
        )
    notes = []
    for name in found.files:
        if not name.endswith(".safetensors"):
            notes += copy_part(run / name, folder / name)
    return dataclasses.replace(
        found,
        config=json_object(folder / WHOLE_CONFIG, f"{run}: found no {WHOLE_CONFIG}."),
        base_model=base_model or known_base,
        left_out=files_left_out(run, found.files),
        notes=tuple(notes),
    )
