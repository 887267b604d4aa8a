"""Results that take seconds: made once per index and kept, and nobody waits for them but who asked for the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from dfar_toolkit.browsing.item_filter import ItemFilter
from dfar_toolkit.browsing.item_index import ItemIndex

Found = TypeVar("Found")
_KEPT: Final = 100  # results; tables of some rows


class SlowResults:
    """Results by key, the last ones asked for; safe between threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """What ``make`` gives, made once: who asks for it while it is made waits for it, others do not.

        Example:
            >>> results = SlowResults()
            >>> results.get("k", lambda: 1), results.get("k", lambda: 2)
            (1, 1)
        """
        with self._lock:
            known = self._kept.get(key)
            mine: Future[Any] = known or Future()
            self._kept[key] = mine
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        if known is None:
            try:
                mine.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._kept.pop(key, None)
                mine.set_exception(error)
                raise
        found: Found = mine.result()
        return found

    def knows(self, key: Hashable) -> bool:
        """Whether the result is there already."""
        with self._lock:
            known = self._kept.get(key)
        return known is not None and known.done()


def slow_results(index: ItemIndex) -> SlowResults:
    """The results kept with an index."""
    return index.remembered("slow results", SlowResults)


def filter_key(index: ItemIndex, wanted: ItemFilter) -> Hashable:
    """The filter as part of a key; with what is flagged now, where it asks for that, as flags change."""
    flagged = None if wanted.flagged is None else index.column("flagged").arg_true().to_numpy().tobytes()
    return wanted, flagged
