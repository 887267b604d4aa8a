"""The small set, written once."""

from __future__ import annotations

import pytest
from browsed_folder import Browsed, small_set

from dfar_toolkit.browsing.item_index import ItemIndex


@pytest.fixture(scope="session")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> Browsed:
    return small_set(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="session")
def index(browsed: Browsed) -> ItemIndex:
    return ItemIndex(browsed.items, runs=browsed.runs, judgements=browsed.judgements)
