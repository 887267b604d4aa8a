"""Branches, tags and the history of commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from dfar_toolkit.hub.loopback.access import HubState, Request
from dfar_toolkit.hub.loopback.answers import Answer, Refusal, json_answer, no_revision
from dfar_toolkit.hub.loopback.repositories import MAIN, Commit


def paged(state: HubState, request: Request, rows: Sequence[Any]) -> Answer:
    """One page of a listing; the header ``Link`` leads to the next."""
    asked = [request.query.get(name, ["0"])[-1] for name in ("cursor", "limit")]
    if not all(value.isdecimal() for value in asked):
        raise Refusal(400, "cursor and limit must be whole numbers.")
    start, limit = map(int, asked)
    stop = start + min(limit or state.page_size, state.page_size)
    if stop >= len(rows):
        return json_answer(rows[start:])
    kept = [(name, value) for name, values in request.query.items() for value in values if name != "cursor"]
    following = f"{state.url}{request.path}?{urlencode([*kept, ('cursor', str(stop))])}"
    return json_answer(rows[start:stop], headers={"Link": f'<{following}>; rel="next"'})


def refs(state: HubState, request: Request) -> Answer:
    """``GET .../refs``."""
    repo = request.repo

    def listed(space: str, held: dict[Any, str]) -> list[dict[str, str]]:
        return [{"name": str(n), "ref": f"refs/{space}/{n}", "targetCommit": oid} for n, oid in held.items()]

    told = {"branches": listed("heads", repo.branches), "tags": listed("tags", repo.tags), "converts": []}
    if request.flag("include_prs"):
        told["pullRequests"] = listed("pr", repo.pulls)
    return json_answer(told)


def commits(state: HubState, request: Request) -> Answer:
    """``GET .../commits/{rev}``, newest first."""

    def shown(commit: Commit) -> dict[str, Any]:
        told = {"id": commit.oid, "title": commit.title, "message": commit.description, "date": commit.date}
        return {**told, "authors": [{"user": commit.author}]}

    return paged(state, request, [shown(commit) for commit in request.repo.history(request.part["rev"])])


def create_tag(state: HubState, request: Request) -> Answer:
    """``POST .../tag/{rev}``; a tag is never moved."""
    repo, name = request.repo, request.fields().get("tag")
    if not _fine(name):
        raise Refusal(400, "Invalid tag name")
    commit = repo.find(request.part["rev"])
    if name in repo.tags:
        raise Refusal(409, f"Tag {name} already exists")
    repo.tags[str(name)] = commit.oid
    return json_answer({})


def delete_tag(state: HubState, request: Request) -> Answer:
    """``DELETE .../tag/{name}``."""
    if request.repo.tags.pop(request.part["rev"], None) is None:
        raise no_revision(request.part["rev"])
    return json_answer({})


def create_branch(state: HubState, request: Request) -> Answer:
    """``POST .../branch/{name}``."""
    repo, name = request.repo, request.part["rev"]
    if not _fine(name):
        raise Refusal(400, "Invalid branch name")
    commit = repo.find(str(request.fields().get("startingPoint") or MAIN))
    if name in repo.branches:
        raise Refusal(409, f"Branch {name} already exists")
    repo.branches[name] = commit.oid
    return json_answer({})


def delete_branch(state: HubState, request: Request) -> Answer:
    """``DELETE .../branch/{name}``; never the main one."""
    name = request.part["rev"]
    if name == MAIN:
        raise Refusal(403, "The branch main cannot be deleted.")
    if request.repo.branches.pop(name, None) is None:
        raise no_revision(name)
    return json_answer({})


def _fine(name: object) -> bool:
    """Whether git would take this as the name of a branch or tag (roughly)."""
    odd = (" ", "~", "^", ":", "?", "*", "[", "\\", "..", "//", "@{")
    return (
        isinstance(name, str)
        and bool(name)
        and name.isprintable()
        and not any(x in name for x in odd)
        and name[0] not in "/-."
        and name[-1] not in "/."
        and not name.startswith("refs/")
    )
