"""An experiment: its tables are the numbers of its runs, nothing is done twice, and what does not fit is said first."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from scipy import stats

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import dfar_toolkit as dt  # noqa: E402
from dfar_toolkit.cli.experimenting import experiment  # noqa: E402
from dfar_toolkit.errors import DfarError, TableError  # noqa: E402
from dfar_toolkit.files.items import ItemsFolder, read_items  # noqa: E402
from dfar_toolkit.journeys import experiment_taking as taking  # noqa: E402
from dfar_toolkit.journeys.experiment import Experimented, plan_experiment, run_experiment  # noqa: E402
from dfar_toolkit.journeys.experiment_items import experiment_items  # noqa: E402
from dfar_toolkit.journeys.experiment_plan import experiment_of, read_experiment  # noqa: E402
from dfar_toolkit.journeys.experiment_steps import steps_of  # noqa: E402
from dfar_toolkit.journeys.experiment_tables import over_seeds  # noqa: E402
from dfar_toolkit.journeys.one_config import items_of  # noqa: E402
from tiny_models import save_tiny_causal  # noqa: E402

Plan = dict[str, Any]
SETTINGS = {"adapter": "none", "max_steps": 2, "learning_rate": 0.01, "batch": 4, "log_every": 1}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan that all tests vary: two objectives, two seeds, the demo."""
    model = save_tiny_causal(tmp_path_factory.mktemp("tiny") / "model")
    return {
        "title": "one | two", "model": str(model), "items": str(demo / "items"), "device": "cpu", "seeds": [3, 5],
        "settings": SETTINGS, "draws": 100, "reports": False, "development": 0,
        "arms": [{"name": "L", "settings": {"objective": "L"}}, {"name": "soft", "settings": {"objective": "soft"}}],
        "evaluate": [{"name": "demo", "split": "test"}],
    }  # fmt: skip


def written(plan: Plan, folder: Path) -> Path:
    path = folder / "lr.yaml"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    return path


