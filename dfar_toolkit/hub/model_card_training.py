"""What a model card says of the training: what was learned from, how, what was measured meanwhile, and the limits."""

from __future__ import annotations

from typing import Any, Final

from dfar_toolkit.hub.addresses import is_commit
from dfar_toolkit.hub.model_facts import ModelFacts, base_mark
from dfar_toolkit.hub.model_run_notes import RunNotes, is_number
from dfar_toolkit.hub.staged_model import StagedModel
from dfar_toolkit.markup import md_code, md_escape

_ADAPTER: Final = ("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias",
                   "target_modules", "modules_to_save", "revision")  # fmt: skip
_OF_ADAPTERS: Final = ("rank", "alpha", "dropout", "target_modules", "lora_rank", "lora_alpha", "lora_dropout")
_LONGEST: Final = 200  # characters of a setting
_OBJECTIVES: Final = {
    "L": "the label",
    "L+R": "the label, then the reason",
    "R+L": "the reason, then the label",
    "soft": "people's shares of the labels",
    "soft+R": "people's shares of the labels, then the reason",
    "hard": "the label that most people chose",
    "kl": "people's shares of the labels (KL divergence)",
    "dirichlet": "people's votes (Dirichlet-multinomial with concentrations exp(z))",
    "dirichlet_multinomial": "people's votes (Dirichlet-multinomial with one learned concentration)",
}
_MEASURES: Final = {
    "accuracy": "accuracy (items with a majority)", "soft_cross_entropy": "soft cross-entropy (nats)",
    "label_mass": "probability on the options together", "loss": "loss",
}  # fmt: skip


def data_lines(facts: ModelFacts) -> list[str]:
    """What was learned from, and what was left out of it.

    Args:
        facts: Of the model.

    Returns:
        Lines of Markdown.
    """
    where = "Trained on a data set that is not on the Hub."
    if facts.data is not None:
        named = "commit" if is_commit(facts.data.revision) else "revision"  # a tag or branch may have moved since
        at = f" at {named} {md_code(facts.data.revision)}" if facts.data.revision else ""
        where = f"Trained on {md_code(facts.data.repo_id)}{at}."
    lines = [where]
    if facts.data_digest:
        lines += ["", f"Content digest of the training data: {md_code(facts.data_digest)}"]
    return [*lines, *_items(facts.run), *_left_out(facts.run), *_renamed(facts.run)]


def training_lines(model: StagedModel, facts: ModelFacts) -> list[str]:
    """The objective, the weights that stay, the settings, and what it cost.

    Args:
        model: The model.
        facts: Of it.

    Returns:
        Lines of Markdown.
    """
    lines = _objective(facts)
    lines += ["| setting | value |", "|---|---|"]
    lines += [f"| {md_escape(name)} | {md_escape(_short(value))} |" for name, value in _settings(model, facts)]
    cost = _cost(facts.run)
    if cost:
        lines += ["", "| cost of the training | |", "|---|---|"]
        lines += [f"| {name} | {md_escape(value)} |" for name, value in cost]
    return lines


def development_lines(run: RunNotes) -> list[str]:
    """What was measured while it was trained, and on what.

    Args:
        run: What ``run.json`` says.

    Returns:
        Lines of Markdown; none where ``run.json`` is not that of a training here.
    """
    if not run.section("chosen"):
        return []
    step, by = run.number("chosen", "step"), run.text("chosen", "by")
    rows = [*run.sections("scores"), *run.sections("epochs")]
    row = next((each for each in rows if each.number("step") == step), None)
    if row is None:
        return ["Nothing was measured while it was trained; the weights are the last ones."]
    count = run.number("decides", "counts", "development") or run.number("items", "development")
    failed = row.number("failed")
    told = f" Of these {_plain(failed)} got no answer." if failed else ""
    kept = (
        f"The checkpoint was chosen on these items by {md_code(by)}, so that the numbers flatter it."
        if by not in ("", "last")
        else "The last checkpoint stays, whatever they say."
    )
    lines = [f"On {_plain(count)} development items{_carved(run)}, at step {_plain(step)}.{told} {kept}"]
    lines += ["", "| metric | value |", "|---|---|"]
    said = [(name, row.number(name)) for name in _MEASURES]
    lines += [f"| {_MEASURES[name]} | {value:.4g} |" for name, value in said if value is not None]
    return lines


