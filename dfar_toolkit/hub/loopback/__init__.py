"""A Hub on 127.0.0.1 that the Hub's own clients talk to, with a log and faults by order: for rehearsals and tests."""

from __future__ import annotations

from dfar_toolkit.hub.loopback.environment import loopback_environment
from dfar_toolkit.hub.loopback.faults import Fault, SetFault
from dfar_toolkit.hub.loopback.repositories import Commit, Repo, Repos, User
from dfar_toolkit.hub.loopback.request_log import LoggedRequest, RequestLog
from dfar_toolkit.hub.loopback.serving import LoopbackHub

__all__ = [
    "Commit",
    "Fault",
    "LoggedRequest",
    "LoopbackHub",
    "Repo",
    "Repos",
    "RequestLog",
    "SetFault",
    "User",
    "loopback_environment",
]
