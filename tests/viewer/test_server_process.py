"""The real server with Streamlit in it: what it answers, whom it refuses, how it begins and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from started_server import Started, free_port, started
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dfar_toolkit._viewer import server as own_server
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.launch import command, listening, open_to_others
from dfar_toolkit.errors import HubError, TableError
from dfar_toolkit.journeys.viewer import start_viewer

ROUND = "question: Is this a reason?\n"


@pytest.fixture(scope="module")
def server(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A judging round that others could come to, with two tokens."""
    root = tmp_path_factory.mktemp("served")
    (root / "protocol.yaml").write_text(ROUND)
    # Somebody's own settings do not weaken ours; and what lies there is not imported.
    (root / ".streamlit").mkdir()
    (root / ".streamlit" / "config.toml").write_text(
        '[client]\nshowErrorDetails = "full"\n[browser]\ngatherUsageStats = true\n[server]\nenableCORS = false\n'
    )
    (root / "uvicorn.py").write_text("raise SystemExit('imported from the working directory')")
    port = free_port()
    line = command(demo / "items", [demo / "runs" / "with-reasons.jsonl"], judge=root, port=port, host="127.0.0.1")
    words = ["sh", "-c", f'cd "{root}" && exec "$@"', "sh", *line]
    with started(words, port, root / "log", {"DFAR_VIEWER_TOKEN": "token-of-the-judges"}) as found:
        yield found


def entered(server: Started, path: str) -> str:
    status, headers, _ = server.get(path)
    assert status == 303
    return headers["set-cookie"].partition(";")[0]


def test_what_it_serves_is_covered(server: Started) -> None:
    cookie = {"cookie": entered(server, "/?token=token-of-the-judges")}
    status, headers, page = server.get("/", {**cookie, "accept-encoding": "gzip"})
    assert status == 200
    assert page.count('<script src="./dfar/page.js" defer></script></head>') == 1
    assert "'sha256-" in headers["content-security-policy"]
    script = page.partition('src="./static/js/')[2].partition('"')[0]
    for path in ("/judge", f"/static/js/{script}", "/dfar/page.js", "/_stcore/host-config", "/nothing/", "//x"):
        _, headers, _ = server.get(path, cookie)
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert server.get(path)[0] == 403
        assert server.get(path, {**cookie, "host": "evil.example"})[0] == 403
    assert server.get("/_stcore/upload_file/a/b", cookie, method="PUT")[0] == 405
    assert server.get("/_stcore/health")[2] == "ok"


