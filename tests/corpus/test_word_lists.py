from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.corpus.word_lists import holds_listed, read_word_list, word_finding, word_shares
from dfar_toolkit.errors import TableError


def holds(text: str, *words: str) -> bool:
    return bool(holds_listed(pl.Series([text]), list(words)).item())


def test_whole_words_in_any_script_and_case() -> None:
    assert holds("What a FOOL!", "fool")
    assert not holds("foolish fools", "fool")
    assert holds("ein großer STRASSENKÖTER, STRASSE", "Straße")
    assert holds("half-wit", "half wit")
    assert not holds("half a wit", "half wit")
    assert holds("একটি খারাপ লোক", "খারাপ")
    assert not holds("खराबी", "खराब")  # a vowel sign makes another word
    assert holds("nice 🖕 day", "🖕")
    assert holds("fool fool", "fool fool", "other")
    assert not holds("anything", " ")
    assert holds("a.b", "A B")


def test_shares_by_label_by_hand() -> None:
    items = pl.DataFrame(
        {"item_id": list("pqr"), "statement": ["You fool", "You idiot", "Hello"], "label": ["bad", "bad", None]}
    )
    reasons = pl.DataFrame({"item_id": ["p", "r"], "value": ["bad", "good"], "text": ["fool is rude", "polite"]})
    lists = {"one": ["fool"], "two": ["idiot", "hello"]}
    shares = word_shares(items, reasons, lists)
    rows = {(r["words"], r["where"], r["label"]): (r["count"], r["n"]) for r in shares.iter_rows(named=True)}
    assert rows == {
        ("one", "statement", None): (1, 3),
        ("one", "statement", "bad"): (1, 2),
        ("one", "reason", None): (1, 2),
        ("one", "reason", "bad"): (1, 1),
        ("one", "reason", "good"): (0, 1),
        ("two", "statement", None): (2, 3),
        ("two", "statement", "bad"): (1, 2),
        ("two", "reason", None): (0, 2),
        ("two", "reason", "bad"): (0, 1),
        ("two", "reason", "good"): (0, 1),
    }
    finding = word_finding(items, reasons, lists, shares)
    assert (finding.finding, finding.severity, finding.count, finding.total) == ("words.listed", "info", 3, 3)
    assert finding.note == "one: 1 of 3 statements; one: 1 of 2 reasons; two: 2 of 3 statements; two: 0 of 2 reasons"


def test_word_files(tmp_path: Path) -> None:
    path = tmp_path / "w.txt"
    path.write_text("\ufeff fool \n\n#hashtag\n", encoding="utf-8")
    assert read_word_list(path) == ["fool", "#hashtag"]
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(TableError, match="wanted UTF-8"):
        read_word_list(path)
    path.write_text("\n \n")
    with pytest.raises(TableError, match="empty"):
        read_word_list(path)
