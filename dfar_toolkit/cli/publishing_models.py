"""The command that brings a trained model to the Hub: publish-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfar_toolkit.cli.options import Json
from dfar_toolkit.cli.printing import print_json, print_table, say, usage


def publish_model(
    run: Annotated[Path, typer.Argument(help="Folder of a run: an adapter, or a model with all its weights.")],
    repo: Annotated[str, typer.Option("--repo", metavar="ORG/NAME", help="The model repository on the Hub.")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see (default: private).")] = False,
    tag: Annotated[str | None, typer.Option(help="Name for the commit, such as v1.0.0; never moved.")] = None,
    message: Annotated[str, typer.Option(help="Title of the commit.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show plan and card; send nothing.")] = False,
    base_model: Annotated[
        str | None, typer.Option("--base-model", help="The base model on the Hub, where the run knows it by a path.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="ORG/NAME@COMMIT", help="The data set on the Hub that it was trained on.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="The model's licence, as the Hub calls it: apache-2.0.")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="What dfar score --json printed (default: RUN/scores.json).")
    ] = None,
    intended_use: Annotated[str, typer.Option("--intended-use", help="What the model is for, in a sentence.")] = "",
    keep_card: Annotated[
        bool, typer.Option("--keep-card", help="Leave a card that was edited on the Hub as it is.")
    ] = False,
    json: Json = False,
) -> None:
    """Publish a trained model with a card that says where it comes from and how it scored.

    Example: dfar publish-model runs/lora --repo org/dfar-lora --data org/dfar@COMMIT --licence apache-2.0
    """
    from dfar_toolkit.corpus.licences import hub_licence
    from dfar_toolkit.hub.addresses import address, is_commit
    from dfar_toolkit.hub.connection import Patience, connect
    from dfar_toolkit.hub.models import ModelOptions
    from dfar_toolkit.hub.models import publish_model as published
    from dfar_toolkit.hub.publish import PublishOptions
    from dfar_toolkit.hub.repository import Repository

    if licence is not None and hub_licence(licence) != licence.lower():
        usage(f"--licence wants a name from the Hub's list (apache-2.0, mit, ..., other), found {licence!r}")
    trained_on = address(data) if data is not None else None
    if trained_on is not None and not is_commit(trained_on.revision):
        usage("--data wants ORG/NAME@COMMIT with the whole sha of the commit, as dfar publish prints it")
    patience = Patience()
    options = PublishOptions(public=public, tag=tag, message=message, dry_run=dry_run)
    about = ModelOptions(base_model, trained_on, licence, intended_use, scores, keep_card)
    place = Repository(connect(patience=patience), repo, patience, kind="model")
    found = published(run, place, options, about=about, progress=say)
    for note in found.adapter.notes:
        say(note)
    if found.adapter.left_out:
        say(f"not published: {', '.join(found.adapter.left_out)}")
    if json:
        print_json([found.published.as_json()])
        return
    rows = [[row.path, row.action, row.bytes, row.sha256 or ""] for row in found.published.plan.rows]
    print_table(["file", "action", "bytes", "sha256"], rows, title="Plan" if dry_run else "Files")
    if dry_run:
        say("the card:")
        for line in found.card.splitlines():
            say(line)
    print(found.published.verdict.replace("the same as the folder", "whole"))
