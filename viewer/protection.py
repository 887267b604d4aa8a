"""What holds for every request: known hosts and origins only, nothing but reading, and headers that keep others out.

A page elsewhere that has its name point to this machine (DNS rebinding) still sends its own name as Host, and opens
WebSockets with its own Origin; a frame or a form elsewhere is refused by what the headers say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_READING: Final = ("GET", "HEAD")  # all else goes through the WebSocket; nothing is uploaded
_PLAIN: Final = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names by which browsers may know the viewer, and whether any numeric address will do as well.

    Example:
        >>> known = Hosts(frozenset({"localhost"}))
        >>> known.allow("localhost:8501"), known.allow("evil.example:8501"), known.allow("localhost@evil.example")
        (True, False, False)
    """

    names: frozenset[str]
    any_address: bool = False

    def allow(self, host: str) -> bool:
        """Whether a Host header names the viewer; the port is the connection's own affair."""
        if not _PLAIN.fullmatch(host):
            return False
        try:
            parts = urlsplit(f"//{host}")
            name, _ = (parts.hostname or "").rstrip("."), parts.port  # which must be a number
        except ValueError:
            return False
        return name in self.names or (self.any_address and _numeric(name))


class Protection:
    """The outermost part of the server."""

    def __init__(self, inside: Application, hosts: Hosts) -> None:
        self.inside, self.hosts = inside, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or one WebSocket's."""
        if scope["type"] not in ("http", "websocket"):
            await self.inside(scope, receive, send)
            return
        host = header(scope, b"host")
        known = self.hosts.allow(host)
        covered = _covered(send, policy(host) if known else policy(""))
        refusal = self._refusal(scope, host, known)
        if refusal is None:
            await self.inside(scope, receive, covered)
        else:
            await refuse(scope, covered, *refusal)

    def _refusal(self, scope: Message, host: str, known: bool) -> tuple[int, str] | None:
        if not known:
            return 403, "The viewer does not go by this name; whoever runs it can add names with --allow-host."
        origin = header(scope, b"origin")
        foreign = origin.partition("://")[2].lower() != host.lower()
        if (origin or scope["type"] == "websocket") and foreign:
            return 403, "The viewer answers its own pages only, not those of another address."
        if scope["type"] == "http" and scope["method"] not in _READING:
            return 405, "The viewer takes no uploads."
        return None


def header(scope: Message, name: bytes) -> str:
    """The value of a header of a request; empty where there is none, or where it stands there twice."""
    found = [value for key, value in scope["headers"] if key == name]
    return bytes(found[0]).decode("latin-1") if len(found) == 1 else ""


def policy(host: str, inline: Sequence[str] = ()) -> str:
    """The content policy: what pages may load (from here alone), and that nobody may frame them.

    Args:
        host: The viewer as the browser calls it; its WebSocket is named for browsers that do not count it as here.
        inline: Digests of inline scripts that may run.
    """
    scripts = " ".join(("'self'", "'wasm-unsafe-eval'", "'unsafe-eval'", *(f"'{digest}'" for digest in inline)))
    sockets = f" ws://{host} wss://{host}" if host else ""
    return (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        f"script-src {scripts}; font-src 'self' data:; connect-src 'self'{sockets}; frame-src 'none'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    )


async def refuse(
    scope: Message, send: Send, status: int, words: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a status and one plain sentence; a WebSocket is not opened."""
    body = f"{words}\n".encode()
    said = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": status, "headers": said})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _covered(send: Send, content_policy: str) -> Send:
    """``send`` with our headers in every answer, instead of such as the application may have set."""
    ours = [*_HEADERS, (b"content-security-policy", content_policy.encode())]

    async def covered(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            theirs = list(message.get("headers") or ())
            kept = {b"content-security-policy"} & {key for key, _ in theirs}  # that of document.py says more
            names = {key for key, _ in ours} - kept
            headers = [pair for pair in theirs if pair[0] not in names] + [pair for pair in ours if pair[0] in names]
            message = {**message, "headers": headers}
        await send(message)

    return covered


def _numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
