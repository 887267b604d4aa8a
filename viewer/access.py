"""Who is looking: a reader of everything, a judge who must not see whose reason it is, or who coordinates judges."""

from __future__ import annotations

import os

import streamlit as st

from dfar_toolkit._viewer.arguments import Arguments
from dfar_toolkit._viewer.doors import Role, cookie_name, doors

__all__ = ["Role", "role"]


def role(given: Arguments) -> Role:
    """The role of this browser: where a round is judged whoever comes judges, but for the bearer of the cookie.

    Nothing in the address makes a role: the server takes the key out of it and gives a cookie (``entrance.py``).
    """
    if given.judge is None:
        return "reader"
    return doors(os.environ, judging=True).role_of_cookie(st.context.cookies.get(cookie_name(), "")) or "judge"
