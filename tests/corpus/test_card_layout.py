"""The card's sections, the places that a person fills, and cards of the first layout."""

from __future__ import annotations

import copy
import re
from typing import Any

import card_sample as sample
import pytest

from dfar_toolkit.corpus.card import MOST_BANDS, render_card
from dfar_toolkit.corpus.card_blocks import BLOCKS, FIRST_BLOCKS, PLACE, unwritten
from dfar_toolkit.corpus.front_matter import split_front_matter
from dfar_toolkit.corpus.licences import hub_licence
from dfar_toolkit.corpus.prose import biases
from dfar_toolkit.errors import TableError

# The headings of the Hub's own template for a data set, in its order.
HUB = [
    "## Dataset Details", "### Dataset Description", "### Dataset Sources", "## Uses", "### Direct Use",
    "### Out-of-Scope Use", "## Dataset Structure", "## Dataset Creation", "### Curation Rationale", "### Source Data",
    "#### Data Collection and Processing", "#### Who are the source data producers?", "### Annotations",
    "#### Annotation process", "#### Who are the annotators?", "#### Personal and Sensitive Information",
    "## Bias, Risks, and Limitations", "### Recommendations", "## Citation", "## Glossary", "## More Information",
    "## Dataset Card Authors", "## Dataset Card Contact",
]  # fmt: skip
PLACES = [
    "Curated, funded and shared by", "Curation Rationale", "Who are the source data producers?",
    "Instructions and platform", "How the annotators were found and paid", "More Information", "Dataset Card Authors",
    "Dataset Card Contact",
]  # fmt: skip


def card(facts: dict[str, Any] | None = None, *, previous: str | None = None, **given: Any) -> str:
    arguments: dict[str, Any] = {"audit": sample.audit(), "agreement": sample.agreement(), "schemas": sample.SCHEMAS}
    return render_card(sample.manifest() if facts is None else facts, **(arguments | given), previous=previous)


def first_layout(*, after: dict[str, str] | None = None) -> str:
    """A card as the first release wrote it: thirteen blocks, blank lines between, words of a person after some."""
    parts = []
    for name in FIRST_BLOCKS:
        parts.append(f"<!-- dfar:begin {name} -->\n## Old {name}\n<!-- dfar:end {name} -->\n")
        parts.append(f"\n{(after or {}).get(name, '')}\n")
    return "---\npretty_name: Old\nviewer: false\n---\n\n" + "".join(parts)


def test_the_sections_of_the_hubs_template_stand_in_its_order() -> None:
    lines = card().splitlines()
    places = [lines.index(heading) for heading in HUB]
    assert places == sorted(places)
    order = re.findall(r"dfar:begin (\w+)", card())
    assert tuple(order) == BLOCKS
    for ours in ("### Agreement", "### Disagreement", "### What the audit found", "## Changes since the last version"):
        assert ours in lines


def test_what_only_a_person_knows_has_a_place() -> None:
    assert unwritten(card()) == PLACES
    written = card().replace(f"{PLACE} Why was this data collected, and why these items?", "Because.", 1)
    again = card(previous=written)
    assert "Because." in again
    assert unwritten(again) == [name for name in PLACES if name != "Curation Rationale"]


def test_the_sentence_in_a_block_is_not_a_place() -> None:
    facts = sample.manifest()
    facts["sources"][0]["notes"] = [PLACE]
    assert unwritten(card(facts)) == PLACES
    assert unwritten(card(sample.manifest() | {"title": "<!-- dfar:end audit -->"})) == PLACES  # in the head as it is
    with pytest.raises(TableError, match="not closed"):
        unwritten(card().replace("<!-- dfar:end glossary -->\n", ""))


def test_a_card_of_the_first_layout_keeps_every_word_by_hand() -> None:
    words = {
        "composition": "Mine after the composition: 12 & <b>bold</b>.\n\n### My heading\n\nMore.",
        "use": "Mine after the uses.",
        "citation": "## Thanks\n\nTo all.",
    }
    previous = first_layout(after=words).replace("---\n\n<!--", "---\n\nBefore everything.\n\n<!--", 1)
    new = card(previous=previous)
    assert "## Old" not in new
    for block, text in words.items():
        assert text in new
        if block != "citation":
            between = new[new.index(f"<!-- dfar:end {block} -->") : new.index(text)]
            assert "dfar:begin" not in between
    assert new.endswith("## Thanks\n\nTo all.\n")
    assert new.index("Before everything.") < new.index("<!-- dfar:begin summary")
    assert re.findall(r"dfar:begin (\w+)", new) == list(BLOCKS)
    assert unwritten(new) == PLACES
    assert split_front_matter(new)[0]["viewer"] is False
    assert card(previous=new) == new


