"""Connections of the loopback Hub: a thread for each, every request logged, faults struck as they were set."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread, current_thread
from typing import Final
from urllib.parse import parse_qs, unquote

from dfar_toolkit.hub.loopback.access import HubState, Request, user_of
from dfar_toolkit.hub.loopback.answers import Answer, Refusal
from dfar_toolkit.hub.loopback.faults import Fault, Faults, cut, flipped
from dfar_toolkit.hub.loopback.request_log import RequestLog
from dfar_toolkit.hub.loopback.routes import answer, find_route

_PIECE: Final = 1 << 16
PATIENCE: Final = 10.0  # seconds for the threads to end


@dataclass(slots=True)
class Inside:
    """What the connections share; ``closing`` is set when the hub is to end, ``defects`` are tracebacks of its own."""

    state: HubState
    log: RequestLog
    faults: Faults
    defects: list[str] = field(default_factory=list)
    closing: Event = field(default_factory=Event)


class _SentBody:
    """The body of one request, read from its connection no further than its length."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.left = handler.announced
        self.read = 0
        self._held: list[bytes] = []

    def parts(self) -> Iterator[bytes]:
        """In pieces, as they come in."""
        yield from self._held
        self._held = []
        while self.left:
            piece = self._handler.rfile.read(min(self.left, _PIECE))
            if not piece:
                raise ConnectionError("the client left in the middle of its request")
            self.left -= len(piece)
            self.read += len(piece)
            yield piece

    def hold(self) -> None:
        """Take it all from the connection now."""
        self._held = list(self.parts())


class _Handler(BaseHTTPRequestHandler):
    """One connection: request after request until either side closes it."""

    protocol_version = "HTTP/1.1"
    server_version = "LoopbackHub"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and a short body leave in one piece
    server: ConnectionServer
    announced: int = 0

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the hub keeps its own log."""

    def finish(self) -> None:
        """Let go of the connection, also where the client no longer listens."""
        with suppress(OSError):
            super().finish()
        self.rfile.close()

    def do_GET(self) -> None:
        """Serve one request of any method."""
        inside, state = self.server.inside, self.server.inside.state
        refusal: Refusal | None = None
        try:
            user = user_of(state, self.headers.get("Authorization"))
        except Refusal as unknown:
            user, refusal = None, unknown
        path, _, query = self.path.partition("?")
        entry = inside.log.open(self.command, self.path, dict(self.headers.items()), user.name if user else "")
        route = find_route(self.command, path)
        fault = inside.faults.choose(self.command, unquote(self.path), entry.number)
        inside.log.note(entry.number, writes=bool(route and route[0].writes), fault=fault.kind if fault else "")
        if fault and fault.kind == "drop_before":
            return self._drop()
        length = self.headers.get("Content-Length") or "0"
        self.announced = int(length) if length.isdecimal() else 0
        body = _SentBody(self)
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            found = Refusal(411, "A request needs a Content-Length.").answer
        elif fault and fault.kind == "status":
            found = Answer(fault.status, fault.headers, fault.body)
        elif fault and fault.kind == "hang" and not self._waited(body, fault.seconds):
            return self._drop()
        elif refusal is not None and not path.startswith("/cdn/"):
            found = refusal.answer
        else:
            asked = Request(self.command, path, parse_qs(query, keep_blank_values=True), self.headers, user, body)
            found = self._answer(asked)
        for _ in body.parts():  # what a refusal left unread would be taken for the next request
            pass
        inside.log.note(entry.number, received=body.read)
        self._send(entry.number, found, fault)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

    def _answer(self, request: Request) -> Answer:
        """The answer; a defect of the hub itself is answered with 500 and kept for the end."""
        try:
            return answer(self.server.inside.state, request)
        except OSError:
            raise
        except Exception as defect:
            self.server.inside.defects.append(traceback.format_exc())
            return Refusal(500, f"The loopback Hub has a defect: {defect!r}").answer

    def _send(self, number: int, found: Answer, fault: Fault | None) -> None:
        """Send the answer, or what the fault makes of it."""
        inside, kind = self.server.inside, fault.kind if fault else ""
        if fault and kind == "status_after":
            found = Answer(fault.status, fault.headers, fault.body)
        if kind == "drop_after" or (fault and kind == "hang_after" and not self._wait(fault.seconds)):
            return self._drop()
        bodiless = self.command == "HEAD" or found.status in (204, 304)
        sent = 0 if bodiless else found.size
        parts = iter(()) if bodiless else found.parts()
        if fault and kind == "flip" and sent:
            parts = flipped(parts, min(sent // 2 if fault.at is None else fault.at, sent - 1))
        if fault and kind == "truncate":
            sent = min(sent // 2 if fault.at is None else fault.at, sent)
            parts = cut(parts, sent)
        inside.log.note(number, status=found.status, sent=sent)
        self.send_response(found.status)
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(found.size))
        if kind == "truncate" and (bodiless or not found.size):  # no body to cut: the first line is
            self.connection.sendall(b"HTTP/1.")
            return self._drop()
        self.end_headers()
        left = 0 if bodiless else found.size
        for part in parts:
            self.wfile.write(part)
            left -= len(part)
        self.wfile.flush()
        if left or kind == "truncate":
            self._drop()

    def _drop(self) -> None:
        """Close the connection without another word, whatever is still missing."""
        self.close_connection = True
        _shut(self.connection)

    def _waited(self, body: _SentBody, seconds: float) -> bool:
        """Take the whole request, then wait; whether hub and client are still there."""
        body.hold()  # else its bytes would hide that the client has gone
        return self._wait(seconds)

    def _wait(self, seconds: float) -> bool:
        """Wait; whether hub and client are still there afterwards."""
        if self.server.inside.closing.wait(seconds):
            return False
        self.connection.setblocking(False)
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.setblocking(True)


class ConnectionServer(HTTPServer):
    """Accepts connections, each in a thread of its own that :meth:`end` waits for."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, inside: Inside, port: int) -> None:
        self.inside = inside
        self.held: dict[Thread, socket.socket] = {}
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve a connection in a new thread."""
        assert isinstance(request, socket.socket)
        thread = Thread(target=self._serve, args=(request, client_address), daemon=True, name="loopback-connection")
        self.held[thread] = request
        thread.start()

    def _serve(self, connection: socket.socket, client_address: object) -> None:
        try:
            self.finish_request(connection, client_address)
        except OSError:
            pass  # a client that breaks off is no error
        except Exception:
            self.inside.defects.append(traceback.format_exc())
        finally:
            self.shutdown_request(connection)
            self.held.pop(current_thread(), None)

    def end(self) -> None:
        """Close every connection and wait for the threads."""
        self.server_close()
        for thread, connection in list(self.held.items()):
            _shut(connection)
            thread.join(PATIENCE)


def _shut(connection: socket.socket) -> None:
    """End a connection in both directions; its owner closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
