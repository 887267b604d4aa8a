"""Publish an adapter: what may leave the run, a card with its origin and its scores, one commit, read back, tag."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.digest import file_digest
from dfar_toolkit.hub.adapter_folder import CONFIG, Adapter, stage_adapter, without_local_places
from dfar_toolkit.hub.addresses import Address, address
from dfar_toolkit.hub.connection import without_token
from dfar_toolkit.hub.file_names import git_blob_id
from dfar_toolkit.hub.model_card import RUN, SCORES, ModelFacts, is_untouched, read_scores, render_model_card
from dfar_toolkit.hub.one_commit import Committed, commit_plan
from dfar_toolkit.hub.plan import LocalFile, Plan, plan
from dfar_toolkit.hub.publish import Published, PublishOptions, check_name, check_visibility
from dfar_toolkit.hub.repository import Repository
from dfar_toolkit.hub.verify import verify_files

CARD: Final = "README.md"


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
    """What came of it, what was published, and the card."""

    published: Published
    adapter: Adapter
    card: str


def publish_model(
    run: Path,
    repo: Repository,
    options: PublishOptions,
    *,
    about: ModelOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> PublishedModel:
    """Bring the adapter of a run to the Hub in one commit and read it back; the same call again changes nothing.

    Only the adapter, its settings and its tokenizer go, and a card that is made from them; nothing that others put
    into the repository is deleted.

    Args:
        run: Folder of the run, as peft saves it; ``run.json`` and ``scores.json`` (``dfar score --json``) feed the
            card if they are there.
        repo: Where it goes; of kind ``model``.
        options: How.
        about: What the folder does not know.
        progress: Called with a few words at each step.

    Returns:
        The plan, the commit, the tag, the adapter and the card.

    Raises:
        HubError: The Hub refused or failed, somebody else has changed something, or what was read back differs.
        TableError: The folder holds no adapter that can be published.
    """
    tell, about = progress or (lambda _: None), about or ModelOptions()
    check_name(repo.repo_id)
    with TemporaryDirectory(prefix="dfar-model-") as scratch:
        folder = Path(scratch)
        adapter = stage_adapter(run, folder, base_model=about.base_model)
        facts = _facts(run, repo.repo_id, about)
        if options.public and facts.licence == "unknown":
            raise HubError(f"{run}: the licence of the model is unknown; a public one needs it: --licence NAME.")
        card = render_model_card(adapter, facts)
        _check_no_token(run, {CARD: card, CONFIG: (folder / CONFIG).read_text(encoding="utf-8")})
        (folder / CARD).write_text(card, encoding="utf-8")
        files = {name: _local_file(folder, name) for name in sorted([*adapter.files, CARD])}
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
            message = options.message or f"Publish an adapter of {adapter.base_model}"
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


def _check_no_token(run: Path, texts: dict[str, str]) -> None:
    """Refuse settings that hold a token: trainers write down whatever they were called with."""
    for name, text in texts.items():
        if without_token(text) != text:
            told = f"{RUN}, {SCORES} or an option" if name == CARD else name
            raise TableError(f"{run}: {told} holds something that looks like a token; take it out before publishing.")


def _local_file(folder: Path, name: str) -> LocalFile:
    place = folder / name
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


def _facts(run: Path, repo_id: str, about: ModelOptions) -> ModelFacts:
    """What the card says: as given, else as ``run.json`` says."""
    noted = _run_notes(run / RUN)
    data = noted.get("data") if isinstance(noted.get("data"), dict) else {}
    assert isinstance(data, dict)
    trained_on = about.data
    if trained_on is None and isinstance(data.get("repo_id"), str):
        trained_on = address(str(data["repo_id"]), revision=data.get("commit"))
    settings = noted.get("settings")
    labels = noted.get("labels")
    facts = ModelFacts(
        title=repo_id.rpartition("/")[2],
        data=trained_on,
        data_digest=str(data.get("content_digest") or ""),
        licence=(about.licence or str(noted.get("licence") or "unknown")).lower(),
        labels=tuple(map(str, labels)) if isinstance(labels, list) else (),
        settings=without_local_places(settings) if isinstance(settings, dict) else None,
        scores=read_scores(about.scores if about.scores is not None else run / SCORES),
        intended_use=about.intended_use,
    )
    if about.scores is not None and not about.scores.is_file():
        raise TableError(f"{about.scores}: wanted the output of dfar score --json, found nothing there.")
    return facts if facts.labels else replace(facts, labels=_labels_scored(facts.scores))


def _labels_scored(scores: tuple[Any, ...]) -> tuple[str, ...]:
    """The labels that scores are given for."""
    return tuple(dict.fromkeys(str(row["label"]) for row in scores if row.get("label")))


def _run_notes(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not valid JSON ({str(error)[:80]}).") from None
    return found if isinstance(found, dict) else {}
