"""How a repository and one state of it are named: ``org/name``, ``org/name@v1.0.0``, ``hf://datasets/org/name``."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dfar_toolkit.errors import HubError

SCHEME: Final = "hf://datasets/"
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class Address(NamedTuple):
    """A repository, and the branch, tag or commit that is meant; None is the main branch."""

    repo_id: str
    revision: str | None

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


def address(text: str, *, revision: str | None = None) -> Address:
    """The repository that a text names.

    Args:
        text: ``ORG/NAME``, ``ORG/NAME@REVISION``, either with ``hf://datasets/`` before it.
        revision: The revision, where the text names none.

    Returns:
        The repository and the revision.

    Raises:
        HubError: The text names none, or names another revision than the argument.

    Example:
        >>> address("hf://datasets/org/name@v1.0.0")
        Address(repo_id='org/name', revision='v1.0.0')
    """
    repo_id, at, named = text.removeprefix(SCHEME).partition("@")
    if not _REPO.fullmatch(repo_id) or ".." in repo_id:
        raise HubError(f"{text}: wanted the id of a data set on the Hub, such as org/name or org/name@v1.0.0.")
    if at and revision is not None and named != revision:
        raise HubError(f"{text}: two revisions are given, {named!r} and {revision!r}; give one.")
    meant = named if at else revision
    if meant is not None and (not _REVISION.fullmatch(meant) or ".." in meant):
        raise HubError(f"{text}: wanted a branch, a tag or a commit, found {meant!r}.")
    return Address(repo_id, meant)


def names_repository(text: str) -> bool:
    """Whether a text could name a data set on the Hub.

    Example:
        >>> names_repository("org/name"), names_repository("out/a/b"), names_repository("./out")
        (True, False, False)
    """
    try:
        address(text)
    except HubError:
        return False
    return True


def is_commit(revision: str | None) -> bool:
    """Whether a revision is the whole sha of a commit, which can never come to mean another state."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None
