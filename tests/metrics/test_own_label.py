"""Which label a reason names, and whether it is its own."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import estimate_together
from dfar_toolkit.metrics.reasons.named_labels import named_labels
from dfar_toolkit.metrics.reasons.own_label import (
    own_label_agreement,
    own_label_namings,
    own_label_rows,
    own_label_table,
)
from dfar_toolkit.metrics.reasons.paired_reasons import pair_reasons

OPTIONS = ["ethical", "unethical"]
# Text; named by "negation", by "words", by "substring": e ethical, u unethical.
TEXTS = [
    ("It is ETHICAL.", "e", "e", "e"),
    ("It isn’t ethical", "u", "e", "e"),
    ("I don't think that it is unethical", "e", "u", "u"),
    ("This is non-ethical", "u", "e", "e"),
    ("not only unethical but illegal", "u", "u", "u"),
    ("neither ethical nor unethical", "eu", "eu", "eu"),
    ("ethically sound", "", "", "e"),
    ("an unethical, unethically made choice", "u", "u", "u"),
    ("There are ethical concerns", "", "e", "e"),
    ("whether it is ethical or not", "", "e", "e"),
    ("ethical or unethical?", "eu", "eu", "eu"),
    ("😀 fine", "", "", ""),
    ("", "", "", ""),
]


@pytest.mark.parametrize(("place", "rule"), [(1, "negation"), (2, "words"), (3, "substring")])
def test_rules(place: int, rule: str) -> None:
    found = named_labels(pl.Series([t[0] for t in TEXTS]), OPTIONS, rule=rule)  # type: ignore[arg-type]
    letters = ["".join(c for c, named in zip("eu", row, strict=True) if named) for row in found.rows()]
    assert letters == [t[place] for t in TEXTS]


def test_words_of_the_users_own() -> None:
    words = {"0": ["fair", "all right"], "1": ["wrong", "cruel"]}
    texts = pl.Series(["All-right then", "not wrong", "unfair!", "cruel but fair", "0 or 1", None])
    found = named_labels(texts, ["0", "1"], words=words)
    assert found.rows() == [(True, False), (True, False), (False, True), (True, True), (False, False), (False, False)]


def test_three_labels_negate_to_none() -> None:
    found = named_labels(pl.Series(["not neutral", "not bad", "good"]), ["good", "neutral", "bad"])
    assert found.rows() == [(False, False, False), (False, False, False), (True, False, False)]


REASONS = ["Ethical.", "Unethical.", "Ethical and unethical.", "Hm.", "Ethical.", None]
LABELS = ["ethical", "ethical", "unethical", "unethical", None, "ethical"]


def test_shares_by_hand() -> None:
    frame = pl.DataFrame({"reason": REASONS, "label_pred": LABELS})
    table = own_label_table(frame, options=OPTIONS)
    assert table.select("metric", "value", "n").rows() == [
        ("own_label_own", 0.25, 4),
        ("own_label_other", 0.25, 4),
        ("own_label_both", 0.25, 4),
        ("own_label_neither", 0.25, 4),
        ("own_label_agreement", 0.5, 2),
    ]
    assert table["note"][0] == "1 of 6 without a reason left out; 1 of 5 without a label left out"
    assert table["method"].unique().to_list() == ["Wilson"]
    assert own_label_table(frame.reverse(), options=OPTIONS).equals(table)
    renamed = own_label_table(
        frame.with_columns(pl.col("label_pred").replace({"ethical": "0", "unethical": "1"})),
        options=["1", "0"],
        words={"0": ["ethical"], "1": ["unethical"]},
    )
    assert renamed["value"].to_list() == table["value"].to_list()
    pairs = pair_reasons("test", frame, label="label_pred")
    points = [e.value for e in estimate_together(own_label_rows(pairs, options=OPTIONS), ci=None)]
    assert points == table["value"].to_list()


def test_groups_count_as_units() -> None:
    found = own_label_agreement(reason=["Ethical."] * 8, label=["ethical"] * 8, group=list("aabbccdd"), options=OPTIONS)
    assert (found.value, found.n, found.n_units, found.method) == (1.0, 8, 4, "Wilson (effective n)")


def test_undefined_and_refused() -> None:
    nothing = own_label_agreement(reason=["Hm."], label=["ethical"], options=OPTIONS)
    assert isnan(nothing.value)
    assert nothing.note == "all 1 items are without a label, or naming both or neither,"
    with pytest.raises(TableError, match="found 'fine'"):
        own_label_agreement(reason=["Hm."], label=["fine"], options=OPTIONS)
    with pytest.raises(ValueError, match="none a negation"):
        own_label_agreement(reason=["Hm."], label=["yes"], options=["yes", "no"])
    with pytest.raises(ValueError, match="found 'good'"):
        named_labels(pl.Series(["a"]), OPTIONS, words={"good": ["good"]})
    with pytest.raises(ValueError, match="rule must be"):
        named_labels(pl.Series(["a"]), OPTIONS, rule="letters")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give the labels"):
        own_label_namings(pair_reasons("test", None, reason=["a"]), options=OPTIONS)


@pytest.fixture(scope="module")
def dfar(shared_data: Path) -> dict[str, pl.DataFrame]:
    files = {s: pl.read_csv(shared_data / "dfar" / f"DFAR_{s}set.csv") for s in ("train", "test")}
    names = pl.col("Label").replace_strict({0: "ethical", 1: "unethical"})
    return {s: f.select(names.alias("label"), reason="Reason") for s, f in files.items()}


@pytest.mark.real
@pytest.mark.parametrize(
    ("split", "label", "counts"),  # only "ethical", only "unethical", both, neither
    [
        ("train", "ethical", [1807, 82, 323, 376]),
        ("train", "unethical", [426, 837, 402, 247]),
        ("test", "ethical", [256, 2, 20, 20]),
        ("test", "unethical", [13, 154, 23, 12]),
    ],
)
def test_published_table_of_label_words(
    dfar: dict[str, pl.DataFrame], split: str, label: str, counts: list[int]
) -> None:
    part = dfar[split].filter(label=label)
    named = named_labels(part["reason"], OPTIONS, rule="substring")
    e, u = named["0"], named["1"]
    assert [(e & ~u).sum(), (~e & u).sum(), (e & u).sum(), (~e & ~u).sum()] == counts


@pytest.mark.real
def test_what_published_reasons_name(dfar: dict[str, pl.DataFrame]) -> None:
    shares = own_label_table(dfar["test"], label="label", options=OPTIONS)["value"].to_list()
    assert shares == pytest.approx([421 / 500, 9 / 500, 31 / 500, 39 / 500, 421 / 430], abs=1e-12)
