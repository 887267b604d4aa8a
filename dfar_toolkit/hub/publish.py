"""Publish a folder: plan, one commit, everything read back, then the tag; each step can be run again without harm."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.files.items import read_manifest
from dfar_toolkit.files.swap import MANIFEST
from dfar_toolkit.hub.addresses import Address, address, is_commit
from dfar_toolkit.hub.gate import GateFinding, accepted, check_gate
from dfar_toolkit.hub.one_commit import Committed, commit_plan
from dfar_toolkit.hub.plan import LocalFile, Plan, local_files, manifest_digests, plan
from dfar_toolkit.hub.remote_tree import RemoteFile
from dfar_toolkit.hub.repository import MAIN, Repository
from dfar_toolkit.hub.verify import Verified, verify

Tell = Callable[[str], None]

_TAG: Final = re.compile(r"[A-Za-z0-9_][\w.+-]{0,99}", re.ASCII)
_SHOWN: Final = 3
TRAIL: Final = ("outputs", "judgements")  # what may be published beside the data, each a config and a folder
ACCEPTABLE: Final = (
    "card.unwritten",
    "licence.conflict",
    "hub.edited",
    "hub.trail",
)  # beside the findings of the audit


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How to publish.

    Attributes:
        public: Whether everybody may see the repository; an existing one must be so already.
        tag: Name for the commit, never moved.
        message: Title of the commit; empty for one made from the manifest.
        dry_run: Plan only; nothing on the Hub is changed.
        pull_request: Open a pull request instead of moving the main branch.
        delete_others: Delete files that somebody else put there.
        accept: Names of findings that may stand.
    """

    public: bool = False
    tag: str | None = None
    message: str = ""
    dry_run: bool = False
    pull_request: bool = False
    delete_others: bool = False
    accept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.tag is not None:
            if not _TAG.fullmatch(self.tag) or ".." in self.tag or self.tag.endswith((".", ".lock")):
                raise ValueError(f"publish: a tag is a name such as v1.0.0, found {self.tag!r}.")
            if self.tag == MAIN or is_commit(self.tag):
                raise ValueError(f"publish: the tag {self.tag!r} would be taken for something else; choose another.")
            if self.pull_request:
                raise ValueError("publish: a tag is set on the main branch; set it once the pull request is merged.")


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it.

    Attributes:
        repo_id: The repository.
        public: Whether everybody may see it.
        plan: What was changed, or would be.
        commit: The commit that holds the folder; None for a dry run.
        committed: Whether that commit was made now; False where nothing had changed.
        created: Whether the repository was made now.
        tag: The tag that names the commit now.
        tagged: Whether that tag was set now.
        pull_request: ``refs/pr/N``, if one was opened.
        url: Where to look at it.
        verified: What reading everything back gave; None for a dry run.
    """

    repo_id: str
    public: bool
    plan: Plan
    url: str
    commit: str | None = None
    committed: bool = False
    created: bool = False
    tag: str | None = None
    tagged: bool = False
    pull_request: str | None = None
    verified: Verified | None = None

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        counts = ", ".join(f"{n} {action}" for action, n in self.plan.counts.items())
        if self.commit is None:
            made = "would be made" if self.plan.parent is None else "is there"
            return f"dry run: {self.repo_id} {made}; {counts}; nothing was sent"
        if self.pull_request:
            return f"{self.url}: {counts}, in commit {self.commit}; read back and the same as the folder"
        said = f"published in commit {self.commit} ({counts})" if self.committed else f"unchanged, commit {self.commit}"
        tag = f", {'tagged' if self.tagged else 'tag'} {self.tag}" if self.tag else ""
        return f"{self.url}: {said}{tag}; read back and the same as the folder"

    def as_json(self) -> dict[str, Any]:
        """For JSON: the result, and the plan as ``files``."""
        return {
            "repo_id": self.repo_id, "public": self.public, "url": self.url, "commit": self.commit,
            "committed": self.committed, "created": self.created, "tag": self.tag, "tagged": self.tagged,
            "pull_request": self.pull_request, "verified": self.verified is not None and self.verified.same,
            "counts": self.plan.counts, "files": self.plan.as_json(),
        }  # fmt: skip


def publish(folder: Path, repo: Repository, options: PublishOptions, *, progress: Tell | None = None) -> Published:
    """Bring a folder to the Hub in one commit and read it back; the same call again changes nothing.

    What stops a publish for its content (audit, card, licences) is looked at before, by
    :func:`dfar_toolkit.journeys.publishing.publish_items`.

    Args:
        folder: An items folder.
        repo: Where it goes.
        options: How.
        progress: Called with a few words at each step.

    Returns:
        The plan, the commit, the tag, and what reading back gave.

    Raises:
        HubError: The Hub refused or failed, somebody else has changed something, or what was read back differs.
        TableError: The folder is not whole.
    """
    tell = progress or (lambda _: None)
    check_name(repo.repo_id)
    tell("hashing the folder")
    files = local_files(folder)
    tell(f"asking for {repo.repo_id}")
    user = repo.user()
    private = repo.private()
    check_visibility(repo.repo_id, private, public=options.public)
    created = private is None and not options.dry_run
    if private is None and options.pull_request:
        raise HubError(f"{repo.repo_id}: there is no such repository to open a pull request in, for {user}.")
    if created:
        tell(f"making {repo.repo_id}, {'public' if options.public else 'private'}")
        repo.create(public=options.public)
        check_visibility(repo.repo_id, repo.private(), public=options.public)
    found, listed = _planned(repo, files, absent=private is None and not created, delete_others=options.delete_others)
    if options.tag and found.parent:
        _check_tag(repo, options.tag, found)
    if found.parent and not created:
        against = [*_edited(repo, found, listed), *_dropped_trail(found, listed)]
        check_gate(accepted(against, options.accept))
    url = f"{repo.api.endpoint}/datasets/{repo.repo_id}"
    if options.dry_run:
        if private is not None and not options.pull_request:
            repo.check_write()
        return Published(repo.repo_id, options.public, found, url)
    made = Committed(str(found.parent))
    if found.changes:
        tell(f"sending {_amount(found)}")
        message = _message(folder, options)
        made = commit_plan(repo, found, message=message, pull_request=options.pull_request, tell=tell)
        if made.pull_request:
            url = f"{url}/discussions/{made.pull_request.rpartition('/')[2]}"
    tell(f"reading commit {made.sha[:8]} back")
    verified = _read_back(repo, folder, made.sha)
    try:
        tagged = repo.set_tag(options.tag, made.sha) if options.tag else False
    except HubError as error:
        raise HubError(f"{error} Commit {made.sha} is there, read back and whole; it only lacks the tag.") from None
    return Published(
        repo.repo_id, options.public, found, url, made.sha, found.changes, created, options.tag, tagged,
        made.pull_request, verified,
    )  # fmt: skip


def check_name(repo_id: str) -> None:
    """Refuse what is no ``ORG/NAME``.

    Raises:
        HubError: Says what was wanted.
    """
    if address(repo_id) != (repo_id, None):
        raise HubError(f"{repo_id}: wanted ORG/NAME alone; a version is given by --tag.")


def check_visibility(repo_id: str, private: bool | None, *, public: bool) -> None:
    """Refuse a repository that is there and is private where public was asked for, or the other way round."""
    if private is True and public:
        raise HubError(f"{repo_id} is private: leave --public out, or make it public in its settings first.")
    if private is False and not public:
        raise HubError(f"{repo_id} is public: say --public, or make it private in its settings first.")


def _planned(
    repo: Repository, files: Mapping[str, LocalFile], *, absent: bool, delete_others: bool
) -> tuple[Plan, dict[str, str]]:
    """The plan against the head of the main branch, and what the manifest there lists.

    Against nothing where there is no repository yet.
    """
    if absent:
        return plan(files, {}, parent=None), {}
    head, remote = repo.files()
    ours = _digests(repo, head, files, remote)
    return plan(files, remote, parent=head, ours=ours, delete_others=delete_others), ours


def _digests(
    repo: Repository, head: str, files: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile]
) -> dict[str, str]:
    """What the manifest on the Hub lists: path to sha256; empty where there is none of ours."""
    if MANIFEST not in remote:
        return {}
    same = files[MANIFEST].is_at(remote[MANIFEST])
    text = files[MANIFEST].place.read_bytes() if same else repo.read(MANIFEST, head)
    return {**manifest_digests(text), MANIFEST: hashlib.sha256(text).hexdigest()} if manifest_digests(text) else {}


def _edited(repo: Repository, found: Plan, listed: Mapping[str, str]) -> list[GateFinding]:
    """Files that would be overwritten or deleted though somebody else wrote or edited them since."""
    theirs = []
    for row in found.of("update", "delete"):
        if row.path not in listed and row.action == "delete":
            continue  # asked for by --delete-others
        there = found.remote[row.path].sha256
        if row.path in listed and there is None:
            there = hashlib.sha256(repo.read(row.path, str(found.parent))).hexdigest()
        if row.path not in listed or there != listed[row.path]:
            theirs.append(row.path)
    if not theirs:
        return []
    shown = ", ".join(theirs[:_SHOWN]) + (f" and {len(theirs) - _SHOWN} more" if len(theirs) > _SHOWN else "")
    mend = "take the change over into the folder, or --accept hub.edited to overwrite it"
    return [GateFinding("hub.edited", f"{shown}: somebody else wrote or edited it on the Hub", mend, stops=True)]


def _dropped_trail(found: Plan, listed: Mapping[str, str]) -> list[GateFinding]:
    """Outputs and judgements of the last publish that this one would delete, as nobody gave them again."""
    folders = tuple(f"{name}/" for name in TRAIL)
    gone = [row.path for row in found.of("delete") if row.path in listed and row.path.startswith(folders)]
    kept = any(row.path.startswith(folders) for row in found.of("add", "update", "unchanged"))
    if not gone or kept:
        return []
    text = f"{len(gone)} files of outputs and judgements that were published with the data would be deleted"
    return [GateFinding("hub.trail", text, "give them again by --with, or --accept hub.trail", stops=True)]


def _check_tag(repo: Repository, tag: str, found: Plan) -> None:
    """Refuse early a tag that would have to be moved."""
    at = repo.commit_of_tag(tag)
    if at is not None and (found.changes or at != found.parent):
        raise HubError(
            f"{repo.repo_id}: the tag {tag} names the commit {at[:8]} already and is never moved; choose another tag."
        )


def _amount(found: Plan) -> str:
    rows = found.of("add", "update")
    size = sum(row.bytes for row in rows)
    gone = len(found.of("delete"))
    return f"{len(rows)} files ({size / 1e6:.1f} MB)" + (f", deleting {gone}" if gone else "")


def _message(folder: Path, options: PublishOptions) -> str:
    """Title and description of the commit, from the manifest."""
    manifest = read_manifest(folder)
    title = options.message or f"Publish {manifest.get('title') or manifest.get('name') or 'a data set'}"
    digests = [f"{name}: {digest}" for name, digest in (manifest.get("content_digest") or {}).items()]
    body = ["Content digests:", *digests]
    stands = [*manifest["audit"].get("accepted", ()), *options.accept]
    if stands:
        body += ["", f"Accepted findings: {', '.join(dict.fromkeys(stands))}"]
    return " ".join(title.split()) + "\n\n" + "\n".join(body)


def _read_back(repo: Repository, folder: Path, commit: str) -> Verified:
    """Compare what the Hub gives now with the folder, byte by byte.

    Raises:
        HubError: It differs; the commit is there, but it is not tagged.
    """
    stands = "The commit was made, no tag was set; run again to compare once more."
    try:
        found = verify(Address(repo.repo_id, commit), against=folder, api=repo.api, patience=repo.patience)
    except TableError as error:  # the folder was whole a moment ago
        raise HubError(f"{folder} changed while it was published: {error} {stands}") from None
    if not found.same:
        raise HubError(f"{found.verdict}. {stands}")
    return found
