"""The command that trains: train."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dfar_toolkit.cli.model_options import Attention, Device, Revision, TrustCode, one_run_folder
from dfar_toolkit.cli.options import Config, Json, parsed_label_map
from dfar_toolkit.cli.printing import print_json, print_table, say, usage
from dfar_toolkit.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from dfar_toolkit.finetune.watching import TrainingProgress

_HEADS = ("language-model", "classifier", "ranker")


def train(
    model: Annotated[
        str,
        typer.Option(
            "--model", help="A model on the Hub or a folder; or classical:logistic, svm, linear-svm, forest, boosting."
        ),
    ],
    items: Annotated[str, typer.Option("--items", help="The items folder, or hf://datasets/ORG/NAME.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder; predict takes it as --model.")],
    objective: Annotated[
        str | None,
        typer.Option(
            help="L, L+R, R+L, soft or soft+R; of a classifier or ranker hard, soft, kl, dirichlet or "
            "dirichlet_multinomial."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="modern, or dfar: the settings of the DFAR notebooks.")] = None,
    head: Annotated[
        str, typer.Option("--as", help="language-model, classifier, or ranker (items with a text per option).")
    ] = "language-model",
    settings: Annotated[Path | None, typer.Option(help="A YAML file with settings; --set goes over it.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting: epochs=3, rank=64, loss_on=all (repeat for more).")
    ] = None,
    loss_on: Annotated[
        str | None,
        typer.Option("--loss-on", help="completion, or all: prompt and answer alike, as the DFAR notebooks."),
    ] = None,
    config: Config = None,
    split: Annotated[str, typer.Option("--split", help="The split learned from.")] = "train",
    evaluation: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluation", help="Splits that stay unseen (default: test); none: it is scored on other items."
        ),
    ] = None,
    dev: Annotated[
        str, typer.Option(help="Share of the training items, or a split, on which a checkpoint is chosen; 0: none.")
    ] = "0.1",
    keep_leaked: Annotated[
        bool, typer.Option("--keep-leaked", help="Learn items that stand in the evaluation too, as published results.")
    ] = False,
    map_labels: Annotated[
        list[str] | None,
        typer.Option("--map", help="Learn labels under other names: unethical=hate_speech,ethical=no_hate_speech."),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            "--track", help="Tell tensorboard, wandb or trackio too, where it is installed (repeat for more)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything drawn.")] = 0,
    revision: Revision = None,
    device: Device = "auto",
    attention: Attention = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what an earlier training wrote into --out, and begin anew.")
    ] = False,
    trust_remote_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Train a model on people's labels, reasons or distributions; the same command goes on where it was stopped.

    Example: dfar train --model org/some-7b --items out/dfar --objective L+R --out runs/l-plus-r
    """
    if head not in _HEADS:
        usage(f"--as must be one of {', '.join(_HEADS)}, found {head!r}")
    from dfar_toolkit.engines.loaded import ModelSettings
    from dfar_toolkit.journeys.training import TrainOptions, predict_options, train_model

    given = {**_from_file(settings), **_pairs(set_ or [])}
    given |= {
        name: value
        for name, value in (("objective", objective), ("preset", preset), ("loss_on", loss_on))
        if value is not None
    }
    options = TrainOptions(
        head=cast("Any", head), settings=given, train=split, evaluation=_unseen(evaluation),
        development=_share(dev), keep_leaked=keep_leaked, config=config, seed=seed,
        loading=ModelSettings(
            revision=revision, device=device, attention=attention, trust_remote_code=trust_remote_code
        ),
        fresh=fresh,
        label_map=parsed_label_map(map_labels), track=tuple(track or ()),
    )  # fmt: skip
    place = items if items.startswith("hf://") else Path(items)
    try:
        with _bar() as bar:
            trained = train_model(place, model, one_run_folder(out), options, progress=bar)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from the last checkpoint, if one was made")
        raise
    if os.environ.get("RANK", "0") != "0":  # of several processes the first tells
        return
    for note in trained.notes:
        say(note)
    row = {"run": str(out), "model": model, "is": trained.kind, **_shown(trained.report)}
    if json:
        print_json([row])
        return
    print_table(list(row), [list(row.values())])
    if trained.kind == "model":
        asked = "".join(f" {shlex.quote(word)}" for word in predict_options(trained.report))
        say(f"next: dfar predict --model {out} --items {items}{asked} --out FOLDER")
    elif options.evaluation:
        say(f"next: dfar score {out} --items {items}")


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from dfar_toolkit.files.protocol import read_mapping

    return read_mapping(path, "settings of a training", "epochs: 3")


def _pairs(texts: list[str]) -> dict[str, Any]:
    """``name=value`` as YAML reads the value: numbers are numbers, true is true."""
    import yaml

    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            usage(f"--set wants name=value, such as epochs=3, found {text!r}")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            usage(f"--set {name}: not a value that YAML reads, found {value!r}")
    return found


def _share(text: str) -> float | str:
    try:
        share = float(text)
    except ValueError:
        return text
    if not 0 <= share < 1:
        usage(f"--dev wants a share from 0 to below 1, or the name of a split, found {text!r}")
    return share


def _unseen(given: list[str] | None) -> tuple[str, ...]:
    return () if given == ["none"] else tuple(given or ("test",))


def _shown(report: dict[str, Any]) -> dict[str, object]:
    """The few numbers of ``run.json`` that a table has room for."""
    measured = report.get("measured", {})
    return {name: measured[name] for name in ("seconds", "tokens_per_second", "mfu") if measured.get(name) is not None}


@contextmanager
def _bar() -> Iterator[Callable[[TrainingProgress], None]]:
    """The steps of a training on stderr, with the loss."""
    with progress_bar("training") as bar:
        yield lambda state: bar(state.done, state.total, "" if state.loss is None else f"loss {state.loss:.4g}")
