"""The commands explain, test-reasons and rationale-study: mistakes before a model is loaded, rows, scores, notes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch = pytest.importorskip("torch", reason="the extra models (PyTorch) is not installed")
pytest.importorskip("transformers", reason="the extra models (transformers) is not installed")

from command_line import Dfar, command, refused  # noqa: E402
from dfar_toolkit.runners.rationales.explaining import METHODS  # noqa: E402
from marked_items import TEST, build_marked_items  # noqa: E402
from openai_loopback import OpenAiLoopback  # noqa: E402
from tiny_models import save_tiny_causal, tiny_tokenizer  # noqa: E402

BAD = TEST // 2  # items whose third word is marked


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_marked_items(tmp_path_factory.mktemp("marked"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer, folder = tiny_tokenizer(), tmp_path_factory.mktemp("classifier") / "bert"
    names = ("hatespeech", "offensive", "normal")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=128, id2label=dict(enumerate(names)), label2id={n: k for k, n in enumerate(names)},
        initializer_range=0.3, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def dfar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dfar:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "DFAR_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return command(capsys, monkeypatch)


def planted(messages: Any, _: Any) -> str:
    """A label that hangs on one word; the word itself, or the text without it, where it is asked for."""
    text = str(messages[-1]["content"])
    statement = text.partition("Statement: ")[2].partition("\n")[0]
    if "List the" in text or "Name the" in text:
        return "vile" if "vile" in statement else "kind"
    if "Copy the text" in text:
        return statement.replace("vile", "[REDACTED]").replace("kind", "[REDACTED]")
    if "Edit the text" in text:
        return statement.replace("vile", "kind")
    return "hatespeech. They are called vile." if "vile" in statement else "normal. They are called kind."


def first_tokens(messages: Any, body: Any) -> list[tuple[str, float]]:
    """The label's first token is nearly certain."""
    said = planted(messages, body)[0]
    return [(token, -0.2 if token.startswith(said) else -3.0) for token in ("hate", "off", "normal")]


@pytest.fixture
def server() -> Iterator[OpenAiLoopback]:
    with OpenAiLoopback(planted, logprobs=first_tokens) as found:
        yield found


def given(*pairs: tuple[str, str]) -> tuple[str, ...]:
    return tuple(word for pair in pairs for word in pair)