Counted = dict[str, int]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How often something was trained, opened and asked, whatever became of it."""
    calls = {"train_model": 0, "open_engine": 0, "predict": 0}
    for name in calls:
        plain: Callable[..., Any] = getattr(taking, name)

        def counting(*given: Any, _name: str = name, _plain: Callable[..., Any] = plain, **named: Any) -> Any:
            calls[_name] += 1
            return _plain(*given, **named)

        monkeypatch.setattr(taking, name, counting)
    return calls


def test_tables_are_the_numbers_of_the_runs(
    base: Plan, demo: Path, tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arms = [*base["arms"], {"name": "before", "head": "untrained"}]
    sets = [*base["evaluate"], {"name": "learned of", "split": "test", "limit": 12}]
    path, out = written(base | {"arms": arms, "evaluate": sets}, tmp_path), tmp_path / "out"
    # Stopped while the second training is answered: what was done before is not done again.
    asked, passed = iter(range(99)), vars(taking)["predict"]  # the one that counts

    def stopped(*given: Any, **named: Any) -> Any:
        if next(asked) == 3:
            raise KeyboardInterrupt
        return passed(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(taking, "predict", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(path, out)
    assert not (out / "experiment.json").exists()
    states = [state for _, state in plan_experiment(path, out).steps]
    assert (states[:6], set(states[6:])) == (["done"] * 5 + ["to do"], {"to do"})
    told: list[str] = []
    found = run_experiment(path, out, tell=told.append)
    # Four trainings and ten runs; a model is opened once for both sets, and once more for the run that was stopped.
    assert counted == {"train_model": 4, "open_engine": 6, "predict": 10}
    assert found.taken == 14 - 5
    assert told[0] == "step 6 of 14: predict L, seed 5 on learned of"
    again = run_experiment(path, out)
    assert counted["predict"] == 10
    assert again.taken == 0
    assert again.tables.scores.equals(found.tables.scores, null_equal=True)
    capsys.readouterr()
    experiment(path, out)
    printed = capsys.readouterr()
    assert "Differences" in printed.out
    assert "soft - L" in printed.out
    assert "0 steps were taken" in printed.err
    experiment(path, out, json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {row["table"] for row in rows} == {"scores", "differences"}
    _check_scores(found, demo, out)
    _check_differences(found)
    page = (out / "table.md").read_text()
    assert page.startswith("# one \\| two\n")
    assert "2 seeds: mean, standard deviation and Student's interval over seeds" in page
    assert "| before | 1 |" in page
    read = json.loads((out / "table.json").read_text())
    assert len(read["table"]) == len(pl.read_parquet(out / "table.parquet")) == len(found.tables.scores)
    assert next(iter(json.loads((out / "experiment.json").read_text())["files"])) == "table.parquet"
    assert len(json.loads((out / "steps.json").read_text())) == 14
    # A seed can be added; a model whose answers are all there is not needed.
    shutil.rmtree(out / "train/L-seed3")
    more = plan_experiment(written(base | {"arms": arms, "evaluate": sets, "seeds": [3, 5, 7]}, tmp_path), out).steps
    assert [name for name, state in more if state != "done"] == [
        f"{what} {arm}, seed 7{on}"
        for arm in ("L", "soft")
        for what, on in (("train", ""), ("predict", " on demo"), ("predict", " on learned of"))
    ]
    # A step whose settings changed is refused by its name, before anything is done.
    changed = base | {"seeds": [5], "arms": [{"name": "L", "settings": {"objective": "L", "epochs": 7}}, *arms[1:]]}
    with pytest.raises(TableError, match=r"the step 'train L, seed 5' was taken with other settings \(settings.epochs"):
        run_experiment(written(changed, tmp_path), out)


def _check_scores(found: Experimented, demo: Path, out: Path) -> None:
    frame = found.tables.scores.filter(set="demo", arm="soft")
    of_seed = [dt.score(out / f"predict/demo/soft-seed{seed}", items=demo / "items", n_boot=100) for seed in (3, 5)]
    own = pl.col("label").is_null() & pl.col("predictor").is_null()
    for metric in ("accuracy", "accuracy_answered", "coverage", "soft_cross_entropy", "brier_score_unbiased"):
        x = [table.filter(own, metric=metric)["value"][0] for table in of_seed]
        row = frame.filter(metric=metric).row(0, named=True)
        assert (row["values"], row["seeds"], row["n_seeds"]) == (x, [3, 5], 2)
        assert row["value"] == pytest.approx(sum(x) / 2, abs=1e-12)
        assert row["scope"] == "items+seeds"
        if abs(x[0] - x[1]) > 1e-9:
            low, high = stats.t.interval(0.95, 1, loc=sum(x) / 2, scale=stats.sem(x))
            assert (row["low"], row["high"]) == pytest.approx((low, high))
    outputs = pl.read_parquet(out / "predict/demo/soft-seed3/outputs.parquet")
    assert frame.filter(metric="label_mass")["values"][0][0] == pytest.approx(outputs["label_mass"].mean())
    assert frame.filter(metric="parse_rate")["value"].to_list() == [1.0]
    one = found.tables.scores.filter(arm="before", set="demo", metric="accuracy").row(0, named=True)
    assert (one["n_seeds"], one["scope"], one["n"]) == (1, "items", 58)
    assert one["note"].startswith("the same for every seed")
    assert found.tables.scores.filter(set="learned of", metric="accuracy")["n"].unique().to_list() == [11]


def _check_differences(found: Experimented) -> None:
    rows = found.tables.differences
    scores = {(r["arm"], r["set"], r["metric"]): r for r in found.tables.scores.iter_rows(named=True)}
    family = rows.filter(family="primary")
    assert family.select("arm", "set").rows() == [
        (arm, on) for arm in ("soft", "before") for on in ("demo", "learned of")
    ]
    for row in rows.filter(contrast="reference", arm="soft").iter_rows(named=True):
        a, b = (scores[arm, row["set"], row["metric"]]["values"] for arm in ("L", "soft"))
        d = [y - x for x, y in zip(a, b, strict=True)]
        assert row["value"] == pytest.approx(sum(d) / 2)
        if abs(d[0] - d[1]) > 1e-9:
            test = stats.ttest_rel(b, a)
            assert row["p_value"] == pytest.approx(test.pvalue)
            interval = test.confidence_interval(0.95)
            assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    # The model before training stands beside both seeds.
    after = rows.filter(contrast="before and after", arm="soft", set="demo")
    row = after.filter(metric="soft_cross_entropy").row(0, named=True)
    before = scores["before", "demo", "soft_cross_entropy"]["value"]
    test = stats.ttest_1samp(scores["soft", "demo", "soft_cross_entropy"]["values"], before)
    assert (row["p_value"], row["n_seeds"]) == (pytest.approx(test.pvalue), 2)
    # Holm over the four, those without a p of their own counted.
    known = sorted(p for p in family["p_value"].drop_nulls())
    if known:
        assert min(family["p_holm"].drop_nulls()) == pytest.approx(min(1.0, 4 * known[0]))


def test_folds_sweeps_other_sets_leaks_and_classical_models(base: Plan, demo: Path, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Answers of all folds are one run; another folder's options are said by the map; leaks into it are left out."""
    other = _other(demo, tmp_path / "other")
    monkeypatch.setattr(
        "dfar_toolkit.journeys.experiment_items.items_of",
        lambda place, config: other if str(place) == "OTHER" else items_of(place, config),
    )
    plan = base | {
        "seeds": 1, "keep_leaked": [False, True], "cross_validation": {"folds": 2, "splits": ["test"]},
        "primary": "soft_cross_entropy",
        "arms": [{"name": "forest", "model": "classical:forest", "settings": {"trees": 5}},
                 {"name": "before", "head": "untrained"}],
        "evaluate": [{"name": "abroad", "items": "OTHER", "map": {"ethical": "fine", "unethical": "wrong"}}],
        "predict": {"style": ["own", "label_and_reason"], "max_new_tokens": 2},
    }  # fmt: skip
    found = run_experiment(written(plan, tmp_path), tmp_path / "out")
    assert any("1 items of train stand in sets of other folders too" in note for note in found.notes)
    facts = [
        json.loads((tmp_path / f"out/predict/abroad/{arm}-seed0/run.json").read_text())["model"]["items"]["train"]
        for arm in ("forest", "forest+leaked")
    ]
    assert facts == [19, 20]
    pooled = pl.read_parquet(tmp_path / "out/predict/out-of-fold/forest-seed0/outputs.parquet")
    folder = read_items(demo / "items")
    tested = folder.items.filter(split="test")
    assert pooled["item_id"].to_list() == tested["item_id"].to_list()
    parts = [
        pl.read_parquet(tmp_path / f"out/predict/folds/out-of-fold/forest-seed0-fold{k}/outputs.parquet")["item_id"]
        for k in (1, 2)
    ]
    groups = [set(tested.filter(pl.col("item_id").is_in(part.implode()))["group"]) for part in parts]
    assert not groups[0] & groups[1]
    abroad = pl.read_parquet(tmp_path / "out/predict/abroad/forest-seed0/outputs.parquet")
    assert set(abroad["label"]) <= {"fine", "wrong"}
    assert abroad["options"][0].to_list() == ["wrong", "fine"]
    top = abroad["label_probs"].list.arg_max().replace_strict({0: "wrong", 1: "fine"})
    sure = abroad["label_probs"].list.max() > 0.5
    assert top.filter(sure).to_list() == abroad["label"].filter(sure).to_list()
    scores, differences = found.tables.scores, found.tables.differences
    assert set(scores["set"]) == {"abroad", "out-of-fold"}
    assert scores.filter(arm="before")["asking"].unique().sort().to_list() == ["", "label_and_reason"]
    leak = differences.filter(contrast="leak", set="abroad", metric="soft_cross_entropy").row(0, named=True)
    assert (leak["arm"], leak["against"], leak["scope"], leak["n_seeds"]) == ("forest+leaked", "forest", "items", 1)
    assert "one seed: these two checkpoints, not ways of training" in leak["note"]
    assert math.isfinite(leak["low"])
    assert set(differences.filter(family="primary")["arm"]) == {"before"}
    assert "one seed: numbers speak of these checkpoints" in (tmp_path / "out/table.md").read_text()


