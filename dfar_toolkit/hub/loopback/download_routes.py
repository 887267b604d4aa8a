"""The way out: files at a revision, whole or a range of them, large ones from another host if so wanted."""

from __future__ import annotations

import re
from typing import Final

from dfar_toolkit.hub.loopback.access import HubState, Request
from dfar_toolkit.hub.loopback.answers import Answer, Refusal, no_entry

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def resolve(state: HubState, request: Request) -> Answer:
    """``GET /{id}/resolve/{rev}/{path}``, and HEAD."""
    commit = request.repo.find(request.part["rev"])
    path = request.part["path"]
    file = commit.files.get(path)
    if file is None:
        raise no_entry(path, commit.oid)
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if file.sha256 is None:
        return _sliced(request, Answer(200, headers, file.content or b""))
    headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
    if state.cdn:
        return Answer(302, {**headers, "Location": state.signed(f"/cdn/{file.sha256}")})
    return _sliced(request, Answer(200, headers, file=state.store.path(file.sha256), length=file.size))


def cdn_get(state: HubState, request: Request) -> Answer:
    """``GET /cdn/{oid}``, and HEAD: the bytes of a git-LFS file for whoever has the signed URL."""
    oid = request.part["oid"]
    size = state.store.size(oid)
    if size is None:
        raise Refusal(404, "No such object")
    headers = {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
    return _sliced(request, Answer(200, headers, file=state.store.path(oid), length=size))


def _sliced(request: Request, whole: Answer) -> Answer:
    """The part asked for by ``Range``: 206, or 416 past the end; anything that is no single range is ignored."""
    asked = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    headers = {"Content-Type": "application/octet-stream", **whole.headers}
    size = whole.size
    if asked is None or asked[1] == asked[2] == "":
        return Answer(200, headers, whole.body, whole.file, 0, size)
    if asked[1]:
        start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else size, size)
    else:
        start, stop = max(size - int(asked[2]), 0), size
    if start >= size or start >= stop:
        told = Refusal(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
        raise told
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, headers, whole.body[start:stop], whole.file, start, stop - start)
