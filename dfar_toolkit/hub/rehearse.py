"""A rehearsal: a Hub on this machine, a child process that publishes to it, loads everything back and compares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final

from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.loopback import LoopbackHub, User, loopback_environment
from dfar_toolkit.hub.publish import PublishOptions, check_name

TOKEN: Final = "rehearsal-without-a-secret"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal gave.

    Attributes:
        verdict: The same in one line.
        published: As :meth:`dfar_toolkit.hub.publish.Published.as_json`.
        loaded: ``config, split, rows`` of everything that ``load_dataset`` gave back.
    """

    verdict: str
    published: dict[str, Any]
    loaded: list[dict[str, Any]]


class Rehearsal:
    """Starts at once and runs beside its caller; :meth:`result` waits for it.

    It needs no network and no token, and leaves nothing behind.

    Args:
        folder: An items folder.
        repo_id: The repository that it would be published to.
        options: How it would be published.
        progress: Called with a few words at each step, from ``result``.

    Raises:
        HubError: The name is none of a repository, or the rehearsal failed.
    """

    def __init__(
        self, folder: Path, repo_id: str, options: PublishOptions, *, progress: Callable[[str], None] | None = None
    ) -> None:
        self._tell = progress or (lambda _: None)
        check_name(repo_id)
        namespace = repo_id.partition("/")[0]
        self._hub = LoopbackHub({TOKEN: User("rehearsal", orgs=(namespace,))})
        self._call = [str(Path(folder).absolute()), repo_id, json.dumps(asdict(options))]

    def __enter__(self) -> Rehearsal:
        self._home = TemporaryDirectory(prefix="dfar-rehearsal-")
        self._said = (Path(self._home.name) / "said").open("w+", encoding="utf-8", errors="replace")
        self._hub.start()
        environment = {**os.environ, **loopback_environment(self._hub, Path(self._home.name), TOKEN)}
        # an empty sys.path[0]: a file of the working directory must not stand in for a library
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "dfar_toolkit.hub.rehearsal_child", *self._call],
            stdout=subprocess.PIPE, stderr=self._said, stdin=subprocess.DEVNULL, text=True, encoding="utf-8",
            env={**environment, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore", "USE_TORCH": "0"},
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()
        self._said.close()
        try:
            self._hub.close()
        finally:
            self._home.cleanup()

    def result(self) -> Rehearsed:
        """Wait for the child and give what it found.

        Raises:
            HubError: Publishing or loading back failed.
        """
        assert self._child.stdout is not None
        for line in self._child.stdout:
            try:
                found = json.loads(line)
            except ValueError:  # something that a library printed
                continue
            if "step" in found:
                self._tell(found["step"])
            elif "error" in found:
                raise HubError(f"rehearsal: {found['error']}")
            else:
                return Rehearsed(found["verdict"], found["published"], found["loaded"])
        self._child.wait()
        self._said.seek(0)
        last = (self._said.read().strip().splitlines() or ["no reason given"])[-1][:300]
        raise HubError(f"rehearsal: the process that publishes and loads failed ({last}).")


def rehearse(
    folder: Path, repo_id: str, options: PublishOptions, *, progress: Callable[[str], None] | None = None
) -> Rehearsed:
    """Publish a folder to a Hub on this machine, load it back and compare the digests of its content.

    Args:
        folder: An items folder.
        repo_id: The repository that it would be published to.
        options: How it would be published.
        progress: Called with a few words at each step.

    Returns:
        What was published and what ``load_dataset`` gave back.

    Raises:
        HubError: Publishing or loading back failed, or what came back is something else.
    """
    with Rehearsal(folder, repo_id, options, progress=progress) as running:
        return running.result()
