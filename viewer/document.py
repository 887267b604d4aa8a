"""The document that every page begins with: Streamlit's own, with our script in it and a policy that knows its own."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from dfar_toolkit._viewer.protection import Application, Message, Receive, Send, header, policy

SCRIPT: Final = "/dfar/page.js"
_FIRST: Final = "/overview"  # which is the first page, and has no address of its own
_INSERTED: Final = b'<script src="./dfar/page.js" defer></script></head>'
_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
# Of the document a browser gets all, plain and new: a compressed or remembered one could not be added to.
_NOT_PASSED_ON: Final = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
_OF_THE_FILE: Final = (b"content-length", b"cache-control", b"etag", b"last-modified", b"accept-ranges")


class Document:
    """Adds ``page.js`` to documents, and answers for it."""

    def __init__(self, inside: Application) -> None:
        self.inside = inside
        self._script = Path(__file__).with_name("page.js").read_bytes()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(("/static/", "/media/")):
            await self.inside(scope, receive, send)
        elif scope["path"] == SCRIPT:
            await _answer(scope, send, 200, [(b"content-type", b"text/javascript; charset=utf-8")], self._script)
        elif scope["path"] == _FIRST:
            where = b"./" + (b"?" + scope["query_string"] if scope.get("query_string") else b"")
            await _answer(scope, send, 307, [(b"location", where)], b"")
        else:
            headers = [pair for pair in scope["headers"] if pair[0] not in _NOT_PASSED_ON]
            await self.inside({**scope, "headers": headers}, receive, _Rewriting(scope, send))


class _Rewriting:
    """``send`` that holds a document back until it is whole; everything else passes."""

    def __init__(self, scope: Message, send: Send) -> None:
        self.scope, self.send = scope, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_document(message):
            self._start = message
        elif message["type"] != "http.response.body" or self._start is None:
            await self.send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        body = self._body.replace(b"</head>", _INSERTED, 1)
        allowed = policy(header(self.scope, b"host"), [_digest(script) for script in _INLINE.findall(body)])
        kept = [p for p in start["headers"] if p[0] not in _OF_THE_FILE]
        await _answer(
            self.scope, self.send, start["status"], [*kept, (b"content-security-policy", allowed.encode())], body
        )


def _is_document(message: Message) -> bool:
    return any(key == b"content-type" and value.startswith(b"text/html") for key, value in message["headers"])


def _digest(script: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode()


async def _answer(scope: Message, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if scope["method"] != "HEAD":
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    said = [*headers, (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
