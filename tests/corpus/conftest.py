"""The real ``datasets`` library, without a network and with a cache of its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The library, imported only after it was told to stay off the network."""
    home = tmp_path_factory.mktemp("hf")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setenv(name, "1")
        patch.setenv("HF_HOME", str(home))
        module = importlib.import_module("datasets")
        # Another test may have imported it before: what it read from the environment then is set here.
        config = importlib.import_module("datasets.config")
        patch.setattr(config, "HF_HUB_OFFLINE", True)
        patch.setattr(config, "HF_DATASETS_CACHE", home / "datasets")
        importlib.import_module("datasets.utils.logging").disable_progress_bar()
        yield module
