"""Who am I; make, settle and remove repositories; look over a card's metadata."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from dfar_toolkit.hub.loopback.access import HubState, Request, demand, visible_repo
from dfar_toolkit.hub.loopback.answers import Answer, Refusal, json_answer
from dfar_toolkit.hub.loopback.repositories import Kind

_NAME: Final = re.compile(r"(?!.*(--|\.\.))(?!.*\.git$)[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_FRONT: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
PREFIX: Final[dict[Kind, str]] = {"dataset": "datasets/", "model": ""}


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses the same key twice, as the Hub does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")]
        twice = [str(key) for at, key in enumerate(keys) if key in keys[:at]]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"duplicated mapping key {twice[0]}", node.start_mark)
        return super().construct_mapping(node, deep)


def card_metadata(content: str) -> tuple[dict[str, Any], list[str]]:
    r"""The metadata at the head of a card, and what is wrong with it.

    Example:
        >>> card_metadata("---\nlicense: mit\n---\n# Data")
        ({'license': 'mit'}, [])
        >>> card_metadata("---\nlicense: [mit\n---\n")[0]
        {}
    """
    front = _FRONT.match(content)
    if front is None:
        return {}, []
    try:
        found = yaml.load(front[1], Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return {}, [" ".join(str(error).split())]
    if found is None:
        return {}, []
    if not isinstance(found, dict):
        return {}, ["The metadata must be a mapping."]
    errors = []
    if not isinstance(found.get("license", ""), str | list):
        errors.append('"license" must be a string or a list')
    configs = found.get("configs", [])
    if not (isinstance(configs, list) and all(isinstance(c, dict) and "config_name" in c for c in configs)):
        errors.append('"configs" must be a list whose entries have a "config_name"')
    return found, errors


def validate_yaml(state: HubState, request: Request) -> Answer:
    """``POST /api/validate-yaml``."""
    found, errors = card_metadata(str(request.fields().get("content", "")))
    warnings = [] if found or errors else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_answer({"errors": [{"message": e} for e in errors], "warnings": warnings}, 400 if errors else 200)


def whoami(state: HubState, request: Request) -> Answer:
    """``GET /api/whoami-v2``."""
    user = request.signed_in
    role = "write" if user.write else "read"
    orgs = [{"type": "org", "name": org, "fullname": org, "roleInOrg": role} for org in user.orgs]
    auth = {"type": "access_token", "accessToken": {"displayName": "loopback", "role": role}}
    told = {"type": "user", "id": user.name, "name": user.name, "fullname": user.name, "orgs": orgs, "auth": auth}
    return json_answer(told)


def _named(request: Request) -> tuple[Kind, str]:
    """The kind and id that a request to create or delete speaks of."""
    user, fields = request.signed_in, request.fields()
    asked, name = fields.get("type") or "model", fields.get("name")
    if asked not in ("dataset", "model"):
        raise Refusal(400, f"Here are only datasets and models, not {asked}.")
    kind: Kind = "dataset" if asked == "dataset" else "model"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refusal(400, "Invalid repo name")
    return kind, f"{fields.get('organization') or user.name}/{name}"


def create_repo(state: HubState, request: Request) -> Answer:
    """``POST /api/repos/create``."""
    user, fields = request.signed_in, request.fields()
    kind, repo_id = _named(request)
    namespace = repo_id.partition("/")[0]
    if not (user.write and user.belongs_to(namespace)):
        raise Refusal(403, f"You don't have the rights to create a {kind} under the namespace {namespace}.")
    told = {"url": f"{state.url}/{PREFIX[kind]}{repo_id}", "name": repo_id, "id": repo_id}
    if state.repos.find(kind, repo_id):
        message = f"You already created this {kind} repo: {repo_id}"
        return json_answer({**told, "error": message}, 409, {"X-Error-Message": message})
    repo = state.repos.create(kind, repo_id, private=_private(fields, default=False), author=user.name)
    return json_answer({**told, "private": repo.private})


def _private(fields: dict[str, Any], *, default: bool) -> bool:
    """Whether the fields ask for a private repository, in the words of either generation of clients."""
    visibility = fields.get("visibility")
    if visibility not in (None, "private", "public"):
        raise Refusal(400, f"Unknown visibility {visibility}")
    if visibility is not None:
        return bool(visibility == "private")
    return default if fields.get("private") is None else bool(fields["private"])


def delete_repo(state: HubState, request: Request) -> Answer:
    """``DELETE /api/repos/delete``."""
    kind, repo_id = _named(request)
    demand(visible_repo(state, request.user, kind, repo_id), request.user, "write")
    state.repos.delete(kind, repo_id)
    return json_answer({})


def settings(state: HubState, request: Request) -> Answer:
    """``PUT /api/{kind}s/{id}/settings``."""
    fields, repo = request.fields(), request.repo
    gated = fields.get("gated", repo.gated)
    if gated not in (False, "auto", "manual"):
        raise Refusal(400, f"Unknown gate {gated}")
    repo.private, repo.gated = _private(fields, default=repo.private), gated
    return json_answer({"private": repo.private, "gated": repo.gated})


def auth_check(state: HubState, request: Request) -> Answer:
    """``GET /api/{kind}s/{id}/auth-check`` and ``.../write``; the route's need is the whole check."""
    return json_answer({})
