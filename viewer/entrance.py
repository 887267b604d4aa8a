"""The way in: a secret in the address becomes a cookie and leaves the address; without either nothing is answered."""

from __future__ import annotations

import asyncio
import time
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from dfar_toolkit._viewer.doors import Doors, Role
from dfar_toolkit._viewer.protection import Application, Message, Receive, Send, header, refuse

_NAMES: Final = ("token", "key")
_ALIVE: Final = "/_stcore/health"
_PAUSE: Final = 1.0  # seconds before a wrong secret is answered
_TRIES, _SPAN = 10, 60.0  # wrong secrets of one address, and the seconds that they are remembered
_REMEMBERED: Final = 10_000  # addresses


class WrongTries:
    """How often an address gave a wrong secret of late.

    Example:
        >>> tries = WrongTries()
        >>> for _ in range(10): tries.add("10.0.0.1", at=0.0)
        >>> tries.too_many("10.0.0.1", at=1.0), tries.too_many("10.0.0.2", at=1.0), tries.too_many("10.0.0.1", at=61.0)
        (True, False, False)
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}

    def too_many(self, address: str, *, at: float) -> bool:
        """Whether it gave so many that its next one is not looked at."""
        since, count = self._seen.get(address, (at, 0))
        return count >= _TRIES and at - since < _SPAN

    def add(self, address: str, *, at: float) -> None:
        """One more."""
        since, count = self._seen.pop(address, (at, 0))
        self._seen[address] = (since, count + 1) if at - since < _SPAN else (at, 1)
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]


class Entrance:
    """Lets in who has the cookie of a role, gives it to who has the secret, and all others only where doors are open.

    Args:
        inside: What is behind it.
        doors: The secrets.
        cookie: The name of the cookie.
        pause: Seconds before a wrong secret is answered.
    """

    def __init__(self, inside: Application, doors: Doors, *, cookie: str, pause: float = _PAUSE) -> None:
        self.inside, self.doors, self.cookie, self.pause = inside, doors, cookie, pause
        self._tries = WrongTries()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or one WebSocket's."""
        asked = scope["type"] in ("http", "websocket")
        if not asked or not self.doors.keys or (scope["type"] == "http" and scope["path"] == _ALIVE):
            await self.inside(scope, receive, send)
            return
        secret = _secret(scope) if scope["type"] == "http" else None
        if secret is not None:
            await self._try(scope, send, secret)
        elif self.doors.role_of_cookie(_cookies(scope).get(self.cookie, "")):
            await self.inside(scope, receive, send)
        elif _comes_from_elsewhere(scope):
            # Browsers keep strict cookies back when a link elsewhere was followed, but not when the page asks again.
            await refuse(scope, send, 403, "One moment ...", [(b"refresh", f"0; url={_here(scope)}".encode("latin-1"))])
        elif self.doors.unasked:
            await self.inside(scope, receive, send)
        else:
            await refuse(scope, send, 403, "Open the viewer by the address with the token that was printed for you.")

    async def _try(self, scope: Message, send: Send, secret: str) -> None:
        client = (scope.get("client") or ("",))[0]
        if self._tries.too_many(client, at=time.monotonic()):
            words = "There were too many wrong tokens from your address; try again in a minute."
            await refuse(scope, send, 429, words, [(b"retry-after", b"60")])
            return
        role = self.doors.role_of_token(secret)
        if role is None:
            self._tries.add(client, at=time.monotonic())
            await asyncio.sleep(self.pause)
            await refuse(scope, send, 403, "The token in the address is wrong; ask for the address once more.")
            return
        place = _here(scope).encode("latin-1")
        await refuse(scope, send, 303, "Come in.", [(b"location", place), (b"set-cookie", self._given(scope, role))])

    def _given(self, scope: Message, role: Role) -> bytes:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        return f"{self.cookie}={self.doors.cookie(role)}; Path=/; HttpOnly; SameSite=Strict{secure}".encode()


def _query(scope: Message) -> list[tuple[str, str]]:
    return parse_qsl(bytes(scope.get("query_string", b"")).decode("latin-1"), keep_blank_values=True)


def _secret(scope: Message) -> str | None:
    return next((value for name, value in _query(scope) if name in _NAMES), None)


def _here(scope: Message) -> str:
    """The address that was asked for without the secret, relative, so that it holds behind a proxy too."""
    kept = urlencode([(name, value) for name, value in _query(scope) if name not in _NAMES])
    return f"./{quote(scope['path'].rpartition('/')[2])}" + (f"?{kept}" if kept else "")


def _comes_from_elsewhere(scope: Message) -> bool:
    said = [header(scope, name) for name in (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")]
    return scope["type"] == "http" and said == ["cross-site", "navigate", "document"]


def _cookies(scope: Message) -> dict[str, str]:
    """Taken apart one by one: those of other programs on this machine come too, whatever is in them."""
    sent = ";".join(bytes(value).decode("latin-1") for key, value in scope["headers"] if key == b"cookie")
    pairs = (one.partition("=") for one in sent.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
