"""Scores of explained runs, made when a reader asks for them and kept as long as no file changes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

import polars as pl
import streamlit as st

from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.scored import load_folder
from dfar_toolkit._viewer.sources import Stamp, items_folder, stamp
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.browsing.rationale_results import (
    AskedRows,
    RationaleResults,
    asked_rows,
    perturbed_of,
    rationale_results,
)
from dfar_toolkit.browsing.slow_results import slow_results
from dfar_toolkit.metrics.faithfulness import Perturbed
from dfar_toolkit.metrics.rationale.gold_words import GoldRule
from dfar_toolkit.scoring.rationale_scores import RationalePart

N_BOOT: Final = 1000
CONFIDENCE: Final = 0.95


def results(index: ItemIndex, run: str, part: RationalePart, gold: GoldRule = "majority") -> RationaleResults:
    """Scores and tests of one part about a run.

    Raises:
        DfarError: The run and the items do not fit each other.
    """
    key = ("rationale results", run, part, gold if part == "plausibility" else "")
    kept = slow_results(index)
    waiting = nullcontext() if kept.knows(key) else st.spinner("Computing the numbers of this run, with intervals ...")
    with waiting:
        made = lambda: rationale_results(asked(index, run), part, gold=gold, n_boot=N_BOOT)  # noqa: E731
        found: RationaleResults = kept.get(key, made)
    return found


def asked(index: ItemIndex, run: str) -> AskedRows:
    """The rows of a run that can be scored, with their items.

    Raises:
        DfarError: The run and the items do not fit each other.
    """
    return _asked(index, run, _stamps(index, run))


def perturbed(index: ItemIndex, run: str) -> Perturbed:
    """The answers of a run to changed items.

    Raises:
        DfarError: There are none, or they do not fit the items.
    """
    return _perturbed(index, run, _stamps(index, run))


def _stamps(index: ItemIndex, run: str) -> Stamp:
    return (*stamp(items_folder(arguments())), *stamp(index.run_files[run].path))


@st.cache_resource(max_entries=2, show_spinner=False)
def _asked(_index: ItemIndex, run: str, stamps: Stamp) -> AskedRows:
    rows = _index.run_files[run].scan().filter(pl.col("run_id") == run).collect()
    return asked_rows(rows, load_folder(items_folder(arguments())))


@st.cache_resource(max_entries=2, show_spinner=False)
def _perturbed(_index: ItemIndex, run: str, stamps: Stamp) -> Perturbed:
    return perturbed_of(asked(_index, run))
