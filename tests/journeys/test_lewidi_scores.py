"""From an outputs file to LeWiDi's scores and submission files: small invented sets, and VariErrNLI as published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder, read_items
from dfar_toolkit.journeys.lewidi_scores import score_lewidi
from dfar_toolkit.journeys.lewidi_submission import one_split
from dfar_toolkit.sources import read_source

Make = Callable[..., ItemsFolder]


def third(task: str, given: dict[str, str], soft: dict[str, Any]) -> dict[str, Any]:
    names = ",".join(name for name, values in given.items() for _ in values.split(","))
    text = {"context": f"It rained on {len(given)} days. {given}", "response": "Splendid.", "statement": "It was wet."}
    return {"annotation task": task, "text": text, "annotators": names, "annotations": given, "soft_label": soft,
            "lang": "en", "other_info": {}}  # fmt: skip


def steps(shares: dict[int, float]) -> dict[str, float]:
    return {str(k): shares.get(k, 0.0) for k in range(1, 7)}


def yes(contradiction: float, entailment: float, neutral: float) -> dict[str, dict[str, float]]:
    shares = {"contradiction": contradiction, "entailment": entailment, "neutral": neutral}
    return {name: {"0": 1 - share, "1": share} for name, share in shares.items()}


SARCASM, NLI = "sarcasm detection", "natural language inference"
# Annotators stand in no alphabetical order, as in the published files.
CSC = {
    "train": {"4": third(SARCASM, {"Ann1": "2", "Ann2": "2", "Ann3": "5"}, steps({2: 0.67, 5: 0.33}))},
    "test": {
        "9": third(SARCASM, {"Ann3": "1", "Ann1": "6"}, steps({1: 0.5, 6: 0.5})),
        "2": third(SARCASM, {"Ann2": "4"}, steps({4: 1.0})),
    },
}
VARIERR = {
    "test": {
        "31": third(NLI, {"Ann2": "neutral", "Ann1": "contradiction,neutral"}, yes(0.5, 0, 1)),
        "7": third(NLI, {"Ann1": "entailment"}, yes(0, 1, 0)),
    }
}


def second(values: str, hard: str, shares: tuple[float, float]) -> dict[str, Any]:
    names = ",".join(f"Ann{k}" for k in range(1, 1 + len(values.split(","))))
    return {"annotation task": "hate speech detection", "text": f"They all lie: {values}.", "annotations": values,
            "annotators": names, "hard_label": hard, "soft_label": {"0": shares[0], "1": shares[1]}, "lang": "en",
            "other_info": {}}  # fmt: skip


BREXIT = {
    "train": {"1": second("0,0,1", "0", (0.67, 0.33))},
    "test": {"2": second("0,1", "1", (0.5, 0.5)), "1": second("0,0", "0", (1.0, 0.0))},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[tuple[str, bool], ItemsFolder] = {}

    def folder(name: str, splits: dict[str, Any], *, keep_ids: bool = True) -> ItemsFolder:
        if (name, keep_ids) not in made:
            raw = tmp_path_factory.mktemp("raw")
            for split, records in splits.items():
                (raw / f"{name}_{split}.json").write_text(json.dumps(records), encoding="utf-8")
            out = tmp_path_factory.mktemp("built") / "items"
            build_items(
                read_source(f"lewidi:{name.lower()}", raw), out, options=BuildOptions(keep_ids=keep_ids, n_boot=10)
            )
            made[name, keep_ids] = read_items(out)
        return made[name, keep_ids]

    return folder


def outputs(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def value(table: pl.DataFrame, metric: str, predictor: str = "run") -> float:
    return float(table.filter(metric=metric, predictor=predictor)["value"].item())


CSC_ROWS: list[dict[str, Any]] = [
    {"item_id": "lewidi.csc:test:9", "label_probs": [0.5, 0, 0, 0, 0, 0.5]},
    {"item_id": "lewidi.csc:test:2", "label_probs": [0, 0, 1, 0, 0, 0]},
    {"item_id": "lewidi.csc:test:9", "annotator_id": "lewidi.csc:Ann1", "label": "5"},
    {"item_id": "lewidi.csc:test:9", "annotator_id": "Ann3", "label": "1"},
    {"item_id": "lewidi.csc:test:2", "annotator_id": "Ann2", "label": "4"},
]


class TestScale:
    def test_scores_and_files(self, make: Make, tmp_path: Path) -> None:
        """Soft: 0 and 1, so 1/2. Answers: item 9 (0 + 1)/2 of 6 points, item 2 right: (1/12 + 0) / 2."""
        folder = make("CSC", CSC)
        found = score_lewidi(
            outputs(tmp_path / "mine.jsonl", CSC_ROWS), folder, submission_dir=tmp_path / "to send", n_boot=50
        )
        table = found.table
        assert value(table, "average_wasserstein_distance") == pytest.approx(0.5, abs=1e-12)
        assert value(table, "average_normalised_absolute_distance") == pytest.approx(1 / 24, abs=1e-12)
        assert table.columns[:6] == ["set", "split", "run_id", "task", "metric", "predictor"]
        assert table.filter(predictor="run").select("set", "split", "run_id").unique().rows() == [
            ("CSC", "test", "mine")
        ]
        assert table.filter(pl.col("predictor") != "run")["run_id"].unique().to_list() == [""]
        # In train 2, 2, 5: everybody says 2, Ann3 alone 5. Distances 1, 4 and 2; by annotator 4, 4 and 2.
        anad = "average_normalised_absolute_distance"
        assert value(table, anad, "most_frequent") == pytest.approx((2.5 + 2) / 2 / 6, abs=1e-12)
        assert value(table, anad, "most_frequent_annotator") == pytest.approx((4 + 2) / 2 / 6, abs=1e-12)
        assert [path.name for path in found.submission] == ["CSC_test_soft.tsv", "CSC_test_pe.tsv"]
        soft, answers = (path.read_text(encoding="utf-8") for path in found.submission)
        assert soft == "9\t[0.5, 0.0, 0.0, 0.0, 0.0, 0.5]\n2\t[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]\n"
        assert answers == "9\t[1, 5]\n2\t[4]\n"  # Ann3 stands first in the published record
        assert sorted(p.name for p in (tmp_path / "to send").iterdir()) == ["CSC_test_pe.tsv", "CSC_test_soft.tsv"]

    def test_soft_labels_from_the_annotators(self, make: Make, tmp_path: Path) -> None:
        found = score_lewidi(outputs(tmp_path / "b.jsonl", CSC_ROWS[2:]), make("CSC", CSC), n_boot=50)
        assert value(found.table, "average_wasserstein_distance") == pytest.approx(0.5 / 2, abs=1e-12)
        assert any("shares of its predictions for annotators" in note for note in found.notes)
        assert found.submission == ()

    def test_several_runs_and_samples(self, make: Make, tmp_path: Path) -> None:
        rows = [{**row, "run_id": run} for run in ("b", "a") for row in CSC_ROWS[2:]]
        rows += [{"run_id": "a", "item_id": "lewidi.csc:test:2", "label": label, "sample": k}
                 for k, label in enumerate("1555")]  # fmt: skip
        rows.append({**CSC_ROWS[4], "run_id": "b", "sample": 1, "label": "1"})
        path = outputs(tmp_path / "two.jsonl", rows)
        found = score_lewidi(path, make("CSC", CSC), n_boot=50)
        runs = found.table.filter(metric="average_wasserstein_distance", predictor="run").sort("run_id")
        assert runs.select("run_id", "value", "n").rows() == [("a", 1.5, 1), ("b", 0.25, 2)]
        assert len(found.table.filter(predictor="uniform")) == 1
        assert any(
            note == "b: 1 predictions beside the lowest sample of an annotator set aside" for note in found.notes
        )
        with pytest.raises(TableError, match="a submission is of one run; the file holds a, b"):
            score_lewidi(path, make("CSC", CSC), submission_dir=tmp_path / "out")

    def test_missing_predictions(self, make: Make, tmp_path: Path) -> None:
        path = outputs(tmp_path / "part.jsonl", CSC_ROWS[:3])
        table = score_lewidi(path, make("CSC", CSC), n_boot=50).table
        # Ann3 gave 1, Ann2 gave 4; nothing said counts 5 and 3 points of 6.
        wanted = ((1 + 5) / 2 + 3) / 2 / 6
        assert value(table, "average_normalised_absolute_distance") == pytest.approx(wanted, abs=1e-12)
        assert value(table, "average_normalised_absolute_distance_answered") == pytest.approx(1 / 6, abs=1e-12)
        with pytest.raises(TableError, match=r"for every rating; 2 of 3 are missing.*'lewidi.csc:Ann2'"):
            score_lewidi(path, make("CSC", CSC), submission_dir=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_failed_answers_are_missing(self, make: Make, tmp_path: Path) -> None:
        rows = [*CSC_ROWS[2:4], {**CSC_ROWS[4], "error": "timeout"}]
        table = score_lewidi(outputs(tmp_path / "e.jsonl", rows), make("CSC", CSC), n_boot=50).table
        assert value(table, "perspectivist_coverage") == 0.5

    def test_published_or_counted_shares(self, make: Make, tmp_path: Path) -> None:
        rows = [{"item_id": "lewidi.csc:train:4", "label_probs": [0, 1, 0, 0, 0, 0]}]
        path = outputs(tmp_path / "train.jsonl", rows)
        found = score_lewidi(path, make("CSC", CSC), n_boot=50)
        assert value(found.table, "average_wasserstein_distance") == pytest.approx(3 * 0.33, abs=1e-12)
        found = score_lewidi(path, make("CSC", CSC), n_boot=50, shares="ratings")
        assert value(found.table, "average_wasserstein_distance") == pytest.approx(1, abs=1e-12)
        assert found.notes == (
            "train: the file has no predictions for annotators (annotator_id), so it has no score in the perspectivist "
            "task",
            "baselines on train are counted on test",
        )


class TestSets:
    ROWS: list[dict[str, Any]] = [  # noqa: RUF012
        {"item_id": "lewidi.varierrnli:test:31", "annotator_id": "Ann1", "label": "neutral , contradiction"},
        {"item_id": "lewidi.varierrnli:test:31", "annotator_id": "Ann2", "label": "none"},
        {"item_id": "lewidi.varierrnli:test:7", "annotator_id": "Ann1", "label": "neutral"},
    ]

    def test_scores_and_files(self, make: Make, tmp_path: Path) -> None:
        """Item 31: 0 and 1 of 3 labels; item 7: 2 of 3: (1/6 + 2/3) / 2. Shares .5 0 .5 for .5 0 1; 0 0 1 for 0 1 0."""
        folder = make("VariErrNLI", VARIERR)
        path = outputs(tmp_path / "v.jsonl", self.ROWS)
        found = score_lewidi(path, folder, submission_dir=tmp_path / "out", n_boot=50)
        assert value(found.table, "multilabel_error_rate") == pytest.approx((1 / 6 + 2 / 3) / 2, abs=1e-12)
        wanted = (2 * 0.5 / 3 + 2 * 2 / 3) / 2
        assert value(found.table, "multilabel_average_manhattan_distance") == pytest.approx(wanted, abs=1e-12)
        soft, answers = (path.read_text(encoding="utf-8").splitlines() for path in found.submission)
        assert answers == ["31\t[[0, 1], [0, 0], [0, 1]]", "7\t[[0], [0], [1]]"]
        assert json.loads(soft[0].split("\t")[1]) == [[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]

    def test_probabilities_decide_each_label(self, make: Make, tmp_path: Path) -> None:
        """An item's are its soft label; an annotator's mean the labels above one half, here none and {entailment}."""
        items = [f"lewidi.varierrnli:test:{key}" for key in (31, 7)]
        rows: list[dict[str, Any]] = [
            {"item_id": items[0], "label_probs": [0.5, 0, 0.5]},
            {"item_id": items[1], "label_probs": [0, 0.5, 0]},
            {"item_id": items[0], "annotator_id": "Ann1", "label_probs": [0.5, 0.1, 0.4]},
            {"item_id": items[0], "annotator_id": "Ann2", "label_probs": [0.5, 0.1, 0.4]},
            {"item_id": items[1], "annotator_id": "Ann1", "label_probs": [0, 0.9, 0.1]},
        ]
        table = score_lewidi(outputs(tmp_path / "p.jsonl", rows), make("VariErrNLI", VARIERR), n_boot=50).table
        assert value(table, "multilabel_average_manhattan_distance") == pytest.approx(2 * 0.5 / 3, abs=1e-12)
        assert value(table, "multilabel_error_rate") == pytest.approx((2 / 3 + 1 / 3) / 2 / 2, abs=1e-12)

    def test_unknown_labels(self, make: Make, tmp_path: Path) -> None:
        path = outputs(tmp_path / "v.jsonl", [{**self.ROWS[0], "label": "neutral,perhaps"}])
        with pytest.raises(TableError, match="'perhaps'"):
            score_lewidi(path, make("VariErrNLI", VARIERR))


class TestSecondEdition:
    def test_scores_and_file(self, make: Make, tmp_path: Path) -> None:
        folder = make("HS-Brexit", BREXIT)
        rows = [
            {"item_id": "lewidi.hs-brexit:test:1", "label": "no_hate_speech", "label_probs": [0.75, 0.25]},
            {"item_id": "lewidi.hs-brexit:test:2", "label": "no_hate_speech", "label_probs": [0.5, 0.5]},
        ]
        path = outputs(tmp_path / "h.jsonl", rows)
        found = score_lewidi(path, folder, submission_dir=tmp_path / "out", n_boot=50)
        assert value(found.table, "micro_f1") == 0.5
        assert value(found.table, "micro_f1", "most_frequent") == 0.5
        (file,) = found.submission
        assert (file.name, file.read_text(encoding="utf-8")) == (
            "HS-Brexit_results.tsv", "0\t0.75\t0.25\n0\t0.5\t0.5\n",  # by key, 1 before 2
        )  # fmt: skip


class TestRefused:
    def test_pseudonyms(self, make: Make, tmp_path: Path) -> None:
        path = outputs(tmp_path / "p.jsonl", CSC_ROWS)
        with pytest.raises(TableError, match=r"e.g. 'Ann2'; its annotators are called 'lewidi.csc:a1'.*--keep-ids"):
            score_lewidi(path, make("CSC", CSC, keep_ids=False))
        strange = outputs(tmp_path / "s.jsonl", [{**CSC_ROWS[4], "annotator_id": "Ann77"}])
        with pytest.raises(TableError, match=r"'Ann77'.*predict the folder's annotators\."):
            score_lewidi(strange, make("CSC", CSC))

    def test_other_folders_and_items(self, make: Make, tmp_path: Path) -> None:
        folder = make("CSC", CSC)
        other = replace(folder, items=folder.items.with_columns(source=pl.lit("dfar")))
        with pytest.raises(TableError, match=r"wanted the items of one LeWiDi set .*found the source dfar"):
            score_lewidi(outputs(tmp_path / "d.jsonl", CSC_ROWS), other)
        with pytest.raises(TableError, match="not among them"):
            score_lewidi(outputs(tmp_path / "i.jsonl", [{"item_id": "x", "label": "1"}]), folder)
        resplit = replace(folder, items=folder.items.with_columns(split=pl.lit("test")))
        with pytest.raises(TableError, match="a submission is one published split"):
            score_lewidi(outputs(tmp_path / "r.jsonl", CSC_ROWS), resplit, submission_dir=tmp_path / "out", n_boot=20)
        for split in ("train", "validation"):  # sorted before and after test: two splits are never one
            both = pl.DataFrame({"item_id": [f"lewidi.csc:{s}:1" for s in ("test", split)], "split": ["test", split]})
            with pytest.raises(TableError, match="a submission is one published split"):
                one_split(both)

    def test_nothing_to_submit(self, make: Make, tmp_path: Path) -> None:
        path = outputs(tmp_path / "n.jsonl", [{"item_id": "lewidi.csc:test:2", "label": "4"}])
        with pytest.raises(TableError, match="nothing to submit for CSC"):
            score_lewidi(path, make("CSC", CSC), submission_dir=tmp_path / "out")

    def test_a_file_that_cannot_be_written_leaves_the_old_one(self, make: Make, tmp_path: Path) -> None:
        target = tmp_path / "out" / "CSC_test_soft.tsv"
        target.mkdir(parents=True)
        with pytest.raises(TableError, match=r"CSC_test_soft.tsv: it cannot be written"):
            score_lewidi(outputs(tmp_path / "c.jsonl", CSC_ROWS), make("CSC", CSC), submission_dir=tmp_path / "out")
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["CSC_test_soft.tsv"]


@pytest.mark.real
def test_varierrnli_as_published(shared_data: Path, tmp_path: Path) -> None:
    """A run that repeats the people is right everywhere, and its files hold the published records in their order."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "VariErrNLI_test.json").symlink_to(shared_data / "lewidi" / "VariErrNLI_test.json")
    build_items(read_source("lewidi:varierrnli", raw), tmp_path / "out", options=BuildOptions(n_boot=10))
    folder = read_items(tmp_path / "out")
    given = folder.annotations.group_by("item_id", "annotator_id").agg(pl.col("value").str.join(",").alias("label"))
    given.write_csv(tmp_path / "people.csv")
    found = score_lewidi(tmp_path / "people.csv", folder, submission_dir=tmp_path / "send", n_boot=100)
    assert value(found.table, "multilabel_error_rate") == 0.0
    assert value(found.table, "multilabel_average_manhattan_distance") < 0.005  # the published shares have two digits
    records = json.loads((raw / "VariErrNLI_test.json").read_text(encoding="utf-8"))
    wanted = [
        f"{key}\t" + json.dumps([[int(label in v.split(",")) for v in record["annotations"].values()]
                                 for label in ("contradiction", "entailment", "neutral")])
        for key, record in records.items()
    ]  # fmt: skip
    assert found.submission[1].read_text(encoding="utf-8").splitlines() == wanted


def test_sets_have_no_distribution_over_options_anywhere_else(make: Make, tmp_path: Path) -> None:
    from dfar_toolkit.journeys.comparing import compare_files
    from dfar_toolkit.journeys.report import report_data
    from dfar_toolkit.journeys.scores import score_run

    folder = make("VariErrNLI", VARIERR)
    ids = folder.items["item_id"].to_list()
    paths = []
    for name, label in (("one", "neutral"), ("two", "entailment")):
        rows = [{"item_id": i, "label": label, "label_probs": dict.fromkeys(folder.options, 0.9)} for i in ids]
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    scores = score_run(paths[0], items=folder, n_boot=100)
    assert not set(scores["part"]) & {"soft", "ceiling", "calibration"}
    assert "accuracy" in scores["metric"]
    assert not set(report_data(folder, paths, n_boot=100).scores["part"]) & {"soft", "ceiling", "calibration"}
    differences = compare_files(paths, items=folder, n_boot=100).runs.differences
    assert "soft_cross_entropy" not in differences["metric"]