def test_the_websocket_is_for_its_own_pages_with_a_cookie(server: Started) -> None:
    uri, own = f"ws://127.0.0.1:{server.port}/_stcore/stream", f"http://127.0.0.1:{server.port}"
    cookie = {"Cookie": entered(server, "/?token=token-of-the-judges")}
    with connect(uri, origin=own, subprotocols=["streamlit"], additional_headers=cookie, proxy=None):
        pass
    for origin, headers in ((own, {}), (None, cookie), ("http://evil.example", cookie), (own, {"Cookie": "x=y"})):
        with pytest.raises(InvalidStatus) as refused:
            connect(uri, origin=origin, subprotocols=["streamlit"], additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 403
        assert refused.value.response.headers["X-Frame-Options"] == "DENY"


def test_the_coordinator_has_an_address_of_its_own(server: Started) -> None:
    path = server.said(rf"coordinator: http://127\.0\.0\.1:{server.port}(/coordinator\?key=\S+)")
    assert entered(server, path) != entered(server, "/?token=token-of-the-judges")
    assert "token-of-the-judges" not in server.log.read_text()


def test_it_ends_at_once_and_well(demo: Path, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        port = free_port()
        with started(command(demo / "items", port=port), port, tmp_path / "log") as server:
            uri, own = f"ws://127.0.0.1:{port}/_stcore/stream", f"http://127.0.0.1:{port}"
            with connect(uri, origin=own, subprotocols=["streamlit"], proxy=None):
                server.process.send_signal(number)
                assert server.process.wait(timeout=20) == 0
        assert server.log.read_text() == f"http://127.0.0.1:{port} (stop with Ctrl-C)\n"


def test_a_port_in_use_is_one_line(demo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = subprocess.run(command(demo / "items", port=port), capture_output=True, text=True, check=False)
        with pytest.raises(TableError, match=f"port {port} of 127.0.0.1 is in use"):
            start_viewer(demo / "items", [], port=port)
    assert found.returncode == 1
    assert found.stderr == f"dfar: port {port} of 127.0.0.1 is in use; stop what runs there, or give another --port.\n"


def test_addresses() -> None:
    assert [open_to_others(h) for h in ("127.0.0.5", "::1", "localhost", "::", "192.168.0.2", "lab.example")] == [
        False, False, False, True, True, True,
    ]  # fmt: skip
    with pytest.raises(TableError, match="--host not a name: there is no such address"):
        listening("not a name", 0)
    with pytest.raises(TableError, match=r"cannot listen on port 8501 of 192\.0\.2\.1"):
        listening("192.0.2.1", 8501)


def test_mistakes_are_told_before_it_starts(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*words: object) -> None:
        raise AssertionError(words)

    monkeypatch.setattr(os, "execv", never)
    items = demo / "items"
    (tmp_path / "file").write_text("")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "protocol.yaml").write_text("scale: [one]\n")
    with pytest.raises(TableError, match=r"no protocol\.yaml in it"):
        start_viewer(items, [], judge=tmp_path)
    with pytest.raises(TableError, match="scale must be two different values"):
        start_viewer(items, [], judge=tmp_path / "wrong")
    with pytest.raises(TableError, match=r"--marks .*file: wanted a folder that can be written to"):
        start_viewer(items, [], marks=tmp_path / "file")
    with pytest.raises(TableError, match="wanted an outputs or judgements file, found nothing there"):
        start_viewer(items, [tmp_path / "none.jsonl"])
    with pytest.raises(TableError, match="a set on the Hub is only shown"):
        start_viewer("hf://datasets/org/name", [], marks=tmp_path)
    with pytest.raises(HubError, match="wanted the id of a data set on the Hub"):
        start_viewer("hf://datasets/name", [])
    monkeypatch.setenv("DFAR_VIEWER_TOKEN", "short")
    with pytest.raises(TableError, match="at least 16 letters"):
        start_viewer(items, [])


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = command(
        tmp_path / "items", [tmp_path / "-o.jsonl"], judgements=tmp_path / "j.csv", judge=tmp_path / "r",
        marks=tmp_path / "-m", host="0.0.0.0", allow_hosts=["lab.example"], port=8765,
    )  # fmt: skip
    assert line[:4] == [sys.executable, "-P", "-m", "dfar_toolkit._viewer.server"]
    assert line[4:8] == ["--host=0.0.0.0", "--port=8765", "--allow-host=lab.example", "--"]
    monkeypatch.setenv("DFAR_VIEWER_SERVED", "8765")
    given = arguments(line[8:])
    assert (given.items, given.outputs) == (str(tmp_path / "items"), (tmp_path / "-o.jsonl",))
    assert (given.judgements, given.judge, given.marks) == (tmp_path / "j.csv", tmp_path / "r", tmp_path / "-m")
    monkeypatch.chdir(tmp_path)
    assert arguments(command("-items")[7:]).items == str(tmp_path / "-items")
    assert command("hf://datasets/org/name@v1")[-1] == "hf://datasets/org/name@v1"


def test_the_settings_of_a_space_in_the_docs_are_those_of_our_own_server() -> None:
    text = (Path(__file__).parents[2] / "docs" / "viewer.md").read_text(encoding="utf-8")
    said = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    found = {
        f"{section}.{name}": value
        for section, options in said.items()
        for name, value in options.items()
        if not isinstance(value, dict)
    } | {f"theme.{mode}.{name}": value for mode in ("light", "dark") for name, value in said["theme"][mode].items()}
    own = {name: value for name, value in own_server._OPTIONS.items() if name in found}
    assert own == found
    left_out = {"server.maxUploadSize"} | {name for name in own_server._OPTIONS if name.startswith("theme.")}
    assert set(own_server._OPTIONS) - set(found) <= left_out
