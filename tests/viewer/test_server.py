"""The parts of the server around Streamlit, each asked in this process: hosts, origins, headers, secrets, roles."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from asked_app import PAGE, Answered, ask, bare_app

from dfar_toolkit._viewer import access
from dfar_toolkit._viewer.arguments import Arguments, arguments
from dfar_toolkit._viewer.doors import (
    COORDINATOR_TOKEN,
    SERVED,
    TOKEN,
    Doors,
    check_secrets,
    cookie_name,
    doors,
    make_secrets,
)
from dfar_toolkit._viewer.entrance import Entrance
from dfar_toolkit._viewer.protection import Application, Protection, policy
from dfar_toolkit._viewer.server import hosts_of, protected, said_addresses
from dfar_toolkit.errors import TableError

LOOKING = Arguments("items")
JUDGED = Arguments("items", judge=Path("round"))
SECRET, KEY = "the token of everybody", "the key of one person".replace(" ", "-")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVED, "8501")
    for name in (TOKEN, COORDINATOR_TOKEN):
        monkeypatch.setenv(name, "")  # so that what a test makes is gone after it
        monkeypatch.delenv(name)


def local(given: Arguments = LOOKING) -> Application:
    return protected(bare_app, hosts_of("127.0.0.1"), given)


def guarded(ways: Doors) -> Application:
    return Protection(Entrance(bare_app, ways, cookie="c", pause=0), hosts_of("127.0.0.1"))


@pytest.mark.parametrize(
    ("path", "headers", "method", "status"),
    [
        ("/", {}, "GET", 200),
        ("/items?split=test", {}, "HEAD", 200),
        ("/media/a.png", {}, "GET", 200),
        ("/dfar/page.js", {}, "GET", 200),
        ("/_stcore/health", {"host": "LOCALHOST:8501"}, "GET", 200),
        ("/", {"host": "[::1]:8501"}, "GET", 200),
        ("/", {"host": "evil.example:8501"}, "GET", 403),
        ("/", {"host": "127.0.0.1.evil.example"}, "GET", 403),
        ("/", {"host": "localhost@evil.example"}, "GET", 403),
        ("/", {"host": "localhost; script-src *"}, "GET", 403),
        ("/", {"host": "[::1"}, "GET", 403),
        ("/", {"host": "localhost.:8501"}, "GET", 200),
        ("/", {"host": "localhost:evil"}, "GET", 403),
        ("/", {"host": "127.0.0.1:99999"}, "GET", 403),
        ("/", {"host": ""}, "GET", 403),
        ("/", {"origin": "http://127.0.0.1:8501"}, "GET", 200),
        ("/", {"origin": "http://127.0.0.1:9000"}, "GET", 403),
        ("/", {"origin": "null"}, "GET", 403),
        ("/_stcore/upload_file/a/b", {}, "PUT", 405),
        ("/", {}, "POST", 405),
        ("/", {}, "OPTIONS", 405),
    ],
)
def test_every_answer_carries_the_headers(path: str, headers: dict[str, str], method: str, status: int) -> None:
    found = ask(local(), path, headers, method=method)
    assert found.status == status
    assert found.headers["x-frame-options"] == "DENY"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["referrer-policy"] == "no-referrer"
    said = found.headers["content-security-policy"]
    for part in ("default-src 'self'", "frame-ancestors 'none'", "frame-src 'none'", "form-action 'none'"):
        assert part in said
    assert "*" not in said
    if status != 200:
        assert len(found.body.splitlines()) == 1
        assert "evil" not in found.body + said


def test_documents_carry_our_script_and_the_digest_of_their_own() -> None:
    found = ask(local(), "/items", {"accept-encoding": "gzip", "if-none-match": "x", "range": "bytes=0-", "a": "b"})
    assert found.body == PAGE.decode().replace("</head>", '<script src="./dfar/page.js" defer></script></head>')
    assert found.headers["content-length"] == str(len(found.body))
    assert found.headers["x-passed"] == "host a"
    assert "etag" not in found.headers
    digest = base64.b64encode(hashlib.sha256(b"\n  first()\n").digest()).decode()
    assert f"'sha256-{digest}'" in found.headers["content-security-policy"]
    assert "connect-src 'self' ws://127.0.0.1:8501 wss" in found.headers["content-security-policy"]


def test_the_first_page_by_its_name_leads_to_it() -> None:
    found = ask(local(), "/overview?finding=label.tie")
    assert (found.status, found.headers["location"]) == (307, "./?finding=label.tie")
    assert ask(local(), "/overview").headers["location"] == "./"


def test_other_answers_pass_as_they_are() -> None:
    found = ask(local(), "/media/a.png", {"accept-encoding": "gzip"})
    assert (found.body, found.headers["etag"]) == (PAGE.decode(), "x")
    assert "accept-encoding" in found.headers["x-passed"]
    script = ask(local(), "/dfar/page.js")
    assert "javascript" in script.headers["content-type"]
    assert "d-go" in script.body
    assert ask(local(), "/", method="HEAD").body == ""


def test_inline_scripts_without_a_digest_are_not_allowed() -> None:
    assert "'unsafe-inline'" not in policy("a:1").split("script-src")[1].split(";")[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:8501"}, 101),
        ({"host": "localhost:8501", "origin": "http://localhost:8501"}, 101),
        ({}, 403),
        ({"origin": "http://localhost:8501"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_websockets_of_other_pages_are_refused(headers: dict[str, str], status: int) -> None:
    assert ask(local(), "/_stcore/stream", headers, kind="websocket").status == status
    told = ask(local(), "/_stcore/stream", headers, kind="websocket", extensions={"websocket.http.response": {}})
    assert told.status == status
    assert ("x-frame-options" in told.headers) == (status == 403)


def test_the_names_of_a_host() -> None:
    lab = hosts_of("lab.example", ["Proxy.example"])
    assert [lab.allow(name) for name in ("lab.example:1", "proxy.example", "localhost", "10.0.0.1")] == [
        True, True, False, False,
    ]  # fmt: skip
    anywhere = hosts_of("0.0.0.0")
    assert [anywhere.allow(name) for name in ("10.0.0.1:1", "[fe80::1]:1", "localhost", "evil.example")] == [
        True, True, True, False,
    ]  # fmt: skip


def cookie_of(found: Answered) -> dict[str, str]:
    return {"cookie": found.headers["set-cookie"].partition(";")[0]}


def test_a_token_becomes_a_cookie_and_leaves_the_address() -> None:
    app = guarded(Doors(None, (("reader", SECRET),)))
    assert ask(app, "/").status == 403
    assert ask(app, "/static/js/a.js").status == 403
    assert ask(app, "/_stcore/stream", {"origin": "http://127.0.0.1:8501"}, kind="websocket").status == 403
    assert ask(app, "/_stcore/health").status == 200
    first = ask(app, f"/items?split=test&token={SECRET.replace(' ', '+')}&q=a%26b")
    assert (first.status, first.headers["location"]) == (303, "./items?split=test&q=a%26b")
    assert first.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert SECRET not in str(first)
    inside = cookie_of(first)
    assert ask(app, "/items", inside).status == 200
    assert ask(app, "/items", {"cookie": f"a=1; {inside['cookie']}; b=2"}).status == 200
    # Browsers send the cookies of other programs on this machine too.
    for others in ("k{}=1; ", '"; ', 'a="x; ', "[]; =; ", "\x01=é; "):
        assert ask(app, "/items", {"cookie": f"{others}{inside['cookie']}"}).status == 200
    own = {"origin": "http://127.0.0.1:8501", **inside}
    assert ask(app, "/_stcore/stream", own, kind="websocket").status == 101
    for wrong in ("c=", "c=x", f"c={SECRET}", f"d{inside['cookie'][1:]}", inside["cookie"][:-1]):
        assert ask(app, "/", {"cookie": wrong}).status == 403


def test_wrong_tokens_are_refused_and_then_no_longer_looked_at() -> None:
    app = guarded(Doors(None, (("reader", SECRET),)))
    for wrong in ("", "x", SECRET + "x", "é"):
        assert ask(app, f"/?token={wrong}").status == 403
    for _ in range(6):
        ask(app, "/?token=x")
    assert ask(app, f"/?token={SECRET.replace(' ', '+')}").status == 429


def test_wrong_tokens_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    app = Entrance(bare_app, Doors("judge", (("coordinator", KEY),)), cookie="c")
    assert ask(app, "/coordinator?key=wrong").status == 403
    assert ask(app, f"/coordinator?key={KEY}").status == 303
    assert waited == [1.0]


def test_who_follows_a_link_from_elsewhere_is_let_in_by_asking_again() -> None:
    app = guarded(Doors(None, (("reader", SECRET),)))
    said = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    found = ask(app, "/item?id=a+b", said)
    assert (found.status, found.headers["refresh"]) == (403, "0; url=./item?id=a+b")
    assert "refresh" not in ask(app, "/item", {**said, "sec-fetch-dest": "iframe"}).headers
    assert "refresh" not in ask(app, "/item", {**said, "sec-fetch-site": "same-origin"}).headers


def test_redirects_stay_here() -> None:
    app = guarded(Doors(None, (("reader", KEY),)))
    places = [ask(app, f"{path}?token={KEY}").headers["location"] for path in ("/", "/x//evil.example", "/a/b%0d%0ac")]
    assert places == ["./", "./evil.example", "./b%0D%0Ac"]


def test_the_coordinator_has_a_key_and_judges_need_none_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_secrets(os.environ, open_to_others=False, judging=True) == {COORDINATOR_TOKEN}
    app, key = local(JUDGED), os.environ[COORDINATOR_TOKEN]
    assert len(key) >= 40
    assert ask(app, "/").status == 200
    first = ask(app, f"/coordinator?key={key}")
    assert (first.status, first.headers["location"]) == (303, "./coordinator")

    def role_with(cookies: dict[str, str], given: Arguments = JUDGED) -> str:
        monkeypatch.setattr(access, "st", SimpleNamespace(context=SimpleNamespace(cookies=cookies)))
        return access.role(given)

    name, _, value = cookie_of(first)["cookie"].partition("=")
    assert name == cookie_name() == "dfar-viewer-8501"
    assert role_with({name: value}) == "coordinator"
    assert role_with({}) == role_with({name: key}) == role_with({name: "x"}) == role_with({"other": value}) == "judge"
    assert role_with({name: value}, LOOKING) == "reader"
    monkeypatch.setenv(COORDINATOR_TOKEN, "another key of the next start")
    assert role_with({name: value}) == "judge"


def test_two_tokens_where_others_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_secrets(os.environ, open_to_others=True, judging=True) == {TOKEN, COORDINATOR_TOKEN}
    ways = doors(os.environ, judging=True)
    assert ways.unasked is None
    assert ways.role_of_token(os.environ[TOKEN]) == "judge"
    assert ways.role_of_token(os.environ[COORDINATOR_TOKEN]) == "coordinator"
    assert ways.role_of_cookie(ways.cookie("judge")) == "judge"
    assert ways.cookie("judge") != ways.cookie("coordinator")
    assert os.environ[TOKEN] not in repr(ways)
    assert doors(os.environ, judging=False).role_of_token(os.environ[TOKEN]) == "reader"
    assert doors(os.environ, judging=False).role_of_token(os.environ[COORDINATOR_TOKEN]) is None
    lines = "\n".join(said_addresses(JUDGED, "10.1.2.3", 8501, frozenset({TOKEN, COORDINATOR_TOKEN})))
    assert "Warning" in lines
    assert f"http://10.1.2.3:8501/?token={os.environ[TOKEN]}" in lines
    assert f"http://10.1.2.3:8501/coordinator?key={os.environ[COORDINATOR_TOKEN]}" in lines
    monkeypatch.setenv(TOKEN, "given-from-outside-1")
    assert make_secrets(os.environ, open_to_others=True, judging=False) == frozenset()
    (line,) = said_addresses(LOOKING, "::1", 8501, frozenset())
    assert line.startswith("http://[::1]:8501/?token=$DFAR_VIEWER_TOKEN")


def test_a_token_of_ones_own_is_asked_on_this_machine_too() -> None:
    os.environ[TOKEN] = SECRET.replace(" ", "-")
    assert ask(local(), "/").status == 403
    assert ask(local(), f"/?token={os.environ[TOKEN]}").status == 303


def test_tokens_that_could_be_guessed_are_refused() -> None:
    check_secrets({})
    check_secrets({TOKEN: "a" * 16, COORDINATOR_TOKEN: "b" * 16})
    for wrong in ("short", "a" * 15 + "é", "a" * 16 + "\n", "a blank in the middle"):
        with pytest.raises(TableError, match="DFAR_VIEWER_TOKEN: wanted at least 16"):
            check_secrets({TOKEN: wrong})
    with pytest.raises(TableError, match="are the same"):
        check_secrets({TOKEN: "a" * 16, COORDINATOR_TOKEN: "a" * 16})


def test_streamlit_run_and_the_hub_are_for_looking_only(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--judge", "r", "--marks", "m", "items"]
    assert arguments(words) == Arguments("items", judge=Path("r"), marks=Path("m"))
    on_hub = arguments([*words[:4], "hf://datasets/org/name"])
    assert (on_hub.judge, on_hub.marks, on_hub.refused[:26]) == (None, None, "Judging and marks are off:")
    monkeypatch.delenv(SERVED)
    plain = arguments(words)
    assert (plain.judge, plain.marks) == (None, None)
    assert "Start it with dfar view." in plain.refused
    assert arguments(["items"]).refused == ""
    for wrong in (["--judge"], ["--colour", "x", "items"]):
        with pytest.raises(TableError, match=wrong[0]):
            arguments(wrong)
