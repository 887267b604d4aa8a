"""The table of routes, and the one way from a request to its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from dfar_toolkit.hub.loopback import (
    account_routes,
    download_routes,
    listing_routes,
    ref_routes,
    upload_routes,
)
from dfar_toolkit.hub.loopback.access import HubState, Request, demand, visible_repo
from dfar_toolkit.hub.loopback.answers import Answer, Refusal
from dfar_toolkit.hub.loopback.repositories import Kind

_API: Final = r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)"
_WEB: Final = r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+?)"
_REV: Final = r"/(?P<rev>[^/]+)"


@dataclass(frozen=True, slots=True)
class Route:
    """Requests of some methods and paths, what their sender must be allowed to do, and who serves them.

    ``need`` is ``""`` for anyone, ``"see"``, ``"files"``, ``"write"`` or ``"contribute"`` for a repository, ``"key"``
    for a signed URL without a token.
    """

    methods: str
    path: re.Pattern[str]
    need: str
    serve: Callable[[HubState, Request], Answer]
    writes: bool = False


def _route(
    methods: str, path: str, need: str, serve: Callable[[HubState, Request], Answer], *, writes: bool = False
) -> Route:
    return Route(methods, re.compile(path), need, serve, writes)


ROUTES: Final = (
    _route("GET", "/api/whoami-v2", "", account_routes.whoami),
    _route("POST", "/api/validate-yaml", "", account_routes.validate_yaml),
    _route("POST", "/api/repos/create", "", account_routes.create_repo, writes=True),
    _route("DELETE", "/api/repos/delete", "", account_routes.delete_repo, writes=True),
    _route("GET", _API, "see", listing_routes.repo_info),
    _route("GET", f"{_API}/revision{_REV}", "see", listing_routes.repo_info),
    _route("PUT", f"{_API}/settings", "write", account_routes.settings, writes=True),
    _route("GET", f"{_API}/auth-check", "files", account_routes.auth_check),
    _route("GET", f"{_API}/auth-check/write", "write", account_routes.auth_check),
    _route("GET", f"{_API}/refs", "see", ref_routes.refs),
    _route("GET", f"{_API}/commits{_REV}", "see", ref_routes.commits),
    _route("POST", f"{_API}/tag{_REV}", "write", ref_routes.create_tag, writes=True),
    _route("DELETE", f"{_API}/tag{_REV}", "write", ref_routes.delete_tag, writes=True),
    _route("POST", f"{_API}/branch{_REV}", "write", ref_routes.create_branch, writes=True),
    _route("DELETE", f"{_API}/branch{_REV}", "write", ref_routes.delete_branch, writes=True),
    _route("GET", f"{_API}/tree{_REV}(?:/(?P<path>.*))?", "see", listing_routes.tree),
    _route("POST", f"{_API}/paths-info{_REV}", "see", listing_routes.paths_info),
    _route("POST", f"{_API}/preupload{_REV}", "contribute", upload_routes.preupload),
    _route("POST", f"{_API}/commit{_REV}", "contribute", upload_routes.commit, writes=True),
    _route("POST", rf"{_WEB}\.git/info/lfs/objects/batch", "see", upload_routes.lfs_batch),
    _route("POST", rf"{_WEB}\.git/info/lfs/objects/verify", "see", upload_routes.lfs_verify),
    _route("PUT", r"/cdn/(?P<kind>dataset|model)/(?P<id>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})", "key",
           upload_routes.lfs_put, writes=True),
    _route("GET HEAD", r"/cdn/(?P<oid>[0-9a-f]{64})", "key", download_routes.cdn_get),
    _route("GET HEAD", rf"{_WEB}/resolve{_REV}/(?P<path>.+)", "files", download_routes.resolve),
)  # fmt: skip


def find_route(method: str, path: str) -> tuple[Route, re.Match[str]] | None:
    """The route of a request, by its path as sent (so that ``%2F`` in a revision parts nothing)."""
    for route in ROUTES:
        if method in route.methods.split() and (found := route.path.fullmatch(path)):
            return route, found
    return None


def answer(state: HubState, request: Request) -> Answer:
    """What the Hub says to a request."""
    found = find_route(request.method, request.path)
    try:
        if found is None:
            raise Refusal(404, f"The loopback Hub has no route for {request.method} {request.path}.")
        route, match = found
        request.part = {name: unquote(text) for name, text in match.groupdict().items() if text is not None}
        if route.need == "key":
            _check_key(state, request)
            return route.serve(state, request)
        request.content = b"".join(request.body.parts())
        with state.lock:
            if route.need:
                _check_repo(state, request, route)
            return route.serve(state, request)
    except Refusal as refusal:
        return refusal.answer


def _check_key(state: HubState, request: Request) -> None:
    """A signed URL is proof enough, and a token has no business there."""
    if "Authorization" in request.headers:
        raise Refusal(400, "Only one way to prove who you are: the token was sent to a signed URL.")
    if request.query.get("key") != [state.key(request.path)]:
        raise Refusal(403, "Signature does not match.")


def _check_repo(state: HubState, request: Request, route: Route) -> None:
    """Find the repository and refuse who may not do this to it."""
    kind: Kind = "dataset" if request.part.get("kind", "").startswith("dataset") else "model"
    request.held = visible_repo(state, request.user, kind, request.part["id"])
    revision, user = request.part.get("rev", ""), request.user
    number = revision.removeprefix("refs/pr/")
    own = number.isdecimal() and user is not None and request.held.openers.get(int(number)) == user.name
    demand(request.held, user, route.need, pull=request.flag("create_pr") or own)
