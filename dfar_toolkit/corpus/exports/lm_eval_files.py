"""The files of a task folder of lm-evaluation-harness beside its documents.

Nothing from data stands in the YAML or the Python: a document's texts are named by their fields, which the harness
hands over as they are (a template would be rendered), and the options stand in a JSON file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from dfar_toolkit.prompts.render import style_of

_ROWS: Final = '''"""The documents that lie beside this file, wherever the folder is."""

from pathlib import Path

import datasets

HERE = Path(__file__).resolve().parent


def documents(**_):
    """All splits, as the harness wants them."""
    files = {path.stem: str(path) for path in sorted((HERE / "jsonl").glob("*.jsonl"))}
    return datasets.load_dataset("json", data_files=files)
'''
_ANSWERS: Final = '''"""Labels read from written answers, and metrics over them; needs dfar-toolkit."""

import json
from pathlib import Path

from dfar_toolkit.metrics import accuracy, coverage
from dfar_toolkit.metrics.adapters import aggregation, process_answers

OPTIONS = json.loads((Path(__file__).resolve().parent / "options.json").read_text(encoding="utf-8"))

answers = process_answers(OPTIONS, gold="gold", labels=[accuracy, coverage])
of_accuracy = aggregation(accuracy)
of_coverage = aggregation(coverage)
'''
_CHOICES_TASK: Final = """task: {task}
custom_dataset: !function dfar_documents.documents
test_split: {split}
output_type: multiple_choice
doc_to_text: prompt_label
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
_ANSWERS_TASK: Final = """task: {task}
custom_dataset: !function dfar_documents.documents
test_split: {split}
output_type: generate_until
doc_to_text: prompt
doc_to_target: label
process_results: !function dfar_answers.answers
generation_kwargs:
  until: {until}
  max_gen_toks: {tokens}
  do_sample: false
metric_list:
  - metric: accuracy
    aggregation: !function dfar_answers.of_accuracy
    higher_is_better: true
  - metric: coverage
    aggregation: !function dfar_answers.of_coverage
    higher_is_better: true
metadata:
  version: 1.0
"""


def lm_eval_files(name: str, splits: Sequence[str], options: Sequence[str], style: str) -> Mapping[str, str]:
    """The files by name: per split a task of log-likelihoods (``_choices``) and one of written answers (``_answers``).

    Args:
        name: What the items are called; tasks begin with its letters and digits.
        splits: Splits with documents.
        options: Names of the options.
        style: The style of the prompts.

    Returns:
        Name to text.

    Example:
        >>> sorted(lm_eval_files("My set", ["test"], ["no", "yes"], "label"))  # doctest: +NORMALIZE_WHITESPACE
        ['dfar_answers.py', 'dfar_documents.py', 'my_set_test_answers.yaml', 'my_set_test_choices.yaml', 'options.json']
    """
    known = style_of(style)
    files = {
        "dfar_documents.py": _ROWS,
        "dfar_answers.py": _ANSWERS,
        "options.json": json.dumps(list(options), ensure_ascii=False) + "\n",
    }
    for split in splits:
        begin = f"{task_name(name)}_{task_name(split)}"
        until, tokens = json.dumps(list(known.stops)), 256 if known.reasons else 16
        files[f"{begin}_choices.yaml"] = _CHOICES_TASK.format(task=f"{begin}_choices", split=json.dumps(split))
        files[f"{begin}_answers.yaml"] = _ANSWERS_TASK.format(
            task=f"{begin}_answers", split=json.dumps(split), until=until, tokens=tokens
        )
    return files


def task_name(name: str) -> str:
    """A name of letters a to z, digits and ``_`` alone, for files and tasks.

    Example:
        >>> task_name("../My set: v1"), task_name("数据")
        ('my_set_v1', 'items')
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "items"
