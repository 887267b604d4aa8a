"""The state of the Hub, one request as the routes see it, and who may do what."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from threading import RLock
from typing import Any, Protocol
from urllib.parse import parse_qs

from dfar_toolkit.hub.loopback.answers import Refusal
from dfar_toolkit.hub.loopback.repositories import Kind, Repo, Repos, User
from dfar_toolkit.hub.loopback.stored_files import LARGE, LargeFiles


@dataclass(slots=True)
class HubState:
    """Everything that the routes read and change; ``lock`` is held while one of them runs."""

    users: Mapping[str, User]
    store: LargeFiles
    page_size: int = 1000
    cdn: bool = False
    limit: int = LARGE
    url: str = ""
    cdn_url: str = ""
    repos: Repos = field(init=False)
    lock: RLock = field(default_factory=RLock)
    _secret: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)

    def __post_init__(self) -> None:
        self.repos = Repos(self.store)

    def key(self, path: str) -> str:
        """What signs the URL of a large file, so that it needs no token."""
        return hashlib.sha256(f"{self._secret} {path}".encode()).hexdigest()[:16]

    def signed(self, path: str, query: str = "") -> str:
        """A URL outside the API that needs no token, and refuses one."""
        return f"{self.cdn_url if self.cdn else self.url}{path}?{query}{'&' if query else ''}key={self.key(path)}"


class Body(Protocol):
    """The bytes that came with a request."""

    def parts(self) -> Iterator[bytes]:
        """In pieces, as they come in."""
        ...


@dataclass(slots=True)
class Request:
    """One request: ``part`` holds the decoded pieces of the path that its route names."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message[str, str]
    user: User | None
    body: Body
    part: Mapping[str, str] = field(default_factory=dict)
    held: Repo | None = None
    content: bytes = b""

    @property
    def repo(self) -> Repo:
        """The repository asked for, which the caller may see."""
        assert self.held is not None
        return self.held

    @property
    def signed_in(self) -> User:
        """The caller, refused where anonymous."""
        if self.user is None:
            raise Refusal(401, "Invalid username or password.")
        return self.user

    def flag(self, name: str) -> bool:
        """Whether a switch of the query is on."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object."""
        try:
            found = json.loads(self.content or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refusal(400, "The body must be a JSON object.")
        return found

    def form(self) -> dict[str, list[str]]:
        """The body as the values of a form; JSON will do too."""
        if "json" not in self.headers.get("Content-Type", ""):
            return parse_qs(self.content.decode("utf-8", "replace"), keep_blank_values=True)
        return {name: [str(v) for v in x] if isinstance(x, list) else [str(x)] for name, x in self.fields().items()}


def user_of(state: HubState, authorization: str | None) -> User | None:
    """The owner of the token, None for the anonymous.

    Raises:
        Refusal: Nobody has this token (401).
    """
    if not authorization:
        return None
    user = state.users.get(authorization.removeprefix("Bearer ").strip())
    if user is None:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return user


def visible_repo(state: HubState, user: User | None, kind: Kind, repo_id: str) -> Repo:
    """The repository, if it exists and this user may know so.

    Raises:
        Refusal: 401 for the anonymous, 404 for others, both ``RepoNotFound``.
    """
    repo = state.repos.find(kind, repo_id)
    if repo is not None and (not repo.private or (user is not None and user.belongs_to(repo.namespace))):
        return repo
    if user is None:
        raise Refusal(401, "Invalid username or password.", "RepoNotFound")
    raise Refusal(404, "Repository not found", "RepoNotFound")


def demand(repo: Repo, user: User | None, need: str, *, pull: bool = False) -> None:
    """Refuse who may not do this to a repository that they may see.

    Args:
        repo: The repository.
        user: Who asks.
        need: ``"see"``, ``"files"`` (read what lies behind a gate), ``"write"``, or ``"contribute"`` (write, or open a
            pull request).
        pull: Whether a pull request is asked for.

    Raises:
        Refusal: 401 or 403.
    """
    member = user is not None and user.belongs_to(repo.namespace)
    if need == "files" and repo.gated and not member and (user is None or user.name not in repo.granted):
        told = f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list."
        raise Refusal(401 if user is None else 403, told, "GatedRepo")
    if need not in ("write", "contribute"):
        return
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    if need == "contribute" and pull and user.write:
        return
    if not (member and user.write):
        raise Refusal(403, f"You don't have the rights to change the {repo.kind} {repo.id} with this token.")
