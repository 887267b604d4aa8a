"""The way in: which files go to git-LFS, their bytes, and the commit that happens whole or not at all."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from dfar_toolkit.hub.loopback.access import HubState, Request, demand
from dfar_toolkit.hub.loopback.account_routes import PREFIX, card_metadata
from dfar_toolkit.hub.loopback.answers import Answer, Refusal, json_answer, no_entry, no_revision
from dfar_toolkit.hub.loopback.repositories import Kind, Repo
from dfar_toolkit.hub.loopback.stored_files import StoredFile, goes_to_lfs, large_file, small_file

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_LFS: Final = {"Content-Type": "application/vnd.git-lfs+json"}


def preupload(state: HubState, request: Request) -> Answer:
    """``POST .../preupload/{rev}``: git or git-LFS, and what lies there already. Nothing is ever ignored."""
    commit = request.repo.find(request.part["rev"])
    attributes = commit.files.get(".gitattributes")
    told = []
    for asked in _list(request.fields(), "files"):
        path, size = str(asked.get("path", "")), asked.get("size")
        if not isinstance(size, int):
            raise Refusal(400, f"The size of {path} must be a number.")
        try:
            sample = base64.b64decode(str(asked.get("sample") or ""))
        except ValueError:
            raise Refusal(400, f"The sample of {path} is not base64.") from None
        large = goes_to_lfs(path, size, sample, (attributes and attributes.content) or b"", state.limit)
        answer: dict[str, Any] = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if path in commit.files:
            answer["oid"] = commit.files[path].etag
        told.append(answer)
    return json_answer({"files": told, "commitOid": commit.oid})


def lfs_batch(state: HubState, request: Request) -> Answer:
    """``POST /{id}.git/info/lfs/objects/batch``: where the bytes go to or come from."""
    fields, repo = request.fields(), request.repo
    downloading = fields.get("operation") == "download"
    if downloading:
        demand(repo, request.user, "files")
    else:  # whoever may open a pull request may upload for it
        demand(repo, request.signed_in, "contribute", pull=True)
    told: list[dict[str, Any]] = []
    for asked in _list(fields, "objects"):
        oid, size = str(asked.get("oid", "")), asked.get("size")
        one: dict[str, Any] = {"oid": oid, "size": size if isinstance(size, int) else 0}
        held = oid in repo.lfs and state.store.size(oid) is not None
        if not _SHA256.fullmatch(oid) or not isinstance(size, int) or size < 0:
            one["error"] = {"code": 422, "message": "oid must be a sha256 and size a number"}
        elif downloading and not held:
            one["error"] = {"code": 404, "message": "Object does not exist"}
        elif downloading:
            one["actions"] = {"download": {"href": state.signed(f"/cdn/{oid}")}}
        elif not held:
            path = f"/cdn/{repo.kind}/{repo.id}/{oid}"
            verify = f"{state.url}/{PREFIX[repo.kind]}{repo.id}.git/info/lfs/objects/verify"
            one["actions"] = {"upload": {"href": state.signed(path, f"size={size}")}, "verify": {"href": verify}}
        told.append(one)
    return json_answer({"transfer": "basic", "hash_algo": "sha256", "objects": told}, headers=_GIT_LFS)


def lfs_put(state: HubState, request: Request) -> Answer:
    """``PUT /cdn/{kind}/{id}/{oid}``: bytes for one repository, kept only if their sha256 is the one announced."""
    kind: Kind = "dataset" if request.part["kind"] == "dataset" else "model"
    oid, size = request.part["oid"], request.query.get("size", [""])[-1]
    if state.store.keep(request.body.parts(), oid) is None or str(state.store.size(oid)) != size:
        raise Refusal(400, f"The bytes are not those of {oid} with {size} bytes.")
    with state.lock:
        repo = state.repos.find(kind, request.part["id"])
        if repo is None:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        repo.lfs.add(oid)
    return Answer(200, {"ETag": f'"{oid}"'})


def lfs_verify(state: HubState, request: Request) -> Answer:
    """``POST /{id}.git/info/lfs/objects/verify``."""
    fields = request.fields()
    oid = str(fields.get("oid", ""))
    if oid not in request.repo.lfs or state.store.size(oid) != fields.get("size"):
        raise Refusal(404, f"Object {oid} of {fields.get('size')} bytes was not stored")
    return json_answer({}, headers=_GIT_LFS)


def commit(state: HubState, request: Request) -> Answer:
    """``POST .../commit/{rev}``, on a branch or as a new pull request (``?create_pr=1``)."""
    repo, revision = request.repo, request.part["rev"]
    header, changes = _lines(request.content)
    pull = request.flag("create_pr")
    pull_ref = revision.startswith("refs/pr/")
    if not (revision.removeprefix("refs/heads/") in repo.branches or pull_ref):
        raise no_revision(revision)
    head = repo.find(revision)
    parent = header.get("parentCommit")
    if parent is not None and parent != head.oid:
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = _changed(repo, head.files, changes, head.oid)
    title, description = str(header["summary"]), str(header.get("description") or "")
    author = request.signed_in.name
    page = f"{state.url}/{PREFIX[repo.kind]}{repo.id}"
    told: dict[str, Any] = {"success": True, "hookOutput": ""}
    if pull:
        number, made = repo.open_pull(revision, files, title, description, author=author)
        told["pullRequestUrl"] = f"{page}/discussions/{number}"
    else:
        made = repo.move(revision, files, title, description, author=author)
    return json_answer({**told, "commitOid": made.oid, "commitUrl": f"{page}/commit/{made.oid}"})


def _lines(content: bytes) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The header and the changes of a commit."""
    try:
        rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        found = [(str(row["key"]), dict(row["value"])) for row in rows]
    except (ValueError, TypeError, KeyError):
        raise Refusal(400, "A commit is lines of JSON with key and value.") from None
    if not found or found[0][0] != "header" or not str(found[0][1].get("summary") or "").strip():
        raise Refusal(400, "A commit starts with a header that has a summary.")
    return found[0][1], found[1:]


