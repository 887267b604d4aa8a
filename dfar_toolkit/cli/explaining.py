"""The command that asks for rationales and tries them out: explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dfar_toolkit.cli.model_options import (
    Adapter,
    Attempts,
    Attention,
    Budget,
    Chat,
    Concurrency,
    Device,
    Dtype,
    KeyFrom,
    MaxLength,
    Prices,
    Revision,
    Server,
    ServerForced,
    Timeout,
    TopLogprobs,
    TrustCode,
    engine_options,
    one_run_folder,
    run_bar,
)
from dfar_toolkit.cli.options import Config, Json, Map, parsed_label_map
from dfar_toolkit.cli.printing import one_line, print_json, print_table, say, usage

if TYPE_CHECKING:
    import polars as pl

_UNITS = ("whitespace", "characters")
_KINDS = ("log_prob", "prob", "logit", "option_log_prob")
_BASELINES = ("mask", "unk", "pad", "zero", "mean")
_REDUCTIONS = ("sum", "mean", "max", "max_abs")
_OPERATORS = ("remove", "mask", "replace", "mask_token", "attention_mask", "none")


def _listed(given: list[str] | None) -> list[str] | None:
    """The methods instead of a run, before any other option is asked for."""
    if given == ["list"]:
        from dfar_toolkit.journeys.explain_methods import METHOD_MEANINGS

        print_table(["method", "what it is"], [list(pair) for pair in METHOD_MEANINGS.items()])
        raise typer.Exit
    return given


def explain(
    model: Annotated[str, typer.Option("--model", help="A model on the Hub, a folder, or the name at --server.")],
    items: Annotated[str, typer.Option("--items", help="The items folder, or hf://datasets/ORG/NAME.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            callback=_listed,
            is_eager=True,
            help="How rationales are come by (repeat for several); `--method list` names them.",
        ),
    ] = None,
    rationales: Annotated[
        Path | None, typer.Option("--rationales", help="Try out the rationales of a file or run of any tool as well.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option("--style", help="The prompt: label, label-letters, or a Jinja file (default: as it was trained)."),
    ] = None,
    config: Config = None,
    split: Annotated[list[str] | None, typer.Option("--split", help="Explain these splits (default: test).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    question: Annotated[str | None, typer.Option(help="Another question than the primary one.")] = None,
    words: Annotated[
        str, typer.Option(help="What a word is: whitespace, or characters for scripts without blanks.")
    ] = "whitespace",
    field: Annotated[
        list[str] | None, typer.Option("--field", help="Only the words of this field: statement, or a context's name.")
    ] = None,
    target: Annotated[str, typer.Option(help="The label explained: predicted, gold, or its name.")] = "predicted",
    contrast: Annotated[str, typer.Option(help="The label it is set against: none, runner_up, or its name.")] = "none",
    kind: Annotated[
        str, typer.Option(help="The value explained: log_prob, prob, logit, option_log_prob.")
    ] = "log_prob",
    baseline: Annotated[
        str, typer.Option(help="Integrated gradients begin at: mask, unk or pad token, zero or mean embedding.")
    ] = "mask",
    steps: Annotated[
        str, typer.Option(help="Points of integrated gradients: auto, as each item needs, or 2 to 1000 for all.")
    ] = "auto",
    reduce: Annotated[
        str | None, typer.Option(help="From tokens to words: sum, mean, max, max_abs (default: by the method).")
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            "--operator",
            help="What becomes of words taken away (repeat): remove, mask, replace, mask_token, attention_mask; none: "
            "no perturbations (default: remove).",
        ),
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Shares of the words that are taken away, or kept alone.")
    ] = "0.01,0.05,0.1,0.2,0.5",
    k: Annotated[
        list[int] | None, typer.Option("--k", min=1, help="Numbers of words besides (repeat; default: 1).")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, max=1000, help="Random rationales per item.")] = 5,
    top_k: Annotated[int, typer.Option(min=1, help="Words that prompted_top_k asks for.")] = 5,
    width: Annotated[int, typer.Option(min=1, help="Words that occlusion takes away at once.")] = 3,
    mask: Annotated[str, typer.Option(help="What stands for a masked word.")] = "[REDACTED]",
    elicit: Annotated[
        str | None, typer.Option(help="forced: probability of each option; samples: only what is written.")
    ] = None,
    shots: Annotated[int, typer.Option(min=0, help="Examples before each question.")] = 0,
    map_labels: Map = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Name of the run (default: the folder's).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything drawn.")] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again where no answer came.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where the folder holds another run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the first prompt and how many items; ask nothing.")
    ] = False,
    server: Server = None,
    key_from: KeyFrom = None,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    attention: Attention = None,
    chat: Chat = None,
    budget: Budget = None,
    max_length: MaxLength = None,
    trust_remote_code: TrustCode = False,
    concurrency: Concurrency = 16,
    timeout: Timeout = 120.0,
    attempts: Attempts = 6,
    top_logprobs: TopLogprobs = 20,
    server_forced: ServerForced = None,
    prices: Prices = None,
    json: Json = False,
) -> None:
    """Ask which words matter to a model, and what it says without them; dfar score reads the run.

    Example: dfar explain --model runs/my-adapter --items demo/items --method leave_one_out --method random --out
    runs/why
    """
    for name, value, allowed in (
        ("--words", words, _UNITS), ("--kind", kind, _KINDS), ("--baseline", baseline, _BASELINES),
        ("--reduce", reduce, (*_REDUCTIONS, None)), ("--elicit", elicit, ("forced", "samples", None)),
        *(("--operator", one, _OPERATORS) for one in operator or ()),
    ):  # fmt: skip
        if value not in allowed:
            usage(f"{name} must be one of {', '.join(str(a) for a in allowed if a)}, found {value!r}")
    if style is None and server is None:
        chat, style = _as_trained(model, chat)
    asked_of = engine_options(
        model, server=server, key_from=key_from, revision=revision, adapter=adapter, dtype=dtype, device=device,
        attention=attention, chat=chat, budget=budget, max_length=max_length, trust_remote_code=trust_remote_code,
        concurrency=concurrency, timeout=timeout, attempts=attempts, top_logprobs=top_logprobs,
        server_forced=server_forced, prices=prices,
    )  # fmt: skip
    from dfar_toolkit.journeys.engines_of import open_engine
    from dfar_toolkit.journeys.explain_checks import check_before_loading
    from dfar_toolkit.journeys.explaining import ExplainOptions, explain_plan
    from dfar_toolkit.journeys.explaining import explain as run
    from dfar_toolkit.journeys.one_config import items_of
    from dfar_toolkit.journeys.predict_options import PredictOptions
    from dfar_toolkit.journeys.unit_plans import Running
    from dfar_toolkit.journeys.what_is_asked import Selection
    from dfar_toolkit.runners.rationales.explaining import Explaining
    from dfar_toolkit.runners.workers import Worker

    selection = Selection(splits=tuple(split) if split else None, limit=limit, question=question, shots=shots)
    asking = PredictOptions(
        style=style or "label", selection=selection, elicit=elicit, label_map=parsed_label_map(map_labels),  # type: ignore[arg-type]
        seed=seed, run_id=run_id, retry_failed=retry_failed, fresh=fresh,
    )  # fmt: skip
    operators = tuple(dict.fromkeys(one for one in operator or ("remove",) if one != "none"))
    how = Explaining(
        None, tuple(dict.fromkeys(method or ())), unit=words, fields=tuple(field) if field else None,  # type: ignore[arg-type]
        target=target, contrast=contrast, kind=kind, baseline=baseline, steps=_points(steps), reduction=reduce,  # type: ignore[arg-type]
        operators=operators, shares=_numbers(shares), ks=tuple(k or (1,)), draws=draws, top_k=top_k, width=width,  # type: ignore[arg-type]
        mask=mask, seed=seed,
    )  # fmt: skip
    options = ExplainOptions(asking, how, rationales)
    place, folder = one_run_folder(out), items_of(items if items.startswith("hf://") else Path(items), config)
    # A model takes minutes to load; what cannot be asked is said before.
    check_before_loading(folder, asking, how, rationales=rationales, served=server is not None)
    worker = Worker.from_environment()
    engine = open_engine(asked_of, worker=worker)
    if dry_run:
        plan = explain_plan(folder, engine, options, run_id=run_id or out.resolve().name)
        said = (f"{len(plan.units)} items to explain", *plan.notes, "", *plan.first.splitlines())
        print(*map(one_line, said), sep="\n")
        return
    with run_bar(place.name) as bar:
        found = run(folder, engine, place, options, running=Running(worker, concurrency, bar, say))
    for note in found.notes:
        say(note)
    if found.outputs is None:  # the first of several processes tells
        return
    rows = _summary(found.outputs)
    if json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    say(f"scores, with intervals and baselines: dfar score {place} --items {items}")
    full = found.outputs.filter(condition="full")
    if len(full.drop_nulls("error")) == len(full):
        raise typer.Exit(1)


def _as_trained(model: str, chat: bool | None) -> tuple[bool | None, str]:
    """The turns and the style with which a model was trained; ``label`` where that has more than a label."""
    from dfar_toolkit.journeys.training import asked_as_trained
    from dfar_toolkit.prompts.styles import load_style

    style, trained_chat = asked_as_trained(model)
    if load_style(style).answer != "label":
        say(f"trained with --style {style}; rationales are of a label that is answered at once: --style label")
        style = "label"
    elif style != "label":
        say(f"asked as it was trained: --style {style}")
    return trained_chat if chat is None else chat, style


def _points(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and 2 <= int(text) <= 1000):
        usage(f"--steps wants a number from 2 to 1000, or auto, found {text!r}")
    return int(text)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        usage(f"--shares wants numbers such as 0.1,0.2,0.5, found {text!r}")
    if not all(0 < one <= 1 for one in found):
        usage(f"--shares wants numbers above 0 and at most 1, found {text!r}")
    return tuple(sorted(set(found)))


def _summary(outputs: pl.DataFrame) -> list[dict[str, Any]]:
    """Per method how many rationales there are, and how many times the model was asked without their words."""
    import polars as pl

    rationale = pl.col("condition") == "rationale"
    known = pl.col("word_scores").is_not_null() | pl.col("evidence").is_not_null()
    table = outputs.filter(pl.col("method") != "").group_by("method").agg(
        (rationale & known).sum().alias("rationales"),
        (rationale & ~known).sum().alias("without one"),
        (~rationale).sum().alias("asked without or with only its words"),
        (~rationale & pl.col("error").is_not_null()).sum().alias("failed"),
    )  # fmt: skip
    return table.sort("method").to_dicts()
