"""What a repository holds: its facts, its tree, some of its paths."""

from __future__ import annotations

from typing import Any

from dfar_toolkit.hub.loopback.access import HubState, Request
from dfar_toolkit.hub.loopback.account_routes import card_metadata
from dfar_toolkit.hub.loopback.answers import Answer, json_answer, no_entry
from dfar_toolkit.hub.loopback.ref_routes import paged
from dfar_toolkit.hub.loopback.repositories import MAIN, Commit, Repo
from dfar_toolkit.hub.loopback.stored_files import folder_oid, folders_of


def repo_info(state: HubState, request: Request) -> Answer:
    """``GET /api/{kind}s/{id}`` and ``.../revision/{rev}``."""
    repo = request.repo
    commit = repo.find(request.part.get("rev", MAIN))
    siblings: list[dict[str, Any]] = []
    for path, file in sorted(commit.files.items()):
        one: dict[str, Any] = {"rfilename": path}
        if request.flag("blobs"):
            lfs = file.as_json(path).get("lfs")
            one |= {"size": file.size, "blobId": file.oid}
            if isinstance(lfs, dict):
                one["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
        siblings.append(one)
    card = _card(commit)
    told: dict[str, Any] = {
        "_id": repo.history()[-1].oid[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.history()[-1].date,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{card['license']}"] if isinstance(card.get("license"), str) else [],
        "cardData": card,
        "siblings": siblings,
        "usedStorage": sum(file.size for file in commit.files.values()),
    }
    if repo.kind == "model":
        told["modelId"] = repo.id
    wanted = {value for name in ("expand", "expand[]") for value in request.query.get(name, [])}
    return json_answer({key: told[key] for key in told if not wanted or key in wanted | {"_id", "id"}})


def _card(commit: Commit) -> dict[str, Any]:
    """The metadata of the card, empty where there is none or it cannot be read."""
    card = commit.files.get("README.md")
    found = card_metadata((card.content or b"").decode("utf-8", "replace"))[0] if card else {}
    return {str(key): value for key, value in found.items()}


def tree(state: HubState, request: Request) -> Answer:
    """``GET .../tree/{rev}[/{folder}]``, folders first at each level."""
    repo, folder = request.repo, request.part.get("path", "").strip("/")
    commit = repo.find(request.part["rev"])
    folders = folders_of(commit.files)
    if folder and folder not in folders:
        raise no_entry(folder, commit.oid)
    start = f"{folder}/" if folder else ""
    deep = request.flag("recursive")
    inside = [
        path
        for path in [*sorted(folders), *sorted(commit.files)]
        if path.startswith(start) and path != folder and (deep or "/" not in path[len(start) :])
    ]
    return paged(state, request, _entries(repo, commit, inside, expand=request.flag("expand")))


def paths_info(state: HubState, request: Request) -> Answer:
    """``POST .../paths-info/{rev}``; unknown paths are left out."""
    commit, form = request.repo.find(request.part["rev"]), request.form()
    known = folders_of(commit.files) | set(commit.files)
    paths = [path for path in dict.fromkeys(p.strip("/") for p in form.get("paths", [])) if path in known]
    expand = form.get("expand", [""])[-1].lower() in ("1", "true")
    return json_answer(_entries(request.repo, commit, paths, expand=expand))


def _entries(repo: Repo, commit: Commit, paths: list[str], *, expand: bool) -> list[dict[str, Any]]:
    """These files and folders as listings show them."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        if path in commit.files:
            rows.append(commit.files[path].as_json(path))
        else:
            rows.append({"type": "directory", "oid": folder_oid(commit.files, path), "size": 0, "path": path})
    if expand:
        last = _last_commits(repo, commit)
        for row in rows:
            newest = last[row["path"]]
            row["lastCommit"] = {"id": newest.oid, "title": newest.title, "date": newest.date}
            if row["type"] == "file":
                scan = {"status": "unscanned", "avScan": None, "pickleImportScan": None}
                row["securityFileStatus"] = scan
    return rows


def _last_commits(repo: Repo, commit: Commit) -> dict[str, Commit]:
    """The newest commit that changed each file or something in each folder."""
    last: dict[str, Commit] = {}
    for step in repo.history(commit.oid):
        before = repo.commits[step.parent].files if step.parent else {}
        changed = {path for path in {*step.files, *before} if step.files.get(path) != before.get(path)}
        for path in changed | folders_of(changed):
            last.setdefault(path, step)
    return last
