"""Publish a trained model: what may leave the run, a card with origin and scores, one commit, read back, tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.hub.adapter_folder import CONFIG
from dfar_toolkit.hub.addresses import Address, names_repository
from dfar_toolkit.hub.file_names import git_blob_id
from dfar_toolkit.hub.model_card import is_untouched, render_model_card
from dfar_toolkit.hub.model_card_file import holds_token, is_edited
from dfar_toolkit.hub.model_facts import SCORES, base_on_hub, model_facts
from dfar_toolkit.hub.model_run_notes import RUN
from dfar_toolkit.hub.one_commit import Committed, commit_plan
from dfar_toolkit.hub.plan import LocalFile, Plan, plan
from dfar_toolkit.hub.publish import Published, PublishOptions, check_name, check_visibility
from dfar_toolkit.hub.repository import Repository
from dfar_toolkit.hub.staged_model import CARD, StagedModel
from dfar_toolkit.hub.verify import verify_files
from dfar_toolkit.hub.whole_model_folder import WHOLE_CONFIG, stage_model


class ModelOptions(NamedTuple):
    """What the folder of a run does not know of itself; each outranks what stands in its ``run.json``.

    ``keep_card`` leaves a card on the Hub that somebody has edited as it is.
    """

    base_model: str | None = None
    data: Address | None = None
    licence: str | None = None
    intended_use: str = ""
    scores: Path | None = None
    keep_card: bool = False


class PublishedModel(NamedTuple):
    """What came of it, what of the run was published (an adapter, or all weights), and the card."""

    published: Published
    adapter: StagedModel
    card: str


def publish_model(
    run: Path,
    repo: Repository,
    options: PublishOptions,
    *,
    about: ModelOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> PublishedModel:
    """Bring the model of a run to the Hub in one commit and read it back; the same call again changes nothing.

    Only the adapter or the weights, their settings and the tokenizer go, with an adapter for a classifier the names of
    its outputs, and a card that is made from them; nothing that others put into the repository is deleted.

    Args:
        run: Folder of the run, as peft or transformers saves it; ``run.json`` and ``scores.json`` (``dfar score
            --json``) feed the card if they are there.
        repo: Where it goes; of kind ``model``.
        options: How.
        about: What the folder does not know.
        progress: Called with a few words at each step.

    Returns:
        The plan, the commit, the tag, the model and the card.

    Raises:
        HubError: The Hub refused or failed, somebody else has changed something, or what was read back differs.
        TableError: The folder holds no model that can be published.
    """
    tell, about = progress or (lambda _: None), about or ModelOptions()
    if not names_repository(repo.repo_id):
        raise HubError(f"{repo.repo_id}: wanted the id of a model on the Hub, such as org/name.")
    check_name(repo.repo_id)
    with TemporaryDirectory(prefix="dfar-model-") as scratch:
        folder = Path(scratch)
        adapter = _staged(run, folder, about)
        facts = model_facts(
            run, adapter, title=repo.repo_id.rpartition("/")[2], place=repo.repo_id, data=about.data,
            licence=about.licence, scores=about.scores, intended_use=about.intended_use,
        )  # fmt: skip
        if options.public and facts.licence == "unknown":
            raise HubError(f"{run}: the licence of the model is unknown; a public one needs it: --licence NAME.")
        card = render_model_card(adapter, facts)
        told = [WHOLE_CONFIG if adapter.whole else CONFIG, *({RUN} & set(adapter.files))]
        _check_no_token(run, {CARD: card, **{name: (folder / name).read_text(encoding="utf-8") for name in told}})
        (folder / CARD).write_text(card, encoding="utf-8")
        files = {name: _local_file(folder, run, name) for name in sorted([*adapter.files, CARD])}
        tell(f"asking for {repo.repo_id}")
        repo.user()
        private = repo.private()
        check_visibility(repo.repo_id, private, public=options.public)
        created = private is None and not options.dry_run
        if created:
            tell(f"making {repo.repo_id}, {'public' if options.public else 'private'}")
            repo.create(public=options.public)
        found = _planned(repo, files, absent=private is None and not created, keep_card=about.keep_card)
        url = f"{repo.api.endpoint}/{repo.repo_id}"
        if options.dry_run:
            if private is not None:
                repo.check_write()
            return PublishedModel(Published(repo.repo_id, options.public, found, url), adapter, card)
        if options.tag and (at := repo.commit_of_tag(options.tag)) and (found.changes or at != found.parent):
            raise HubError(
                f"{repo.repo_id}: the tag {options.tag} names the commit {at[:8]} already and is never moved; choose "
                "another tag."
            )
        made = Committed(str(found.parent))
        if found.changes:
            tell(f"sending {len(found.of('add', 'update'))} files")
            message = options.message or _title(adapter)
            made = commit_plan(repo, found, message=message, pull_request=False, tell=tell)
        tell(f"reading commit {made.sha[:8]} back")
        wanted = {name: (file.sha256, file.size) for name, file in found.files.items()}
        verified = verify_files(
            Address(repo.repo_id, made.sha), wanted, api=repo.api, repo_type=repo.kind, patience=repo.patience
        )
        if not verified.same:
            raise HubError(f"{verified.verdict}. The commit was made, no tag was set; run again to compare once more.")
        tagged = repo.set_tag(options.tag, made.sha) if options.tag else False
        published = Published(
            repo.repo_id, options.public, found, url, made.sha, found.changes, created, options.tag, tagged, None,
            verified,
        )  # fmt: skip
        return PublishedModel(published, adapter, card)


def _staged(run: Path, folder: Path, about: ModelOptions) -> StagedModel:
    """What may be published of the run, with a note where its own card was edited and is not what goes."""
    found = stage_model(run, folder, base_model=about.base_model, known_base=base_on_hub(run))
    if not is_edited(run):
        return found
    note = f"{CARD} of the run was written or edited by hand; the one that is published is made from {RUN} anew"
    return replace(found, notes=(*found.notes, note))


def _title(model: StagedModel) -> str:
    """Of the commit."""
    of = f" {'from' if model.whole else 'of'} {model.base_model}" if model.base_model else ""
    return f"Publish {'a trained model' if model.whole else 'an adapter'}{of}"


def _check_no_token(run: Path, texts: dict[str, str]) -> None:
    """Refuse settings that hold a token: trainers write down whatever they were called with."""
    for name, text in texts.items():
        if holds_token(text):
            told = f"{RUN}, {SCORES} or an option" if name == CARD else name
            raise TableError(f"{run}: {told} holds something that looks like a token; take it out before publishing.")


def _local_file(folder: Path, run: Path, name: str) -> LocalFile:
    """A staged file; the weights of a whole model are not copied, they lie in the run."""
    place = folder / name if (folder / name).is_file() else run / name
    return LocalFile(name, place, place.stat().st_size, file_digest(place), git_blob_id(place))


def _planned(repo: Repository, files: dict[str, LocalFile], *, absent: bool, keep_card: bool) -> Plan:
    """The plan against the head of the main branch; a card that somebody has edited is not overwritten."""
    if absent:
        return plan(files, {}, parent=None)
    head, remote = repo.files()
    if CARD in remote and not files[CARD].is_at(remote[CARD]):
        if keep_card:
            files = {name: file for name, file in files.items() if name != CARD}
        elif not is_untouched(repo.read(CARD, head).decode("utf-8", "replace")):
            raise HubError(
                f"{repo.repo_id}: somebody has written or edited {CARD} there; --keep-card leaves it as it is, or "
                "delete it first."
            )
    return plan(files, remote, parent=head)
