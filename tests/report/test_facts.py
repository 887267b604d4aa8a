from __future__ import annotations

from typing import Any

import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.report.facts import data_facts


def manifest(method: str, **audit: list[str]) -> dict[str, Any]:
    split = {"rows": 3, "labels": {"yes": 2}, "unlabelled": 1}
    return {
        "rows": {"items": 3, "annotations": 1200},
        "configs": {"default": {"splits": {"test": split}}},
        "annotators": {"count": 0, "known": False, "with_reason": 7, "bands": {}},
        "disagreement": {"items": 0, "of": 0},
        "groups": {"count": 2},
        "split": {"method": method},
        "audit": {"failed": [], "accepted": [], **audit},
        "content_digest": {"default": "abc"},
    }


def test_facts() -> None:
    assert data_facts(manifest("published", accepted=["leak.exact", "leak.near"])) == {
        "items": "3 (test 3)",
        "labels in test": "yes 2, none 1",
        "judgements": "1,200, 7 of them with a reason",
        "groups": "2 (what intervals resample)",
        "split": "published",
        "audit": "failed: none; accepted: leak.exact, leak.near",
        "content digest of the items": "abc",
    }


def test_only_our_own_splits_keep_groups_whole() -> None:
    assert data_facts(manifest("grouped"))["groups"] == "2 (what intervals resample and splits keep whole)"


def test_a_manifest_without_an_entry_is_refused() -> None:
    with pytest.raises(TableError, match="'groups'"):
        data_facts({k: v for k, v in manifest("published").items() if k != "groups"})
