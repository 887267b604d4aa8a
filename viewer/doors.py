"""Who may come in, and as whom: a secret per role, and a cookie that proves that its bearer knew one of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, Literal

from dfar_toolkit.errors import TableError

Role = Literal["reader", "judge", "coordinator"]
SERVED: Final = "DFAR_VIEWER_SERVED"  # the port, where our own server runs: it puts page.js into the page itself
TOKEN: Final = "DFAR_VIEWER_TOKEN"
COORDINATOR_TOKEN: Final = "DFAR_VIEWER_COORDINATOR_TOKEN"
_SHORTEST: Final = 16  # characters: guessing one takes longer than anybody has


@dataclass(frozen=True, slots=True, repr=False)
class Doors:
    """The secrets of roles, and what those are who have none.

    Attributes:
        unasked: The role of whoever comes without a secret; None: nobody comes in.
        keys: Role and secret; the secrets differ.

    Example:
        >>> ways = Doors("judge", (("coordinator", "a secret of some length"),))
        >>> ways.role_of_cookie(ways.cookie("coordinator")), ways.role_of_token("another")
        ('coordinator', None)
    """

    unasked: Role | None
    keys: tuple[tuple[Role, str], ...] = ()

    def role_of_token(self, given: str) -> Role | None:
        """The role that a secret opens; how long the answer takes tells nothing of the secrets."""
        return _same(given, self.keys)

    def role_of_cookie(self, given: str) -> Role | None:
        """The role that a cookie stands for, None where it is none of ours."""
        return _same(given, tuple((role, _sealed(role, secret)) for role, secret in self.keys))

    def cookie(self, role: Role) -> str:
        """What the cookie of a role holds: not the secret itself, and the same after a restart with that secret."""
        return next(_sealed(named, secret) for named, secret in self.keys if named == role)


def doors(environment: Mapping[str, str], *, judging: bool) -> Doors:
    """The doors that the environment of the process says; see :func:`make_secrets`."""
    token, coordinator = environment.get(TOKEN, ""), environment.get(COORDINATOR_TOKEN, "")
    everybody: Role = "judge" if judging else "reader"
    keys: list[tuple[Role, str]] = [(everybody, token)] if token else []
    if judging and coordinator:
        keys.append(("coordinator", coordinator))
    return Doors(None if token else everybody, tuple(keys))


def check_secrets(environment: Mapping[str, str]) -> None:
    """Refuse secrets that could be guessed, or that do not tell roles apart.

    Raises:
        TableError: One is too short or is no plain text, or both are the same.
    """
    for name in (TOKEN, COORDINATOR_TOKEN):
        value = environment.get(name, "")
        if value and (len(value) < _SHORTEST or not value.isascii() or not value.isprintable() or " " in value):
            raise TableError(
                f"{name}: wanted at least {_SHORTEST} letters, digits or signs without a blank; leave it unset for a "
                "random one."
            )
    if environment.get(TOKEN) and environment.get(TOKEN) == environment.get(COORDINATOR_TOKEN):
        raise TableError(f"{TOKEN} and {COORDINATOR_TOKEN} are the same, so judges would be coordinators; change one.")


def make_secrets(environment: MutableMapping[str, str], *, open_to_others: bool, judging: bool) -> frozenset[str]:
    """Put random secrets where secrets are needed and none are set.

    Args:
        environment: That of the process: pages read it too, other users of the machine cannot.
        open_to_others: Whether others than this machine can connect; then nobody comes in without a secret.
        judging: Whether a round is judged; then its coordinator has a secret.

    Returns:
        The names of those that were made.
    """
    wanted = ([TOKEN] if open_to_others else []) + ([COORDINATOR_TOKEN] if judging else [])
    made = frozenset(name for name in wanted if not environment.get(name))
    for name in made:
        environment[name] = secrets.token_urlsafe(32)
    return made


def cookie_name() -> str:
    """Of this viewer: browsers share cookies between the ports of a machine."""
    return f"dfar-viewer-{os.environ.get(SERVED, '')}"


def _same(given: str, among: tuple[tuple[Role, str], ...]) -> Role | None:
    found: Role | None = None
    for role, secret in among:  # all of them, whichever it is
        if hmac.compare_digest(given.encode(), secret.encode()):
            found = role
    return found


def _sealed(role: Role, secret: str) -> str:
    return hmac.new(secret.encode(), f"dfar viewer {role}".encode(), hashlib.sha256).hexdigest()