def test_a_bare_card_of_the_first_layout_becomes_a_fresh_one() -> None:
    fresh = split_front_matter(card())[1]
    assert split_front_matter(card(previous=first_layout()))[1].strip() == fresh.strip()
    with pytest.raises(TableError, match="cannot be found"):
        card(previous=first_layout().replace("<!-- dfar:begin use -->\n## Old use\n<!-- dfar:end use -->\n", ""))


def test_an_age_in_years_does_not_fill_the_card() -> None:
    facts = sample.manifest()
    facts["annotators"]["bands"] = {"age": {str(year): 90 - year for year in range(20, 60)}}
    text = card(facts)
    assert text.count("| age |") == MOST_BANDS + 1
    rest = sum(90 - year for year in range(20 + MOST_BANDS, 60))
    assert f"| age | 20 further bands | {rest} |" in text


def test_pictures_are_linked_with_words_that_stay_words() -> None:
    facts = sample.manifest()
    picture = {"block": "composition", "file": "plots/labels-a b.png", "title": "x](http://e.org)", "alt": "![a](b) |"}
    facts["plots"] = {"drawn": [picture], "skipped": [{"block": "agreement", "note": "Nothing *to* draw."}]}
    body = split_front_matter(card(facts))[1]
    assert r"![\!\[a\](b) \|](plots/labels-a%20b.png)" in body
    assert "- Nothing \\*to\\* draw." in body[body.index("### Agreement") : body.index("### Disagreement")]


def test_the_head_says_what_is_known_and_no_more() -> None:
    facts = sample.manifest()
    head, _ = split_front_matter(card(facts))
    assert head["multilinguality"] == ["monolingual"]
    assert head["source_datasets"] == ["extended|other-demo"]
    assert head["task_ids"] == ["multi-class-classification"]
    assert head["annotations_creators"] == ["other"]
    second = copy.deepcopy(facts["sources"][0])
    second |= {"name": "my own", "licence": "terms of ours", "languages": ["no"], "homepage": "", "citation": ""}
    third = copy.deepcopy(facts["sources"][0]) | {"homepage": "https://huggingface.co/datasets/org/set"}
    facts["sources"] += [second, third]
    facts["questions"].append({"question": "how", "kind": "interval", "options": [], "wording": ""})
    facts["annotators"]["models"] = ["demo:judge"]
    head, _ = split_front_matter(card(facts))
    assert head["license"] == ["mit", "other"]
    assert head["license_name"] == "my-own-terms"
    assert "license_link" not in head
    assert head["multilinguality"] == ["multilingual"]
    assert head["source_datasets"] == ["extended|other-demo", "original", "extended|org/set"]
    assert head["task_ids"] == ["multi-class-classification", "text-scoring"]
    assert head["annotations_creators"] == ["other", "machine-generated"]
    facts["sources"][0]["task"] = facts["sources"][1]["task"] = facts["sources"][2]["task"] = "token-classification"
    assert "task_ids" not in split_front_matter(card(facts))[0]
    assert hub_licence("no such licence") == "other"


def test_who_annotated_by_hand_stays() -> None:
    edited = card().replace("annotations_creators:\n- other", "annotations_creators:\n- crowdsourced")
    assert split_front_matter(card(previous=edited))[0]["annotations_creators"] == ["crowdsourced"]
    odd = card().replace("annotations_creators:\n- other", "annotations_creators:\n- whoever")
    assert split_front_matter(card(previous=odd))[0]["annotations_creators"] == ["other"]


def test_leanings_are_said_where_the_counts_show_them() -> None:
    facts = sample.manifest()
    assert biases(facts) == ["Only 2 people judged: what they share, the data shares."]
    facts["configs"]["default"]["splits"]["test"] |= {"labels": {"ethical": 3, "unethical": 1}, "unlabelled": 2}
    assert "In default, split test, 75.0 % of the labelled items are 'ethical'." in biases(facts)
    assert "In default, split test, 2 of 3 items have no label." in biases(facts)
    facts["annotators"]["ratings_per_item"]["median"] = 1
    assert any("one person only" in sentence for sentence in biases(facts))
    text = card(facts)
    assert "labelled items are 'ethical'" in text[text.index("## Bias, Risks") :]


def test_same_columns_are_listed_once() -> None:
    facts = sample.manifest()
    facts["configs"]["second"] = copy.deepcopy(facts["configs"]["default"])
    text = card(facts, schemas={**sample.SCHEMAS, "second": sample.ITEMS})
    assert "**`default`, `second`**" in text
    assert text.count("| `statement` |") == 1
