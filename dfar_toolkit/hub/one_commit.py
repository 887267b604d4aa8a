"""A plan carried out in exactly one commit, also where answers are lost and others write at the same time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.connection import explained, passing, status_of, without_token
from dfar_toolkit.hub.plan import Plan
from dfar_toolkit.hub.repository import MAIN, CommitNote, Repository

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

_NEWEST_PULLS = 20


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit that holds the plan, and the pull request it stands in (``refs/pr/N``), if any."""

    sha: str
    pull_request: str | None = None


def commit_plan(
    repo: Repository, plan: Plan, *, message: str, pull_request: bool, tell: Callable[[str], None]
) -> Committed:
    """Commit the changes of a plan on top of the commit that it was made for, or not at all.

    A request whose answer was lost is never simply repeated: first the repository is read again. If the commit is
    there it was ours; if nothing has changed it is sent again; anything else was somebody else.

    Args:
        repo: The repository.
        plan: What to change; ``plan.parent`` must be the head.
        message: Title and description, parted by an empty line.
        pull_request: Open a pull request instead of moving the main branch.
        tell: Called with a few words at each step.

    Returns:
        The commit.

    Raises:
        HubError: Somebody else has committed, the Hub refused, or it failed for the last time; nothing was published.
    """
    doing = f"committing to {repo.repo_id}"
    if pull_request and (open_already := _pull_holding(repo, plan)):
        return open_already
    for attempt in range(1, repo.patience.tries + 1):
        try:
            made = _send(repo, plan, message=message, pull_request=pull_request, tell=tell)
        except Exception as error:
            stale = status_of(error) == 412
            upload = isinstance(error, RuntimeError)  # what the Rust client of Xet raises
            if not (stale or upload or passing(error)):
                said = explained(error)
                if said is None:
                    raise
                raise HubError(f"{doing}: {said}.") from None
            tell("no clear answer; reading the repository again")
            settled = _pull_holding(repo, plan) if pull_request else _settled(repo, plan)
            if settled is not None:
                return settled
            if stale:
                raise HubError(f"{doing}: somebody has committed since; nothing was published; run again.") from None
            if attempt == repo.patience.tries:
                said = explained(error) or without_token((str(error).splitlines() or [type(error).__name__])[0])[:200]
                raise HubError(f"{doing}: {said}, {attempt} times; nothing was published, run again.") from None
            repo.sleep(repo.patience.pause * 2 ** (attempt - 1))
        else:
            if made.pull_request:
                return made
            settled = _settled(repo, plan)
            if settled is None:
                raise HubError(f"{doing}: the Hub says it is done, yet shows nothing new; run again in a minute.")
            return settled
    raise AssertionError("a commit is tried at least once")


def _send(repo: Repository, plan: Plan, *, message: str, pull_request: bool, tell: Callable[[str], None]) -> Committed:
    """One request to commit, with the uploads that it needs."""
    title, _, description = message.partition("\n\n")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = repo.api.create_commit(
            repo.repo_id,
            _operations(plan),
            commit_message=title,
            commit_description=description,
            repo_type=repo.kind,
            revision=MAIN,
            parent_commit=plan.parent,
            create_pr=pull_request,
        )
    for one in said:
        if one.category is UserWarning:
            tell(f"the Hub notes: {' '.join(str(one.message).split())[:300]}")
    return Committed(str(found.oid), str(found.pr_revision) if pull_request else None)


def _operations(plan: Plan) -> list[Any]:
    """Fresh operations: the client changes them and wants no object twice."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    found: list[CommitOperationAdd | CommitOperationDelete] = []
    for row in plan.of("add", "update"):
        file = plan.files[row.path]
        one = CommitOperationAdd(row.path, str(file.place.absolute()))
        one.upload_info.sha256 = bytes.fromhex(file.sha256)  # hashed once is enough
        found.append(one)
    found += [CommitOperationDelete(row.path, is_folder=False) for row in plan.of("delete")]
    return found


def _settled(repo: Repository, plan: Plan) -> Committed | None:
    """Our commit if it is there, None if the head is still the plan's parent.

    Raises:
        HubError: Somebody else's commit is there.
    """
    for last in (False, True):  # a listing that came damaged is read once more
        head, files = repo.files()
        if head == plan.parent:
            return None
        notes = repo.since(str(plan.parent))
        if notes and notes[0].sha == head and plan.holds(files):
            return Committed(head)
        if notes and notes[0].sha != head and plan.holds(repo.files(notes[0].sha)[1]):
            return Committed(notes[0].sha)  # ours, and others have gone on from there
        if last:
            raise HubError(_by_others(repo, plan, notes))
    raise AssertionError("the last reading settles it")


def _by_others(repo: Repository, plan: Plan, notes: list[CommitNote] | None) -> str:
    """Who has done what since the plan was made."""
    where = f"{repo.repo_id} has changed since the plan was made"
    if not notes:
        return f"{where} and its history was rewritten; nothing was published; look at it, then run again."
    _, files = repo.files(notes[-1].sha)
    paths = sorted(path for path in {*files, *plan.remote} if files.get(path) != plan.remote.get(path))
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    who = "; ".join(str(note) for note in notes[-3:])
    return f"{where} by {who}, in {shown or 'no file'}; nothing was published; look at it, then run again."


def _pull_holding(repo: Repository, plan: Plan) -> Committed | None:
    """A pull request that holds exactly the plan, the newest first."""
    newest = sorted(repo.pulls().items(), key=lambda pull: -int(pull[0].rpartition("/")[2]))[:_NEWEST_PULLS]
    for ref, sha in newest:
        if plan.holds(repo.files(sha)[1]):
            return Committed(sha, ref)
    return None
