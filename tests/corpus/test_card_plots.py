"""Pictures beside the card: the same bytes each time, for few and many options, and words where there is nothing."""

from __future__ import annotations

import copy
import struct
from fractions import Fraction
from math import log
from pathlib import Path
from typing import Any

import card_sample as sample
import polars as pl
import pytest

from dfar_toolkit.corpus import card_plots
from dfar_toolkit.corpus.card_plots import write_plots
from dfar_toolkit.corpus.composition import divided_facts, shown_facts
from dfar_toolkit.corpus.plot_charts import lengths_chart
from dfar_toolkit.corpus.recheck import refresh_card
from dfar_toolkit.corpus.templates import datacards_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sample.write_data(tmp_path)
    return tmp_path


def facts_with(n_options: int, n_splits: int = 2, configs: tuple[str, ...] = ("default",)) -> dict[str, Any]:
    """A manifest whose primary questions have so many options, one of them hostile."""
    options = ['<b>"x"</b>\n{{7*7}} ![i](http://e.org) \u202e', *(f"option {i}" for i in range(1, n_options))]
    facts = sample.manifest()
    split = {"rows": 100, "n_bytes": 1, "groups": 1, "labels": dict.fromkeys(options, 2), "unlabelled": 40}
    facts["questions"] = [
        {"question": f"q {c}", "kind": "nominal", "options": options, "wording": "", "primary_of": c} for c in configs
    ]
    facts["configs"] = {c: {"splits": {f"s{i}": copy.deepcopy(split) for i in range(n_splits)}} for c in configs}
    facts["divided"] = [{**facts["divided"][0], "question": f"q {c}"} for c in configs]
    return facts


