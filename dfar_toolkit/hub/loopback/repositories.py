"""Repositories with commits, branches, tags and pull requests; a change happens whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from dfar_toolkit.hub.loopback.answers import Refusal, no_entry, no_revision
from dfar_toolkit.hub.loopback.stored_files import (
    GITATTRIBUTES,
    LargeFiles,
    StoredFile,
    folders_of,
    goes_to_lfs,
    large_file,
    small_file,
)

Kind = Literal["dataset", "model"]
MAIN: Final = "main"
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a token.

    Attributes:
        name: Login, and the namespace of the own repositories.
        orgs: Organisations in whose namespace the user may read and write too.
        write: Whether the token may write; False is a read-only token.
    """

    name: str
    orgs: tuple[str, ...] = ()
    write: bool = True

    def belongs_to(self, namespace: str) -> bool:
        """Whether the namespace is the user's own or one of the organisations'."""
        return namespace == self.name or namespace in self.orgs


@dataclass(frozen=True, slots=True)
class Commit:
    """One state of all files, and how it came about. ``date`` counts seconds of a made-up clock."""

    oid: str
    parent: str | None
    files: Mapping[str, StoredFile] = field(repr=False)
    title: str
    description: str
    author: str
    date: str


@dataclass(slots=True)
class Repo:
    """A repository, changed by the requests of clients or straight by a test.

    Attributes:
        kind: ``"dataset"`` or ``"model"``.
        id: ``namespace/name``.
        private: Whether only members of the namespace see it.
        gated: False, ``"auto"`` or ``"manual"``: only ``granted`` users and members read files.
        granted: Names of users that were let in.
        branches: Branch to commit.
        tags: Tag to commit.
        pulls: Number of a pull request to its commit.
        openers: Number of a pull request to the name of who opened it.
        commits: Every commit by its oid, oldest first, those that no branch leads to included.
        lfs: The sha256 of the git-LFS files that were uploaded to this repository.
    """

    kind: Kind
    id: str
    store: LargeFiles = field(repr=False)
    private: bool = False
    gated: bool | str = False
    granted: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, str] = field(default_factory=dict)
    openers: dict[int, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict, repr=False)
    lfs: set[str] = field(default_factory=set, repr=False)

    @property
    def namespace(self) -> str:
        """The user or organisation that owns it."""
        return self.id.partition("/")[0]

    def find(self, revision: str) -> Commit:
        """The commit that a branch, tag, pull request (``refs/pr/1``) or sha names.

        Raises:
            Refusal: There is none (404 ``RevisionNotFound``).
        """
        oid = self._refs().get(revision, revision)
        if oid not in self.commits:
            raise no_revision(revision)
        return self.commits[oid]

    def _refs(self) -> dict[str, str]:
        """Every name a commit can be asked for by; of a branch and a tag of one name the branch wins."""
        refs = {f"refs/pr/{number}": oid for number, oid in self.pulls.items()}
        refs |= {f"refs/tags/{name}": oid for name, oid in self.tags.items()}
        refs |= {f"refs/heads/{name}": oid for name, oid in self.branches.items()}
        return refs | self.tags | self.branches

    def history(self, revision: str = MAIN) -> list[Commit]:
        """The commits that lead to a revision, newest first."""
        found = [self.find(revision)]
        while (parent := found[-1].parent) is not None:
            found.append(self.commits[parent])
        return found

    def read(self, path: str, revision: str = MAIN) -> bytes:
        """The bytes of a file."""
        commit = self.find(revision)
        if path not in commit.files:
            raise no_entry(path, commit.oid)
        file = commit.files[path]
        return self.store.path(file.sha256).read_bytes() if file.sha256 else file.content or b""

    def file_of(self, path: str, content: bytes, revision: str = MAIN) -> StoredFile:
        """The file that these bytes make here, stored where a client's upload would have put it."""
        attributes = self.find(revision).files.get(".gitattributes")
        if not goes_to_lfs(path, len(content), content[:512], (attributes and attributes.content) or b""):
            return small_file(content)
        sha256 = self.store.keep([content]) or ""
        self.lfs.add(sha256)
        return large_file(sha256, len(content))

    def change(
        self, changes: Mapping[str, bytes | None], *, title: str = "Change", author: str = "", branch: str = MAIN
    ) -> Commit:
        """Commit as if somebody did so from elsewhere: a concurrent publisher, an edit in the browser.

        Args:
            changes: Path to new bytes; None deletes the file.
            title: First line of the message.
            author: Login; by default the namespace.
            branch: Which branch moves.

        Returns:
            The new commit.

        Raises:
            Refusal: No such branch, or a file to delete is not there.
        """
        commit = self.find(branch)
        files = dict(commit.files)
        for path, content in changes.items():
            if content is not None:
                files[path] = self.file_of(path, content, branch)
            elif files.pop(path, None) is None:
                raise no_entry(path, commit.oid)
        return self.move(branch, files, title, author=author or self.namespace)

    def add_commit(
        self, parent: str | None, files: Mapping[str, StoredFile], title: str, description: str, author: str
    ) -> Commit:
        """A commit that no branch leads to yet; its oid depends on everything it holds and stands on."""
        if clash := folders_of(files) & set(files):
            raise Refusal(400, f"{sorted(clash)[0]} would be both a file and a folder.")
        number = len(self.commits)
        date = f"{_FIRST + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S.000Z}"
        listed = sorted((path, file.etag) for path, file in files.items())
        told = [self.kind, self.id, number, parent, title, description, author, listed]
        oid = hashlib.sha1(json.dumps(told).encode()).hexdigest()
        commit = Commit(oid, parent, dict(files), title, description, author, date)
        self.commits[oid] = commit
        return commit

    def move(
        self, branch: str, files: Mapping[str, StoredFile], title: str, description: str = "", *, author: str
    ) -> Commit:
        """Commit these files on a branch or on ``refs/pr/N``, which moves there.

        Raises:
            Refusal: The target is no branch (404 ``RevisionNotFound``).
        """
        name = branch.removeprefix("refs/heads/")
        number = branch.removeprefix("refs/pr/")
        if name in self.branches:
            commit = self.add_commit(self.branches[name], files, title, description, author)
            self.branches[name] = commit.oid
        elif number != branch and number.isdecimal() and int(number) in self.pulls:
            commit = self.add_commit(self.pulls[int(number)], files, title, description, author)
            self.pulls[int(number)] = commit.oid
        else:
            raise no_revision(branch)
        return commit

    def open_pull(
        self, base: str, files: Mapping[str, StoredFile], title: str, description: str = "", *, author: str
    ) -> tuple[int, Commit]:
        """A pull request with one commit on top of a branch."""
        commit = self.add_commit(self.find(base).oid, files, title, description, author)
        number = len(self.pulls) + 1
        self.pulls[number] = commit.oid
        self.openers[number] = author
        return number, commit


