"""The files of a task folder of inspect_ai beside its samples.

The task is the same whatever the data are: samples and options are read from JSON beside it, so nothing from data
stands in the Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

_TASK: Final = '''"""Two tasks over the samples beside this file: written answers, and multiple choice by letter.

inspect eval dfar_task.py@dfar_answers --model MODEL
inspect eval dfar_task.py@dfar_choices --model MODEL -T split=dev
"""

import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import choice
from inspect_ai.solver import generate, multiple_choice

HERE = Path(__file__).resolve().parent
SETTINGS = json.loads((HERE / "task.json").read_text(encoding="utf-8"))
BESIDE = ["group", "label_probs"]


def samples(split, **fields):
    known = sorted(path.stem for path in (HERE / "jsonl").glob("*.jsonl"))
    if split not in known:
        raise ValueError(f"wanted a split of {known}, found {split!r}")
    spec = FieldSpec(id="id", metadata=BESIDE, **fields)
    return json_dataset(str(HERE / "jsonl" / f"{split}.jsonl"), spec, name=f"{SETTINGS['name']}_{split}")


@task
def dfar_answers(split=SETTINGS["split"]):
    """The label (and the reason) in words, read from the answer; needs dfar-toolkit."""
    from dfar_toolkit.metrics import accuracy, coverage, macro_f1
    from dfar_toolkit.metrics.adapters import label_scorer

    scorer = label_scorer(SETTINGS["options"], metrics=[accuracy, macro_f1, coverage])
    data = samples(split, input="input", target="target", choices="no_choices")
    return Task(dataset=data, solver=generate(), scorer=scorer)


@task
def dfar_choices(split=SETTINGS["split"]):
    """The label by its letter."""
    data = samples(split, input="question", target="letter", choices="choices")
    return Task(dataset=data, solver=multiple_choice(), scorer=choice())
'''


def inspect_files(name: str, splits: Sequence[str], options: Sequence[str]) -> Mapping[str, str]:
    """The files by name: the task and its settings.

    Args:
        name: What the items are called, letters and digits.
        splits: Splits with samples; the task takes ``test``, else the last, where none is chosen.
        options: Names of the options.

    Returns:
        Name to text.

    Example:
        >>> sorted(inspect_files("mine", ["dev", "test"], ["no", "yes"]))
        ['dfar_task.py', 'task.json']
    """
    split = "test" if "test" in splits or not splits else splits[-1]
    settings = {"name": name, "split": split, "options": list(options)}
    return {"dfar_task.py": _TASK, "task.json": json.dumps(settings, ensure_ascii=False, indent=1) + "\n"}
