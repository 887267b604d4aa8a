"""Each way to fail, at the request it was set for, and a hub that ends without leaving anything."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from loopback_calls import ANN, DATA, USERS, call, commit, file_line, make, upload

from dfar_toolkit.hub.loopback import Fault, LoopbackHub, User, loopback_environment

FILE = "/datasets/ann/data/resolve/main/a.txt"
LOST: Any = (HTTPException, OSError)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(USERS) as running:
        make(running)
        running.repos["dataset", "ann/data"].change({"a.txt": b"0123456789"})
        yield running


def heads(hub: LoopbackHub) -> int:
    return len(hub.repos["dataset", "ann/data"].history())


def test_a_status_instead_of_the_deed(hub: LoopbackHub) -> None:
    hub.fail(Fault("status", method="POST", path="/commit/", status=429, headers={"Retry-After": "3"}, body=b"<p>"))
    reply = commit(hub, file_line("b", b"b"))
    assert (reply.status, reply.headers["retry-after"], reply.body, heads(hub)) == (429, "3", b"<p>", 2)
    assert (hub.log[-1].status, hub.log[-1].fault, hub.log[-1].sent) == (429, "status", 3)
    assert commit(hub, file_line("b", b"b")).status == 200


@pytest.mark.parametrize(("kind", "made"), [("drop_before", 0), ("drop_after", 1)])
def test_a_lost_connection(hub: LoopbackHub, kind: Any, made: int) -> None:
    hub.fail(Fault(kind, path="/commit/"))
    with pytest.raises(LOST):
        commit(hub, file_line("b", b"b"))
    assert (heads(hub), hub.log[-1].status, hub.log[-1].fault) == (2 + made, 0, kind)


def test_a_status_after_the_deed(hub: LoopbackHub) -> None:
    hub.fail(Fault("status_after", path="/commit/", status=502))
    assert commit(hub, file_line("b", b"b")).status == 502
    assert heads(hub) == 3


def test_a_truncated_body(hub: LoopbackHub) -> None:
    hub.fail(Fault("truncate", path="a[.]txt", times=2))
    hub.fail(Fault("truncate", path="a[.]txt", nth=3, at=8))
    for kept in (b"01234", b"01234", b"01234567"):
        with pytest.raises(IncompleteRead) as cut:
            call(hub, "GET", FILE)
        assert cut.value.partial == kept
    assert call(hub, "GET", FILE).body == b"0123456789"
    hub.fail(Fault("truncate", method="HEAD"))
    with pytest.raises(LOST):
        call(hub, "HEAD", FILE)


def test_a_flipped_bit(hub: LoopbackHub) -> None:
    hub.fail(Fault("flip", method="GET"))
    hub.fail(Fault("flip", method="GET", nth=2, at=0))
    assert [call(hub, "GET", FILE).body for _ in range(3)] == [b"0123446789", b"1123456789", b"0123456789"]
    commit(hub, upload(hub, bytes(200_000)))
    hub.fail(Fault("flip", path="parquet", at=150_000))
    found = call(hub, "GET", FILE.replace("a.txt", "data/train.parquet")).body
    assert [place for place, byte in enumerate(found) if byte] == [150_000]


def test_a_hanging_hub(hub: LoopbackHub) -> None:
    hub.fail(Fault("hang", path="/commit/", seconds=0.1))
    assert commit(hub, file_line("b", b"b")).status == 200
    assert heads(hub) == 3
    hub.fail(Fault("hang", path="/commit/", seconds=0.5))
    hub.fail(Fault("hang_after", path="/commit/", nth=2, seconds=0.5))
    for made in (3, 4):  # the client gives up: before the deed, after the deed
        connection = HTTPConnection("127.0.0.1", hub.port, timeout=0.1)
        body = b'{"key":"header","value":{"summary":"x"}}\n'
        connection.request("POST", f"{DATA}/commit/main", body, {"Authorization": f"Bearer {ANN}"})
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        while any(thread.name == "loopback-connection" for thread in threading.enumerate()):
            time.sleep(0.02)
        assert (heads(hub), hub.log[-1].status) == (made, 0)


def test_faults_are_counted(hub: LoopbackHub) -> None:
    by_place = hub.fail(Fault("status", method="GET", nth=2, times=2, status=500))
    by_number = hub.fail(Fault("status", request=len(hub.log) + 4, status=502))
    forever = hub.fail(Fault("status", path=r"[?]blobs=1", times=None, status=504))
    assert [call(hub, "GET", DATA).status for _ in range(5)] == [200, 500, 500, 502, 200]
    assert [call(hub, "GET", f"{DATA}?blobs=1").status for _ in range(3)] == [504] * 3
    assert [(one.seen, one.fired) for one in (by_place, by_number, forever)] == [(8, 2), (8, 1), (3, 3)]
    hub.faults.clear()
    assert call(hub, "GET", f"{DATA}?blobs=1").status == 200
    for wrong in ({"kind": "explode"}, {"kind": "flip", "nth": 0}, {"kind": "flip", "times": 0}):
        with pytest.raises(ValueError, match=r"counts from 1|kind must be one of"):
            Fault(**wrong)  # type: ignore[arg-type]


def test_spoilt_bytes_are_sent_as_they_are(hub: LoopbackHub) -> None:
    one = upload(hub, b"PAR1....PAR1")
    commit(hub, one)
    target, place = FILE.replace("a.txt", "data/train.parquet"), hub.store.path(one["value"]["oid"])
    place.write_bytes(b"PAR2....PAR1")
    assert call(hub, "GET", target).body == b"PAR2....PAR1"
    place.write_bytes(b"PAR2")
    with pytest.raises(IncompleteRead):
        call(hub, "GET", target)


def test_one_connection_serves_many_requests_and_refusals_leave_nothing_behind(hub: LoopbackHub) -> None:
    connection = HTTPConnection("127.0.0.1", hub.port, timeout=5)
    statuses = []
    for token in ("wrong", ANN, "bob-token", ANN):
        body = b'{"key":"header","value":{"summary":"x"}}\n' * 3
        connection.request("POST", f"{DATA}/commit/main", body, {"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        statuses.append(reply.status)
        reply.read()
    connection.close()
    assert statuses == [401, 400, 403, 400]


def test_nothing_is_left_of_a_closed_hub(tmp_path: Path) -> None:
    before = threading.active_count()
    with LoopbackHub(USERS) as hub:
        make(hub)
        upload(hub, b"PAR1")
        folder, port = hub.store.folder, hub.port
        hub.fail(Fault("hang", method="GET", seconds=60))
        idle = socket.create_connection(("127.0.0.1", port))
        hanging = socket.create_connection(("127.0.0.1", port))
        hanging.sendall(f"GET {DATA} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(b"POST /api/repos/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        while len(hub.log) < 5:
            time.sleep(0.01)
        start = time.perf_counter()
    assert time.perf_counter() - start < 2
    assert [one.recv(1) for one in (idle, hanging, half)] == [b""] * 3
    for one in (idle, hanging, half):
        one.close()
    assert threading.active_count() == before
    assert not folder.exists()
    with LoopbackHub(port=port) as again:
        assert again.port == port
        with pytest.raises(OSError, match="in use"):
            LoopbackHub(port=port).start()
    hub.close()


def test_a_defect_of_the_hub_itself_is_not_hidden() -> None:
    hub = LoopbackHub(USERS).start()
    make(hub)
    hub.repos["dataset", "ann/data"].pulls = None  # type: ignore[assignment]
    assert call(hub, "GET", DATA).status == 500
    hub.state.users = {"bad": 3}  # type: ignore[dict-item]
    with pytest.raises(LOST):
        call(hub, "GET", DATA, token="bad")
    assert len(hub.defects) == 2
    with pytest.raises(RuntimeError, match="AttributeError"):
        hub.close()


def test_many_clients_at_once_lose_no_commit(hub: LoopbackHub) -> None:
    def work(number: int) -> None:
        for step in range(10):
            assert commit(hub, file_line(f"{number}/{step}", b"x")).status == 200

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heads(hub) == 52
    assert len(hub.repos["dataset", "ann/data"].find("main").files) == 52


def test_the_environment_outranks_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    with LoopbackHub({"tok": User("ann")}) as hub:
        told = loopback_environment(hub, tmp_path / "home", "tok")
    assert (told["HF_ENDPOINT"], told["HF_TOKEN"], told["HF_HUB_DISABLE_XET"]) == (hub.url, "tok", "1")
    assert told["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert told["HF_HUB_CACHE"].startswith(told["HF_HOME"])