class Repos:
    """All repositories of a Hub, by kind and id.

    Args:
        store: Where the bytes of git-LFS files lie.
    """

    def __init__(self, store: LargeFiles) -> None:
        self._store = store
        self._held: dict[tuple[Kind, str], Repo] = {}

    def __iter__(self) -> Iterator[Repo]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def find(self, kind: Kind, repo_id: str) -> Repo | None:
        """The repository, None where there is none."""
        return self._held.get((kind, repo_id))

    def __getitem__(self, key: tuple[Kind, str]) -> Repo:
        return self._held[key]

    def create(self, kind: Kind, repo_id: str, *, private: bool = False, author: str = "") -> Repo:
        """A new repository; its first commit holds ``.gitattributes``.

        Raises:
            Refusal: It exists (409).
        """
        if (kind, repo_id) in self._held:
            raise Refusal(409, f"You already created this {kind} repo: {repo_id}")
        repo = Repo(kind, repo_id, self._store, private)
        first = {".gitattributes": small_file(GITATTRIBUTES)}
        repo.branches[MAIN] = repo.add_commit(None, first, "initial commit", "", author or repo.namespace).oid
        self._held[kind, repo_id] = repo
        return repo

    def delete(self, kind: Kind, repo_id: str) -> None:
        """Forget a repository; its git-LFS bytes stay."""
        del self._held[kind, repo_id]
