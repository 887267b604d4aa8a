"""Loading, verifying and publishing a model through each fault at each request: right, or one clear line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from published_everyday import QUICK, REPO, client_of, published, quick_api, users
from test_publish_model import MODEL, run, sent

from dfar_toolkit.errors import HubError
from dfar_toolkit.files.items import read_items
from dfar_toolkit.hub.addresses import Address
from dfar_toolkit.hub.load import fetch_snapshot
from dfar_toolkit.hub.loopback import Fault, LoopbackHub
from dfar_toolkit.hub.loopback.faults import FaultKind
from dfar_toolkit.hub.verify import verify

pytest.importorskip("huggingface_hub")
__all__ = ["run"]  # the fixture
KINDS: tuple[FaultKind, ...] = ("status", "drop_before", "drop_after", "truncate", "flip")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub(users()) as running, client_of(monkeypatch, tmp_path, running):
        yield running


def line(error: HubError) -> str:
    """The message, which is one line without the token."""
    said = str(error)
    if "\n" in said or "ann-token" in said:
        pytest.fail(said)
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "times"), [*((kind, 1) for kind in KINDS), ("status", None), ("flip", None)])
def test_a_fault_while_loading(
    hub: LoopbackHub, demo: Path, tmp_path: Path, kind: FaultKind, times: int | None
) -> None:
    published(hub, demo / "items")
    want, outcomes, number = read_items(demo / "items").items, [], 0
    while True:
        number += 1
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        hub.faults.clear()
        fault = hub.fail(Fault(kind, nth=number, times=times))
        try:
            snapshot = fetch_snapshot(Address(REPO, None), api=quick_api(hub), patience=QUICK)
        except HubError as error:
            outcomes.append(line(error))
            hub.faults.clear()
            snapshot = fetch_snapshot(Address(REPO, None), api=quick_api(hub), patience=QUICK)
        else:
            outcomes.append("right")
        assert read_items(snapshot.folder).items.equals(want)
        if not fault.fired:
            break
    assert number > 30
    if times == 1:
        assert set(outcomes) == {"right"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flip", "truncate"])
def test_a_fault_while_verifying(hub: LoopbackHub, demo: Path, kind: FaultKind) -> None:
    published(hub, demo / "items")
    number = 0
    while True:
        number += 1
        hub.faults.clear()
        fault = hub.fail(Fault(kind, nth=number))
        assert verify(Address(REPO, None), against=demo / "items", api=quick_api(hub), patience=QUICK).same, number
        if not fault.fired:
            break
    assert number > 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["status", "status_after", "drop_before", "drop_after", "truncate"])
def test_a_fault_while_publishing_a_model(hub: LoopbackHub, run: Path, kind: FaultKind) -> None:
    number, said = 0, 0
    while True:
        number += 1
        if hub.repos.find("model", MODEL):
            hub.repos.delete("model", MODEL)
        hub.faults.clear()
        fault = hub.fail(Fault(kind, nth=number))
        try:
            sent(hub, run, tag="v1.0.0")
        except HubError as error:
            said += len(line(error)) > 0
            sent(hub, run, tag="v1.0.0")
        repo = hub.repos["model", MODEL]
        assert len(repo.history()) == 2
        assert repo.tags == {"v1.0.0": repo.branches["main"]}
        if not fault.fired:
            break
    assert number > 15
    assert said <= 2