def _other(demo: Path, path: Path) -> ItemsFolder:
    """The test items in other words with other options in another order, and one item that is learned."""
    folder = read_items(demo / "items")
    names = {"ethical": "fine", "unethical": "wrong"}
    turned = folder.items.filter(split="test").head(20).with_columns(
        pl.col("statement").str.reverse(), item_id="other:" + pl.col("item_id"), text_key=pl.lit("0")
    )  # fmt: skip
    leaked = folder.items.filter(split="train").head(1).with_columns(split=pl.lit("test"), item_id=pl.lit("other:1"))
    items = pl.concat([turned, leaked]).with_columns(
        pl.col("label").replace(names), pl.col("label_counts").list.reverse(), pl.col("label_probs").list.reverse()
    )  # fmt: skip
    questions = folder.questions.with_columns(options=pl.Series([["wrong", "fine"]]))
    return dataclasses.replace(
        folder, path=path, items=items, questions=questions, annotations=folder.annotations.clear(),
        targets=folder.targets.clear(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sedes": 3}, r"lr.yaml: unknown name 'sedes'. Is it \"seeds\"\?"),
        ({"seeds": [1, 1]}, "lr.yaml: seeds must be a number of seeds, or a list"),
        ({"arms": []}, "lr.yaml: arms must be a list of arms"),
        ({"arms": [{"name": "L", "setings": {}}]}, r"arm 1: unknown name 'setings'. Is it \"settings\"\?"),
        ({"arms": [{"name": "L", "settings": {"objektive": "L"}}]}, r"arm 'L': unknown setting 'objektive'. Is it obj"),
        ({"arms": [{"name": "L", "settings": {"seed": 1}}]}, "arm 'L': the seed is that of the experiment"),
        ({"arms": [{"name": "L", "head": "clasifier"}]}, "arm 'L': head must be one of"),
        ({"arms": [{"name": "L", "head": "classifier", "settings": {"rank": 1}}]}, "arm 'L': .*unknown setting 'rank'"),
        ({"arms": [{"name": "L", "model": "classical:florest"}]}, "arm 'L': wanted a classical model"),
        ({"arms": [{"name": "../x"}]}, "arm 1: name must be letters"),
        ({"arms": [{"name": "a b"}, {"name": "A_b"}]}, "'a b' and 'A_b' would have one folder"),
        ({"reference": "M"}, r"reference must be the name of an arm \(L, soft\), found 'M'"),
        ({"primary": "acc"}, "primary must be one of accuracy"),
        ({"evaluate": []}, "evaluate must be a list of sets"),
        ({"evaluate": [{"name": "demo", "split": "tset"}]}, "evaluation set 'demo': .*no split 'tset'"),
        ({"evaluate": [{"name": "demo", "map": {"ethical": True}}]}, "map must be labels with options"),
        ({"evaluate": [{"name": "d", "map": {"ethical": "good"}}]}, "evaluation set 'd': .*'good', which is no option"),
        ({"evaluate": [{"name": "d", "items": "nowhere"}]}, "evaluation set 'd': nowhere"),
        ({"evaluate": [{"name": "d", "split": "train"}]}, "the split 'train' is evaluated on"),
        ({"predict": {"style": "lable"}}, "arm 'L': predict: .*lable"),
        ({"predict": {"samples": 3, "temperature": 0}}, "arm 'L': predict: 3 samples at temperature 0"),
        ({"predict": {"orders": "some"}}, "predict: orders must be one of"),
        ({"cross_validation": {"fold": 2}}, r"cross_validation: unknown name 'fold'. Is it \"folds\"\?"),
        ({"cross_validation": {"folds": 500}}, "cross_validation: folds must be from 2 to"),
        ({"train": "trian"}, "no split 'trian'"),
        ({"model": "./nowhere"}, "nowhere"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    base: Plan, tmp_path: Path, counted: Counted, change: Plan, said: str
) -> None:
    with pytest.raises(DfarError, match=said) as refused:
        run_experiment(written(base | change, tmp_path), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
    assert sum(counted.values()) == 0


def test_a_rate_that_yaml_takes_for_a_text_is_a_number(base: Plan, tmp_path: Path) -> None:
    arm = {"name": "L", "head": "classifier", "settings": {"learning_rate": "1e-3"}}
    plan = read_experiment(written(base | {"arms": [arm], "reference": "L"}, tmp_path))
    assert plan.arm("L").settings["learning_rate"] == 0.001


def test_a_folder_of_other_files_and_a_dry_run(base: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(base, tmp_path), tmp_path / "out"
    planned = plan_experiment(path, out)
    assert [name for name, _ in planned.steps][:2] == ["train L, seed 3", "predict L, seed 3 on demo"]
    assert {state for _, state in planned.steps} == {"to do"}
    experiment(path, out, dry_run=True)
    printed = capsys.readouterr()
    assert "8 steps" in printed.out
    assert "train soft, seed 5" in printed.out
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(TableError, match=r"found other files \(such as 'mine.txt'\)"):
        run_experiment(path, out)


def test_over_seeds() -> None:
    assert over_seeds([0.5], 0.95)[0] == 0.5
    assert all(math.isnan(x) for x in over_seeds([0.5], 0.95)[1:])
    assert over_seeds([0.1, 0.1, 0.1], 0.95)[1] == 0
    assert all(math.isnan(x) for x in over_seeds([0.5, math.nan], 0.95))
    values = [0.61, 0.64, 0.60, 0.67]
    mean, sd, low, high = over_seeds(values, 0.9)
    assert [mean, sd] == pytest.approx([0.63, float(stats.tstd(values))])
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 3, loc=0.63, scale=stats.sem(values)))


def test_the_example_is_a_plan_with_all_arms() -> None:
    with as_file(files("dfar_toolkit.journeys") / "experiment_examples" / "lr.yaml") as path:
        plan = read_experiment(path)
    names = [arm.name for arm in plan.arms]
    assert names[:2] == ["L", "L+leaked"]
    assert len(names) == 2 * 8 + 1
    assert {arm.settings.get("reasons") for arm in plan.arms} == {None, "shuffled", "template"}
    assert plan.arm("R+L").style == "reason_first"


def test_ties_that_leak_are_counted_where_shares_are_learned(
    base: Plan, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_items(demo / "items")
    own = folder.items.filter(split="test").head(1).with_columns(split=pl.lit("train"))
    even = {"label": None, "label_counts": [1, 1], "label_probs": [0.5, 0.5]}
    tied = own.with_columns(pl.lit(v, dtype=own.schema[k]).alias(k) for k, v in {**even, "item_id": "tied"}.items())
    items = pl.concat([folder.items, own.with_columns(item_id=pl.lit("sure")), tied])
    monkeypatch.setattr(
        "dfar_toolkit.journeys.experiment_items.items_of", lambda *_: dataclasses.replace(folder, items=items)
    )
    hard, soft = base["arms"]
    forest = {"name": "forest", "model": "classical:forest"}
    said = "items of train leak into the evaluated splits"
    for arms, note in (
        ([hard, forest], f"1 {said}"), ([soft], f"2 {said}"),
        ([hard, soft], f"2 {said} (1 of them, without a label, are learned only where people's shares are)"),
    ):  # fmt: skip
        assert experiment_items(experiment_of(base | {"arms": arms}), fetch=False).notes == [note]


def test_steps_go_through_one_training_before_the_next(base: Plan) -> None:
    plan = experiment_of({**base, "seeds": 1, "cross_validation": {"folds": 2, "splits": ["train", "test"]}})
    kinds = [step.name for step in steps_of(plan, experiment_items(plan, fetch=False)).all]
    assert kinds[:6] == [
        "train L, seed 0", "predict L, seed 0 on demo", "train L, seed 0, fold 1",
        "predict L, seed 0, fold 1 on out-of-fold", "train L, seed 0, fold 2",
        "predict L, seed 0, fold 2 on out-of-fold",
    ]  # fmt: skip
    assert kinds[-1] == "pool soft, seed 0 over 2 folds"
