from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import card_sample as sample
import polars as pl
import pytest
import yaml

from dfar_toolkit.corpus import templates
from dfar_toolkit.corpus.card import render_card
from dfar_toolkit.corpus.card_blocks import BLOCKS
from dfar_toolkit.corpus.front_matter import size_category, split_front_matter
from dfar_toolkit.corpus.templates import datacards_folder
from dfar_toolkit.errors import TableError


def card(manifest: dict[str, Any] | None = None, **changed: Any) -> str:
    """The card of the sample, with whatever is changed."""
    given: dict[str, Any] = {"audit": sample.audit(), "agreement": sample.agreement(), "schemas": sample.SCHEMAS}
    return render_card(sample.manifest() if manifest is None else manifest, **(given | changed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items")
    facts = sample.write_data(path)
    (path / "README.md").write_text(card(facts), encoding="utf-8")
    return path


def test_load_dataset_reads_the_items(folder: Path, datasets: ModuleType, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 4, "test": 3}
    train = loaded["train"]
    assert train.features["label"] == datasets.ClassLabel(names=sample.OPTIONS)
    assert train["label"][:] == [0, 1, None, 0]
    assert train.features["label"].int2str(1) == "unethical"
    assert train[0]["reasons"] == [{"annotator_id": "demo:a", "value": "ethical", "text": "Why not?"}]
    assert train[3]["reasons"] == []
    assert train[0]["context"] == [{"field": "where", "role": "", "text": "at home"}]
    assert train.features["statement"] == datasets.Value("string")
    assert train.column_names == list(sample.ITEMS)


@pytest.mark.parametrize("table", ["annotations", "raters", "targets", "questions"])
def test_load_dataset_reads_the_tables(folder: Path, datasets: ModuleType, tmp_path: Path, table: str) -> None:
    loaded = datasets.load_dataset(str(folder), table, cache_dir=str(tmp_path))
    assert list(loaded) == [table]
    assert loaded[table].to_list() == sample.tables()[table].to_dicts()


def test_the_code_of_the_card_runs(
    folder: Path, datasets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", card(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    names: dict[str, Any] = {}
    exec(code.group(1), names)
    assert names["items"]["test"].num_rows == 3
    assert names["raters"].num_rows == 2


def test_an_empty_table_is_not_declared(datasets: ModuleType, tmp_path: Path) -> None:
    facts = sample.write_data(tmp_path)
    pl.DataFrame(schema=sample.RATERS).write_parquet(tmp_path / "raters.parquet")
    facts["tables"]["raters"]["rows"] = 0
    text = card(facts)
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "c"))["train"].num_rows == 4
    assert datasets.get_dataset_config_names(str(tmp_path)) == ["default", "annotations", "targets", "questions"]
    assert 'load_dataset(data, "raters"' not in text
    assert "| `raters` | 0 |" in text


def prose(text: str) -> str:
    """The body of a card without fenced code."""
    return re.sub(r"(?ms)^(`{3,}).*?^\1$", "", split_front_matter(text)[1])


def test_no_placeholder_is_left_and_templates_type_no_number() -> None:
    assert not re.search(r"More Information Needed|TODO|FIXME|REPO_ID|\{\{|\{%|None\b|nan\b", card())
    for path in datacards_folder().iterdir():
        if path.suffix in {".jinja", ".yaml"}:
            bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|sha256", "", path.read_text(encoding="utf-8"))
            assert not re.search(r"\d", bare), path.name


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], float]]:
    """Every number in a JSON value with the way to it."""
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in leaves(v, (*path, k))]
    if isinstance(value, list):
        return [leaf for i, v in enumerate(value) for leaf in leaves(v, (*path, i))]
    return [(path, value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def changed(value: Any, path: tuple[Any, ...], number: float) -> Any:
    """A copy with another number at the end of the way."""
    copied = copy.deepcopy(value)
    place = copied
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = number
    return copied


# Not told: versions of the layout, a published split's seed, rows that `tables` says again, and the confidence of an
# interval that is not there.
SILENT = {("format_version",), ("split", "seed"), ("rows", "raters"), ("rows", "targets"), ("rows", "questions")}
SILENT |= {(1, "confidence"), ("rows", "annotations")}  # the tables of the manifest say it too
SILENT |= {("divided", 0, "minority", i) for i in range(1, 11)}  # drawn, not told


@pytest.mark.parametrize("given", ["manifest", "audit", "agreement"])
def test_every_number_is_taken_from_what_is_given(given: str) -> None:
    value = getattr(sample, given)()
    found = [path for path, _ in leaves(value) if path not in SILENT]
    assert len(found) > 5
    assert not re.search(r"7,?777|777700", card())
    for path in found:
        other = changed(value, path, 7777)
        text = card(other) if given == "manifest" else card(**{given: other})
        assert re.search(r"7,?777|777700", text), path


def test_a_grouped_split_names_its_seed() -> None:
    facts = sample.manifest()
    facts["split"] = {"method": "grouped", "seed": 31, "note": "A tenth for test."}
    text = prose(card(facts))
    assert "(seed 31)" in text
    assert "A tenth for test." in text


def test_what_is_found_is_said() -> None:
    text = prose(card())
    assert "`leak.exact`: 189 of 500 (37.8 %)" in text
    assert "found and accepted" in text
    assert "**failed**" in text
    assert "0.311 to 0.383 (95 %, bootstrap)" in text
    assert "| undefined | none |" in text
    assert "34 rows left out, because no statement" in text
    assert "differed on 1 (33.3 %)" in text
    quiet = prose(card(audit=sample.audit()[2:]))
    assert "None of the leaks" in quiet
    assert "no item" not in quiet
    assert "accepted by the makers" not in quiet  # leak.exact may stand, and does not occur
    assert "let through knowingly" not in quiet


def test_what_could_not_be_looked_at_is_not_clean() -> None:
    rows = [row | {"count": 0, "total": 0} for row in sample.audit()]
    text = prose(card(audit=rows))
    assert "| clean |" not in text
    assert "There is no later split" in text


def test_votes_without_judgements() -> None:
    facts = sample.manifest() | {"disagreement": {"items": 0, "of": 0}, "divided": []}
    facts["annotators"] |= {"known": False, "count": 0, "ratings": 0, "with_reason": 0, "bands": {}}
    text = prose(card(facts, agreement=[]))
    assert "7 items. The published files hold no single judgements" in text
    assert "0 judgements" not in text
    assert "No item was judged" not in text


def test_people_who_are_known_beside_people_who_are_not() -> None:
    facts = sample.manifest()
    facts["annotators"] |= {"unnamed": 4}
    text = prose(card(facts))
    assert "by 2 annotators" not in text
    assert "2 annotators are known; who gave 4 of the judgements is not." in text
    assert "Only 2 people judged" not in text
    facts["annotators"] |= {"unnamed": 0, "models": ["demo:1"]}
    text = prose(card(facts))
    assert "7 items with 6 judgements by 2 annotators" in text
    assert "Only one person judged" in text


def test_numbers_have_no_labels_to_miss() -> None:
    facts = sample.manifest()
    facts["questions"][0] |= {"kind": "interval", "options": []}
    for split in facts["configs"]["default"]["splits"].values():
        split |= {"labels": {}, "unlabelled": split["rows"]}
    text = prose(card(facts))
    assert "have no label" in text
    assert "4 of 4 items have no label" not in text


def test_links_of_the_head_are_web_addresses() -> None:
    facts = sample.manifest()
    facts["sources"][0] |= {"licence": "other", "homepage": "javascript:alert(1)"}
    head, _ = split_front_matter(card(facts))
    assert "license_link" not in head


def test_no_agreement_no_annotators_no_options() -> None:
    facts = sample.manifest()
    facts["annotators"] |= {"known": False, "bands": {}, "with_reason": 0}
    facts["annotators"]["ratings_per_item"] = dict.fromkeys(["min", "median", "max"])
    facts["disagreement"] = {"items": 0, "of": 0}
    facts["questions"][0] |= {"options": [], "wording": ""}
    text = card(facts, agreement=[], audit=[])
    head, _ = split_front_matter(text)
    info: Any = head["dataset_info"]
    assert {"name": "label", "dtype": "int64"} in info[0]["features"]
    body = prose(text)
    for words in ("do not say who", "No agreement was computed", "no fixed options", "wording is not given"):
        assert words in body
    assert "ClassLabel" not in text
    assert "The audit reported no finding" in body
    assert "| ratings of an item, primary question | unknown | unknown | unknown |" in body


def test_the_head_names_licences_languages_and_sizes() -> None:
    facts = sample.manifest()
    other = copy.deepcopy(facts["sources"][0]) | {"name": "second", "licence": "other", "languages": ["no", "en"]}
    facts["sources"].append(other)
    head, _ = split_front_matter(card(facts))
    assert head["license"] == ["mit", "other"]
    assert head["license_name"] == "second-terms"
    assert head["license_link"] == "https://example.org/demo?a=1"
    assert head["language"] == ["en", "no"]
    assert head["size_categories"] == ["n<1K"]
    assert size_category(1000) == "1K<n<10K"


def test_a_card_claims_no_language_and_counts_what_was_left_out() -> None:
    facts = sample.manifest()
    facts["sources"][0]["languages"] = []
    facts["sources"][0]["dropped"][0] |= {"count": 1, "unit": "ratings"}
    text = card(facts)
    head, _ = split_front_matter(text)
    assert not {"language", "multilinguality"} & set(head)
    assert "**Languages:** not said by the source" in text
    assert "1 rating left out, because no statement" in text
    assert "1 rating of demo.csv was left out" in text


HOSTILE = (
    "x | y\n\n---\n# big <script>alert(1)</script> ![i](http://e.org/p) <!-- dfar:end summary --> ``` {{ 7*7 }} *b*"
)


def hostile(value: Any) -> Any:
    """Every text of a source, question or band replaced by one that tries everything."""
    if isinstance(value, dict):
        return {k: hostile(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_stays_text() -> None:
    facts = sample.manifest()
    facts |= {"title": HOSTILE, "sources": hostile(facts["sources"]), "tools": {HOSTILE: HOSTILE}}
    facts["questions"] = [{"question": HOSTILE, "kind": "nominal", "options": [HOSTILE, "b"], "wording": HOSTILE}]
    facts["annotators"]["bands"] = {HOSTILE: {HOSTILE: 1}}
    facts["configs"]["default"]["splits"]["test"]["labels"] = {HOSTILE: 3, "items": 1}
    facts["split"]["note"] = facts["groups"]["note"] = HOSTILE
    text = card(facts, audit=hostile(sample.audit()), agreement=hostile(sample.agreement()))
    body = prose(text)
    assert "<script" not in body
    assert "](" not in body.replace("\\](", "")
    assert not re.search(r"(?<!\\)!\[", body)
    assert not re.search(r"(?m)^---|^# big", body)
    assert "49" not in body
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} <= {3, 4, 5, 6, 7, 9}
    head, _ = split_front_matter(text)
    info: Any = head["dataset_info"]
    labels = next(f for f in info[0]["features"] if f["name"] == "label")
    assert labels["dtype"]["class_label"]["names"]["0"] == HOSTILE
    assert card(facts, audit=[], agreement=[], previous=text) == card(facts, audit=[], agreement=[])


def test_prose_by_hand_and_own_keys_survive() -> None:
    first = card()
    mine = "\nWritten by hand: the number 12 & <b>bold</b>.\n"
    edited = first.replace("<!-- dfar:end composition -->\n", "<!-- dfar:end composition -->\n" + mine)
    edited = edited.replace("---\npretty_name", "---\nviewer: false\ntags2: [a]\npretty_name", 1)
    facts = sample.manifest()
    facts["rows"]["items"] = 4567
    again = card(facts, previous=edited + "\n## Thanks\n")
    assert mine in again
    assert again.endswith("\n## Thanks\n")
    assert "4,567 items" in again
    assert "\n7 items with" not in again
    head, _ = split_front_matter(again)
    assert head["viewer"] is False
    assert head["tags2"] == ["a"]
    assert head["size_categories"] == ["1K<n<10K"]
    assert card(facts, previous=again) == again


def test_rendering_over_itself_changes_nothing() -> None:
    assert card(previous=card()) == card()
    assert card() == card()


def test_a_key_that_is_no_longer_needed_goes() -> None:
    facts = sample.manifest()
    facts["sources"][0]["licence"] = "other"
    assert "license_link" in card(facts)
    assert "license_link" not in card(previous=card(facts))


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("<!-- dfar:end audit -->\n", "", "'audit' is not closed"),
        ("<!-- dfar:begin audit -->\n", "", "'audit' ends without"),
        ("<!-- dfar:begin audit -->", "<!-- dfar:begin audits -->", "no block 'audits'"),
        ("<!-- dfar:begin audit -->", "text <!-- dfar:begin audit -->", "alone on its line"),
        ("<!-- dfar:begin audit -->", "<!--dfar:begin audit-->", "alone on its line"),
        ("# Demo", "<!-- dfar:begin use -->\n<!-- dfar:end use -->\n# Demo", "'summary' is not closed"),
        (
            "\n### Direct Use",
            "\n<!-- dfar:end use -->\n<!-- dfar:begin use -->\n### Direct Use",
            "'use' stands there twice",
        ),
        ("license: mit", "license: mit\nlicense: mit", "'license' stands twice"),
        ("license: mit", "license: [mit", "cannot be read"),
        ("\n---\n", "\n", "must end in a line"),
    ],
)
def test_a_damaged_card_is_refused(find: str, replace: str, message: str) -> None:
    first = card()
    assert find in first
    with pytest.raises(TableError, match=message) as caught:
        card(previous=first.replace(find, replace, 1))
    assert "\n" not in str(caught.value)


def test_a_card_without_a_block_is_refused() -> None:
    whole = re.search(r"(?s)<!-- dfar:begin use -->.*<!-- dfar:end use -->\n", card())
    assert whole is not None
    with pytest.raises(TableError, match="'use' cannot be found"):
        card(previous=card().replace(whole.group(), ""))


def test_a_manifest_without_a_value_is_refused() -> None:
    facts = sample.manifest()
    del facts["groups"]["largest"]
    with pytest.raises(TableError, match="largest"):
        card(facts)
    with pytest.raises(ValueError, match=r"^render_card: .*'raters'"):
        card(schemas={k: v for k, v in sample.SCHEMAS.items() if k != "raters"})


def test_the_templates_are_found_in_a_bare_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert datacards_folder().joinpath("card.md.jinja").is_file()
    monkeypatch.setattr(templates, "PACKAGE", "dfar_toolkit._nowhere")
    assert datacards_folder() == Path(__file__).resolve().parents[2] / "datacards"
    monkeypatch.setattr(templates, "_BESIDE", Path("nowhere"))
    with pytest.raises(TableError, match="install dfar-toolkit again"):
        datacards_folder()


def test_windows_line_ends_keep_their_blocks() -> None:
    assert "## Thanks" in card(previous=(card() + "\n## Thanks\n").replace("\n", "\r\n"))


def test_blocks_and_templates_match() -> None:
    names = {p.name.removesuffix(".md.jinja") for p in datacards_folder().glob("*.md.jinja")}
    assert names == {*BLOCKS, "card", "pictures"}
    meanings = yaml.safe_load((datacards_folder() / "fields.yaml").read_text(encoding="utf-8"))
    assert set(meanings["items"]) == {*sample.ITEMS, "stem", "context_key", "contrast_key"}
    assert set(meanings["annotations"]) == set(sample.ANNOTATIONS)
    assert json.dumps(meanings)