def limit_lines(model: StagedModel, facts: ModelFacts) -> list[str]:
    """What the model cannot do, and what is not known of it.

    Args:
        model: The model.
        facts: Of it.

    Returns:
        A list of Markdown.
    """
    run = facts.run
    lines = [
        "It learned what the annotators of one data set said. How it answers about other texts, in other languages or "
        "for other people was not measured here.",
        "Its probabilities are what it learned to give; they are not calibrated unless the scores say so.",
    ]
    if "R" in run.text("settings", "objective"):
        lines.append(
            "A reason that it writes reads like those of people; it is no account of how the label came about."
        )
    length = run.number("max_length") or run.number("settings", "max_length") or run.number("model", "max_length")
    if length:
        lines.append(f"It reads {_plain(length)} tokens at most.")
    if facts.task == "ranker":
        lines.append("It compares texts: without a text for each option it has no answer.")
    leaked = run.number("decides", "counts", "leaked")
    if leaked and run.at("decides", "keep_leaked") is True:
        splits = _codes(run.texts("decides", "splits", "evaluation"))
        lines.insert(0, f"**{_plain(leaked)} items that stand in {splits} too were learned**: scores there say little.")
    if facts.data_digest:
        lines.append("Leaks were looked for within the data set. What the base model has read before is not known.")
    if not model.whole:
        lines.append("What holds of the base model, its licence and its biases too, holds of the adapter.")
    elif base_mark(run, "commit") or base_mark(run, "fingerprint"):
        lines.append("What holds of the model that it began from, its licence and its biases too, holds of it.")
    return [f"- {line}" for line in lines]


def _items(run: RunNotes) -> list[str]:
    """How many items, of which splits."""
    counts, splits = RunNotes(run.section("decides", "counts")), RunNotes(run.section("decides", "splits"))
    learned = counts.number("learned")
    if learned is None:
        return []
    question = run.text("decides", "question")
    asked = f" (question {md_code(question)})" if question else ""
    chose = counts.number("development")
    also = f", and {_plain(chose)} were kept apart to choose the checkpoint{_carved(run)}" if chose else ""
    whole = f"{_plain(counts.number('train'))} items of the split {md_code(splits.text('train'))}"
    splits_apart = _codes(splits.texts("evaluation"))
    apart = f" Nothing was learned from {splits_apart}, and nothing chosen on it." if splits_apart else ""
    return ["", f"Of {whole}{asked} {_plain(learned)} were learned{also}.{apart}"]


def _carved(run: RunNotes) -> str:
    """Where the development items come from."""
    said = run.at("decides", "splits", "development")
    if isinstance(said, str):
        return f" (the split {md_code(said)})"
    return f" ({100 * said:g} % of the split, by whole groups)" if is_number(said) and said else ""


def _left_out(run: RunNotes) -> list[str]:
    """What of the training split was not learned, and why."""
    counts = RunNotes(run.section("decides", "counts"))
    evaluated = _codes(run.texts("decides", "splits", "evaluation")) or "no evaluated split"
    learned = run.at("decides", "keep_leaked") is True
    rows = [("without a label", counts.number("without_label"))]
    for kind, how in (
        ("identical_row", "byte for byte"),
        ("exact", "but for case and punctuation"),
        ("near", "nearly"),
    ):
        rows.append((f"stands in {evaluated} too, {how}", counts.number(f"leaked_{kind}")))
    rows.append(("stands in the development split too", counts.number("leaked_into_development")))
    rows += [(f"taught nothing: {md_escape(why)}", n) for why, n in run.section("items", "left_out").items()]
    rows.append(("too long", run.number("items", "too_long")))
    found = [(why, n) for why, n in rows if is_number(n) and n]
    shared = counts.number("shared_stem")
    more = [f"{_plain(shared)} items share a beginning or context with one of {evaluated}, and were learned."]
    if not found:
        none = ["", "No item was left out, as leaked or otherwise."] if counts.number("learned") is not None else []
        return [*none, *(["", *more] if shared else [])]
    head = "| left out (those that leak were LEARNED all the same) | items |" if learned else "| left out | items |"
    lines = ["", head, "|---|---|", *(f"| {why} | {_plain(n)} |" for why, n in found)]
    return [*lines, *(["", *more] if shared else [])]


def _renamed(run: RunNotes) -> list[str]:
    """Labels that were learned under other names."""
    pairs = run.section("decides", "label_map")
    told = ", ".join(f"{md_code(a)} as {md_code(b)}" for a, b in pairs.items() if a != b)
    return ["", f"Labels were renamed before: {told}."] if told else []


