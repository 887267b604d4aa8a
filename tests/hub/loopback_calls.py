"""Requests to a loopback Hub without the Hub's own clients: what is on the wire, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from dfar_toolkit.hub.loopback import LoopbackHub, User

USERS = {
    "ann-token": User("ann", orgs=("org",)),
    "bob-token": User("bob"),
    "read-token": User("ann", orgs=("org",), write=False),
}
ANN, BOB, READ = USERS
DATA = "/api/datasets/ann/data"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        return self.status, self.headers.get("x-error-code", "")


def call(
    hub: LoopbackHub,
    method: str,
    target: str,
    body: object = None,
    *,
    token: str = ANN,
    headers: Mapping[str, str] | None = None,
    timeout: float = 5,
) -> Reply:
    """One request on a connection of its own; ``target`` may be a whole URL."""
    url = urlsplit(target)
    connection = HTTPConnection(url.hostname or "127.0.0.1", hub.port, timeout=timeout)
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    try:
        path = url.path + (f"?{url.query}" if url.query else "")
        connection.request(method, path, body=payload, headers={**sent, **(headers or {})})
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def file_line(path: str, content: bytes) -> dict[str, Any]:
    told = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": told}


def line(key: str, **value: object) -> dict[str, Any]:
    return {"key": key, "value": value}


def commit_body(changes: Iterable[dict[str, Any]], **header: str) -> bytes:
    rows = [line("header", **{"summary": "change", "description": "", **header}), *changes]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def make(hub: LoopbackHub, **fields: object) -> Reply:
    return call(hub, "POST", "/api/repos/create", {"name": "data", "organization": None, "type": "dataset", **fields})


def commit(
    hub: LoopbackHub, *changes: dict[str, Any], revision: str = "main", token: str = ANN, **header: str
) -> Reply:
    return call(hub, "POST", f"{DATA}/commit/{revision}", commit_body(changes, **header), token=token)


def upload(hub: LoopbackHub, content: bytes) -> dict[str, Any]:
    """Bring bytes into git-LFS and give the line that commits them as data/train.parquet."""
    oid = hashlib.sha256(content).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    (one,) = call(hub, "POST", "/datasets/ann/data.git/info/lfs/objects/batch", asked).json["objects"]
    if "actions" in one:
        assert call(hub, "PUT", one["actions"]["upload"]["href"], content, token="").status == 200
    return line("lfsFile", path="data/train.parquet", algo="sha256", oid=oid, size=len(content))
