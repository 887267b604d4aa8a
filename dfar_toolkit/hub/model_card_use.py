"""What a model card says of the use of a model: the command, and the lines of Python that load it."""

from __future__ import annotations

import json
import shlex
from typing import Final

from dfar_toolkit.hub.model_facts import HERE, ModelFacts
from dfar_toolkit.hub.model_run_notes import RUN
from dfar_toolkit.hub.staged_model import StagedModel, without_local_places
from dfar_toolkit.markup import md_code, md_fence

_CLASSES: Final = {"causal": "CausalLM", "classifier": "SequenceClassification", "ranker": "SequenceClassification"}


def use_lines(model: StagedModel, facts: ModelFacts) -> list[str]:
    """How the model is asked, and how it is loaded.

    Args:
        model: The model.
        facts: Of it.

    Returns:
        Lines of Markdown.
    """
    here = facts.place == HERE
    lines = [f"{md_code(HERE)} is the folder that this card lies in.", ""] if here else []
    if here or _names_itself(model, facts):
        asked = f"dfar predict --model {shlex.quote(facts.place)} --items ITEMS --out FOLDER{_as_trained(facts)}"
        lines += [md_fence(asked, language="sh"), ""]
    if facts.task:
        lines += [md_fence("\n".join(_python(model, facts)), language="python"), "", *_hint(facts)]
    return lines


def _names_itself(model: StagedModel, facts: ModelFacts) -> bool:
    """Whether the published files alone say what is asked: of ``run.json`` a classifier's labels go at most."""
    return facts.task == "causal" or (facts.task == "classifier" and (model.whole or RUN in model.files))


def _as_trained(facts: ModelFacts) -> str:
    """Options that ask a published model as it was trained; of a run folder they are known."""
    if facts.place == HERE:
        return ""
    style, chat = facts.run.text("asked", "style"), facts.run.at("asked", "chat")
    named = bool(without_local_places({"style": style})) and style not in ("", "label")
    turns = f" {'--chat' if chat else '--no-chat'}" if isinstance(chat, bool) else ""
    return f"{f' --style {shlex.quote(style)}' if named else ''}{turns}"


def _python(model: StagedModel, facts: ModelFacts) -> list[str]:
    place, kind = json.dumps(facts.place), _CLASSES[facts.task]
    if model.whole and facts.task == "classifier":
        return [
            "from transformers import pipeline", "",
            f'ask = pipeline("text-classification", model={place}, top_k=None)',
            'print(ask("A statement."))',
        ]  # fmt: skip
    package, auto = ("transformers", f"AutoModelFor{kind}") if model.whole else ("peft", f"AutoPeftModelFor{kind}")
    lines = [f"from {package} import {auto}", "from transformers import AutoTokenizer", ""]
    if model.whole:
        lines[:2] = [f"from transformers import {auto}, AutoTokenizer"]
    return [
        *lines,
        f"model = {auto}.from_pretrained({place}{_outputs(model, facts)})",
        f"tokenizer = AutoTokenizer.from_pretrained({place})",
    ]


def _outputs(model: StagedModel, facts: ModelFacts) -> str:
    """What an adapter's base model has to be told of the head that the adapter brings."""
    if model.whole or facts.task == "causal":
        return ""
    if facts.task == "ranker":
        return ", num_labels=1"
    names = ", ".join(f"{number}: {json.dumps(label)}" for number, label in enumerate(facts.labels))
    return f", num_labels={len(facts.labels)}, id2label={{{names}}}" if facts.labels else ""


def _hint(facts: ModelFacts) -> list[str]:
    """How texts are put to it."""
    if facts.task == "ranker":
        return ["It scores one text; of the texts of all options the softmax of the scores is the answer.", ""]
    if facts.task == "classifier":
        return ["It reads the statement; where an item has contexts they come before it, as the first of a pair.", ""]
    style = facts.run.text("asked", "style") or facts.run.text("settings", "style")
    named = f" {md_code(style)}" if style and without_local_places({"style": style}) else ""
    turns = facts.run.at("asked", "chat")
    told = {True: ", with the chat template", False: ", without a chat template"}.get(turns, "")
    return [f"It learned the prompts of `dfar predict` in the style{named or ' of its objective'}{told}.", ""]
