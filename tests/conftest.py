"""Where tests find the published files, and a seed for hypothesis that does not wander in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_ROOT = Path(__file__).resolve().parent.parent


def _shared(folder: str) -> Path:
    shared = Path(os.environ.get("DFAR_SHARED", _ROOT.parent / "shared")) / folder
    if not shared.is_dir():
        pytest.skip(f"the folder {folder}/ with the published files is not here (set DFAR_SHARED)")
    return shared


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads, and sums come in another order."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return _shared("data")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    return _shared("cases")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded demo, built once; tests that change files copy it first."""
    from dfar_toolkit.journeys.demo import run_demo

    return run_demo(tmp_path_factory.mktemp("built") / "demo").path


@pytest.fixture(scope="session")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small set of tests/browsing, written once."""
    from browsed_folder import small_set

    return small_set(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="session")
def index(browsed: Any) -> Any:
    """Its index."""
    from dfar_toolkit.browsing.item_index import ItemIndex

    return ItemIndex(browsed.items, runs=browsed.runs, judgements=browsed.judgements)