def test_methods_are_listed_without_anything_else(dfar: Dfar) -> None:
    run = dfar("explain", "--method", "list")
    assert run.code == 0, run.err
    assert [line.split()[0] for line in run.out.splitlines() if line.strip(" ─")][1:] == list(METHODS)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "no method: give --method with one of attention", 1),
        (("--method", "gradientl2"), "unknown method 'gradientl2'", 1),
        (("--method", "human", "--split", "dev"), "no split 'dev'; there are train, test", 1),
        (("--method", "random", "--target", "vile"), "--target must be predicted, gold or one of hatespeech", 1),
        (("--method", "random", "--contrast", "vile"), "--contrast must be none, runner_up or one of hatespeech", 1),
        (("--method", "random", "--target", "normal", "--contrast", "normal"), "--contrast normal is the target", 1),
        (("--method", "random", "--style", "cot"), "rationales are of one label that is answered at once", 1),
        (("--method", "random", "--style", "nosuch"), "unknown style 'nosuch'", 1),
        (("--method", "random", "--field", "statment"), "no field 'statment'; there are statement. Is it", 1),
        (("--method", "random", "--mask", " "), "--mask wants what stands for a masked word", 1),
        (("--method", "random", "--shares", "0.1,2"), "--shares wants numbers above 0 and at most 1", 2),
        (("--method", "random", "--shares", "half"), "--shares wants numbers such as 0.1,0.2,0.5", 2),
        (("--method", "random", "--operator", "delete"), "--operator must be one of remove, mask", 2),
        (("--method", "random", "--words", "tokens"), "--words must be one of whitespace, characters", 2),
        (("--method", "random", "--kind", "odds"), "--kind must be one of log_prob", 2),
        (("--method", "random", "--baseline", "cls"), "--baseline must be one of mask", 2),
        (("--method", "random", "--reduce", "min"), "--reduce must be one of sum", 2),
        (("--method", "random", "--rationales", "none.jsonl"), "none.jsonl: there is no such file", 1),
        (("--method", "random", "--k", "0"), "--k", 2),
        (("--method", "attention", "--server", "http://localhost:9"), "--method attention needs the model itself", 1),
        (("--method", "occlusion", "--elicit", "samples"), "--method occlusion is told by the probabilities", 1),
        (
            ("--method", "random", "--operator", "mask_token", "--server", "http://localhost:9/v1"),
            "--operator mask_token needs the model itself", 1,
        ),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_before_a_model_is_looked_for(
    words: tuple[str, ...], said: str, code: int, dfar: Dfar, items: Path, tmp_path: Path
) -> None:
    refused(dfar("explain", "--model", "no/such", "--items", items, "--out", tmp_path / "r", *words), said, code=code)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("--test", "cot"), "--test must be one of cct, cot_early", 2),
        (("--cut", "letters"), "--cut must be one of sentences, words", 2),
        (("--style", "label"), "tests of reasons need a style that gives reasons", 1),
        (("--test", "cot_early"), "the style 'label_and_reason' gives its label first", 1),
        (("--test", "cc_shap", "--attribution", "shap"), "unknown --attribution 'shap'", 1),
        (("--test", "cc_shap", "--server", "http://127.0.0.1:9/v1"), "--test cc_shap needs the model itself", 1),
        (("--words", "none.txt"), "none.txt: wanted words in UTF-8, one a line", 1),
        (("--split", "dev"), "no split 'dev'", 1),
        (
            ("--style", "reason_first", "--test", "cot_mistake", "--mistake", "other_sentence"),
            "need the reasons of two items or more", 1,
        ),
    ],
)  # fmt: skip
def test_a_wrong_test_of_reasons_is_one_line_too(
    words: tuple[str, ...], said: str, code: int, dfar: Dfar, items: Path, tmp_path: Path
) -> None:
    run = dfar("test-reasons", "--model", "no/such", "--items", items, "--out", tmp_path / "r", *words)
    refused(run, said, code=code)
    assert not (tmp_path / "r").exists()


def test_nobody_marked_words(dfar: Dfar, tmp_path: Path) -> None:
    unmarked = build_marked_items(tmp_path / "unmarked", marked=False)
    for method in ("human", "prompted_top_var"):
        words = ("--model", "no/such", "--items", unmarked, "--out", tmp_path / "r", "--method", method)
        refused(dfar("explain", *words), f"--method {method}: nobody marked words in these items")


