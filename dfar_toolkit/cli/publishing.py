"""The command that brings an items folder to the Hub: publish."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfar_toolkit.cli.options import Config, Json
from dfar_toolkit.cli.printing import print_json, print_table, say, usage

if TYPE_CHECKING:
    from dfar_toolkit.journeys.publishing import PublishedItems


def publish(
    folder: Annotated[Path, typer.Argument(help="The items folder.")],
    repo: Annotated[str, typer.Option("--repo", help="ORG/NAME on the Hub.")],
    public: Annotated[
        bool, typer.Option("--public", help="For everybody to see; otherwise the set is private.")
    ] = False,
    tag: Annotated[str | None, typer.Option("--tag", help="Name for the commit, such as v1.0.0; never moved.")] = None,
    message: Annotated[str, typer.Option("--message", help="Title of the commit.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; change nothing on the Hub.")] = False,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Publish to a Hub on this machine and load everything back; no network.")
    ] = False,
    pull_request: Annotated[
        bool, typer.Option("--pr", help="Open a pull request instead of changing the main branch.")
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Outputs, a run, judgements or their protocol (YAML) to publish too; again."),
    ] = None,
    config: Config = None,
    delete_others: Annotated[
        bool, typer.Option("--delete-others", help="Delete files that somebody else put there.")
    ] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", help="A finding that may stand, card.unwritten among them; may be given again."),
    ] = None,
    allow_small_cells: Annotated[
        bool, typer.Option("--allow-small-cells", help="Let fewer than 5 people share all their bands in public.")
    ] = False,
    json: Json = False,
) -> None:
    """Publish an items folder to the Hugging Face Hub in one commit that is read back; private unless --public.

    Example: dfar publish demo/items --repo org/demo --tag v1.0.0 --rehearse
    """
    from dfar_toolkit.hub.publish import PublishOptions
    from dfar_toolkit.journeys.publishing import check_accepted, publish_items, rehearse_items

    if config is not None and not beside:
        usage("--config says which items the outputs given by --with are about")
    if rehearse and (dry_run or pull_request):
        usage(f"--rehearse starts with an empty Hub: {'--dry-run' if dry_run else '--pr'} does not go with it")
    check_accepted(accept or ())
    options = PublishOptions(
        public=public, tag=tag, message=message, dry_run=dry_run, pull_request=pull_request,
        delete_others=delete_others, accept=tuple(accept or ()),
    )  # fmt: skip

    def progress(step: str) -> None:
        say(f"{step} ...")

    with ExitStack() as staged:
        if beside:
            from dfar_toolkit.journeys.paper_trail import paper_trail

            trail = staged.enter_context(paper_trail(folder, beside, config=config))
            for note in trail.notes:
                say(f"note: {note}")
            folder = trail.folder
        if rehearse:
            done = rehearse_items(folder, repo, options, allow_small_cells=allow_small_cells, progress=progress)
        else:
            from dfar_toolkit.hub.connection import connect
            from dfar_toolkit.hub.repository import Repository

            hub = Repository(connect(), repo)
            done = publish_items(folder, hub, options, allow_small_cells=allow_small_cells, progress=progress)
    _print(done, json=json)
    if done.stopped and dry_run:
        raise typer.Exit(1)


def _print(done: PublishedItems, *, json: bool) -> None:
    """The gate on stderr; the plan and what came of it on stdout."""
    for one in done.findings:
        say(f"{'stops a publish' if one.stops else 'note'}: {one}")
    if json:
        print_json([done.as_json()])
        return
    rows = [[row["action"], row["path"], row["bytes"], (row["sha256"] or "")[:12]] for row in done.plan]
    print_table(["action", "path", "bytes", "sha256"], rows)
    print(done.done.verdict)
