"""Environment of a child process whose Hub clients shall talk to the loopback Hub and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from dfar_toolkit.hub.loopback.serving import LoopbackHub


def loopback_environment(hub: LoopbackHub, home: Path, token: str = "") -> dict[str, str]:
    """Variables for a child process; the clients read them when they are imported, so not later.

    They outrank what the caller's own environment says about endpoint, token, caches and offline mode.

    Args:
        hub: A started hub.
        home: Folder for caches and token file; empty for a client that has never met this hub.
        token: One of the hub's tokens; ``""`` for an anonymous client.

    Returns:
        To be laid over ``os.environ``: ``{**os.environ, **loopback_environment(...)}``.

    Example:
        >>> with LoopbackHub() as hub:
        ...     loopback_environment(hub, Path("home"), "tok")["HF_ENDPOINT"] == hub.url
        True
    """
    home = home.resolve()
    hosts = "127.0.0.1,localhost"
    proxied = {
        name: f"{os.environ[name]},{hosts}" if os.environ.get(name) else hosts for name in ("NO_PROXY", "no_proxy")
    }
    return {
        **proxied,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HUGGING_FACE_HUB_TOKEN": "",
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_MODULES_CACHE": str(home / "modules"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
    }
