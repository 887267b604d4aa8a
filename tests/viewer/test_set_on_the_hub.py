"""A published set in the viewer: fetched once, pinned to a commit, shown by a Space; what fails is one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import streamlit as st
from shown_page import STREAMLIT_WARNINGS, html_of, show_page

from dfar_toolkit._viewer import sources
from dfar_toolkit._viewer.arguments import arguments
from dfar_toolkit._viewer.sources import items_folder, resolved, said_source, source_notes
from dfar_toolkit.browsing.item_index import ItemIndex
from dfar_toolkit.errors import HubError
from dfar_toolkit.hub.connection import Patience
from dfar_toolkit.hub.loopback import Fault, LoopbackHub, Repo, User
from dfar_toolkit.journeys.paper_trail import paper_trail

pytestmark = STREAMLIT_WARNINGS
REPO, TOKEN = "org/everyday", "ann-token"
SPACE = """
import sys

from dfar_toolkit._viewer.frame import open_frame

sys.argv[1:] = ["hf://datasets/org/everyday@v1.0.0"]
open_frame()
"""


@pytest.fixture(scope="module")
def published(demo: Path) -> dict[str, bytes]:
    """The files of the demo with its runs and judgements, as ``dfar publish --with`` leaves them."""
    runs = sorted((demo / "runs").iterdir())
    with paper_trail(demo / "items", [*runs, demo / "judgements.csv"]) as staged:
        files = [path for path in staged.folder.rglob("*") if path.is_file()]
        return {path.relative_to(staged.folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, bytes]) -> Iterator[LoopbackHub]:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    with LoopbackHub({TOKEN: User("ann", orgs=("org",))}) as running:
        repo = running.repos.create("dataset", REPO)
        repo.change(published, title="Publish", author="ann")
        repo.tags["v1.0.0"] = repo.branches["main"]
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(sources, "_HUB", Patience(connect=1, read=2, tries=1, pause=0))
        disable_progress_bars()
        st.cache_resource.clear()
        yield running
        st.cache_resource.clear()
        huggingface_hub.close_session()


def repo_of(hub: LoopbackHub) -> Repo:
    return hub.repos["dataset", REPO]


def test_it_is_fetched_once_with_what_was_published_beside_it(hub: LoopbackHub, demo: Path) -> None:
    given = arguments([f"hf://datasets/{REPO}@v1.0.0", "--marks", "m"])
    commit = repo_of(hub).branches["main"]
    assert said_source(given) == f"{REPO} on the Hub, v1.0.0, commit {commit}"
    assert commit in " ".join(source_notes(given))
    asked = len(hub.log)
    assert items_folder(given).name == commit
    assert len(hub.log) == asked
    assert said_source(arguments([str(demo / "items")])) == str(demo / "items")
    assert source_notes(arguments([str(demo / "items")])) == ()


def test_the_index_is_that_of_the_folder(hub: LoopbackHub, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", f"hf://datasets/{REPO}"])
    given = resolved()
    assert [path.name for path in given.outputs] == ["label-only.parquet", "with-reasons.parquet"]
    index = ItemIndex(given.items, runs=given.outputs, judgements=given.judgements)
    here = ItemIndex(demo / "items", runs=sorted((demo / "runs").iterdir()), judgements=demo / "judgements.csv")
    assert index.runs == here.runs
    columns = ["item_id", "label", *(f"state {run}" for run in here.runs), *(f"judged bad {run}" for run in here.runs)]
    assert index.frame(columns).cast(pl.String).equals(here.frame(columns).cast(pl.String))
    assert index.problems == here.problems
    monkeypatch.setattr(sys, "argv", ["app.py", f"hf://datasets/{REPO}", str(demo / "runs" / "label-only.jsonl")])
    assert [path.name for path in resolved().outputs] == ["label-only.jsonl"]


def test_a_space_shows_it(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.testing.v1 import AppTest

    monkeypatch.delenv("DFAR_VIEWER_SERVED", raising=False)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    (tmp_path / "app.py").write_text(SPACE)
    test = AppTest.from_file(str(tmp_path / "app.py"), default_timeout=60).run()
    assert not test.exception
    assert not test.error
    assert "d-nav" in html_of(test)
    assert any(h.value.startswith("<script>") and "d-go" in h.value for h in test.get("html"))
    assert "are off" not in html_of(test)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://datasets/org/nothing", "there is no such repository"),
        (f"hf://datasets/{REPO}@v9", "v9"),
        ("hf://spaces/org/name", "wanted the id of a data set on the Hub"),
    ],
)
def test_what_is_not_there_is_one_line(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    test = show_page(monkeypatch, "items", [address])
    (error,) = test.error
    assert said in error.value.replace("\\", "")
    assert "\n" not in error.value


def test_no_network_and_a_private_set_are_one_line_and_tried_again(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = hub.fail(Fault("status", times=1, status=503))
    given = arguments([f"hf://datasets/{REPO}"])
    with pytest.raises(HubError, match="reading org/everyday"):
        items_folder(given)
    assert fault.fired == 1
    assert items_folder(given).is_dir()
    st.cache_resource.clear()
    repo_of(hub).private = True
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(HubError, match="reading org/everyday"):
        items_folder(arguments([f"hf://datasets/{REPO}@main"]))
