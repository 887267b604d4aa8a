"""A data set's repository on the Hub, asked with patience: who I am, what is there, make it, tag it, read a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.connection import Patience, explained, passing, status_of, tried
from dfar_toolkit.hub.remote_tree import RemoteFile, remote_files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_T = TypeVar("_T")
KIND: Final = "dataset"
MAIN: Final = "main"


@dataclass(frozen=True, slots=True)
class CommitNote:
    """One commit as the history tells it."""

    sha: str
    authors: tuple[str, ...]
    title: str

    def __str__(self) -> str:
        """Who, what and which."""
        who = " and ".join(self.authors) or "somebody"
        return f'{who}: "{self.title[:80]}" ({self.sha[:8]})'


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the Hub, a data set or a model, and how patiently it is asked."""

    api: HfApi
    repo_id: str
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    kind: str = KIND

    def ask(self, doing: str, work: Callable[[], _T]) -> _T:
        """The result of a request that may be sent again."""
        return tried(doing, work, patience=self.patience, sleep=self.sleep)

    def user(self) -> str:
        """The login that the token belongs to.

        Raises:
            HubError: There is no token, or nobody has it.
        """
        doing = "asking the Hub who you are"
        found: object = self.ask(doing, self.api.whoami)
        if not isinstance(found, dict):
            raise HubError(f"{doing}: it answered with something that is no account; try again later.")
        return str(found.get("name", ""))

    def private(self) -> bool | None:
        """Whether the repository is private; None where there is none that the token may see.

        Raises:
            HubError: It has been renamed, or the Hub does not answer.
        """
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        def look() -> Any:
            try:
                return self.api.repo_info(self.repo_id, repo_type=self.kind, timeout=self.patience.read)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return None

        found = self.ask(f"looking for {self.repo_id}", look)
        if found is None:
            return None
        if str(found.id).casefold() != self.repo_id.casefold():
            raise HubError(f"{self.repo_id} is now called {found.id}; publish to that name.")
        return bool(found.private)

    def create(self, *, public: bool) -> None:
        """Make the repository, which was not there a moment ago; a lost answer is made up for by looking again.

        Raises:
            HubError: It may not be made, or somebody else was quicker.
        """
        doing, lost = f"making {self.repo_id}", False
        for attempt in range(1, self.patience.tries + 1):
            try:
                self.api.create_repo(self.repo_id, repo_type=self.kind, visibility="public" if public else "private")
                return
            except Exception as error:
                exists = status_of(error) == 409
                if exists and not lost:
                    raise HubError(f"{doing}: somebody made it just now; look at it, then run again.") from None
                if not exists and not passing(error):
                    self._refuse(doing, error)
                lost = True
                if self.private() is not None:
                    return
                if attempt == self.patience.tries:
                    self._refuse(f"{doing} (tried {attempt} times)", error)
                self.sleep(self.patience.pause * 2 ** (attempt - 1))

    def _refuse(self, doing: str, error: Exception) -> NoReturn:
        """Raise a HubError in the words for an error, or the error itself where it is our own defect."""
        said = explained(error)
        if said is None:
            raise error
        raise HubError(f"{doing}: {said}.") from None

    def check_write(self) -> None:
        """Ask whether the token may write here, without writing.

        Raises:
            HubError: It may not.
        """
        self.ask(
            f"asking to write to {self.repo_id}",
            lambda: self.api.auth_check(self.repo_id, repo_type=self.kind, write=True),
        )

    def files(self, revision: str = MAIN) -> tuple[str, dict[str, RemoteFile]]:
        """The commit of a revision and its files."""
        return remote_files(self.api, self.repo_id, revision=revision, repo_type=self.kind, patience=self.patience)

    def since(self, parent: str) -> list[CommitNote] | None:
        """The commits after ``parent`` on the main branch, oldest first; None where it is not in its history."""

        def look() -> list[CommitNote] | None:
            found: list[CommitNote] = []
            for commit in self.api.list_repo_commits(self.repo_id, repo_type=self.kind, revision=MAIN):
                if commit.commit_id == parent:
                    return found[::-1]
                found.append(CommitNote(commit.commit_id, tuple(commit.authors), commit.title))
            return None

        return self.ask(f"reading the history of {self.repo_id}", look)

    def pulls(self) -> dict[str, str]:
        """Pull request (``refs/pr/N``) to its newest commit."""
        found = self.ask(
            "reading the pull requests",
            lambda: self.api.list_repo_refs(self.repo_id, repo_type=self.kind, include_pull_requests=True),
        )
        return {pull.ref: pull.target_commit for pull in found.pull_requests or []}

    def commit_of_tag(self, tag: str) -> str | None:
        """The commit that a tag names, None where there is no such tag.

        Raises:
            HubError: A branch has that name.
        """
        refs = self.ask("reading the tags", lambda: self.api.list_repo_refs(self.repo_id, repo_type=self.kind))
        if tag in {branch.name for branch in refs.branches}:
            raise HubError(f"{self.repo_id}: a branch is called {tag}; choose another tag.")
        targets = [one.target_commit for one in refs.tags if one.name == tag]
        if not targets:
            return None
        info = self.ask(  # the target of a tag with a message may be the tag itself
            f"reading the tag {tag}",
            lambda: self.api.repo_info(self.repo_id, repo_type=self.kind, revision=tag, timeout=self.patience.read),
        )
        return info.sha or targets[0]

    def set_tag(self, tag: str, commit: str) -> bool:
        """Name a commit by a tag, which is never moved.

        Returns:
            Whether it was set now; False where it was there already.

        Raises:
            HubError: The tag names another commit.
        """
        doing = f"setting the tag {tag}"
        for attempt in range(1, self.patience.tries + 1):
            at = self.commit_of_tag(tag)
            if at == commit:
                return attempt > 1
            if at is not None:
                raise HubError(f"{doing}: it names the commit {at[:8]} already and is never moved; choose another tag.")
            try:
                self.api.create_tag(self.repo_id, tag=tag, revision=commit, repo_type=self.kind)
                return True
            except Exception as error:
                if attempt == self.patience.tries or not (passing(error) or status_of(error) == 409):
                    self._refuse(doing, error)
                self.sleep(self.patience.pause * 2 ** (attempt - 1))
        raise AssertionError("a tag is tried at least once")

    def read(self, path: str, revision: str) -> bytes:
        """The bytes of a small file, straight from the Hub and past all caches."""
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import hf_raise_for_status

        url = hf_hub_url(self.repo_id, path, repo_type=self.kind, revision=revision, endpoint=self.api.endpoint)

        def get() -> bytes:
            answer = get_session().get(url, headers=build_hf_headers(token=self.api.token), timeout=self.patience.read)
            hf_raise_for_status(answer)
            return bytes(answer.content)

        return self.ask(f"reading {path} of {self.repo_id}", get)