def _changed(
    repo: Repo, before: Mapping[str, StoredFile], changes: list[tuple[str, dict[str, Any]]], head: str
) -> dict[str, StoredFile]:
    """The files after the changes; the first that cannot be made refuses them all."""
    files = dict(before)
    for key, value in changes:
        path = _path(value.get("path"))
        if key == "file":
            files[path] = _small(path, value)
        elif key == "lfsFile":
            oid = str(value.get("oid", ""))
            held = repo.store.size(oid) if oid in repo.lfs else None
            if held is None or value.get("size", held) != held:
                raise Refusal(400, f"The bytes of {path} were not uploaded (sha256 {oid}).")
            files[path] = large_file(oid, held)
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise no_entry(path, head)
        elif key == "deletedFolder":
            gone = [name for name in files if name.startswith(path.rstrip("/") + "/")]
            if not gone:
                raise no_entry(path, head)
            for name in gone:
                del files[name]
        else:
            raise Refusal(400, f"Unknown kind of change: {key}")
    return files


def _small(path: str, value: dict[str, Any]) -> StoredFile:
    """A file whose bytes came with the commit; a card with broken metadata is refused."""
    text = str(value.get("content", ""))
    try:
        content = base64.b64decode(text, validate=True) if value.get("encoding") == "base64" else text.encode()
    except ValueError:
        raise Refusal(400, f"The content of {path} is not base64.") from None
    if path == "README.md" and (errors := card_metadata(content.decode("utf-8", "replace"))[1]):
        raise Refusal(400, f"Invalid metadata in README.md: {errors[0]}")
    return small_file(content)


def _path(given: object) -> str:
    """A path inside the repository."""
    path = str(given or "")
    parts = path.rstrip("/").split("/")
    if {"", ".", "..", ".git"} & set(parts) or not path.isprintable():
        raise Refusal(400, f"Invalid path: {path!r}")
    return path


def _list(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects under this name."""
    found = fields.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Refusal(400, f"{name} must be a list of objects.")
    return found
