"""An ASGI application asked in this process: one request or WebSocket, and all that was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dfar_toolkit._viewer.protection import Application, Message, Receive, Send

PAGE = b"<html><head><script>\n  first()\n</script><script src='./a.js'></script></head><body></body></html>"


@dataclass(frozen=True)
class Answered:
    """Status (101: the WebSocket was opened), headers by name, cookies set, body."""

    status: int
    headers: dict[str, str]
    body: str


def ask(
    app: Application,
    address: str,
    headers: Mapping[str, str] | None = None,
    *,
    kind: str = "http",
    method: str = "GET",
    extensions: Mapping[str, object] | None = None,
) -> Answered:
    """Ask for an address of ``http://127.0.0.1:8501``, or what the headers say."""
    sent: list[Message] = []
    parts = urlsplit(address)
    said = {"host": "127.0.0.1:8501", **(headers or {})}
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "scheme": "http",
        "path": unquote(parts.path),
        "query_string": parts.query.encode(),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in said.items() if v],
        "client": ("10.0.0.7", 5000),
        "extensions": extensions or {},
    }
    if kind == "websocket":
        del scope["method"]

    async def receive() -> Message:
        return {"type": f"{kind}.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_call(app, scope, receive, send))
    start = sent[0]
    status = {"websocket.accept": 101, "websocket.close": 403}.get(start["type"]) or start["status"]
    found = {k.decode(): v.decode("latin-1") for k, v in start.get("headers", ())}
    return Answered(status, found, b"".join(m.get("body", b"") for m in sent[1:]).decode())


async def _call(app: Application, scope: Message, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def bare_app(scope: Message, receive: Receive, send: Send) -> None:
    """What stands for Streamlit: documents in two pieces, a picture under /media/, and a WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": []})
        return
    media = scope["path"].startswith("/media/")
    kind = b"image/png" if media else b"text/plain" if scope["path"] == "/_stcore/health" else b"text/html; charset=u"
    passed = b" ".join(key for key, _ in scope["headers"])
    headers = [(b"content-type", kind), (b"content-length", b"1"), (b"etag", b"x"), (b"x-frame-options", b"ALLOW")]
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"x-passed", passed)]})
    await send({"type": "http.response.body", "body": PAGE[:30], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[30:]})
