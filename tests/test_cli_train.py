"""The command train: from items to a run, on to predict and score; one line for each mistake."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

from command_line import Dfar, command, refused
from dfar_toolkit.corpus.assemble import BuildOptions, build_items
from dfar_toolkit.sources import read_source
from file_identity import file_identity

needs_models = pytest.mark.usefixtures("models")
QUICK = ("--device", "cpu", "--set", "epochs=1", "--set", "batch=8")


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A language model ``llama`` and an encoder without a head ``bert``, tiny, with random weights."""
    torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra models (transformers) is not installed")
    pytest.importorskip("peft", reason="the extra models (peft) is not installed")
    from tiny_models import save_tiny_causal, tiny_tokenizer

    folder = tmp_path_factory.mktemp("models")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    save_tiny_causal(folder / "llama")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder / "bert")
    tiny_tokenizer().save_pretrained(folder / "bert")
    yield folder
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dilemmas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Invented dilemmas in the layout of Scruples: lying is the worse of two actions."""
    folder = tmp_path_factory.mktemp("dilemmas")
    (folder / "raw").mkdir()
    for split, start in (("train", 0), ("test", 16)):
        rows = []
        for at in range(start, start + 16):
            texts = [f"lying to person {at} about it", f"paying the {at} workers who did the work"][
                :: 1 if at % 2 else -1
            ]
            actions = [{"id": f"{at}{name}", "description": text} for name, text in zip("pq", texts, strict=True)]
            votes = [4, 1] if at % 2 else [1, 4]
            rows.append({"id": f"d{at}", "actions": actions, "gold_annotations": votes, "gold_label": (at + 1) % 2,
                         "controversial": False})  # fmt: skip
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "raw" / f"{split}.scruples-actions.jsonl").write_text(lines)
    build_items(read_source("scruples:dilemmas", folder / "raw"), folder / "items", options=BuildOptions(n_boot=50))
    return folder / "items"


def scored(dfar: Dfar, outputs: Path, items: Path) -> dict[str, Any]:
    run = dfar("score", outputs, "--items", items, "--json")
    assert run.code == 0, run.err
    found = json.loads(run.out)
    return next(row for row in found if row["metric"] == "accuracy" and row["subset"] == "all")


@needs_models
@pytest.mark.parametrize(("objective", "style"), [("L", "label"), ("L+R", "label_and_reason")])
def test_a_language_model_from_items_to_scores(
    dfar: Dfar, models: Path, demo: Path, tmp_path: Path, objective: str, style: str
) -> None:
    items, out, answers = demo / "items", tmp_path / "run", tmp_path / "answers"
    words = ("train", "--model", models / "llama", "--items", items, "--objective", objective, "--out", out, *QUICK)
    run = dfar(*words, "--json")
    assert run.code == 0, run.err
    assert "18 items are learned; 2 choose the checkpoint" in run.err
    assert f"dfar predict --model {out}" not in run.out
    assert json.loads(run.out)[0]["is"] == "model"
    said = json.loads((out / "run.json").read_text())
    assert said["settings"]["objective"] == objective
    assert said["decides"]["keep_leaked"] is False

    asked = dfar("predict", "--model", out, "--items", items, "--style", style, "--device", "cpu", "--limit", 12,
                 "--max-new-tokens", 4, "--out", answers)  # fmt: skip
    assert asked.code == 0, asked.err
    model = json.loads((answers / "run.json").read_text())["model"]
    assert model["adapter_sha256"]
    assert scored(dfar, answers, items)["n"] == 58

    written = file_identity(out / "adapter_model.safetensors")
    again = dfar(*words)
    assert again.code == 0
    assert "the run was whole already: nothing was trained" in again.err
    assert file_identity(out / "adapter_model.safetensors") == written
    refused(dfar(*words, "--seed", 1), "holds a training run with other settings", "Give another --out")


@needs_models
def test_a_classifier_from_items_to_scores(dfar: Dfar, models: Path, demo: Path, tmp_path: Path) -> None:
    items, out, answers = demo / "items", tmp_path / "run", tmp_path / "answers"
    run = dfar("train", "--as", "classifier", "--model", models / "bert", "--items", items, "--objective", "soft",
               "--set", "learning_rate=1e-3", "--set", "epochs=1", "--device", "cpu", "--out", out)  # fmt: skip
    assert run.code == 0, run.err
    assert f"next: dfar predict --model {out} --items {items} --out FOLDER" in run.err
    asked = dfar("predict", "--model", out, "--items", items, "--device", "cpu", "--out", answers)
    assert asked.code == 0, asked.err
    assert "(classifier)" in asked.out
    assert scored(dfar, answers, items)["n"] == 58


@needs_models
@pytest.mark.parametrize("head", ["classifier", "language-model"])
def test_labels_are_learned_under_the_names_of_another_set(
    dfar: Dfar, models: Path, demo: Path, tmp_path: Path, head: str
) -> None:
    items, out, answers = demo / "items", tmp_path / "run", tmp_path / "answers"
    of_head = {"classifier": ("bert", "soft"), "language-model": ("llama", "L+R")}[head]
    run = dfar("train", "--as", head, "--model", models / of_head[0], "--items", items, "--objective", of_head[1],
               "--set", "epochs=1", "--map", "unethical=hate speech,ethical=none", "--device", "cpu",
               "--out", out)  # fmt: skip
    assert run.code == 0, run.err
    assert "labels renamed: unethical -> hate speech, ethical -> none" in run.err
    said = json.loads((out / "run.json").read_text())
    assert said["options"] == said["labels"] == ["none", "hate speech"]
    assert said["decides"]["label_map"] == {"ethical": "none", "unethical": "hate speech"}
    (line,) = [line for line in run.err.splitlines() if "next: " in line]
    words = shlex.split(line.partition("next: dfar ")[2].replace("FOLDER", str(answers)))
    assert words[words.index("--map") + 1] == "none=ethical,hate speech=unethical"
    asked = dfar(*words, "--device", "cpu", "--limit", 12, *(("--max-new-tokens", 4) if head != "classifier" else ()))
    assert asked.code == 0, asked.err
    assert set(pl.read_parquet(answers / "outputs.parquet")["label"].drop_nulls()) <= {"ethical", "unethical"}
    assert scored(dfar, answers, items)["n"] == 58
    plain = dfar("train", "--as", head, "--model", models / of_head[0], "--items", items, "--objective", of_head[1],
                 "--set", "epochs=1", "--device", "cpu", "--out", out)  # fmt: skip
    refused(plain, "holds a training run with other settings", "label_map")


def test_a_classical_model_answers_when_it_is_trained(dfar: Dfar, demo: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra models (scikit-learn) is not installed")
    items, out = demo / "items", tmp_path / "run"
    words = ("train", "--model", "classical:forest", "--items", items, "--out", out)
    run = dfar(*words, "--set", "trees=10")
    assert run.code == 0, run.err
    assert "20 items are learned" in run.err  # nothing is chosen, so that no part is kept for it
    assert f"next: dfar score {out} --items {items}" in run.err
    assert scored(dfar, out, items)["n"] == 58
    assert pl.read_parquet(out / "outputs.parquet")["run_id"].unique().to_list() == ["run"]
    again = dfar(*words, "--set", "trees=10")
    assert again.code == 0, again.err
    refused(dfar(*words, "--set", "trees=11"), "of_model.trees: 10 there, 11 now", "Give another --out")
    refused(dfar("predict", "--model", out, "--items", items, "--out", tmp_path / "x"), "holds outputs and no model")


@needs_models
def test_a_ranker_from_dilemmas_to_scores(dfar: Dfar, models: Path, dilemmas: Path, tmp_path: Path) -> None:
    out, answers = tmp_path / "run", tmp_path / "answers"
    run = dfar("train", "--as", "ranker", "--model", models / "bert", "--items", dilemmas, "--objective", "dirichlet",
               "--set", "learning_rate=1e-2", "--set", "epochs=6", "--set", "batch_size=4", "--device", "cpu",
               "--out", out)  # fmt: skip
    assert run.code == 0, run.err
    words = ("predict", "--model", out, "--items", dilemmas, "--device", "cpu", "--out", answers)
    plan = dfar(*words, "--dry-run")
    assert plan.code == 0, plan.err
    assert "16 questions to ask" in plan.out
    asked = dfar(*words)
    assert asked.code == 0, asked.err
    assert "(ranker)" in asked.out
    told = pl.read_parquet(answers / "outputs.parquet")
    assert told["probs_kind"].unique().to_list() == ["classifier"]
    assert told["label_probs"].list.sum().to_list() == pytest.approx([1.0] * 16)
    assert json.loads((answers / "run.json").read_text())["model"]["kind"] == "ranker"
    assert scored(dfar, answers, dilemmas)["value"] == 1.0
    assert "nothing was asked" in dfar(*words).err
    refused(dfar(*words, "--style", "cot"), "a ranker reads the text without a prompt", "--style")

    short = dfar("predict", "--model", out, "--items", dilemmas, "--device", "cpu", "--out", tmp_path / "short",
                "--max-length", "16", "--limit", "4")  # fmt: skip
    assert "4 of 4 rows have no answer (4 too_long)" in short.err


@needs_models
def test_models_and_items_that_do_not_go_together(
    dfar: Dfar, models: Path, dilemmas: Path, demo: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "run", "--device", "cpu")
    bert = ("train", "--model", models / "bert")
    refused(dfar(*bert, "--items", demo / "items", *out), "BertModel, which has no head")
    refused(dfar(*bert, "--as", "ranker", "--items", demo / "items", *out), "18 of 18 items have none")
    refused(dfar(*bert, "--as", "classifier", "--items", dilemmas, *out), "train a ranker")
    assert not (tmp_path / "run" / "training.json").exists()


def test_the_leak_is_said_when_it_is_learned(dfar: Dfar, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra models (scikit-learn) is not installed")
    (tmp_path / "raw").mkdir()
    rows = {
        "train": ["I lied.,1,It hurts.", "I paid my debts.,0,Fair.", "I stole a bicycle yesterday.,1,Theft."],
        "test": ["I lied.,1,It hurts.", "I fed the cat.,0,Kind."],
    }
    for split, lines in rows.items():
        text = "\n".join(["Statement,Label,Reason", *lines]) + "\n"
        (tmp_path / "raw" / f"DFAR_{split}set.csv").write_text(text)
    build_items(read_source("dfar", tmp_path / "raw"), tmp_path / "items", options=BuildOptions(n_boot=50))
    words = ("train", "--model", "classical:logistic", "--items", tmp_path / "items")
    run = dfar(*words, "--out", tmp_path / "without")
    assert "1 items stand, word for word or nearly, in test too (1 identical_row); left out" in run.err
    run = dfar(*words, "--keep-leaked", "--out", tmp_path / "with")
    assert "LEARNED ALL THE SAME (--keep-leaked)" in run.err
    assert "3 items are learned" in run.err
    run = dfar(*words, "--evaluation", "none", "--out", tmp_path / "none")
    refused(run, "nothing to answer", "--evaluation")


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (("--set", "epoch=3"), ("unknown setting 'epoch'. Is it epochs?",), 1),
        (("--set", "epochs=three"), ("epochs must be", "found 'three'"), 1),
        (("--set", "epochs"), ("--set wants name=value", "found 'epochs'"), 2),
        (("--set", "epochs=[1"), ("not a value that YAML reads",), 2),
        (("--preset", "moder"), ("unknown preset 'moder'", "modern, dfar"), 1),
        (("--objective", "hard"), ("objective must be one of L, L+R, R+L, soft, soft+R",), 1),
        (("--as", "clasifier"), ("--as must be one of language-model, classifier, ranker",), 2),
        (("--as", "classifier", "--set", "epoch=3"), ("unknown setting 'epoch'. Is it \"epochs\"?",), 1),
        (("--as", "classifier", "--set", "epochs=three"), ("epochs must be a whole number, found 'three'",), 1),
        (("--as", "classifier", "--set", "schedule=side"), ("schedule must be one of linear",), 1),
        (("--as", "classifier", "--objective", "L"), ("objective must be hard or soft", "found 'L'"), 1),
        (("--as", "classifier", "--preset", "dfar"), ("presets are for language models",), 1),
        (("--as", "classifier", "--revision", "main"), ("--revision is for a language model",), 1),
        (("--dev", "test"), ("looks better than it is", "--dev 0.1"), 1),
        (("--dev", "train"), ("every one looks good there",), 1),
        (("--dev", "1.5"), ("--dev wants a share from 0 to below 1",), 2),
        (("--split", "test"), ("would only remember",), 1),
        (("--evaluation", "tset"), ("no split 'tset'; there are train, test",), 1),
        (("--settings", "absent.yaml"), ("absent.yaml",), 1),
        (("--config", "other"), ("other",), 1),
        (("--track", "tensorbord"), ("unknown tracker 'tensorbord'", "tensorboard, wandb, trackio"), 1),
        (("--map", "unethical"), ("--map wants pairs such as wrong=unethical,fine=ethical, found 'unethical'",), 2),
        (("--map", "unethical=a,unethical=b"), ("--map gives two names for 'unethical'",), 2),
        (("--map", "unetical=hate"), ("--map renames 'unetical'", 'Is it "unethical"?'), 1),
    ],
)
def test_mistakes_are_one_line(
    dfar: Dfar, demo: Path, tmp_path: Path, given: tuple[str, ...], said: tuple[str, ...], code: int
) -> None:
    run = dfar("train", "--model", "absent", "--items", demo / "items", "--out", tmp_path / "run", *given)
    refused(run, *said, code=code)
    assert not list(tmp_path.glob("run/*"))


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        ("svn", (), "found 'classical:svn'"),
        ("svm", ("--set", "strength=-1"), "strength must be above 0, found -1.0"),
        ("svm", ("--set", "trees=x"), "trees must be a whole number, found 'x'"),
        ("svm", ("--objective", "L"), "unknown setting 'objective'"),
        ("svm", ("--as", "ranker"), "leave out --as ranker"),
        ("svm", ("--map", "unethical=hate"), "leave out --map"),
    ],
)
def test_mistakes_about_classical_models(
    dfar: Dfar, demo: Path, tmp_path: Path, model: str, given: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "run"
    refused(dfar("train", "--model", f"classical:{model}", "--items", demo / "items", "--out", out, *given), said)


@needs_models
def test_set_goes_over_the_file_and_the_file_over_the_preset(
    dfar: Dfar, models: Path, demo: Path, tmp_path: Path
) -> None:
    file = tmp_path / "how.yaml"
    file.write_text("preset: dfar\nobjective: L\nepochs: 7\nrank: 4\nlearning_rate: 1e-3\n")
    run = dfar("train", "--model", models / "llama", "--items", demo / "items", "--settings", file, "--device", "cpu",
               "--set", "epochs=1", "--set", "target_modules=[q_proj]", "--objective", "soft", "--dev", "0",
               "--out", tmp_path / "run")  # fmt: skip
    assert run.code == 0, run.err
    assert "20 items are learned" in run.err
    said = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (said["epochs"], said["rank"], said["learning_rate"], said["objective"]) == (1.0, 4, 1e-3, "soft")
    assert (said["alpha"], said["batch"], said["schedule"]) == (16.0, 4, "constant")  # of the preset
    assert said["target_modules"] == ["q_proj"]


@pytest.mark.slow
@needs_models
def test_the_command_for_several_gpus_without_one(models: Path, demo: Path, tmp_path: Path) -> None:
    from dfar_toolkit.finetune.accelerate_configs import launch_command

    words = ["train", "--model", models / "llama", "--items", demo / "items", "--out", tmp_path / "run", *QUICK]
    own = shlex.split(launch_command("ddp", 2, shlex.join(map(str, words))))
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--main_process_port", "0"]
    run = subprocess.run([*launch, *own[2:]], env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert said["processes"] == 2
    assert run.stderr.count("next: dfar predict") == 1


@pytest.mark.slow
@needs_models
def test_the_commands_of_the_page_run(
    dfar: Dfar, models: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = page.partition("```sh\n")[2].partition("```")[0].splitlines()
    names = {"org/some-7b": models / "llama", "org/some-encoder": models / "bert", "out/dfar": demo / "items"}
    assert len(lines) == 5
    for line in lines:
        words = [str(names.get(word, word)) for word in shlex.split(line)]
        run = dfar(*words[1:], *(("--device", "cpu") if "score" not in words else ()))
        assert run.code == 0, f"{line}: {run.err}"
