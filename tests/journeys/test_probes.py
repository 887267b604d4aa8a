"""Probes of small outputs whose numbers can be counted by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.items import ItemsFolder
from dfar_toolkit.journeys.probes import PROBES, Probed, probe_files
from dfar_toolkit.tables import conform
from tests.small_tables import make_items

OPTIONS = ["good", "bad"]
GOLD = ["good", "bad"] * 6
IDS = [f"six:test:q{k}" for k in range(12)]
GROUP = {"ann": "old", "bob": "old", "cid": "new", "dan": "new"}


@pytest.fixture(scope="module")
def folder() -> ItemsFolder:
    people = [{"annotator_id": "p", "value": "good", "text": "It helps everybody."}]
    items = make_items(GOLD, ids=IDS).with_columns(
        topic=pl.Series(["home", "work", "work"] * 4),
        reasons=pl.Series([people] * 12),
        statement=pl.Series([f"statement {'long ' * (k % 2)}{k}" for k in range(12)]),
    )
    votes = [
        {"item_id": i, "annotator_id": who, "question": "fine", "rating_id": f"{i}#{n}", "value": gold}
        for i, gold in zip(IDS, GOLD, strict=True)
        for n, who in enumerate(GROUP)
    ]
    raters = pl.DataFrame({"annotator_id": list(GROUP), "side": list(GROUP.values())}).with_columns(
        kind=pl.lit("human")
    )
    questions = pl.DataFrame({"question": ["fine"], "kind": ["nominal"], "options": [OPTIONS], "wording": ["Fine?"]})
    annotations = pl.DataFrame(votes).with_columns(weight=pl.lit(1.0), occasion=pl.lit(0, dtype=pl.Int64))
    return ItemsFolder(
        Path("six"), items, conform(annotations, "annotations"), conform(raters, "raters"), pl.DataFrame(),
        conform(questions, "questions"), {}, [], [],
    )  # fmt: skip


def _file(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def _labels(said: Sequence[str], **more: Any) -> list[dict[str, object]]:
    return [{"item_id": i, "label": s, **more} for i, s in zip(IDS, said, strict=True)]


def _probe(folder: ItemsFolder, *paths: Path, of: str | None = None, **how: Any) -> Probed:
    return probe_files(paths, items=folder, of=None if of is None else [of], n_boot=100, **how)


def _value(found: Probed, **wanted: object) -> float:
    rows = [r for r in found.rows() if all(r.get(name) == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    value = rows[0]["value"]
    assert isinstance(value, float)
    return value


class TestPosition:
    def test_the_order_in_the_column_options_survives_probabilities(self, folder: ItemsFolder, tmp_path: Path) -> None:
        # Items 0 to 2 follow the first place; the others are "good" wherever it stands.
        rows = []
        for k, item in enumerate(IDS):
            for n, order in enumerate((OPTIONS, OPTIONS[::-1])):
                label = order[0] if k < 3 else "good"
                probs = [0.75, 0.25] if order[0] == label else [0.375, 0.625]
                rows.append({"item_id": item, "sample": n, "options": order, "label_probs": probs, "label": label})
        found = _probe(folder, _file(tmp_path / "m.jsonl", rows), of="position")
        assert _value(found, metric="position_consistency") == 9 / 12
        assert _value(found, metric="always_at", position=1) == 3 / 12
        # Three items are undecided (.5 to .5), so wrong; of the nine "good" ones items 4, 6, 8, 10 are gold.
        assert _value(found, metric="debiased_accuracy") == 4 / 12
        assert _value(found, metric="single_order_accuracy") == (4 + 3 / 2) / 12

    def test_the_order_as_operator_and_what_is_set_aside(self, folder: ItemsFolder, tmp_path: Path) -> None:
        rows = [row for o in ("good, bad", "bad|good", "bad>good") for row in _labels(GOLD, operator=o)]
        found = _probe(folder, _file(tmp_path / "m.jsonl", rows), of="position")
        assert _value(found, metric="position_consistency") == 1.0
        notes = {str(row["note"]) for row in found.rows()}
        assert all("12 answers in no known order, or one answered already, left out" in note for note in notes)

    def test_permuted_rows_beside_their_mean(self, folder: ItemsFolder, tmp_path: Path) -> None:
        # As in the first test, with probabilities in the question's order; the mean is no third order.
        rows = []
        for k, item in enumerate(IDS):
            shares = {"good|bad": 0.75, "bad|good": 0.25 if k < 3 else 0.625}
            mean = sum(shares.values()) / 2
            for order, good in {**shares, "": mean}.items():
                label = None if good == 0.5 else OPTIONS[good < 0.5]
                rows.append({
                    "item_id": item, "condition": "permuted" if order else "full", "operator": order, "label": label,
                    "label_probs": [good, 1 - good], "options": OPTIONS,
                })  # fmt: skip
        path = _file(tmp_path / "m.jsonl", rows)
        found = _probe(folder, path, of="position")
        assert _value(found, metric="position_consistency") == 9 / 12
        assert _value(found, metric="always_at", position=1) == 3 / 12
        assert _value(found, metric="debiased_accuracy") == 4 / 12
        assert _value(found, metric="single_order_accuracy") == (4 + 3 / 2) / 12
        assert not any("left out" in str(row["note"]) for row in found.rows())
        # Without the mean there is nothing that the other probes look at.
        alone = _file(tmp_path / "n.jsonl", [row for row in rows if row["operator"]])
        assert {table.probe for table in _probe(folder, alone).tables} == {"position"}

    def test_one_order_is_refused(self, folder: ItemsFolder, tmp_path: Path) -> None:
        with pytest.raises(TableError, match="probe of position: no item is shown in two orders"):
            _probe(folder, _file(tmp_path / "m.jsonl", _labels(GOLD, operator="good|bad")), of="position")


class TestPromptsAndReasons:
    def test_operators_of_one_run(self, folder: ItemsFolder, tmp_path: Path) -> None:
        rows = _labels(GOLD, operator="plain") + _labels(["good"] * 12, operator="polite")
        found = _probe(folder, _file(tmp_path / "m.jsonl", rows))
        assert _value(found, probe="prompts", metric="same_answer") == 6 / 12
        assert _value(found, probe="prompts", metric="accuracy_spread") == 6 / 12
        runs = {row["run_id"] for row in found.rows() if row["probe"] == "shortcuts"}
        assert runs == {"m [plain]", "m [polite]"}

    def test_runs_are_prompts_only_if_asked(self, folder: ItemsFolder, tmp_path: Path) -> None:
        files = [_file(tmp_path / f"{run}.jsonl", _labels([run] * 12)) for run in OPTIONS]
        assert "--of prompts" in _probe(folder, *files).left_out["prompts"]
        assert "neither run gives reasons" in _probe(folder, *files).left_out["with-reason"]
        assert _value(_probe(folder, *files, of="prompts"), metric="same_answer") == 0.0
        one = _probe(folder, *files, of="with-reason")
        assert one.tables[0].title == "Label alone (good) and with a reason (bad)"

    def test_the_run_with_reasons_is_found(self, folder: ItemsFolder, tmp_path: Path) -> None:
        first = _file(tmp_path / "a.jsonl", _labels(GOLD, reason="so"))
        second = _file(tmp_path / "b.jsonl", _labels(["good"] * 12))
        found = _probe(folder, first, second, of="with-reason")
        assert _value(found, metric="agreement") == 6 / 12
        assert _value(found, metric="accuracy_with_reason") == 1.0
        assert _value(found, label_only="good", with_reason="bad") == 6 / 12


class TestWhatAnswersFollow:
    def test_shortcuts_beside_gold(self, folder: ItemsFolder, tmp_path: Path) -> None:
        found = _probe(folder, _file(tmp_path / "m.jsonl", _labels(["bad", *GOLD[1:]])), of="shortcuts")
        # Odd items are longer, and bad. Item 0, said to be bad, ties with items 2, 4, 6, 8 and is shorter than item 10.
        assert _value(found, metric="length_auc_gold") == 1.0
        assert _value(found, metric="length_auc") == pytest.approx((6 * 5 + 4 / 2) / (7 * 5))

    def test_parts_of_the_items(self, folder: ItemsFolder, tmp_path: Path) -> None:
        said = ["good" if k % 3 == 0 else gold for k, gold in enumerate(GOLD)]  # wrong on items 3 and 9, at home
        found = _probe(folder, _file(tmp_path / "m.jsonl", _labels(said)), of="subgroups", by="topic")
        assert _value(found, value_of="home") == 2 / 4 - 1.0
        for column, why in (("side", "is not there"), ("reasons", "holds several values")):
            with pytest.raises(TableError, match=why):
                _probe(folder, tmp_path / "m.jsonl", of="subgroups", by=column)
        with pytest.raises(TableError, match="have one value of 'source'"):
            _probe(folder, tmp_path / "m.jsonl", of="subgroups", by="source")

    def test_groups_of_annotators(self, folder: ItemsFolder, tmp_path: Path) -> None:
        path = _file(tmp_path / "m.jsonl", _labels(["good"] * 12))
        found = _probe(folder, path, of="annotator-groups", by="side")
        assert _value(found, metric="agreement", against="raters", annotator_group="old") == 6 / 12
        one = folder.raters.with_columns(side=pl.lit("all"))
        alone = replace(folder, raters=one)
        with pytest.raises(TableError, match="stand in 1 groups by 'side'"):
            _probe(alone, path, of="annotator-groups", by="side")


class TestJudged:
    @pytest.fixture
    def judged(self, tmp_path: Path) -> tuple[list[Path], Path]:
        files = [
            _file(tmp_path / "a.jsonl", _labels(GOLD, reason="It helps everybody.")),
            _file(tmp_path / "b.jsonl", _labels(GOLD, reason="No.")),
        ]
        rows: list[dict[str, object]] = []
        for k, item in enumerate(IDS):
            own = {run: f"{run}/{item}/fine/0" for run in "ab"}
            for judge in ("ann", "gpt"):
                for run in "ab":
                    bad = run == "b" or (judge == "gpt" and k < 3)
                    rows.append({"judge_id": judge, "run_id": run, "item_id": item, "output_id": own[run],
                                 "value": "bad" if bad else "good", "score": 1 if bad else 5,
                                 "error_type": "empty" if bad and judge == "ann" else None})  # fmt: skip
                first_wins = judge == "gpt" and k % 2 == 0  # else the reason of a wins
                for place in (1, 2):
                    value = ("win" if place == 1 else "loss") if first_wins else "win"
                    rows.append({"judge_id": judge, "run_id": "a", "item_id": item, "output_id": own["a"],
                                 "other_output_id": own["b"], "position": place, "value": value})  # fmt: skip
        return files, _file(tmp_path / "judged.jsonl", [{"error_type": None, "score": None} | row for row in rows])

    def test_metrics_of_reasons_see_people_alone(self, folder: ItemsFolder, judged: tuple[list[Path], Path]) -> None:
        files, path = judged
        found = _probe(folder, *files, of="reason-metrics", judgements=path, judge_models=["gpt"])
        assert _value(found, reason_metric="rouge_l_mean", metric="auroc") == 1.0
        said = [r["n"] for r in found.rows() if (r["metric"], r.get("reason_metric")) == ("auroc", "rouge_l_mean")]
        assert said == [24]

    def test_judges(self, folder: ItemsFolder, judged: tuple[list[Path], Path]) -> None:
        files, path = judged
        found = _probe(folder, *files, of="judges", judgements=path, judge_models=["gpt"])
        assert _value(found, metric="judge_accuracy", run_id="") == 21 / 24
        assert _value(found, metric="error_share", error_type="empty", judge_id="people") == 1.0
        assert _value(found, metric="position_consistency", judge_id="gpt") == 6 / 12
        assert _value(found, metric="position_bias_to_first", judge_id="gpt") == 6 / 12
        assert _value(found, metric="rating_ranking_consistency", judge_id="people") == 1.0
        scores = {(r["judge_id"], r["run_id"]): r for r in found.rows() if r["metric"] == "bradley_terry"}
        assert [scores["gpt", "a"][n] for n in ("wins", "losses")] == [18, 6]
        assert "never lost" in str(scores["people", "a"]["note"])

    def test_a_misspelt_judge_is_refused(self, folder: ItemsFolder, judged: tuple[list[Path], Path]) -> None:
        with pytest.raises(TableError, match='no judge is called "gtp"'):
            _probe(folder, *judged[0], judgements=judged[1], judge_models=["gtp"])


class TestWhatIsLeftOut:
    def test_every_probe_is_run_or_left_out(self, folder: ItemsFolder, tmp_path: Path) -> None:
        found = _probe(folder, _file(tmp_path / "m.jsonl", _labels(GOLD)))
        assert {table.probe for table in found.tables} == {"shortcuts"}
        assert {"shortcuts", *found.left_out} == set(PROBES)
        assert all(why.endswith(".") for why in found.left_out.values())

    def test_outputs_about_other_items(self, folder: ItemsFolder, tmp_path: Path) -> None:
        path = _file(tmp_path / "m.jsonl", [{"item_id": f"y{k}", "label": "good"} for k in range(7)])
        said = r"7 item ids are not among them, e\.g\. 'y0', 'y1', 'y2', 'y3', 'y4'; the items have ids such as"
        with pytest.raises(TableError, match=said):
            _probe(folder, path)

    def test_nothing_at_all(self, folder: ItemsFolder, tmp_path: Path) -> None:
        path = _file(tmp_path / "m.jsonl", _labels(GOLD, condition="empty"))
        with pytest.raises(TableError, match="the inputs allow no probe: position: no output of m answers"):
            _probe(folder, path)
        with pytest.raises(ValueError, match=r"probe: of must be among position, .* found 'length'"):
            _probe(folder, path, of="length")

    def test_sets_have_no_one_label(self, folder: ItemsFolder, tmp_path: Path) -> None:
        asked = conform(folder.questions.with_columns(kind=pl.lit("set")), "questions")
        sets = replace(folder, questions=asked)
        path = _file(tmp_path / "m.jsonl", _labels(GOLD))
        with pytest.raises(TableError, match="answers to 'fine' are sets of options"):
            _probe(sets, path, of="shortcuts")