def _objective(facts: ModelFacts) -> list[str]:
    """What is learned, with the weights of its parts, in a sentence."""
    run = facts.run
    if method := run.text("method"):
        return [f"Preferences were learned ({md_code(method)}).", ""]
    name = run.text("settings", "objective")
    if name not in _OBJECTIVES or facts.task == "":
        return []
    head = facts.task != "causal"
    what = "people's shares of the labels (cross-entropy)" if head and name == "soft" else _OBJECTIVES[name]
    told = [f"Objective {md_code(name)}: {what}"]
    if not head:
        weights = [("label", "label_weight"), *([("reason", "reason_weight")] if "R" in name else [])]
        weights += [("mass of the options", "mass_weight")] if name.startswith("soft") else []
        given = [(part, run.number("settings", setting)) for part, setting in weights]
        told += [f"weights: {', '.join(f'{part} {value:g}' for part, value in given if value is not None)}"]
        told += [f"shares by {md_code(run.text('settings', 'soft_loss'))}"] if name.startswith("soft") else []
        alone = run.text("settings", "loss_on") != "all"
        told.append("the answer alone is learned" if alone else "the prompt is learned too")
        if run.text("settings", "reasons") in ("shuffled", "template"):
            told.append(f"a control: its reasons are {md_code(run.text('settings', 'reasons'))}")
    return [f"{'; '.join(told)}.", ""]


def _settings(model: StagedModel, facts: ModelFacts) -> list[tuple[str, Any]]:
    """The adapter's settings, then those of the training; only plain values and lists of them."""
    own: dict[str, Any] = {}
    plain = {n: v for n, v in (facts.settings or {}).items() if isinstance(v, (str, int, float, bool, list))}
    if not model.whole:
        own = {name: model.config[name] for name in _ADAPTER if model.config.get(name) not in (None, [], "")}
    elif not plain.get("lora_rank"):  # else the adapter was merged
        plain = {name: value for name, value in plain.items() if name not in _OF_ADAPTERS}
    trained = "numbers of the model" if model.whole else "trained numbers"
    own |= {trained: f"{model.parameters:,d} ({', '.join(model.dtypes)})"}
    return [*own.items(), *((name, value) for name, value in plain.items() if name not in own)]


def _short(value: Any) -> str:
    text = ", ".join(map(str, sorted(value, key=str))) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _cost(run: RunNotes) -> list[tuple[str, str]]:
    """Speed and memory, and the machine that they hold of."""
    measured = RunNotes(run.section("measured"))
    if not run.section("measured"):
        return []
    tokens, seconds = measured.number("tokens"), measured.number("seconds")
    speed = measured.number("tokens_per_second")
    whole = speed is None and tokens is not None and bool(seconds)
    if whole and tokens is not None and seconds:
        speed = tokens / seconds
    gib, held = measured.number("peak_memory_gib"), measured.number("peak_memory_bytes")
    gib = held / 2**30 if gib is None and held is not None else gib
    device = run.text("model", "device_name") or measured.text("device")
    processes = run.number("processes") or measured.number("processes")
    mfu = measured.number("mfu")
    resumed = measured.number("resumed_at_step")  # heads count anew where a killed training goes on
    rows = [
        ("device", f"{_plain(processes or 1)} x {device}" if device else ""),
        ("counted here", "" if resumed is None else f"what came after step {_plain(resumed)}, where it was resumed"),
        ("tokens", "" if tokens is None else _plain(tokens)),
        ("seconds", "" if seconds is None else f"{seconds:,.1f}"),
        ("tokens per second", "" if speed is None else f"{speed:,.1f}{' (the whole run)' if whole else ''}"),
        ("MFU", "" if mfu is None else f"{100 * mfu:.1f} %"),
        ("peak memory", f"{gib:.2f} GiB" if gib is not None else "not measured on this device"),
        ("last loss", "" if (loss := measured.number("last_loss")) is None else f"{loss:.4g}"),
        ("mean loss", "" if (loss := measured.number("training_loss")) is None else f"{loss:.4g}"),
        ("dfar-toolkit", run.text("toolkit")),
        *((name, str(said)) for name, said in _versions(run).items()),
    ]
    return [(md_escape(name), value) for name, value in rows if value]


def _versions(run: RunNotes) -> dict[str, Any]:
    return run.section("versions") or run.section("model", "versions")


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(md_code(name) for name in names)


def _plain(value: float | None) -> str:
    """A count, with commas."""
    return "an unknown number of" if value is None else f"{value:,.0f}"
