"""The command that tests the reasons that a model writes: test-reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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
from dfar_toolkit.cli.options import (
    ByPosition,
    Config,
    Format,
    Json,
    Map,
    Method,
    Separator,
    parsed_label_map,
    reading_options,
)
from dfar_toolkit.cli.printing import one_line, print_json, print_table, say, usage

if TYPE_CHECKING:
    from dfar_toolkit.files.items import ItemsFolder
    from dfar_toolkit.journeys.engines_of import Opened
    from dfar_toolkit.journeys.predicting import Predicted
    from dfar_toolkit.journeys.reason_simulating import SimulationOptions
    from dfar_toolkit.journeys.reason_testing import ReasonTestOptions
    from dfar_toolkit.journeys.unit_plans import Running, UnitPlan

_TESTS = ("cct", "cot_early", "cot_mistake", "cot_filler", "cot_paraphrase", "cc_shap", "simulatability")
_SIMULATABILITY = "simulatability"
_STYLE = "label_and_reason"
_SIMULATE = "simulate"


def _tests(given: list[str] | None, of: Path | None) -> tuple[str, ...]:
    """The tests, each once; whose reasons are tested must be said where, and only where, another model reads them."""
    tests = tuple(dict.fromkeys(given or ("cct",)))
    if _SIMULATABILITY not in tests:
        if of is not None:
            usage("--of names the answers whose reasons another model reads; it is for --test simulatability")
    elif len(tests) > 1:
        own = next(test for test in tests if test != _SIMULATABILITY)
        usage(f"--test simulatability asks --model about another run's reasons, {own} about its own; run them apart")
    elif of is None:
        usage("--test simulatability needs --of RUN, the outputs whose reasons are tested")
    return tests


def _as_trained(model: str, chat: bool | None, *, simulates: bool) -> tuple[bool | None, str]:
    """The turns and the style with which a model was trained; ours where that has no reason, or it simulates."""
    from dfar_toolkit.journeys.training import asked_as_trained
    from dfar_toolkit.prompts.styles import load_style

    style, trained_chat = asked_as_trained(model)
    if simulates:
        return trained_chat if chat is None else chat, _SIMULATE
    if load_style(style).answer not in ("label_and_reason", "reason_and_label"):
        style = _STYLE
    if style != _STYLE:
        say(f"asked as it was trained: --style {style}")
    return trained_chat if chat is None else chat, style


def self_consistency(
    model: Annotated[str, typer.Option("--model", help="A model on the Hub, a folder, or the name at --server.")],
    items: Annotated[str, typer.Option("--items", help="The items folder, or hf://datasets/ORG/NAME.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    test: Annotated[
        list[str] | None,
        typer.Option("--test", help=f"Which tests (repeat for several): {', '.join(_TESTS)} (default: cct)."),
    ] = None,
    of: Annotated[
        Path | None,
        typer.Option(
            "--of",
            help="simulatability: the run folder or outputs file whose reasons are tested; --model is then the "
            "simulator that reads them.",
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            help="The prompt; its answers must have a reason (default: as it was trained, label_and_reason). "
            "simulatability: a file whose answer is a label (default: ours).",
        ),
    ] = None,
    config: Config = None,
    split: Annotated[list[str] | None, typer.Option("--split", help="Test on these splits (default: test).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    question: Annotated[str | None, typer.Option(help="Another question than the primary one.")] = None,
    places: Annotated[int, typer.Option(min=1, help="cct: places of an item where words are inserted.")] = 4,
    words_per_place: Annotated[int, typer.Option(min=1, help="cct: words tried at each place.")] = 4,
    words: Annotated[
        str | None,
        typer.Option(help="cct: a file of words to insert, a line each; items: words of the items (default: English)."),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="What a word is: whitespace, or characters for scripts without blanks.")
    ] = "whitespace",
    cut: Annotated[str, typer.Option(help="cot_early: what a reason is cut into: sentences, or words.")] = "sentences",
    mistake: Annotated[
        str, typer.Option(help="cot_mistake: model writes one, or other_sentence: of another item's human reason.")
    ] = "model",
    attribution: Annotated[
        str, typer.Option(help="cc_shap: the attribution that contributions come from.")
    ] = "input_x_gradient",
    temperature: Annotated[float | None, typer.Option(min=0, help="Of the answers written (default: 0).")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of an answer.")] = None,
    elicit: Annotated[
        str | None, typer.Option(help="forced: probability of each option; samples: only what is written.")
    ] = None,
    shots: Annotated[int, typer.Option(min=0, help="Examples before each question.")] = 0,
    map_labels: Map = None,
    file_format: Format = None,
    by_position: ByPosition = False,
    method: Method = None,
    separator: Separator = None,
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
    """Test whether a model's written reasons are consistent with its answers; dfar score reads the run.

    Example: dfar test-reasons --model runs/my-adapter --items demo/items --test cct --out runs/consistent
    """
    for name, value, allowed in (
        ("--unit", unit, ("whitespace", "characters")), ("--cut", cut, ("sentences", "words")),
        ("--mistake", mistake, ("model", "other_sentence")), ("--elicit", elicit, ("forced", "samples", None)),
        *(("--test", one, _TESTS) for one in test or ()),
    ):  # fmt: skip
        if value not in allowed:
            usage(f"{name} must be one of {', '.join(str(a) for a in allowed if a)}, found {value!r}")
    tests = _tests(test, of)
    if of is not None and of.resolve() in (out.resolve(), out.resolve() / "outputs.parquet"):
        usage("--out is the run of --of, which would be written over; give another folder")
    if of is None and (file_format or by_position or method or separator):
        usage("--format, --by-position, --method and --separator say how the file of --of is read; leave them out")
    reading = reading_options(file_format, by_position, method, None)
    simulates = tests == (_SIMULATABILITY,)
    if style is None and server is None:
        chat, style = _as_trained(model, chat, simulates=simulates)
    asked_of = engine_options(
        model, server=server, key_from=key_from, revision=revision, adapter=adapter, dtype=dtype, device=device,
        attention=attention, chat=chat, budget=budget, max_length=max_length, trust_remote_code=trust_remote_code,
        concurrency=concurrency, timeout=timeout, attempts=attempts, top_logprobs=top_logprobs,
        server_forced=server_forced, prices=prices,
    )  # fmt: skip
    from dfar_toolkit.journeys.engines_of import open_engine
    from dfar_toolkit.journeys.one_config import items_of
    from dfar_toolkit.journeys.predict_options import PredictOptions, manner_of
    from dfar_toolkit.journeys.reason_simulating import SimulationOptions
    from dfar_toolkit.journeys.reason_testing import ReasonTestOptions
    from dfar_toolkit.journeys.unit_plans import Running
    from dfar_toolkit.journeys.what_is_asked import Selection
    from dfar_toolkit.runners.self_consistency.reason_testing import ReasonTesting
    from dfar_toolkit.runners.workers import Worker

    selection = Selection(splits=tuple(split) if split else None, limit=limit, question=question, shots=shots)
    asking = PredictOptions(
        style=style or (_SIMULATE if simulates else _STYLE), selection=selection, elicit=elicit,  # type: ignore[arg-type]
        temperature=temperature, max_new_tokens=max_new_tokens, label_map=parsed_label_map(map_labels), seed=seed,
        run_id=run_id, retry_failed=retry_failed, fresh=fresh,
    )  # fmt: skip
    place, folder = one_run_folder(out), items_of(items if items.startswith("hf://") else Path(items), config)
    # A model takes minutes to load; what cannot be asked is said before.
    if of is not None:
        steps = _simulation(folder, SimulationOptions(asking, of, reading, separator))
    else:
        how = ReasonTesting(
            manner_of(asking, chat=False)[0], tests, places=places, words_per_place=words_per_place,  # type: ignore[arg-type]
            unit=unit, cut=cut, mistake=mistake, attribution=attribution, seed=seed,  # type: ignore[arg-type]
        )  # fmt: skip
        steps = _own_tests(folder, ReasonTestOptions(asking, how, words), served=server is not None)
    worker = Worker.from_environment()
    engine = open_engine(asked_of, worker=worker)
    if dry_run:
        plan = steps.plan(engine, run_id or out.resolve().name)
        said = (f"{len(plan.units)} items to test", *plan.notes, "", *plan.first.splitlines())
        print(*map(one_line, said), sep="\n")
        return
    with run_bar(place.name) as bar:
        found = steps.carry_out(engine, place, Running(worker, concurrency, bar, say))
    for note in found.notes:
        say(note)
    if found.outputs is None:  # the first of several processes tells
        return
    counts = found.outputs["condition"].value_counts().sort("condition")
    failed = found.outputs.drop_nulls("error")["condition"].value_counts()
    lost = dict(failed.iter_rows())
    rows = [{"condition": name, "rows": count, "failed": lost.get(name, 0)} for name, count in counts.iter_rows()]
    if json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    say(f"scores: dfar score {place} --items {items}")
    full = found.outputs if simulates else found.outputs.filter(condition="full")
    if len(full.drop_nulls("error")) == len(full):
        raise typer.Exit(1)


class _Steps(NamedTuple):
    """What is asked of an engine in a run of a name, and how it is carried out into a folder."""

    plan: Callable[[Opened, str], UnitPlan]
    carry_out: Callable[[Opened, Path, Running], Predicted]


def _own_tests(folder: ItemsFolder, options: ReasonTestOptions, *, served: bool) -> _Steps:
    """The tests of a model's own reasons, checked."""
    from dfar_toolkit.journeys.reason_testing import check_reason_tests, reason_test_plan, reason_tests

    check_reason_tests(folder, options, served=served)
    return _Steps(
        lambda engine, run: reason_test_plan(folder, engine, options, run_id=run),
        lambda engine, place, running: reason_tests(folder, engine, place, options, running=running),
    )


def _simulation(folder: ItemsFolder, options: SimulationOptions) -> _Steps:
    """The guesses at the labels of another run, checked."""
    from dfar_toolkit.journeys.reason_simulating import check_simulation, simulated_reasons, simulation_plan

    check_simulation(folder, options)
    return _Steps(
        lambda engine, run: simulation_plan(folder, engine, options, run_id=run),
        lambda engine, place, running: simulated_reasons(folder, engine, place, options, running=running),
    )