def pixels(path: Path) -> tuple[int, int]:
    """Width and height as the file's header says, which must be that of a PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_what_is_drawn_and_in_which_words(folder: Path) -> None:
    found = write_plots(folder, sample.manifest(), agreement=sample.agreement())
    assert [p["file"] for p in found["drawn"]] == [
        "plots/labels-default.png",
        "plots/disagreement-default.png",
        "plots/lengths.png",
        "plots/agreement.png",
    ]
    assert found["skipped"] == []
    words = [p["alt"] for p in found["drawn"]]
    assert "train: ethical 50.0%, unethical 25.0%, (no label) 25.0%" in words[0]
    assert "all agree on 66.7%, and the commonest size of a minority is above 30 and up to 40 %" in words[1]
    assert "half of the statements have 14 characters or fewer" in words[2]
    assert "Krippendorff's alpha 0.35" in words[3]
    assert {p["block"] for p in found["drawn"]} <= {
        p.name.removesuffix(".md.jinja") for p in datacards_folder().iterdir()
    }


def test_the_same_counts_give_the_same_bytes(folder: Path) -> None:
    drawings = []
    for _ in range(2):
        found = write_plots(folder, sample.manifest(), agreement=sample.agreement())
        drawings.append([(folder / p["file"]).read_bytes() for p in found["drawn"]])
        card_plots._png.cache_clear()
    assert drawings[0] == drawings[1]


@pytest.mark.parametrize(("options", "splits"), [(2, 1), (3, 4), (12, 3), (30, 2), (31, 7)])
def test_few_and_many_options(folder: Path, options: int, splits: int) -> None:
    found = write_plots(folder, facts_with(options, splits), agreement=[])
    width, height = pixels(folder / "plots" / "labels-default.png")
    assert 900 <= width <= 1100  # twice what a card shows at most
    assert height < 3 * width
    notes = [s["note"] for s in found["skipped"]]
    assert ("The 7 splits of default are drawn as one." in notes) == (splits > 6)
    assert ("Labels of default: the first 30 of 31 options are drawn." in notes) == (options > 30)
    assert "\n" not in found["drawn"][0]["alt"]


def test_every_config_has_its_own_and_there_is_an_end(folder: Path) -> None:
    configs = tuple(f"c{i}" for i in range(9))
    found = write_plots(folder, facts_with(2, 1, configs), agreement=[])
    assert [p["file"] for p in found["drawn"]][:8] == [f"plots/labels-c{i}.png" for i in range(8)]
    assert {"block": "composition", "note": "Labels are drawn for the first 8 of 9 configurations."} in found["skipped"]


def test_a_picture_stays_in_its_folder(folder: Path) -> None:
    found = write_plots(folder, facts_with(2, 1, ("../a b",)), agreement=[])
    assert found["drawn"][0]["file"] == "plots/labels-..%2Fa%20b.png"
    assert {p.parent.name for p in folder.rglob("*.png")} == {"plots"}


def test_words_where_there_is_nothing_to_show(folder: Path) -> None:
    facts = sample.manifest() | {"divided": []}
    facts["questions"][0] |= {"kind": "interval", "options": []}
    found = write_plots(folder, facts, agreement=sample.agreement()[1:])  # its one row is undefined
    assert [p["file"] for p in found["drawn"]] == ["plots/lengths.png"]
    assert [s["block"] for s in found["skipped"]] == ["composition", "agreement"]
    targets = pl.read_parquet(folder / "targets.parquet").with_columns(value=pl.lit(2.5))
    targets.write_parquet(folder / "targets.parquet")
    found = write_plots(folder, facts, agreement=[])
    assert found["drawn"][0]["alt"] == "Histogram of the mean rating, conduct: from 2.5 to 2.5 over 1 item."


def test_several_questions_show_alpha_of_each(folder: Path) -> None:
    row = sample.agreement()[0]
    rows = [row | {"question": f"q{i}"} for i in range(3)]
    rows += [row | {"question": "q0", "statistic": "gwet_ac1"}, row | {"question": "q0", "statistic": "cohen_kappa"}]
    words = write_plots(folder, sample.manifest(), agreement=rows)["drawn"][-1]["alt"]
    assert words == "Plot of values with intervals: Krippendorff's alpha of each question. q0 0.35, q1 0.35, q2 0.35."


def test_a_refreshed_card_draws_again_and_lists_the_files(demo: Path, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(demo / "items", tmp_path / "items")
    manifest = json.loads((tmp_path / "items" / "manifest.json").read_text())
    gone = [p["file"] for p in manifest["plots"]["drawn"]]
    assert gone
    before = {name: (tmp_path / "items" / name).read_bytes() for name in gone}
    refresh_card(tmp_path / "items")
    again = json.loads((tmp_path / "items" / "manifest.json").read_text())
    assert set(gone) <= set(again["files"])
    assert {name: (tmp_path / "items" / name).read_bytes() for name in gone} == before
    card = (tmp_path / "items" / "README.md").read_text()
    assert all(f"]({name})" in card for name in gone)


def test_a_picture_that_is_no_longer_drawn_goes(folder: Path) -> None:
    facts = sample.manifest()
    facts["plots"] = write_plots(folder, facts, agreement=sample.agreement())
    (folder / "plots" / "mine.png").write_bytes(b"mine")
    facts["divided"] = []
    write_plots(folder, facts, agreement=[])
    assert sorted(p.name for p in (folder / "plots").iterdir()) == ["labels-default.png", "lengths.png", "mine.png"]


def test_the_spread_of_votes_by_hand() -> None:
    shares = [[1.0, 0.0], [2 / 3, 1 / 3], [0.5, 0.5], [0.9, 0.1], None, [1.0, 0.0]]
    targets = pl.DataFrame(
        {
            "item_id": list("abcdef"),
            "question": ["q"] * 6,
            "label": [None] * 6,
            "label_probs": shares,
            "n_ratings": [3, 3, 2, 10, 2, 1],  # e has no shares, f only one rating
        },
        schema_overrides={"label": pl.String},
    )
    questions = pl.DataFrame({"question": ["q", "s"], "kind": ["nominal", "set"], "options": [["x", "y"]] * 2})
    (row,) = divided_facts(targets, questions)
    assert row["of"] == 4
    assert row["minority"] == [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]  # none, to a tenth (d), to four (b), to five tenths (c)
    assert row["tied"] == 1

    def bits(*parts: Fraction) -> float:
        return -sum(float(p) * log(p) for p in parts) / log(2)

    by_hand = (bits(Fraction(2, 3), Fraction(1, 3)) + 1 + bits(Fraction(9, 10), Fraction(1, 10))) / 4
    assert row["entropy"] == pytest.approx(by_hand, abs=1e-6)


def test_what_stood_beside_the_statement() -> None:
    items = sample.items("train", [0, 1, 0]).with_columns(option_texts=pl.Series([["p", "q"], None, None]))
    assert shown_facts(items) == [
        {"config": "default", "field": "where", "role": "", "items": 2},
        {"config": "default", "field": "", "role": "option_texts", "items": 1},
    ]
    assert shown_facts(items.clear()) == []


def test_lengths_are_marked_at_doublings() -> None:
    rows = [{"series": "statements", "low": low, "share": 0.1} for low in (22.6274, 32.0, 45.2548, 128.0)]
    axis = lengths_chart(rows).to_dict()["layer"][1]["encoding"]["x"]["axis"]
    assert axis["values"] == [32, 64, 128]
