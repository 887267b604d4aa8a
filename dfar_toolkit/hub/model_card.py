"""The card of a published adapter: where it comes from, how it was trained, how it scored, what it is for."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from dfar_toolkit.errors import TableError
from dfar_toolkit.hub.adapter_folder import Adapter
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.markup import md_code, md_escape

SCORES: Final = "scores.json"
RUN: Final = "run.json"
_SEAL: Final = re.compile(r"\n<!-- dfar:card ([0-9a-f]{64}) -->\n\Z")
_SETTINGS: Final = ("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias",
                    "target_modules", "modules_to_save", "revision")  # fmt: skip
_SHOWN: Final = (
    "accuracy", "majority_baseline", "coverage", "balanced_accuracy", "macro_f1", "matthews_correlation",
    "soft_cross_entropy", "brier_score_unbiased", "total_variation", "ceiling_soft_cross_entropy",
    "human_calibration_error", "kappa_run", "kappa_people", "rouge_l_mean", "mar_mean", "mar_majority",
)  # fmt: skip
_PIPELINES: Final = {"SEQ_CLS": "text-classification", "CAUSAL_LM": "text-generation"}
_LONGEST: Final = 200  # characters of a setting


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the card says beside the adapter's own settings.

    Attributes:
        title: Name of the model.
        data: The data set on the Hub and the commit it was trained on; None where it is not there.
        data_digest: Digest of the content of the training data; empty where unknown.
        licence: As the Hub calls it.
        labels: The labels that it gives.
        settings: How it was trained.
        scores: Rows of ``dfar score --json``.
        intended_use: For what; empty for the usual words.
    """

    title: str
    data: Address | None = None
    data_digest: str = ""
    licence: str = "unknown"
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    scores: tuple[Mapping[str, Any], ...] = ()
    intended_use: str = ""


def read_scores(path: Path) -> tuple[dict[str, Any], ...]:
    """The rows that ``dfar score --json`` printed.

    Args:
        path: The file; absent means no scores.

    Returns:
        The rows.

    Raises:
        TableError: It is something else.
    """
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not valid JSON ({str(error)[:80]}); write it with dfar score --json.") from None
    if not isinstance(rows, list) or any(not isinstance(r, dict) or not {"metric", "value"} <= set(r) for r in rows):
        raise TableError(f"{path}: wanted the list that dfar score --json prints, found something else.")
    return tuple(rows)


def render_model_card(adapter: Adapter, facts: ModelFacts) -> str:
    """The README.md of an adapter; the same facts give the same text.

    Args:
        adapter: What is published.
        facts: What is known besides.

    Returns:
        YAML head and text, sealed by its own hash, so that an edit on the Hub shows.
    """
    head = yaml.safe_dump(_head(adapter, facts), sort_keys=False, allow_unicode=False, width=110)
    text = f"---\n{head}---\n\n" + "\n".join(_lines(adapter, facts)) + "\n"
    return f"{text}\n<!-- dfar:card {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_untouched(card: str) -> bool:
    """Whether a card is one of ours that nobody has edited.

    Example:
        >>> is_untouched("# By hand")
        False
    """
    seal = _SEAL.search(card)
    return seal is not None and hashlib.sha256(card[: seal.start()].encode()).hexdigest() == seal[1]


def _head(adapter: Adapter, facts: ModelFacts) -> dict[str, Any]:
    head: dict[str, Any] = {"base_model": adapter.base_model, "base_model_relation": "adapter"}
    if facts.data is not None:
        head["datasets"] = [facts.data.repo_id]
    head |= {"library_name": "peft", "license": facts.licence}
    if pipeline := _PIPELINES.get(str(adapter.config.get("task_type"))):
        head["pipeline_tag"] = pipeline
    kind = str(adapter.config.get("peft_type", "")).lower()
    head["tags"] = [*([kind] if re.fullmatch(r"[a-z0-9_]+", kind) else []), "human-label-variation"]
    return head


def _lines(adapter: Adapter, facts: ModelFacts) -> list[str]:
    base = md_code(adapter.base_model)
    lines = [f"# {md_escape(facts.title)}", "", f"An adapter of {base}; it needs the base model to run.", ""]
    lines += ["## Data", "", *_data(facts), ""]
    if facts.labels:
        lines += ["Labels: " + ", ".join(md_code(label) for label in facts.labels), ""]
    lines += ["## Intended use", ""]
    lines += [
        md_escape(facts.intended_use)
        or "Studying how far models agree with people and with the reasons that people give. Its answers are guesses "
        "at what the annotators of this data set would have said; they are no advice, and no judgement of a person.",
        "",
    ]
    lines += ["## Training", "", "| setting | value |", "|---|---|"]
    lines += [f"| {md_escape(name)} | {md_escape(_short(value))} |" for name, value in _settings(adapter, facts)]
    lines += ["", "## Scores", "", *_scores(facts.scores), "", "## Files", ""]
    lines += [f"- {md_code(name)}" for name in adapter.files]
    return lines


def _data(facts: ModelFacts) -> list[str]:
    digest = [f"Content digest of the training data: {md_code(facts.data_digest)}"] if facts.data_digest else []
    if facts.data is None:
        return ["Trained on a data set that is not on the Hub.", *(["", *digest] if digest else [])]
    at = f" at commit {md_code(facts.data.revision)}" if facts.data.revision else ""
    return [f"Trained on {md_code(facts.data.repo_id)}{at}.", *(["", *digest] if digest else [])]


def _settings(adapter: Adapter, facts: ModelFacts) -> list[tuple[str, Any]]:
    """The adapter's settings, then those of the training; only plain values and lists of them."""
    own = {name: adapter.config[name] for name in _SETTINGS if adapter.config.get(name) not in (None, [], "")}
    own |= {"trained numbers": f"{adapter.parameters:,d} ({', '.join(adapter.dtypes)})"}
    plain = {n: v for n, v in (facts.settings or {}).items() if isinstance(v, (str, int, float, bool, list))}
    return [*own.items(), *((name, value) for name, value in plain.items() if name not in own)]


def _short(value: Any) -> str:
    text = ", ".join(map(str, sorted(value, key=str))) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """The headline metrics with their intervals, per run and subset; a metric per label is left to the file."""
    rows = [r for r in scores if r["metric"] in _SHOWN and not r.get("label") and not r.get("predictor")]
    if not rows:
        return ["Not scored yet."]
    lines = ["| run | items | metric | value | interval | n | note |", "|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (str(r.get("run_id")), _SHOWN.index(r["metric"]))):
        low, high = row.get("low"), row.get("high")
        between = f"[{_number(low)}, {_number(high)}]" if _is_number(low) and _is_number(high) else ""
        over = f" over {row['n_units']} {row['unit']}" if between and row.get("n_units") and row.get("unit") else ""
        cells = (row.get("run_id") or "", row.get("subset") or "", row["metric"], _number(row["value"]),
                 between + over, row.get("n", ""), row.get("note") or "")  # fmt: skip
        lines.append("| " + " | ".join(md_escape(cell) for cell in cells) + " |")
    levels = sorted({f"{100 * r['confidence']:g} %" for r in rows if _is_number(r.get("confidence"))})
    return [*lines, "", f"Intervals cover {', '.join(levels)}." if levels else ""]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> str:
    return f"{value:.3f}" if _is_number(value) else "undefined"
