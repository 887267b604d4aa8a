"""The loopback Hub on the wire: repositories, rights, refs, commits, listings, git-LFS, ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from loopback_calls import ANN, BOB, DATA, READ, USERS, call, commit, commit_body, file_line, line, make, upload

from dfar_toolkit.hub.loopback import LoopbackHub

BATCH = "/datasets/ann/data.git/info/lfs/objects/batch"
RAW = "/datasets/ann/data/resolve"


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(USERS, page_size=3) as running:
        assert make(running).status == 200
        yield running


def test_repositories_are_made_settled_and_removed(hub: LoopbackHub) -> None:
    assert make(hub).status == 409
    assert make(hub, name="m", type="model", organization="org", visibility="private").json["id"] == "org/m"
    assert hub.repos["model", "org/m"].private
    assert make(hub, name="old", private=True).json["private"]
    assert make(hub, organization="strangers").status == 403
    assert [make(hub, name=name).status for name in ("a b", "", "../x", "x.git", None)] == [400] * 5
    assert make(hub, type="space").status == 400
    assert call(hub, "PUT", f"{DATA}/settings", {"visibility": "private", "gated": "auto"}).status == 200
    assert call(hub, "GET", DATA).json["private"]
    assert call(hub, "PUT", f"{DATA}/settings", {"gated": "perhaps"}).status == 400
    assert call(hub, "DELETE", "/api/repos/delete", {"name": "data", "type": "dataset"}, token=BOB).status == 404
    assert call(hub, "DELETE", "/api/repos/delete", {"name": "data", "type": "dataset"}).status == 200
    assert call(hub, "GET", DATA).code == (404, "RepoNotFound")


def test_who_may_do_what(hub: LoopbackHub) -> None:
    assert call(hub, "GET", "/api/whoami-v2").json["orgs"][0]["name"] == "org"
    assert call(hub, "GET", "/api/whoami-v2", token=READ).json["auth"]["accessToken"]["role"] == "read"
    assert call(hub, "GET", "/api/whoami-v2", token="").status == 401
    wrong = call(hub, "GET", DATA, token="wrong")
    assert (wrong.status, wrong.headers["x-error-message"]) == (401, "Invalid credentials in Authorization header")
    for token, status in ((READ, 403), (BOB, 403), ("", 401)):
        assert commit(hub, file_line("a", b"a"), token=token).status == status
        assert call(hub, "GET", f"{DATA}/auth-check/write", token=token).status == status
        assert call(hub, "GET", f"{DATA}/auth-check", token=token).status == 200
    hub.repos["dataset", "ann/data"].private = True
    assert call(hub, "GET", DATA, token=BOB).code == (404, "RepoNotFound")
    assert call(hub, "GET", DATA, token="").code == (401, "RepoNotFound")
    assert call(hub, "GET", DATA, token=READ).status == 200


def test_a_gate_shuts_the_files_but_not_the_listing(hub: LoopbackHub) -> None:
    repo = hub.repos["dataset", "ann/data"]
    repo.gated = "manual"
    target = f"{RAW}/main/.gitattributes"
    assert call(hub, "GET", target, token=BOB).code == (403, "GatedRepo")
    assert call(hub, "HEAD", target, token="").code == (401, "GatedRepo")
    assert call(hub, "GET", f"{DATA}/auth-check", token=BOB).code == (403, "GatedRepo")
    assert call(hub, "GET", DATA, token=BOB).json["gated"] == "manual"
    repo.granted.add("bob")
    assert call(hub, "GET", target, token=BOB).status == call(hub, "GET", target).status == 200


def test_a_commit_happens_whole_or_not_at_all(hub: LoopbackHub) -> None:
    repo = hub.repos["dataset", "ann/data"]
    first = repo.branches["main"]
    made = commit(hub, file_line("a.txt", b"one"), file_line("d/b.txt", b"two"), parentCommit=first).json
    assert made["commitOid"] == repo.branches["main"]
    assert made["commitUrl"] == f"{hub.url}/datasets/ann/data/commit/{made['commitOid']}"
    good = file_line("good.txt", b"x")
    refused = [
        (commit(hub, good, parentCommit=first), (412, "")),
        (commit(hub, good, revision="nowhere"), (404, "RevisionNotFound")),
        (commit(hub, good, revision=first), (404, "RevisionNotFound")),
        (commit(hub, good, line("deletedFile", path="no.txt")), (404, "EntryNotFound")),
        (commit(hub, good, line("deletedFolder", path="no")), (404, "EntryNotFound")),
        (commit(hub, good, line("lfsFile", path="x", algo="sha256", oid="0" * 64, size=1)), (400, "")),
        (commit(hub, good, file_line("../x", b"")), (400, "")),
        (commit(hub, good, file_line("a.txt/b", b"")), (400, "")),
        (commit(hub, good, file_line("README.md", b"---\na: 1\na: 2\n---\n")), (400, "")),
        (commit(hub, good, line("file", path="x", content="?", encoding="base64")), (400, "")),
        (commit(hub, good, line("rename", path="x")), (400, "")),
        (commit(hub, good, summary=" "), (400, "")),
        (call(hub, "POST", f"{DATA}/commit/main", b"{"), (400, "")),
    ]
    assert [reply.code for reply, _ in refused] == [code for _, code in refused]
    assert repo.branches["main"] == made["commitOid"]
    commit(hub, line("deletedFolder", path="d"), file_line("a.txt", b"three"))
    assert sorted(repo.find("main").files) == [".gitattributes", "a.txt"]
    assert (repo.read("a.txt"), repo.read("d/b.txt", made["commitOid"])) == (b"three", b"two")


def test_tags_branches_and_pull_requests(hub: LoopbackHub) -> None:
    repo = hub.repos["dataset", "ann/data"]
    first = repo.branches["main"]
    assert call(hub, "POST", f"{DATA}/tag/main", {"tag": "v1.0.0", "message": "first"}).status == 200
    repo.change({"a.txt": b"new"}, author="bob")
    assert call(hub, "POST", f"{DATA}/tag/main", {"tag": "v1.0.0"}).status == 409
    assert call(hub, "POST", f"{DATA}/tag/nowhere", {"tag": "v2"}).code == (404, "RevisionNotFound")
    assert call(hub, "POST", f"{DATA}/tag/main", {"tag": "a..b"}).status == 400
    assert repo.find("v1.0.0").oid == first
    assert call(hub, "POST", f"{DATA}/branch/dev%2Fx", {"startingPoint": "v1.0.0"}).status == 200
    assert call(hub, "POST", f"{DATA}/branch/dev%2Fx", {}).status == 409
    assert call(hub, "DELETE", f"{DATA}/branch/main").status == 403
    pull = call(hub, "POST", f"{DATA}/commit/main?create_pr=1", commit_body([file_line("p.txt", b"p")]), token=BOB).json
    assert pull["pullRequestUrl"].endswith("/datasets/ann/data/discussions/1")
    assert commit(hub, file_line("p2.txt", b""), revision="refs%2Fpr%2F1", token=BOB).status == 200
    assert call(hub, "GET", f"{RAW}/refs%2Fpr%2F1/p.txt").body == b"p"
    assert "p.txt" not in repo.find("main").files
    told = call(hub, "GET", f"{DATA}/refs?include_prs=1").json
    assert [one["ref"] for one in told["branches"]] == ["refs/heads/main", "refs/heads/dev/x"]
    assert told["tags"] == [{"name": "v1.0.0", "ref": "refs/tags/v1.0.0", "targetCommit": first}]
    assert [one["ref"] for one in told["pullRequests"]] == ["refs/pr/1"]
    assert call(hub, "DELETE", f"{DATA}/branch/dev%2Fx").status == 200
    assert call(hub, "DELETE", f"{DATA}/tag/v1.0.0").status == 200
    assert call(hub, "DELETE", f"{DATA}/tag/v1.0.0").code == (404, "RevisionNotFound")
    assert [one["authors"][0]["user"] for one in call(hub, "GET", f"{DATA}/commits/main").json] == ["bob", "ann"]


def test_listings_come_in_pages(hub: LoopbackHub) -> None:
    hub.repos["dataset", "ann/data"].change({f"d/{n}.txt": b"%d" % n for n in range(7)} | {"é &.txt": b""})
    target, seen, pages = f"{DATA}/tree/main?recursive=true&expand=true", [], 0
    while target:
        reply = call(hub, "GET", target)
        seen += reply.json
        pages += 1
        target = reply.headers.get("link", "").partition(">")[0].lstrip("<")
    assert pages == 4
    assert [row["path"] for row in seen] == ["d", ".gitattributes", *[f"d/{n}.txt" for n in range(7)], "é &.txt"]
    assert [row["lastCommit"]["title"] for row in seen[:3]] == ["Change", "initial commit", "Change"]
    assert seen[2]["oid"] == hashlib.sha1(b"blob 1\x000").hexdigest()
    assert [row["path"] for row in call(hub, "GET", f"{DATA}/tree/main/d?limit=2").json] == ["d/0.txt", "d/1.txt"]
    assert call(hub, "GET", f"{DATA}/tree/main").json[0]["type"] == "directory"
    assert call(hub, "GET", f"{DATA}/tree/main/no").code == (404, "EntryNotFound")
    assert call(hub, "GET", f"{DATA}/tree/main?cursor=x").status == 400
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"paths=d%2F1.txt&paths=gone&paths=d&expand=False"
    rows = call(hub, "POST", f"{DATA}/paths-info/main", body, headers=form).json
    assert [(row["path"], row["size"]) for row in rows] == [("d/1.txt", 1), ("d", 0)]


def test_facts_of_a_repository(hub: LoopbackHub) -> None:
    parquet = upload(hub, b"PAR1")
    commit(hub, parquet, file_line("README.md", b"---\nlicense: mit\nday: 2020-01-01\n---\n"))
    told = call(hub, "GET", f"{DATA}/revision/main?blobs=True").json
    assert (told["cardData"], told["tags"]) == ({"license": "mit", "day": "2020-01-01"}, ["license:mit"])
    (large,) = [one for one in told["siblings"] if "lfs" in one]
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 4\n" % parquet["value"]["oid"].encode()
    assert large["lfs"] == {"sha256": parquet["value"]["oid"], "size": 4, "pointerSize": len(pointer)}
    assert large["blobId"] == hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
    assert set(call(hub, "GET", f"{DATA}?expand=private&expand=sha").json) == {"_id", "id", "private", "sha"}
    assert call(hub, "GET", f"{DATA}/revision/v9").code == (404, "RevisionNotFound")


def test_a_card_is_looked_over(hub: LoopbackHub) -> None:
    def errors(content: str) -> tuple[int, int, int]:
        reply = call(hub, "POST", "/api/validate-yaml", {"content": content, "repoType": "dataset"})
        return reply.status, len(reply.json["errors"]), len(reply.json["warnings"])

    assert errors("---\nlicense: mit\n---\n# Data") == (200, 0, 0)
    assert errors("# Data") == (200, 0, 1)
    for broken in ("a: [", "a: 1\na: 2", "- a", "license: 3", "configs: [{}]"):
        assert errors(f"---\n{broken}\n---\n") == (400, 1, 0)


def test_large_files_go_to_lfs_and_must_be_what_they_say(hub: LoopbackHub) -> None:
    small = {"path": "a.txt", "size": 3, "sample": "YWJj"}
    asked = [small, {**small, "path": "x/b.parquet"}, {**small, "path": "big", "size": 10_000_000}]
    asked += [{**small, "path": "nul", "sample": "AGI="}, {**small, "path": "e.parquet", "size": 0, "sample": ""}]
    told = call(hub, "POST", f"{DATA}/preupload/main", {"files": asked}).json["files"]
    assert [one["uploadMode"] for one in told] == ["regular", "lfs", "lfs", "lfs", "regular"]
    hub.repos["dataset", "ann/data"].change({".gitattributes": b"*.parquet -filter\ndata/* filter=lfs\n"})
    asked = [{**small, "path": "b.parquet"}, {**small, "path": "data/c.txt"}, {**small, "path": ".gitattributes"}]
    told = call(hub, "POST", f"{DATA}/preupload/main", {"files": asked}).json["files"]
    assert [one["uploadMode"] for one in told] == ["regular", "lfs", "regular"]
    assert "oid" in told[2]

    oid = hashlib.sha256(b"PAR1").hexdigest()
    (one,) = call(hub, "POST", BATCH, {"operation": "upload", "objects": [{"oid": oid, "size": 4}]}).json["objects"]
    href, verify = one["actions"]["upload"]["href"], one["actions"]["verify"]["href"]
    assert call(hub, "POST", verify, {"oid": oid, "size": 4}).status == 404
    assert call(hub, "PUT", href, b"PAR2", token="").status == 400
    assert call(hub, "PUT", href, b"PAR1").status == 400  # a token where none belongs
    assert call(hub, "PUT", href.replace("key=", "key=0"), b"PAR1", token="").status == 403
    assert call(hub, "PUT", href, b"PAR1", token="").status == 200
    assert call(hub, "POST", verify, {"oid": oid, "size": 4}).status == 200
    again = call(hub, "POST", BATCH, {"operation": "upload", "objects": [{"oid": oid, "size": 4}, {"oid": "x"}]}).json
    assert ["actions" in one for one in again["objects"]] == [False, False]
    assert again["objects"][1]["error"]["code"] == 422
    (one,) = call(hub, "POST", BATCH, {"operation": "download", "objects": [{"oid": oid, "size": 4}]}).json["objects"]
    assert call(hub, "GET", one["actions"]["download"]["href"], token="").body == b"PAR1"
    assert call(hub, "POST", BATCH, {"operation": "upload", "objects": []}, token="").status == 401
    assert "key=(hidden)" in hub.log.asked("PUT")[0].query


@pytest.mark.parametrize("large", [False, True])
def test_ranges(hub: LoopbackHub, large: bool) -> None:
    content = bytes(range(10))
    commit(hub, {**upload(hub, content)} if large else file_line("data/train.parquet", content))
    target = f"{RAW}/main/data/train.parquet"
    head = call(hub, "HEAD", target)
    assert (head.body, head.headers["content-length"]) == (b"", "10")
    assert head.headers["x-repo-commit"] == hub.repos["dataset", "ann/data"].branches["main"]
    digest = hashlib.sha256(content) if large else hashlib.sha1(b"blob 10\0" + content)
    assert head.headers["etag"] == f'"{digest.hexdigest()}"'
    assert head.headers.get("x-linked-size") == ("10" if large else None)
    for asked, found in {"3-": "3-9", "2-4": "2-4", "-3": "7-9", "8-99": "8-9", "-99": "0-9"}.items():
        reply = call(hub, "GET", target, headers={"Range": f"bytes={asked}"})
        first, last = map(int, found.split("-"))
        assert (reply.status, reply.body) == (206, content[first : last + 1])
        assert reply.headers["content-range"] == f"bytes {found}/10"
    for asked in ("10-", "-0", "5-2"):
        reply = call(hub, "GET", target, headers={"Range": f"bytes={asked}"})
        assert (reply.status, reply.headers["content-range"]) == (416, "bytes */10")
    assert call(hub, "GET", target, headers={"Range": "lines=1-2"}).status == 200
    gone = call(hub, "HEAD", f"{RAW}/main/gone.txt")
    assert gone.code == (404, "EntryNotFound")
    assert "x-repo-commit" in gone.headers


def test_large_files_from_another_host() -> None:
    with LoopbackHub(USERS, cdn=True) as hub:
        make(hub)
        commit(hub, upload(hub, b"PAR1"))
        first = call(hub, "GET", f"{RAW}/main/data/train.parquet")
        assert (first.status, first.headers["x-linked-size"]) == (302, "4")
        place = first.headers["location"]
        assert place.startswith(f"http://localhost:{hub.port}/cdn/")
        assert call(hub, "GET", place, token="").body == b"PAR1"
        assert call(hub, "GET", place).status == 400
        assert call(hub, "GET", place.partition("?")[0], token="").status == 403


def test_the_log_knows_who_and_what_but_no_token(hub: LoopbackHub) -> None:
    commit(hub, file_line("a", b"a"), token=BOB)
    last = hub.log[-1]
    assert (last.number, last.method, last.path, last.user) == (2, "POST", f"{DATA}/commit/main", "bob")
    assert (last.status, last.authorized, last.writes, last.fault) == (403, True, True, "")
    assert last.received > 0 < last.sent
    call(hub, "POST", f"{DATA}/paths-info/main", b"paths=a", token="")
    assert (len(hub.log), len(hub.log.writing()), hub.log[-1].user) == (3, 2, "")
    assert ANN not in repr([(one, dict(one.headers)) for one in hub.log])


def test_what_the_hub_does_not_know(hub: LoopbackHub) -> None:
    assert call(hub, "GET", "/api/spaces/ann/x").status == 404
    assert call(hub, "POST", "/api/repos/create", b"[1]").status == 400
    assert call(hub, "POST", f"{DATA}/preupload/main", {"files": [{"path": "a", "size": "x"}]}).status == 400
    assert call(hub, "POST", f"{DATA}/preupload/main", {"files": {}}).status == 400
    assert call(hub, "PUT", f"{DATA}/settings", b"", headers={"Content-Length": "x"}).status in (400, 411)
    with pytest.raises(ValueError, match="page_size"):
        LoopbackHub(page_size=0)