def test_every_method_and_operator_then_scores(dfar: Dfar, items: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "why"
    methods = given(*(("--method", name) for name in METHODS))
    operators = given(*(("--operator", name) for name in ("remove", "mask", "replace", "mask_token", "attention_mask")))
    words = ("--model", model, "--items", items, "--out", out, "--device", "cpu", "--limit", 2, "--steps", 4,
             "--draws", 1, "--shares", "0.5", *methods, *operators)  # fmt: skip
    looked = dfar("explain", *words, "--dry-run")
    assert looked.code == 0, looked.err
    assert looked.out.startswith("2 items to explain\n")
    assert not out.exists()
    run = dfar("explain", *words, "--json")
    assert run.code == 0, run.err
    assert {row["method"] for row in json.loads(run.out)} == set(METHODS)
    rows = pl.read_parquet(out / "outputs.parquet")
    assert set(rows.filter(condition="empty")["operator"]) == set(operators[1::2])
    assert rows["dtype"].unique().to_list() == ["float32"]  # also where no gradient was asked for
    scored = dfar("score", out, "--items", items, "--n-boot", 100, "--json")
    assert scored.code == 0, scored.err
    found = json.loads(scored.out)
    assert {"plausibility", "faithfulness", "rationale_differences"} <= {row["part"] for row in found}
    margin = next(row for row in found if row["metric"] == "noise_margin")
    assert margin["note"] == "the model computed in float32"
    text = dfar("score", out, "--items", items, "--n-boot", 100, "--part", "plausibility", "--marked-by", "any")
    assert "words that people marked too (any" in text.out
    assert "without the words of the rationale" not in text.out
    again = dfar("explain", *words)
    assert "the run was whole already: nothing was asked" in again.err
    refused(dfar("explain", *words, "--seed", 1), "holds a run with other settings", "seed: 0 there, 1 now")


def test_as_many_points_as_each_item_needs(dfar: Dfar, items: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "auto"
    words = ("--model", model, "--items", items, "--out", out, "--device", "cpu", "--limit", 2, "--operator", "none",
             "--method", "integrated_gradients")  # fmt: skip
    for wrong in ("1", "1001", "many", "-5", "٣"):
        refused(dfar("explain", *words, "--steps", wrong), "--steps wants a number from 2 to 1000, or auto", code=2)
    run = dfar("explain", *words, "--steps", "auto")
    assert run.code == 0, run.err
    assert "points in the median" in run.err
    assert json.loads((out / "settings.json").read_text())["settings"]["explains"]["steps"] == "auto"
    rows = pl.read_parquet(out / "outputs.parquet").filter(condition="rationale")
    assert rows["settled"].all()
    assert rows["steps"].is_between(17, 257).all()
    assert rows["gap"].max() < 0.01
    assert "nothing was asked" in dfar("explain", *words, "--steps", "auto").err
    refused(dfar("explain", *words, "--steps", "50"), "holds a run with other settings")
    assert dfar("score", out, "--items", items, "--n-boot", 100).code == 0


def test_a_classifier_is_explained_and_writes_nothing(
    dfar: Dfar, items: Path, classifier: Path, tmp_path: Path
) -> None:
    words = ("--model", classifier, "--items", items, "--out", tmp_path / "c", "--device", "cpu")
    refused(dfar("explain", *words, "--method", "prompted_top_k"), "a classifier writes no rationale")
    refused(dfar("test-reasons", *words), "a classifier writes no reasons")
    run = dfar("explain", *words, "--method", "gradient_l2", "--method", "human", "--operator", "none", "--json")
    assert run.code == 0, run.err
    assert [(row["method"], row["rationales"], row["failed"]) for row in json.loads(run.out)] == [
        ("gradient_l2", TEST, 0), ("human", BAD, 0),
    ]  # fmt: skip


def test_a_server_names_the_word_and_loses_the_label_with_it(
    dfar: Dfar, items: Path, server: OpenAiLoopback, tmp_path: Path
) -> None:
    out, methods = tmp_path / "why", [name for name in METHODS if name.startswith("prompted_")]
    words = ("--model", "tiny", "--server", server.url, "--items", items, "--out", out, "--draws", 2, "--operator",
             "mask", "--shares", "0.2", *given(*(("--method", name) for name in (*methods, "leave_one_out", "random"))),
             "--method", "human")  # fmt: skip
    run = dfar("explain", *words)
    assert run.code == 0, run.err
    assert f"prompted_top_var: no words from {TEST - BAD} of {TEST} prompted rationales" in run.err
    scored = dfar("score", out, "--items", items, "--n-boot", 100, "--json")
    assert scored.code == 0, scored.err
    own = [row for row in json.loads(scored.out) if row.get("k") == -1 and row["metric"] == "flip_rate"]
    flips = {row["rationale_method"]: (row["value"], row["n"]) for row in own}
    assert flips["prompted_unbounded"] == (0.5, TEST)  # "normal" is said of a text without either word
    assert flips["human"] == (1.0, BAD)
    table = json.loads(scored.out)
    f1 = [row for row in table if row["metric"] == "token_f1" and row["rationale_method"] == "prompted_top_var"]
    assert [row["value"] for row in f1] == [1.0]
    plain = dfar("predict", "--model", "tiny", "--server", server.url, "--items", items, "--out", tmp_path / "plain")
    assert plain.code == 0, plain.err
    compared = dfar("compare", out, tmp_path / "plain", "--items", items, "--n-boot", 100, "--json")
    assert compared.code == 0, compared.err
    assert json.loads(compared.out)[0]["value"] == 0
    report = dfar("report", out, tmp_path / "plain", "--items", items, "--out", tmp_path / "r.html", "--n-boot", 100)
    assert report.code == 0, report.err
    nothing = dfar("score", tmp_path / "plain", "--items", items, "--part", "faithfulness")
    assert nothing.err == (
        "nothing to score in faithfulness: these outputs have no rows of that kind for these items\n"
    )  # fmt: skip


def test_reasons_through_a_server(dfar: Dfar, items: Path, server: OpenAiLoopback, tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("vile\nodd\n", encoding="utf-8")
    words = ("test-reasons", "--model", "tiny", "--server", server.url, "--items", items, "--out", tmp_path / "t",
             "--test", "cct", "--places", 1, "--words-per-place", 2, "--words", tmp_path / "w.txt")  # fmt: skip
    run = dfar(*words, "--json")
    assert run.code == 0, run.err
    assert {row["condition"]: row["rows"] for row in json.loads(run.out)}["full"] == TEST
    scored = dfar("score", tmp_path / "t", "--items", items, "--part", "self_consistency", "--n-boot", 100, "--json")
    found = {row["metric"]: row["value"] for row in json.loads(scored.out)}
    assert found["counterfactual_test"] == 1.0  # "vile" changes the label and is named each time
    (tmp_path / "w.txt").write_text("vile\neven\n", encoding="utf-8")
    refused(dfar(*words), "holds a run with other settings", "words_sha256")


def test_a_study_before_and_after_training(dfar: Dfar, items: Path, classifier: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "study.yaml", tmp_path / "study"

    def study(*lines: str) -> Any:
        text = (f"items: {items}", "methods: [gradient_l2, human, random]", "draws: 1", "n_boot: 100", *lines)
        plan.write_text("\n".join(text), encoding="utf-8")
        return dfar("rationale-study", plan, "--out", out, "--json")

    refused(study("model: no/such", "methds: [human]"), "unknown name 'methds'")
    refused(study("model: no/such", "train: trian"), "no split 'trian'")
    refused(study("model: no/such", "style: cot"), "rationales are of one label that is answered at once")
    refused(
        study("model: no/such", "head: classifier", "settings: {epoch: 1}"), "study.yaml: settings: unknown", "epochs"
    )
    refused(study("model: no/such", "head: classifier", "settings: {epochs: 0}"), "study.yaml: settings: wanted epochs")
    assert not out.exists()
    said = study(f"model: {tmp_path / 'none'}").err  # the model is looked for after what is written about it
    assert "none: wanted the folder of a model, found nothing there" in said
    run = study(f"model: {classifier}", "head: classifier", "settings: {epochs: 1, learning_rate: 1e-3}")
    assert run.code == 0, run.err
    tables = {row["table"] for row in json.loads(run.out)}
    assert tables == {"scores", "methods", "before_after"}
    assert "## After fine-tuning minus before" in (out / "study.md").read_text(encoding="utf-8")
    page = (out / "study.md").read_bytes()
    again = study(f"model: {classifier}", "head: classifier", "settings: {epochs: 1, learning_rate: 1e-3}")
    assert "after: the run was whole already" in again.err
    assert (out / "study.md").read_bytes() == page
    refused(study(f"model: {classifier}", "head: classifier", "seed: 5"), "holds another study")
