"""dfar compare on the command line: two runs, many runs, values of a column, judged reasons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Dfar, command, refused


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    return command(capsys, monkeypatch)


@pytest.fixture
def runs(demo: Path) -> tuple[Path, Path]:
    return demo / "runs" / "label-only.jsonl", demo / "runs" / "with-reasons.jsonl"


@pytest.fixture
def third(demo: Path, tmp_path: Path) -> Path:
    """The second run with every fourth label turned, and its reasons in their words but for the last."""
    rows = [json.loads(line) for line in (demo / "runs" / "with-reasons.jsonl").read_text().splitlines()]
    turned = {"ethical": "unethical", "unethical": "ethical", None: None}
    for place, row in enumerate(rows):
        row["label"] = turned[row["label"]] if place % 4 == 0 else row["label"]
        row["reason"] = None if row.get("reason") is None else row["reason"].rsplit(" ", 1)[0]
    path = tmp_path / "third.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_compare(dfar: Dfar, demo: Path, runs: tuple[Path, Path]) -> None:
    rows = json.loads(dfar("compare", *runs, "--items", demo / "items", "--json").out)
    accuracy = next(row for row in rows if row["metric"] == "accuracy")
    assert accuracy["value"] == pytest.approx(8 / 58)
    cells = {(r["a_right"], r["b_right"]): r["value"] for r in rows if r["metric"] == "right_wrong"}
    assert cells == {(True, True): 33, (True, False): 5, (False, True): 13, (False, False): 7}
    assert 0 < accuracy["p_value"] < 1
    assert "Right and wrong" in dfar("compare", *runs, "--items", demo / "items").out


def test_runs_are_paired_in_the_order_of_the_files(dfar: Dfar, demo: Path, runs: tuple[Path, Path]) -> None:
    rows = json.loads(dfar("compare", *runs[::-1], "--items", demo / "items", "--json", "--n-boot", 100).out)
    found = {row["metric"]: row["value"] for row in rows if row.get("run_a") == "with-reasons"}
    assert found["accuracy"] == pytest.approx(-8 / 58)
    assert found["accuracy_answered"] < 0
    assert found["minimum_detectable_accuracy"] > 0


def test_three_runs_have_calibration_and_reasons_as_exploratory_rows(
    dfar: Dfar, demo: Path, runs: tuple[Path, Path], third: Path
) -> None:
    words = ("compare", *runs, third, "--items", demo / "items", "--n-boot", 100)
    rows = [row for row in json.loads(dfar(*words, "--json").out) if "family" in row]
    pairs = {m: sorted({r["run_b"] for r in rows if r["metric"] == m}) for m in {r["metric"] for r in rows}}
    assert pairs["accuracy"] == pairs["human_calibration_error"] == ["third", "with-reasons"]
    assert pairs["token_f1_mean"] == pairs["rouge_l_mean"] == ["third"]  # the first run gives no reasons
    assert {r["family"] for r in rows if r["metric"] != "accuracy"} == {"exploratory"}
    error = next(r for r in rows if r["metric"] == "human_calibration_error")
    assert (error["p_value"], error["test"], error["method"]) == (None, None, "linearised bootstrap")
    assert "no swap test" in error["note"]
    overlap = next(r for r in rows if r["metric"] == "rouge_l_mean")
    assert "without label-only: no reasons" in overlap["note"]
    assert overlap["p_value"] is not None
    shown = dfar(*words).out
    assert "human_calibration_error" in shown
    assert "rouge_l_mean" not in shown
    assert "rouge_l_mean" in dfar(*words, "--all").out


def test_a_pair_of_which_nothing_was_judged_is_compared_all_the_same(
    dfar: Dfar, demo: Path, runs: tuple[Path, Path], third: Path
) -> None:
    words = ("--items", demo / "items", "--judgements", demo / "judgements.csv", "--n-boot", 100)
    run = dfar("compare", *runs, third, *words, "--json")
    assert run.code == 0, run.err
    assert "no pair of runs has judged reasons on both sides" in run.err
    refused(dfar("compare", runs[0], third, *words), "with-reasons")


def test_values_of_a_column_are_one_family(dfar: Dfar, demo: Path, runs: tuple[Path, Path], third: Path) -> None:
    words = ("compare", *runs, third, "--items", demo / "items", "--by", "label", "--json", "--n-boot", 200)
    rows = [r for r in json.loads(dfar(*words).out) if r["metric"] == "accuracy" and r.get("family") == "primary"]
    of_values = sorted((r["p_value"], r["p_holm"]) for r in rows if r["subset"].startswith("label="))
    assert len(of_values) == 6
    assert of_values[0][1] == pytest.approx(min(1, 6 * of_values[0][0]))
    whole = sorted((r["p_value"], r["p_holm"]) for r in rows if r["subset"] == "all")
    assert whole[0][1] == pytest.approx(min(1, 3 * whole[0][0]))


def test_the_run_that_does_not_fit_is_named(
    dfar: Dfar, demo: Path, runs: tuple[Path, Path], third: Path, tmp_path: Path
) -> None:
    good = third.read_text()
    for wrong, part in ((good.replace('"label": "ethical"', '"label": "Ethical"'), "labels must be one of"),
                        (good + '{"item_id": "no:such:item", "label": "ethical"}\n', "no:such:item")):  # fmt: skip
        third.write_text(wrong)
        for words in (("compare",), ("report", "--out", tmp_path / "page.html")):
            refused(dfar(*words, *runs, third, "--items", demo / "items"), "run 'third': ", part)
    assert not (tmp_path / "page.html").exists()
