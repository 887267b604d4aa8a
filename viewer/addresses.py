"""The address is the state: where the reader stands, what is filtered, and links that lead there.

Every link is a real one: it can be copied, opened in another tab, and undone with the browser's Back. Widgets write
into the address and are set from it, so there is one truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import streamlit as st

from dfar_toolkit.browsing.filter_fitting import fitted
from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex

HOME: Final = "./"
EVERYTHING: Final = ItemFilter()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reader stands, as the address says it.

    Attributes:
        wanted: The filter, without what this set does not know.
        order: Column that items are sorted by, ``-`` before it for the highest first; empty: order of the files.
        number: Page of the list, from 1.
        problems: What of the address was not understood and is left out.
    """

    wanted: ItemFilter
    order: str
    number: int
    problems: tuple[str, ...]


def place(index: ItemIndex) -> Place:
    """The filter, order and page that the address names."""
    query = parameters()
    wanted, said = ItemFilter.from_query(query)
    wanted, more = fitted(wanted, index)
    order = parameter("order")
    problems = [*said, *more]
    if order and order.removeprefix("-") not in index.columns:
        problems.append(f'order "{order[:60]}": there is no such column; left out.')
        order = ""
    number = parameter("page") or "1"
    return Place(wanted, order, int(number) if number.isdecimal() and len(number) < 10 else 1, tuple(problems))


def parameters() -> dict[str, list[str]]:
    """Everything in the address; a name may stand in it several times."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def parameter(name: str) -> str:
    """The last value of a name in the address; empty where there is none."""
    return str((st.query_params.get_all(name) or [""])[-1])


def link(
    page: str,
    wanted: ItemFilter = EVERYTHING,
    *,
    order: str = "",
    number: int = 1,
    more: Mapping[str, str | Sequence[str]] | None = None,
) -> str:
    """The address of a page of the viewer, relative to any other.

    Args:
        page: Its url path; empty for the first one.
        wanted: The filter.
        order: Column that items are sorted by.
        number: Page of the list.
        more: Further parameters, such as ``id``; empty ones are left out.

    Example:
        >>> link("items", ItemFilter(split=("test",)), number=2), link("item", more={"id": "a b"}), link("")
        ('items?split=test&page=2', 'item?id=a+b', './')
    """
    query: dict[str, str | list[str]] = {**{k: v for k, v in (more or {}).items() if v}, **wanted.to_query()}
    if order:
        query["order"] = order
    if number > 1:
        query["page"] = str(number)
    return (page or HOME) + (f"?{urlencode(query, doseq=True)}" if query else "")


def set_parameters(change: Mapping[str, str | Sequence[str] | None], *, drop: Sequence[str] = ("page",)) -> None:
    """Change the address in place, which the browser's Back undoes; empty values and the page number go away."""
    query: dict[str, Any] = {k: v for k, v in parameters().items() if k not in drop}
    query |= {name: value for name, value in change.items() if value}
    st.query_params.from_dict({k: v for k, v in query.items() if k not in change or change[k]})


def bound(key: str, name: str, *, value: str | None = None) -> Callable[[], None]:
    """Tie a text widget to a parameter: set the widget from the address now, write what is typed into it later.

    Args:
        key: Of the widget, made after this call with ``key=key, on_change=bound(...)``.
        name: Of the parameter.
        value: What the widget shows; None takes the parameter as it is.
    """
    st.session_state[key] = parameter(name) if value is None else value

    def write() -> None:
        set_parameters({name: str(st.session_state[key] or "")})

    return write


def remember_step(page: str) -> str:
    """The address before the last change of filter on this page, for an undo; empty where there is none.

    Whoever comes back to where they were has undone a step. From the first one the undo leads to the step that was
    left last: to be there again may have been the change, as when the only condition was taken away.
    """
    here = f"{page or HOME}?{urlencode(sorted(parameters().items()), doseq=True)}"
    steps: list[str] = st.session_state.setdefault(f"steps {page}", [])
    left = f"step left {page}"
    if len(steps) > 1 and steps[-2] == here:
        st.session_state[left] = steps.pop()
    elif not steps or steps[-1] != here:
        steps.append(here)
        st.session_state[left] = ""
    del steps[:-50]
    return steps[-2] if len(steps) > 1 else str(st.session_state[left])
