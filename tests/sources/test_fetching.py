"""Fetching published files from a loopback server that misbehaves: resumed, checked, unpacked, or refused in a line."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from packed_members import GOOD, tar_of, zip_of

pytest.importorskip("pooch")

from dfar_toolkit.cli import main
from dfar_toolkit.errors import SourceError
from dfar_toolkit.sources import resuming_download
from dfar_toolkit.sources.fetching import RECORD, Fetched, fetch
from dfar_toolkit.sources.published_files import PUBLISHED, Published, PublishedFile, can_be_fetched, published

BODY = bytes(range(256)) * 2000  # 512,000 bytes


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Shop:
    """What the server serves and how: each path's bytes, and a list of mishaps that are used up one a request."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    mishaps: list[str] = field(default_factory=list)
    etag: bool = True
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range
    address: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    shop: Shop

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        shop, name = self.shop, urlsplit(self.path).path
        shop.asked.append((name, self.headers.get("Range", "")))
        mishap = shop.mishaps.pop(0) if shop.mishaps else ""
        if mishap.startswith("status "):
            self._head(int(mishap[7:]), 0)
            return
        if mishap.startswith("redirect "):
            self.send_response(302)
            self.send_header("Location", mishap[9:])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name not in shop.bodies:
            self._head(404, 0)
            return
        body, start, status = shop.bodies[name], 0, 200
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range") in (None, f'"{_sum(body)}"')
        if wanted and shop.ranges and same:
            start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
        self.send_response(status)
        if status == 206:
            first = start + 1 if mishap == "shifted" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if shop.etag:
            self.send_header("ETag", f'"{_sum(body)}"')
        self.send_header("Content-Type", "text/html" if mishap == "page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if mishap.startswith("drop "):
            rest = rest[: int(mishap[5:])]
        if mishap == "slow":
            time.sleep(0.6)
        with contextlib.suppress(OSError):
            self.wfile.write(rest)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Shop(bodies={"/data/a.csv": BODY})
    handler = type("Handler", (_Handler,), {"shop": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Source:
    """A source of the table, made for a test, and how it is fetched."""

    shop: Shop
    patch: pytest.MonkeyPatch
    folder: Path

    def __call__(self, name: str = "a.csv", *, sha256: str | None = None, unpack: tuple[str, ...] = ()) -> Fetched:
        file = PublishedFile(name, f"{self.shop.address}/data/{name}", None, sha256, unpack)
        self.patch.setitem(PUBLISHED, "shop", Published("shop", "mit", "https://example.org", (file,)))
        return fetch("shop", self.folder, timeouts=(1.0, 0.3), tries=3, pause=0.001)


@pytest.fixture
def source(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Source:
    return Source(shop, monkeypatch, tmp_path / "raw")


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class TestOneFile:
    def test_fetched_recorded_and_not_fetched_again(self, source: Source) -> None:
        done = source()
        row = {"name": "a.csv", "address": f"{source.shop.address}/data/a.csv", "sha256": _sum(BODY), "bytes": 512000}
        assert json.loads((source.folder / RECORD).read_text()) == {
            "files": [{**row, "archive": "", "archive_sha256": ""}]
        }
        assert (source.folder / "a.csv").read_bytes() == BODY
        assert (done.already, _left(source.folder)) == ((), ["a.csv", RECORD])
        assert source().already == ("a.csv",)
        assert len(source.shop.asked) == 1

    def test_a_drop_in_the_middle_is_resumed(self, source: Source) -> None:
        source.shop.mishaps = ["drop 204800", "drop 98304"]
        source()
        assert (source.folder / "a.csv").read_bytes() == BODY
        assert [wanted for _, wanted in source.shop.asked] == ["", "bytes=204800-", "bytes=303104-"]

    def test_the_next_call_goes_on_where_the_last_one_gave_up(self, source: Source) -> None:
        source.shop.mishaps = ["drop 204800", "status 503", "status 503", "status 503"]
        with pytest.raises(SourceError, match=r"answered 503 .*3 tries.*same command again"):
            source()
        assert _left(source.folder) == [".a.csv.part", ".a.csv.part.json"]
        (source.folder / ".fetch-killed").mkdir()
        source()
        assert not (source.folder / ".fetch-killed").exists()
        assert source.shop.asked[-1][1] == "bytes=204800-"
        assert (source.folder / "a.csv").read_bytes() == BODY
        assert _left(source.folder) == ["a.csv", RECORD]

    @pytest.mark.parametrize(("ranges", "etag"), [(False, True), (True, False)])
    def test_without_range_or_identity_it_starts_again(self, source: Source, ranges: bool, etag: bool) -> None:
        source.shop.ranges, source.shop.etag = ranges, etag
        source.shop.mishaps = ["drop 204800"]
        source()
        assert (source.folder / "a.csv").read_bytes() == BODY
        assert source.shop.asked[1][1] == ("bytes=204800-" if etag else "")

    def test_a_known_sum_lets_it_resume_without_an_identity(self, source: Source) -> None:
        source.shop.etag, source.shop.mishaps = False, ["drop 204800"]
        source(sha256=_sum(BODY))
        assert source.shop.asked[1][1] == "bytes=204800-"

    @pytest.mark.parametrize("etag", [True, False])
    def test_changed_between_tries_is_never_mixed(self, source: Source, etag: bool) -> None:
        new = BODY[::-1]
        source.shop.etag, source.shop.mishaps = etag, ["drop 204800", *["status 503"] * 3]
        with pytest.raises(SourceError, match="503"):
            source(sha256=_sum(new))
        source.shop.bodies["/data/a.csv"] = new
        source(sha256=_sum(new))
        assert (source.folder / "a.csv").read_bytes() == new

    def test_a_part_of_another_address_is_not_used(self, source: Source) -> None:
        source.folder.mkdir()
        (source.folder / ".a.csv.part").write_bytes(b"x" * 10)
        (source.folder / ".a.csv.part.json").write_text('{"address": "http://other/a.csv", "is": "1"}')
        source()
        assert source.shop.asked == [("/data/a.csv", "")]

    def test_a_shifted_part_is_thrown_away(self, source: Source) -> None:
        source.shop.mishaps = ["drop 204800", "shifted"]
        source()
        assert [wanted for _, wanted in source.shop.asked] == ["", "bytes=204800-", ""]
        assert (source.folder / "a.csv").read_bytes() == BODY

    def test_wrong_bytes_are_refused_with_both_sums(self, source: Source) -> None:
        with pytest.raises(SourceError, match=f"wanted the sha256 {'0' * 64}, found {_sum(BODY)}") as refused:
            source(sha256="0" * 64)
        assert "--from" in str(refused.value)
        assert _left(source.folder) == []
        assert len(source.shop.asked) == 1

    def test_a_recorded_sum_is_checked_ever_after(self, source: Source) -> None:
        source()
        (source.folder / "a.csv").unlink()
        source.shop.bodies["/data/a.csv"] = b"new"
        with pytest.raises(SourceError, match=f"wanted the sha256 {_sum(BODY)}, found {_sum(b'new')}"):
            source()

    def test_a_file_that_is_another_one_is_left_alone(self, source: Source) -> None:
        source.folder.mkdir()
        (source.folder / "a.csv").write_text("mine")
        with pytest.raises(SourceError, match=rf"a\.csv: wanted the sha256 {_sum(BODY)}, found {_sum(b'mine')}"):
            source()  # nothing is known of it: it is compared with what was fetched
        with pytest.raises(SourceError, match="Move it away"):
            source(sha256=_sum(BODY))
        assert (source.folder / "a.csv").read_text() == "mine"
        (source.folder / "a.csv").write_bytes(BODY)
        assert source(sha256=_sum(BODY)).already == ("a.csv",)


class TestRefusals:
    @pytest.mark.parametrize(
        ("mishaps", "said"),
        [
            (["status 404"], "answered 404 Not Found; the file may have moved"),
            (["status 403"], "answered 403"),
            (["slow"] * 3, r"nothing came for 0\.3 s|no answer in time"),
            (["page"], "the server sent a web page instead"),
            (["redirect /data/a.csv"] * 9, "redirected more than 5 times"),
            (["redirect http://example.org/a.csv"], "redirects to http://example.org, which is not among the known"),
            (["redirect file:///etc/passwd"], "not followed"),
        ],
    )
    def test_one_line_each(self, source: Source, mishaps: list[str], said: str) -> None:
        source.shop.mishaps = mishaps
        with pytest.raises(SourceError, match=said) as refused:
            source()
        assert "\n" not in str(refused.value)
        assert not (source.folder / RECORD).exists()

    def test_passing_faults_pass(self, source: Source) -> None:
        source.shop.mishaps = ["status 503", "redirect /data/a.csv", "drop 8192", "slow"]
        source()
        assert (source.folder / "a.csv").read_bytes() == BODY

    def test_nobody_listens(self, source: Source) -> None:
        source.shop.address = "http://127.0.0.1:9"
        with pytest.raises(SourceError, match=r"http://127.0.0.1:9/data/a.csv: no connection \(Connection refused\)"):
            source()

    def test_an_empty_answer(self, source: Source) -> None:
        source.shop.bodies["/data/a.csv"] = b""
        with pytest.raises(SourceError, match="the server sent nothing"):
            source()

    def test_a_full_disk(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Any, answer: Any, url: str, start: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(resuming_download.ResumingDownload, "_write", full)
            with pytest.raises(SourceError, match="no room left on the disk"):
                source()
        source()

    def test_the_folder_is_a_file(self, source: Source) -> None:
        source.folder.write_text("")
        with pytest.raises(SourceError, match="wanted a folder to fetch into; found a file"):
            source()

    def test_a_damaged_record(self, source: Source) -> None:
        source.folder.mkdir()
        (source.folder / RECORD).write_text('{"files": [{"name": 1}]}')
        with pytest.raises(SourceError, match=r"it is damaged\. Move it away"):
            source()


class TestArchives:
    @pytest.mark.parametrize("pack", [tar_of, zip_of])
    def test_the_wanted_members_only(self, source: Source, pack: Callable[[dict[str, bytes]], bytes]) -> None:
        source.shop.bodies["/data/all.pack"] = pack(GOOD)
        done = source("all.pack", unpack=("*.csv",))
        assert {file.name: file.sha256 for file in done.files} == {
            "good/a.csv": _sum(b"1,2\n"),
            "good/deep/b.csv": _sum(b"3\n"),
        }
        assert {file.archive for file in done.files} == {"all.pack"}
        assert _left(source.folder) == ["a.csv", "b.csv", RECORD]
        assert len(source("all.pack", unpack=("*.csv",)).already) == 2
        (source.folder / "good" / "a.csv").unlink()
        assert source("all.pack", unpack=("*.csv",)).already == ()
        assert (source.folder / "good" / "a.csv").read_bytes() == b"1,2\n"
        assert len(source.shop.asked) == 2

    def test_members_that_changed(self, source: Source) -> None:
        source.shop.bodies["/data/all.pack"] = tar_of(GOOD)
        source("all.pack", unpack=("*.csv",))
        (source.folder / "good" / "a.csv").write_text("edited")
        with pytest.raises(SourceError, match="it was changed, or is another version"):
            source("all.pack", unpack=("*.csv",))
        (source.folder / "good" / "a.csv").unlink()
        source.shop.bodies["/data/all.pack"] = tar_of({**GOOD, "good/a.csv": b"new"})
        with pytest.raises(SourceError, match=r"wants good/a.csv with the sha256 .* use a new folder"):
            source("all.pack", unpack=("*.csv",))

    @pytest.mark.parametrize("evil", ["../evil.csv", "/evil.csv", "good/../../evil.csv", "C:/evil.csv", "a\\..\\b.csv"])
    @pytest.mark.parametrize("pack", [tar_of, zip_of])
    def test_names_that_lead_out(self, source: Source, evil: str, pack: Callable[[dict[str, bytes]], bytes]) -> None:
        source.shop.bodies["/data/all.pack"] = pack({**GOOD, evil: b"evil"})
        with pytest.raises(SourceError, match="leads out of the folder; not unpacked"):
            source("all.pack", unpack=("*.csv",))
        assert _left(source.folder.parent) == []


class TestTheTable:
    def test_every_entry_is_whole(self) -> None:
        for spec, entry in PUBLISHED.items():
            assert entry.spec == spec
            assert bool(entry.files) != bool(entry.where), spec
            names = [file.name for file in entry.files]
            assert len({*names}) == len(names)
            for file in entry.files:
                assert file.address.startswith("https://"), spec
                assert file.address.rpartition("/")[2] == file.name, spec
                assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16)), spec
                assert (file.sha256 is None) == (file.n_bytes is None), spec
        assert not can_be_fetched("table")

    def test_unknown_names(self) -> None:
        with pytest.raises(SourceError, match=r'unknown source "dfra"; known are .* Is it "dfar"\?'):
            published("dfra")
        with pytest.raises(SourceError, match=r'fetched set by set; name one of "movies", .*as in eraser:movies'):
            published("eraser")
        with pytest.raises(SourceError, match=r'found "cscs". Is it "csc"'):
            published("lewidi:cscs")
        with pytest.raises(SourceError, match="no address is known; download the data of the second edition"):
            fetch("lewidi:armis", "nowhere")
        assert not Path("nowhere").exists()

    @pytest.mark.real
    def test_the_sums_are_those_of_the_published_files(self, shared_data: Path) -> None:
        here = {path.name: path for path in shared_data.rglob("*") if path.is_file()}
        known = {file.name: file for entry in PUBLISHED.values() for file in entry.files if file.sha256}
        both = sorted(known.keys() & here.keys())
        assert len(both) >= 12
        for name in both:
            data = here[name].read_bytes()
            assert (known[name].n_bytes, known[name].sha256) == (len(data), _sum(data)), name


class TestCommand:
    @pytest.fixture
    def dfar(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        def run(*words: object) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["dfar", *map(str, words)])
            with pytest.raises(SystemExit) as stopped:
                main()
            printed = capsys.readouterr()
            return int(stopped.value.code or 0), printed.out, printed.err

        return run

    def test_a_mirror_by_name(self, dfar: Callable[..., Any], shop: Shop, tmp_path: Path, monkeypatch: Any) -> None:
        files = tuple(
            PublishedFile(name, f"https://never.invalid/x/{name}", len(BODY), _sum(BODY)) for name in ("a.csv", "b.csv")
        )
        monkeypatch.setitem(PUBLISHED, "shop", Published("shop", "mit", "https://example.org/licence", files))
        shop.bodies["/data/b.csv"] = BODY
        words = ("fetch", "shop", "--to", tmp_path / "raw", "--from", f"{shop.address}/data/")
        code, out, err = dfar(*words)
        assert (code, out.splitlines()) == (0, [str(tmp_path / "raw" / name) for name in ("a.csv", "b.csv")])
        assert "licence mit (https://example.org/licence)" in err
        assert "a.csv: 512,000 bytes" in err
        code, out, err = dfar(*words, "--json")
        assert [(row["name"], row["sha256"], row["already"]) for row in json.loads(out)] == [
            ("a.csv", _sum(BODY), True),
            ("b.csv", _sum(BODY), True),
        ]
        assert len(shop.asked) == 2

    def test_exit_codes(self, dfar: Callable[..., Any], shop: Shop, tmp_path: Path) -> None:
        code, out, err = dfar("fetch", "dfar", "--to", tmp_path / "raw", "--from", shop.address)
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith(f"dfar: {shop.address}/DFAR_trainset.csv: the server answered 404")
        assert dfar("fetch", "table", "--to", tmp_path)[0] == 1
        assert dfar("fetch", "dfra", "--to", tmp_path)[0] == 2
        assert dfar("fetch", "dfar", "--to", tmp_path, "--from", "ftp://x")[0] == 2
        assert dfar("fetch", "dfar")[0] == 2
