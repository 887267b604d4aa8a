"""CITATION.cff: the rules of the format, names and accents of BibTeX, and a file edited by hand."""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path
from typing import Any

import card_sample as sample
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.corpus.assemble import build_items
from dfar_toolkit.corpus.bibtex import bib_entries
from dfar_toolkit.corpus.citation_file import CITATION, citation_text, is_generated, write_citation
from dfar_toolkit.errors import TableError
from dfar_toolkit.sources import Mapping, read_source

ENTRY = r"""
Please cite both:
@inproceedings{key2024,
  title     = {On {DFAR}: What \emph{people} say, and why},
  author    = {G{\"o}del, Kurt and Anna van der Berg and {The DFAR Team} and \'Emile Zola},
  booktitle = "Proc. of {ICPR}",
  year      = 2024, pages = {11--17}, publisher={Springer},
  doi = {https://doi.org/10.1007/978-3-031-78172-8_2}, url = {\url{https://e.org/a_b}},
}
@article(other, author = {Lo, R.}, title = "A, b = c", journal = {J. of X}, volume = {12}, number={3}, year = {in press}
)
"""
TYPES = {"article", "conference-paper", "data", "generic", "book", "thesis", "report", "manual", "unpublished"}
REFERENCE = {
    "type", "title", "authors", "journal", "collection-title", "volume", "issue", "start", "end", "year", "doi",
    "url", "publisher", "notes", "repository",
}  # fmt: skip


def check_authors(authors: Any) -> None:
    assert isinstance(authors, list)
    assert authors
    for author in authors:
        assert authors.count(author) == 1
        assert set(author) in ({"name"}, {"family-names", "given-names"})
        assert all(isinstance(text, str) and text for text in author.values())


def check(text: str) -> dict[str, Any]:
    """The rules of the format's schema, version 1.2.0, for what is written here."""
    content: dict[str, Any] = yaml.safe_load(text)
    assert content["cff-version"] == "1.2.0"
    assert set(content) <= {"cff-version", "message", "type", "title", "authors", "license", "references"}
    assert {"message", "title", "authors"} <= set(content)
    assert content["type"] == "dataset"
    check_authors(content["authors"])
    assert all(r not in content["references"][:i] for i, r in enumerate(content["references"]))
    for reference in content["references"]:
        assert set(reference) <= REFERENCE
        assert reference["type"] in TYPES
        assert isinstance(reference["title"], str)
        assert reference["title"]
        check_authors(reference["authors"])
        assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+", reference.get("doi", "10.1234/x"))
        assert re.match(r"https?://.+", reference.get("url", "https://e.org"))
        assert all(isinstance(reference.get(name, 1), int) for name in ("year", "volume", "start", "end"))
    assert "&id" not in text
    assert "version:" not in text.replace("cff-version:", "")
    return content


def with_citation(text: str, **source: Any) -> dict[str, Any]:
    facts = sample.manifest()
    facts["sources"][0] |= {"citation": text, **source}
    return facts


def test_the_works_of_a_source_become_references() -> None:
    content = check(citation_text(with_citation(ENTRY)))
    paper, article = content["references"]
    assert paper == {
        "type": "conference-paper",
        "title": "On DFAR: What people say, and why",
        "authors": [
            {"family-names": "Gödel", "given-names": "Kurt"},
            {"family-names": "van der Berg", "given-names": "Anna"},
            {"name": "The DFAR Team"},
            {"family-names": "Zola", "given-names": "Émile"},
        ],
        "collection-title": "Proc. of ICPR",
        "start": 11,
        "end": 17,
        "year": 2024,
        "doi": "10.1007/978-3-031-78172-8_2",
        "url": "https://e.org/a_b",
        "publisher": {"name": "Springer"},
    }
    assert article["title"] == "A, b = c"
    assert (article["volume"], article["issue"], article["notes"]) == (12, "3", "as given: year in press")
    assert "year" not in article
    assert content["authors"][-1] == {"family-names": "Lo", "given-names": "R."}
    assert content["license"] == "MIT"


def test_a_citation_in_words_or_none() -> None:
    (said,) = check(citation_text(with_citation("On X. 2024. arXiv:2408.11879.")))["references"]
    assert said["url"] == "https://arxiv.org/abs/2408.11879"
    assert said["repository"] == "https://example.org/demo?a=1"
    assert said["notes"] == "On X. 2024. arXiv:2408.11879."
    content = check(citation_text(with_citation("", homepage="no address", licence="other")))
    assert content["references"] == [
        {"type": "data", "title": "Demo of conduct", "authors": [{"name": "The authors of Demo of conduct"}]}
    ]
    assert "license" not in content


def test_several_sources_and_no_choice_between_licences() -> None:
    facts = with_citation(ENTRY)
    second = copy.deepcopy(facts["sources"][0]) | {"licence": "gpl-3.0"}
    second["citation"] += '@book{b, title={B}, author={Kurt G{\\"o}del and Kurt G\\"odel}, pages={e1--e2}}'
    facts["sources"].append(second)
    content = check(citation_text(facts))
    assert len(content["references"]) == 3  # each once
    assert content["references"][-1]["authors"] == [{"family-names": "Gödel", "given-names": "Kurt"}]
    assert len(content["authors"]) == 5
    assert "license" not in content  # a list would mean: choose one


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.text(alphabet="@{}\"\\,= anditleuhor\n'~", max_size=80))
def test_any_text_gives_a_valid_file(title: str, citation: str) -> None:
    facts = with_citation("@misc{k, " + citation, title=title)
    facts["title"] = title
    facts["name"] = "demo"
    check(citation_text(facts))
    bib_entries(citation)


def test_an_edited_file_stays_and_an_untouched_one_follows(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    assert write_citation(old, sample.manifest())
    assert is_generated((old / CITATION).read_bytes())
    facts = sample.manifest() | {"title": "Another title"}
    assert write_citation(new, facts, earlier=old)
    assert "Another title" in (new / CITATION).read_text(encoding="utf-8")
    edited = (old / CITATION).read_bytes().replace(b"type: dataset", b"type: dataset\nversion: 2.0.0")
    (old / CITATION).write_bytes(edited)
    (new / CITATION).unlink()
    assert not write_citation(new, facts, earlier=old)
    assert (new / CITATION).read_bytes() == edited
    assert not write_citation(new, facts)
    assert (new / CITATION).read_bytes() == edited
    (old / CITATION).write_bytes("cff-version: 1.2.0\ntitle: Prüfung".encode("latin-1"))
    (new / CITATION).unlink()
    with pytest.raises(TableError, match="not UTF-8"):
        write_citation(new, facts, earlier=old)


def test_a_build_over_an_edited_file_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("no,text,says\n1,I kept the change.,fair\n2,I parked across two places.,unfair\n")
    columns = Mapping(name="set", id="no", statement="text", label="says", question="fair", options=("fair", "unfair"))
    source = read_source("table", tmp_path / "t.csv", mapping=columns)
    built = build_items(source, tmp_path / "out")
    path = tmp_path / "out" / CITATION
    check(path.read_text(encoding="utf-8"))
    assert built.manifest["files"][CITATION]["n_bytes"] == path.stat().st_size
    edited = path.read_bytes() + b"version: 1.0.0\n"
    path.write_bytes(edited)
    again = build_items(source, tmp_path / "out").manifest["files"][CITATION]
    assert path.read_bytes() == edited
    assert again["sha256"] == hashlib.sha256(edited).hexdigest()
