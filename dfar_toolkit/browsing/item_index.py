"""The index of a browser: what a list of items shows and filters by, one row per item, read only when it is asked for.

The columns come in parts, each read once from the narrowest files that hold it and kept: names and labels first
(milliseconds at a million items), then texts, ratings, answers of each run, judgements. Rows keep the order of the
files for good, so a row number names an item as well as its id does. Files that are missing or broken leave gaps that
``problems`` tells of; an index is only refused where there is no items folder.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from dfar_toolkit.browsing.item_columns import (
    as_enum,
    audit_rows,
    enum_names,
    facts_columns,
    group_column,
    item_files,
    raters_of,
    reason,
    text_columns,
)
from dfar_toolkit.browsing.rating_columns import Ratings, ratings, reason_column
from dfar_toolkit.browsing.row_lookup import rows_of
from dfar_toolkit.browsing.run_columns import ReadRun, open_runs, run_answers
from dfar_toolkit.errors import DfarError
from dfar_toolkit.files.items import config_options
from dfar_toolkit.files.judgements import read_judgements
from dfar_toolkit.tables import HUMAN_RUN, empty

Found = TypeVar("Found")
_KEPT: Final = 64  # results of filters and the like; a mask of a million items is a megabyte
_FIXED: Final = {
    **dict.fromkeys(("item_id", "source", "config", "split", "leak_kind", "label"), "facts"),
    **dict.fromkeys(("statement", "length"), "text"),
    **dict.fromkeys(("n_ratings", "disagreement"), "ratings"),
    "group": "group",
    "has_reason": "reasons",
    "flagged": "flagged",
    f"judged bad {HUMAN_RUN}": "judgements",
}


class ItemIndex:
    """Columns of every item of a folder, of runs about it and judgements of their reasons.

    Columns: ``item_id, source, config, split, group, leak_kind, label, statement, length, n_ratings, disagreement,
    has_reason, flagged``; for every run r ``answer r``, ``probability r`` (of that answer), ``state r`` (right, wrong,
    unparsed, failed, missing; answered where people have no label) and ``judged bad r`` (share of judges who reject
    its reason, null where nobody judged). Safe to share between threads.

    ``read_run`` reads outputs that are no parquet table of ours, such as files of other tools; None takes our own only.
    ``notes`` say how such files were read. ``separator`` is that of a CSV file of judgements where it is no comma.
    """

    def __init__(
        self,
        items: Path | str,
        *,
        runs: Sequence[Path | str] = (),
        judgements: Path | str | None = None,
        read_run: ReadRun | None = None,
        separator: str | None = None,
    ):
        self.files = item_files(Path(items))
        self.raters, said = raters_of(self.files)
        opened = open_runs([Path(path) for path in runs], self.files, read_run)
        self.run_files, self.notes = opened.files, tuple(opened.notes)
        self.runs = tuple(self.run_files)
        self._said = [*self.files.problems, *said, *opened.problems]
        self._judged_at, self._separator = None if judgements is None else Path(judgements), separator
        self._columns: dict[str, pl.Series] = {}
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.RLock()
        self._locks: dict[Hashable, Any] = {}
        self._flagged: frozenset[str] = frozenset()
        self._parts = dict(_FIXED)
        for run in self.runs:
            self._parts |= dict.fromkeys((f"answer {run}", f"probability {run}", f"state {run}"), f"run {run}")
            self._parts[f"judged bad {run}"] = "judgements"

    def __len__(self) -> int:
        return sum(part.n_rows for part in self.files.parts)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, or is odd, in what was looked at so far."""
        return tuple(dict.fromkeys(self._said))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that may be asked for."""
        return tuple(self._parts)

    def frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of all items, in the order of the files; nothing is copied.

        Raises:
            ValueError: There is no such column.
        """
        return pl.DataFrame([self.column(name) for name in columns])

    def column(self, name: str) -> pl.Series:
        """One column, read now where it was not before.

        Raises:
            ValueError: There is no such column.
        """
        if name not in self._parts:
            raise ValueError(f'ItemIndex: there is no column "{name}"; found {", ".join(self._parts)}.')
        found = self._columns.get(name)
        if found is None:
            part = self._parts[name]
            with self._lock_of(f"part {part}"):
                if name not in self._columns:
                    self._columns |= {column.name: column for column in self._read(part).get_columns()}
                found = self._columns.get(name)
        return self.column(name) if found is None else found  # flags may have changed since

    def holds(self, names: Sequence[str]) -> bool:
        """Whether these columns have been read already."""
        return all(name in self._columns for name in names)

    def read_all(self) -> None:
        """Read every part now: in a thread of its own while the first page is looked at, which it does not hold up."""
        for name in self._parts:
            self.column(name)
        self.findings()

    def _lock_of(self, what: Hashable) -> Any:
        """One lock for each thing that is made, so that nobody waits for what somebody else wants."""
        with self._lock:
            return self._locks.setdefault(what, threading.RLock())

    def names(self, column: str) -> list[str]:
        """The values that a column of names may have, in order; without a text column's many values."""
        return enum_names(self.column(column))

    def options(self) -> list[str]:
        """Every option of every config, in order."""
        found = config_options(self.files.questions)
        configs = [part.config for part in self.files.parts]
        return list(dict.fromkeys(name for config in configs for name in found[config]))

    def ratings(self) -> Ratings:
        """What people said, in codes."""
        made = lambda: ratings(self.files, self.column("item_id"), self.column("config"))  # noqa: E731
        return self.remembered("ratings", made, says=lambda r: r.problems)

    def findings(self) -> pl.DataFrame:
        """``row, finding`` of the examples of the audit, ``finding`` as an enumeration."""
        made = lambda: audit_rows(self.files, self.column("item_id"))  # noqa: E731
        rows, _ = self.remembered("audit", made, says=lambda r: r[1])
        return rows.with_columns(as_enum(rows["finding"]))

    def judgements(self) -> pl.DataFrame:
        """The table of judgements, empty where there is none or it cannot be read."""
        found, _ = self.remembered("judgements", self._judgements, says=lambda r: r[1])
        return found

    def row_of(self, item_id: str) -> int | None:
        """The row of an item, None where there is none of that id."""
        ids = self.column("item_id")
        hits = (ids == item_id).arg_true()
        return int(hits[0]) if len(hits) else None

    def flag(self, item_ids: Collection[str]) -> None:
        """Say which items are flagged; what was flagged before and is not named is no longer."""
        with self._lock:
            self._flagged = frozenset(item_ids)
            self._columns.pop("flagged", None)
            self._kept = OrderedDict((k, v) for k, v in self._kept.items() if isinstance(k, str))

    def remembered(
        self, key: Hashable, make: Callable[[], Found], *, says: Callable[[Found], Sequence[str]] | None = None
    ) -> Found:
        """What ``make`` gives, made once; of things whose key is no text only the last ones asked for are kept."""
        with self._lock_of(key if isinstance(key, str) else "passing"):
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found: Found = self._kept[key]
                    return found
                flagged = self._flagged
            made = make()
            with self._lock:
                self._said += says(made) if says else ()
                if not isinstance(key, str) and flagged is not self._flagged:
                    return made  # it may be about flags of before
                self._kept[key] = made
                passing = [k for k in self._kept if not isinstance(k, str)]
                for old in passing[: max(0, len(passing) - _KEPT)]:
                    del self._kept[old]
            return made

    def remembers(self, key: Hashable) -> bool:
        """Whether something is remembered by this key."""
        with self._lock:
            return key in self._kept

    def _read(self, part: str) -> pl.DataFrame:
        """The columns of one part, as long as the index whatever the files do."""
        if part.startswith("run "):
            return self._run(part.removeprefix("run "))
        if part == "judgements":
            return self._judged_bad()
        if part == "ratings":
            return self.ratings().items
        if part == "flagged":
            return self.column("item_id").is_in(list(self._flagged)).alias("flagged").to_frame()
        if part == "reasons":
            found, said = reason_column(self.files, self.ratings().long, len(self))
            self._said += said
            return found
        return {"facts": facts_columns, "text": text_columns, "group": group_column}[part](self.files)

    def _run(self, run: str) -> pl.DataFrame:
        facts = self.frame(["item_id", "config", "label"])
        found, said = run_answers(self.run_files[run], run, facts, self.files.questions)
        self._said += said
        answers = found.with_columns(as_enum(found["answer"], self.options()))
        return answers.rename({name: f"{name} {run}" for name in answers.columns})

    def _judgements(self) -> tuple[pl.DataFrame, tuple[str, ...]]:
        if self._judged_at is None:
            return empty("judgements"), ()
        try:
            found = read_judgements(self._judged_at, questions=self.files.questions, separator=self._separator)
            return found, ()
        except (DfarError, OSError, pl.exceptions.PolarsError) as error:
            said = str(error) if isinstance(error, DfarError) else f"{self._judged_at}: {reason(error)}"
            return empty("judgements"), (said,)

    def _judged_bad(self) -> pl.DataFrame:
        runs = (*self.runs, HUMAN_RUN)
        judged = self.judgements().filter(pl.col("value").is_in(["good", "bad"]), pl.col("other_output_id") == "")
        if not len(judged):
            nobody = pl.repeat(None, len(self), dtype=pl.Float64, eager=True)
            return pl.DataFrame([nobody.alias(f"judged bad {run}") for run in runs])
        rows, _ = rows_of(judged["item_id"], self.column("item_id"))
        judged = judged.select("run_id", (pl.col("value") == "bad").alias("bad")).with_columns(rows.alias("row"))
        every = pl.DataFrame({"row": pl.int_range(len(self), dtype=pl.UInt32, eager=True)})
        found = []
        for run in runs:
            share = judged.filter(pl.col("run_id") == run).drop_nulls("row").group_by("row").agg(pl.col("bad").mean())
            beside = every.join(share, on="row", how="left", maintain_order="left")["bad"]
            found.append(beside.alias(f"judged bad {run}"))
        return pl.DataFrame(found)
