"""The agreement command beyond the default table: what is added, what is left out and why, and plain refusals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dfar_toolkit.agreement import group_agreement, krippendorff_alpha, rater_agreement, value_agreement
from dfar_toolkit.cli import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dfar", "agreement", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def crowd(tmp_path: Path) -> tuple[Path, pl.DataFrame]:
    rng = np.random.default_rng(3)
    rows = [
        (
            f"i{i:02}",
            f"r{r}",
            int(np.clip(i % 5 + 1 + rng.integers(-1, 2), 1, 5)),
            "left" if r < 3 else "right",
            10 * i + r,
        )
        for i in range(40)
        for r in range(6)
        if rng.random() < 0.9
    ]
    frame = pl.DataFrame(rows, schema=["item_id", "annotator_id", "value", "side", "at"], orient="row")
    frame.write_csv(tmp_path / "ratings.csv")
    return tmp_path / "ratings.csv", frame


def rows_of(out: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(out)
    return read


def test_further_tables_are_the_functions_themselves(dfar: Command, crowd: tuple[Path, pl.DataFrame]) -> None:
    path, frame = crowd
    words = ("--values", "--raters", "--groups", "side", "--drift", "at", "--n-boot", 100, "--json")
    code, out, _ = dfar(path, *words)
    assert code == 0
    rows = rows_of(out)
    tables = {name: [r for r in rows if r.get("table") == name] for name in ("values", "raters", "groups", "drift")}
    text = frame.with_columns(pl.col("value").cast(pl.String))
    assert [r["value"] for r in tables["values"]] == pytest.approx(value_agreement(text, ci=None)["value"].to_list())
    expected = rater_agreement(frame, ci=None).sort("value", "rater")
    assert [r["rater"] for r in tables["raters"]] == expected["rater"].to_list()
    assert [r["value"] for r in tables["raters"]] == pytest.approx(expected["value"].to_list())
    groups = group_agreement(frame, by_rater="side", ci=None)
    assert [r["value"] for r in tables["groups"]] == pytest.approx(groups["value"].to_list())
    assert len(tables["drift"]) == 4


def test_all_says_what_is_left_out_and_why(dfar: Command, crowd: tuple[Path, pl.DataFrame]) -> None:
    code, out, err = dfar(crowd[0], "--kind", "interval", "--all", "--n-boot", 100)
    assert code == 0
    assert "icc (A,1)" in out
    assert "gwet_ac2 (quadratic)" in out
    assert "left out lin_ccc: lin_ccc compares exactly two raters; found 6" in err
    assert "left out kendall_w: " in err
    assert "left out: " not in out


def test_numbers_nobody_gives_twice(dfar: Command, crowd: tuple[Path, pl.DataFrame], tmp_path: Path) -> None:
    frame = crowd[1].with_columns(value=pl.col("value") + pl.int_range(pl.len()) / 1000)
    frame.write_csv(tmp_path / "numbers.csv")
    code, out, err = dfar(tmp_path / "numbers.csv", "--kind", "interval", "--n-boot", 100)
    assert code == 0
    assert "krippendorff_alpha (interval)" in out
    assert "gwet_ac1" not in out
    assert "the same or not says nothing here" in err


def test_intervals_by_name(dfar: Command, crowd: tuple[Path, pl.DataFrame]) -> None:
    path, frame = crowd
    for ci in ("jackknife", "analytic"):
        row = next(
            r for r in rows_of(dfar(path, "--interval", ci, "--json")[1]) if r["statistic"] == "krippendorff_alpha"
        )
        alone = krippendorff_alpha(frame, ci=ci)  # type: ignore[arg-type]
        assert (row["low"], row["high"]) == pytest.approx((alone.low, alone.high))  # type: ignore[union-attr]
    wide = rows_of(dfar(path, "--scope", "items+raters", "--n-boot", 200, "--json")[1])[0]
    assert wide["scope"] == "items+raters"
    assert wide["method"] == "two-way bootstrap"
    none = rows_of(dfar(path, "--interval", "none", "--json")[1])[0]
    assert none["low"] is None


def test_a_rater_twice_is_refused_with_the_way_out_and_taken_when_told(
    dfar: Command, crowd: tuple[Path, pl.DataFrame], tmp_path: Path
) -> None:
    frame = crowd[1]
    pl.concat([frame, frame.head(1).with_columns(value=pl.lit(9, dtype=pl.Int64))]).write_csv(tmp_path / "twice.csv")
    code, out, err = dfar(tmp_path / "twice.csv")
    assert (code, out) == (1, "")
    assert "twice" in err
    assert "first" in err
    code, out, err = dfar(tmp_path / "twice.csv", "--repeats", "first", "--json")
    assert code == 0
    assert "1 repeated (item, rater) pair" in err
    assert rows_of(out)[1]["value"] == pytest.approx(krippendorff_alpha(frame, ci=None).value)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--interval", "exact"), "--interval must be one of bootstrap, jackknife, analytic, none"),
        (("--scope", "raters"), "--scope must be one of items, items+raters"),
        (("--scope", "items+raters", "--interval", "analytic"), "bootstrap intervals only"),
        (("--repeats", "all"), "--repeats must be one of first, last, mean"),
        (("--kind", "set"), "--kind must be one of nominal"),
    ],
)
def test_wrong_words(dfar: Command, crowd: tuple[Path, pl.DataFrame], words: tuple[str, ...], said: str) -> None:
    code, out, err = dfar(crowd[0], *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--groups", "--drift"])
def test_columns_that_are_not_there(dfar: Command, crowd: tuple[Path, pl.DataFrame], option: str) -> None:
    code, out, err = dfar(crowd[0], option, "moon")
    assert (code, out) == (1, "")
    assert f"{option} (now 'moon')" in err


def test_demo_folder_compares_groups_of_annotators(dfar: Command, demo: Path) -> None:
    code, out, _ = dfar(demo / "items", "--groups", "gender", "--n-boot", 100)
    assert code == 0
    assert "within" in out
    assert "smallest_p" in out
