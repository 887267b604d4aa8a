"""The card of a trained model: where it comes from, how it was trained, how it scored, what it is for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from dfar_toolkit.hub.model_card_training import data_lines, development_lines, limit_lines, training_lines
from dfar_toolkit.hub.model_card_use import use_lines
from dfar_toolkit.hub.model_facts import ModelFacts, base_mark, base_name
from dfar_toolkit.hub.model_run_notes import is_number
from dfar_toolkit.hub.staged_model import StagedModel
from dfar_toolkit.markup import md_code, md_escape

_SEAL: Final = re.compile(r"\n<!-- dfar:card ([0-9a-f]{64}) -->\n\Z")
_SHOWN: Final = (
    "accuracy", "majority_baseline", "coverage", "balanced_accuracy", "macro_f1", "matthews_correlation",
    "soft_cross_entropy", "brier_score_unbiased", "total_variation", "ceiling_soft_cross_entropy",
    "human_calibration_error", "kappa_run", "kappa_people", "rouge_l_mean", "mar_mean", "mar_majority",
)  # fmt: skip
_PIPELINES: Final = {"classifier": "text-classification", "causal": "text-generation"}  # there is none of rankers
_KINDS: Final = {"causal": "language model", "classifier": "sequence classifier", "ranker": "ranker", "": "model"}


def render_model_card(model: StagedModel, facts: ModelFacts) -> str:
    """The README.md of a model; the same facts give the same text.

    Args:
        model: An adapter, or a model with all its weights.
        facts: What is known besides.

    Returns:
        YAML head and text, sealed by its own hash, so that an edit shows.
    """
    head = yaml.safe_dump(_head(model, facts), sort_keys=False, allow_unicode=False, width=110)
    text = f"---\n{head}---\n\n" + "\n".join(_lines(model, facts)) + "\n"
    return f"{text}\n<!-- dfar:card {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_untouched(card: str) -> bool:
    """Whether a card is one of ours that nobody has edited.

    Example:
        >>> is_untouched("# By hand")
        False
    """
    seal = _SEAL.search(card)
    return seal is not None and hashlib.sha256(card[: seal.start()].encode()).hexdigest() == seal[1]


def _head(model: StagedModel, facts: ModelFacts) -> dict[str, Any]:
    head: dict[str, Any] = {}
    if model.base_model:
        relation = "finetune" if model.whole else "adapter"
        head |= {"base_model": model.base_model, "base_model_relation": relation}
    if facts.data is not None:
        head["datasets"] = [facts.data.repo_id]
    head |= {"library_name": "transformers" if model.whole else "peft", "license": facts.licence}
    if pipeline := _PIPELINES.get(facts.task):
        head["pipeline_tag"] = pipeline
    kind = "" if model.whole else str(model.config.get("peft_type", "")).lower()
    head["tags"] = [*([kind] if re.fullmatch(r"[a-z0-9_]+", kind) else []), "human-label-variation"]
    return head


def _lines(model: StagedModel, facts: ModelFacts) -> list[str]:
    lines = [f"# {md_escape(facts.title)}", "", _what_it_is(model, facts), ""]
    lines += ["## Use", "", *use_lines(model, facts)] if facts.task else []
    lines += ["## Data", "", *data_lines(facts), ""]
    if facts.labels:
        ordered = ", in the order of its outputs" if facts.task == "classifier" else ""
        lines += [f"Labels{ordered}: " + ", ".join(md_code(label) for label in facts.labels), ""]
    lines += ["## Intended use", ""]
    lines += [
        md_escape(facts.intended_use)
        or "Studying how far models agree with people and with the reasons that people give. Its answers are guesses "
        "at what the annotators of this data set would have said; they are no advice, and no judgement of a person.",
        "",
    ]
    lines += ["## Training", "", *training_lines(model, facts)]
    if measured := development_lines(facts.run):
        lines += ["", "## While it was trained", "", *measured]
    lines += ["", "## Scores", "", *_scores(facts.scores), "", "## Limits", "", *limit_lines(model, facts)]
    return [*lines, "", "## Files", "", *(f"- {md_code(name)}" for name in model.files)]


def _what_it_is(model: StagedModel, facts: ModelFacts) -> str:
    """A sentence: adapter or whole, of what, for what."""
    base, kind = _base(model, facts), _KINDS[facts.task]
    if not model.whole:
        also = "" if facts.task in ("", "causal") else f" that makes it a {kind}"
        return f"An adapter of {base}{also}; it needs the base model to run."
    if facts.run.number("settings", "lora_rank"):
        return f"A {kind}, trained from {base} by an adapter that was merged into it; it needs no other model."
    return f"A {kind}: all weights of {base} were trained; it needs no other model."


def _base(model: StagedModel, facts: ModelFacts) -> str:
    """The model that it began from, with what tells its state from others."""
    commit, fingerprint = base_mark(facts.run, "commit"), base_mark(facts.run, "fingerprint")
    mark = f" (commit {md_code(commit)})" if commit else f" (fingerprint {md_code(fingerprint)})" if fingerprint else ""
    if model.base_model:
        return f"{md_code(model.base_model)}{mark}"
    named = base_name(facts.run)
    return f"the model {md_code(named)} from a folder{mark}" if named else "a model that the run does not name"


def _scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """The headline metrics with their intervals, per run and subset; a metric per label is left to the file."""
    rows = [r for r in scores if r["metric"] in _SHOWN and not r.get("label") and not r.get("predictor")]
    if not rows:
        return ["Not scored yet."]
    lines = ["| run | items | metric | value | interval | n | note |", "|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (str(r.get("run_id")), _SHOWN.index(r["metric"]))):
        low, high = row.get("low"), row.get("high")
        between = f"[{_number(low)}, {_number(high)}]" if is_number(low) and is_number(high) else ""
        over = f" over {row['n_units']} {row['unit']}" if between and row.get("n_units") and row.get("unit") else ""
        cells = (row.get("run_id") or "", row.get("subset") or "", row["metric"], _number(row["value"]),
                 between + over, row.get("n", ""), row.get("note") or "")  # fmt: skip
        lines.append("| " + " | ".join(md_escape(cell) for cell in cells) + " |")
    levels = sorted({f"{100 * r['confidence']:g} %" for r in rows if is_number(r.get("confidence"))})
    return [*lines, "", f"Intervals cover {', '.join(levels)}." if levels else ""]


def _number(value: Any) -> str:
    return f"{value:.3f}" if is_number(value) else "undefined"
