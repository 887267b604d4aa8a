from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.corpus.audit import AuditThresholds, Finding, as_json, audit, gate
from dfar_toolkit.corpus.findings import SEVERITIES, excerpt
from dfar_toolkit.corpus.groups import item_groups
from dfar_toolkit.corpus.leaks import mark_leaks
from dfar_toolkit.corpus.records import near_or_sampled
from dfar_toolkit.corpus.split import grouped_split
from dfar_toolkit.errors import TableError

QUESTIONS = pl.DataFrame(
    {"question": ["verdict"], "kind": ["nominal"], "options": [["ethical", "unethical"]], "wording": [""]}
)


def items(rows: list[tuple[str, str, str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["item_id", "split", "statement", "label"], orient="row")


def annotations(rows: list[tuple[str, str, str, str, str | None]]) -> pl.DataFrame:
    """Rows of (item, annotator, rating, value, reason)."""
    names = ["item_id", "annotator_id", "rating_id", "value", "reason"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.with_columns(pl.lit("verdict").alias("question"))


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {f.finding: f for f in findings}


CLEAN = items([("a", "train", "I fed the neighbour's dog.", "ethical"), ("b", "test", "I broke a vase.", "unethical")])
RATED = annotations(
    [("a", "s:1", "r1", "ethical", "Kindness to animals is good."), ("b", "s:1", "r2", "unethical", "A vase is dear.")]
)


def test_every_finding_is_listed_with_zero() -> None:
    findings = audit(CLEAN, RATED, QUESTIONS)
    assert [f.finding for f in findings] == list(SEVERITIES)
    assert {f.finding: f.count for f in findings if f.count} == {"annotations.single": 2}
    assert gate(findings) == ()
    failing = {f.finding for f in findings if f.severity == "fail"}
    assert failing == {
        "leak.exact", "leak.identical_row", "label.conflict", "label.range", "id.duplicate", "split.name",
    }  # fmt: skip
    row = as_json(findings)[0]
    assert list(row) == ["finding", "severity", "count", "total", "examples", "note", "allowed"]


def test_planted_records() -> None:
    frame = items(
        [
            ("a", "train", "I fed the dog of my neighbour while she was on holiday.", "ethical"),
            ("b", "test", "I fed the dog of my neighbour while she was on holiday.", "unethical"),
            ("c", "test", "I fed the dog of my neighbours while she was on holiday.", "ethical"),
            ("d", "test", "I fed the dog of my neighbour, while she was on holiday!", "perhaps"),
            ("d", "my-split", "I am here", None),
            ("f", "all", "I am there", None),
        ]
    ).with_columns(pl.Series("label_counts", [[1, 0], [0, 1], [1, 0], None, [1, 1], None]))
    rated = annotations(
        [
            ("a", "s:1", "r1", "ethical", None),
            ("a", "s:1", "r2", "unethical", None),  # the same person again
            ("b", "s:2", "r3", "ethical", None),
            ("b", "s:2", "r3", "unethical", None),  # one set-valued rating
            ("c", "s:unknown", "r4", "ethical", None),
            ("c", "s:unknown", "r5", "other", None),
        ]
    )
    found = by_name(audit(frame, rated, QUESTIONS))
    # splits in order: train, test, all, my-split; of the 6 items 5 stand behind the first split
    assert (found["leak.exact"].count, found["leak.exact"].total) == (2, 5)
    assert found["leak.identical_row"].count == 0
    assert found["leak.near"].count == 1
    assert found["duplicate.exact"].count == 1
    assert found["duplicate.near"].count == 3  # b and d are near c, and c is near them
    assert found["label.conflict"].count == 3
    assert (found["label.range"].count, found["label.range"].total) == (2, 10)
    assert found["label.range"].note == 'not among the options: "other", "perhaps"'
    assert (found["label.missing"].count, found["label.tie"].count) == (1, 1)
    assert (found["rating.twice"].count, found["rating.twice"].total) == (1, 2)
    assert found["rating.twice"].examples == ("a: s:1 on verdict, 2 ratings",)
    assert found["id.duplicate"].count == 1
    assert found["split.name"].examples == ("all", "my-split")


def test_planted_reasons_and_texts() -> None:
    frame = items([(i, "train", f"Statement of {i} alone", "ethical") for i in "abcdef"])
    frame = frame.with_columns(pl.when(pl.col("item_id") == "f").then(pl.lit("\ufeffx\x07")).otherwise("statement"))
    frame = frame.drop("statement").rename({"literal": "statement"})
    rated = annotations(
        [
            ("a", "s:1", "r1", "ethical", "It’s not unethical."),
            ("b", "s:1", "r2", "ethical", "It's simply unethical to be so. "),
            ("c", "s:1", "r3", "ethical", "Ethical or unethical, who knows."),
            ("d", "s:1", "r4", "ethical", "  "),
            ("e", "s:1", "r5", "ethical", "It’s not unethical."),
            ("a", "s:2", "r6", "ethical", "It’s not unethical."),  # the same item: not repeated
            ("f", "s:1", "r7", "unethical", "PokÃ©mon are not ethical."),
        ]
    )
    found = by_name(audit(frame, rated, QUESTIONS))
    counts = {name: f.count for name, f in found.items() if f.count}
    assert counts == {
        "reason.empty": 1,
        "reason.repeated": 1,
        "reason.contradicts_label": 1,
        "reason.names_both": 1,
        "text.mojibake": 1,
        "text.bom": 1,
        "text.control": 1,
        "text.quotes": 2,
        "text.whitespace": 2,
        "length.statement": 1,
        "length.reason": 1,
        "annotations.single": 5,
    }
    assert found["reason.contradicts_label"].examples == ("b: It's simply unethical to be so.",)
    assert found["reason.empty"].total == 7
    assert found["text.bom"].examples == ("f: \\ufeffx\\x07",)


def test_options_that_are_no_words_are_told() -> None:
    questions = QUESTIONS.with_columns(pl.Series("options", [["0", "1"]]))
    found = by_name(audit(CLEAN.with_columns(label=pl.lit("0")), RATED.with_columns(value=pl.lit("0")), questions))
    assert "not looked for" in found["reason.contradicts_label"].note


def test_reasons_of_the_items_are_used_where_annotations_have_none() -> None:
    reason = [[{"annotator_id": "s:1", "value": "ethical", "text": "It is unethical."}], []]
    frame = CLEAN.with_columns(pl.Series("reasons", reason))
    found = by_name(audit(frame, RATED.drop("reason"), QUESTIONS))
    assert found["reason.contradicts_label"].count == 1


def test_gate_thresholds_and_accept() -> None:
    frame = items([("a", "train", "I lied.", "ethical"), ("a", "test", "I lied.", "ethical")])
    findings = audit(frame, RATED.clear(), QUESTIONS)
    names = ["leak.identical_row", "leak.exact", "id.duplicate"]
    assert [f.finding for f in gate(findings)] == names
    assert gate(findings, accept=names) == ()
    loose = audit(frame, RATED.clear(), QUESTIONS, thresholds=AuditThresholds(max_count={"id.duplicate": 1}))
    assert [f.finding for f in gate(loose)] == names[:2]
    with pytest.raises(ValueError, match=r"Did you mean leak\.exact"):
        gate(findings, accept=["leak.exakt"])
    with pytest.raises(ValueError, match="AuditThresholds"):
        AuditThresholds(max_count={"nonsense": 1})


def test_stored_stems_survive_reading_back() -> None:
    frame = CLEAN.with_columns(pl.Series("leak_kind", [None, "stem"]))
    assert by_name(audit(frame, RATED, QUESTIONS))["leak.stem"].count == 1


def test_missing_column_and_empty_set() -> None:
    with pytest.raises(TableError, match='"label"'):
        audit(CLEAN.drop("label"), RATED, QUESTIONS)
    assert {f.count for f in audit(CLEAN.clear(), RATED.clear(), QUESTIONS)} == {0}


def test_crowded_sets_are_audited_with_a_note() -> None:
    near = pl.DataFrame({"a": ["a"], "b": ["b"]})
    found = by_name(audit(CLEAN, RATED, QUESTIONS, near=near, near_note="a sample"))
    assert found["leak.near"].note.endswith("; a sample")
    assert found["leak.near"].count == 1


def test_excerpts_are_one_printable_line() -> None:
    shown = excerpt("a\u202e\n" + "x" * 100)
    assert len(shown) == 80
    assert shown.startswith("a\\u202e\\nxxx")
    assert shown.isprintable()


def published(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    parts = []
    for split in ("train", "test"):
        raw = pl.read_csv(folder / "dfar" / f"DFAR_{split}set.csv").with_row_index("row")
        name = pl.format("dfar:{}:{}", pl.lit(split), pl.col("row").cast(pl.String).str.zfill(5))
        label = pl.when(pl.col("Label") == 0).then(pl.lit("ethical")).otherwise(pl.lit("unethical"))
        statement = pl.col("Statement").alias("statement")
        stem = pl.col("Statement").str.extract("^(.*?) because ", 1).alias("stem")
        columns = [name.alias("item_id"), pl.lit(split).alias("split"), statement, label.alias("label"), stem]
        parts.append(raw.select(*columns, pl.col("Reason").alias("reason")))
    frame = pl.concat(parts)
    told = frame.select(
        "item_id",
        pl.lit("dfar:unknown").alias("annotator_id"),
        pl.lit("verdict").alias("question"),
        pl.col("item_id").alias("rating_id"),
        pl.col("label").alias("value"),
        "reason",
    )
    reason = pl.struct(pl.lit("dfar:unknown").alias("annotator_id"), pl.col("label").alias("value"), text="reason")
    return frame.select(pl.exclude("reason"), pl.concat_list(reason).alias("reasons")), told


@pytest.mark.real
def test_published_dfar(shared_data: Path) -> None:
    frame, told = published(shared_data)
    near, note = near_or_sampled(frame)
    found = by_name(audit(frame, told, QUESTIONS, near=near, near_note=note))
    leaks = {
        k: (found[f"leak.{k}"].count, found[f"leak.{k}"].total) for k in ("identical_row", "exact", "near", "stem")
    }
    assert leaks == {"identical_row": (174, 500), "exact": (189, 500), "near": (1, 500), "stem": (5, 500)}
    assert found["label.conflict"].count == 0
    assert found["text.quotes"].count == 188
    # 13 rows with a damaged apostrophe, dash or pound sign, and 6 with a damaged accent, degree sign or hard space
    assert found["text.mojibake"].count == 19
    assert found["reason.repeated"].count == 9  # 8 in train and 1 in test, trimmed
    assert 0 < found["reason.contradicts_label"].count < 150
    assert [f.finding for f in gate(tuple(found.values()))] == ["leak.identical_row", "leak.exact"]


@pytest.mark.real
def test_grouped_split_of_published_dfar_does_not_leak(shared_data: Path) -> None:
    frame, _ = published(shared_data)
    near, _ = near_or_sampled(frame)
    groups = item_groups(frame, near)
    assert groups.near_used
    grouped = frame.join(groups.frame, on="item_id", maintain_order="left")
    split = grouped_split(grouped)
    again = frame.drop("split").join(split.frame, on="item_id", maintain_order="left")
    assert mark_leaks(again, near)["leak_kind"].null_count() == 5000
    assert split.note == "train: 4500 items, 4500 wanted; test: 500 items, 500 wanted"
    assert (split.achieved["count"] - split.achieved["wanted"]).abs().max() < 1
