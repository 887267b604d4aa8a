"""The round that is judged: one for all browsers, made again when its protocol, items or outputs change."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

import streamlit as st

from dfar_toolkit._viewer.arguments import Arguments
from dfar_toolkit._viewer.sources import Stamp, items_folder, stamp
from dfar_toolkit.errors import DfarError, TableError
from dfar_toolkit.files.judge_log_lines import person_named
from dfar_toolkit.journeys.how_read import HowRead
from dfar_toolkit.journeys.judge_session import JudgeSession, JudgingRound

_KEPT: Final = 200  # sessions; one that is dropped is made again from the disk
PROTOCOL: Final = "protocol.yaml"


class OpenRound:
    """A round with the sessions of its judges, each shared by all the browsers of that judge.

    Attributes:
        judging: The round.
        stamps: Of what it was read from.
    """

    def __init__(self, judging: JudgingRound, stamps: Stamp) -> None:
        self.judging, self.stamps = judging, stamps
        self._sessions: OrderedDict[str, JudgeSession] = OrderedDict()
        self._mutex = threading.Lock()

    def session(self, judge: str) -> JudgeSession:
        """The session of one judge.

        Raises:
            TableError: The name cannot be one, or is not among those that the protocol names.
        """
        name = person_named(judge)
        with self._mutex:
            found = self._sessions.get(name) or self.judging.session(name)
            self._sessions[name] = found
            self._sessions.move_to_end(name)
            if len(self._sessions) > _KEPT:
                self._sessions.popitem(last=False)
            return found


def open_round(given: Arguments, folder: Path) -> OpenRound:
    """The round in a folder, read once.

    Args:
        given: The items and outputs.
        folder: Of the round.

    Raises:
        TableError: As ``JudgingRound.open``.
    """
    items = items_folder(given)
    paths = [folder / PROTOCOL, items, *given.outputs]
    stamps = tuple(part for path in paths for part in stamp(path))
    return _opened(str(folder), str(items), tuple(map(str, given.outputs)), given.how, stamps)


@st.cache_resource(max_entries=2, show_spinner="Reading what is judged…")
def _opened(folder: str, items: str, outputs: tuple[str, ...], how: HowRead, stamps: Stamp) -> OpenRound:
    found = JudgingRound.open(
        Path(folder), [Path(p) for p in outputs], items=items, reading=how.options(), label_map=how.renamed,
        split=how.splits, separator=how.separator,
    )  # fmt: skip
    return OpenRound(found, stamps)


def said_to_judges(error: DfarError | OSError, folder: Path) -> str:
    """What judges are told of a round that cannot be opened: of files other than the protocol nothing but that.

    The name of an outputs file is that of a run, which judges must not learn; it goes to the server's log.
    """
    if isinstance(error, TableError) and str(error).startswith(str(folder / PROTOCOL)):
        return str(error).replace(str(folder / PROTOCOL), PROTOCOL)
    logging.getLogger("dfar_toolkit").error("%s", error)
    return "Something of the round cannot be read. Whoever coordinates it sees what, on the page Coordinator."
