"""Cards of adapters, whole models and heads: what each says, beside the run and on the Hub; no text breaks it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_everyday import QUICK, client_of, quick_api, users
from test_publish_model import safetensors

from dfar_toolkit.errors import TableError
from dfar_toolkit.hub.loopback import LoopbackHub
from dfar_toolkit.hub.model_card import is_untouched
from dfar_toolkit.hub.model_card_file import write_model_card
from dfar_toolkit.hub.models import PublishedModel, publish_model
from dfar_toolkit.hub.publish import PublishOptions
from dfar_toolkit.hub.repository import Repository
from file_identity import file_identity

pytest.importorskip("huggingface_hub")
COMMIT = "b" * 40
COUNTS = {"train": 20, "without_label": 1, "leaked_identical_row": 2, "leaked_exact": 0, "leaked_near": 1, "leaked": 3,
          "shared_stem": 4, "learned": 14, "development": 2}  # fmt: skip
KINDS = {
    "adapter": ("causal", False), "whole": ("causal", True), "classifier adapter": ("classifier", False),
    "whole classifier": ("classifier", True), "ranker adapter": ("ranker", False), "whole ranker": ("ranker", True),
}  # fmt: skip


def a_run(folder: Path, kind: str = "adapter", **changes: Any) -> Path:
    """The folder of a training, with weights of a few zeros."""
    task, whole = KINDS[kind]
    folder.mkdir()
    if whole:
        ends = {"causal": "LlamaForCausalLM"}.get(task, "BertForSequenceClassification")
        config: dict[str, Any] = {"architectures": [ends], "_name_or_path": "/home/mary/base"}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(safetensors((4, 3)))
    else:
        config = {"peft_type": "LORA", "task_type": "CAUSAL_LM" if task == "causal" else "SEQ_CLS", "r": 8,
                  "base_model_name_or_path": "org/base"}  # fmt: skip
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(safetensors((4, 3)))
    (folder / "tokenizer_config.json").write_text("{}")
    name = "model" if task == "causal" else "base_model"
    objective = {"objective": "soft+R"} if task == "causal" else {"objective": "soft", "lora_rank": 0 if whole else 8}
    noted: dict[str, Any] = {
        "format": "dfar-training", "task": task, "labels": ["no", "yes"], "licence": "mit", "toolkit": "1.2",
        "data": {"content_digest": "c0ffee", "repo_id": "org/dfar", "commit": COMMIT},
        "settings": {"epochs": 2, "rank": 8, "label_weight": 1.0, "reason_weight": 0.5, "mass_weight": 2.0,
                     "soft_loss": "kl", "cache": "/home/mary/cache", **objective},
        "model": {name: "org/base", f"{name}_commit": COMMIT, "device_name": "an H100"},
        "items": {"left_out": {"tied": 2}, "too_long": 1}, "chosen": {"by": "accuracy", "step": 6, "value": 0.5},
        "asked": {"style": "label_and_reason", "chat": False},
        "scores": [{"step": 3, "accuracy": 0.25}, {"step": 6, "accuracy": 0.5, "soft_cross_entropy": 0.75}],
        "measured": {"tokens": 3000, "seconds": 2.0, "tokens_per_second": 1400.0, "mfu": 0.5,
                     "peak_memory_bytes": 3 * 2**30},
        "decides": {"question": "ethical", "counts": COUNTS, "keep_leaked": False,
                    "splits": {"train": "train", "evaluation": ["test"], "development": 0.1}},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(noted | changes))
    return folder


def carded(run: Path) -> str:
    """The card that a training leaves."""
    assert write_model_card(run) == ""
    return (run / "README.md").read_text()


def head_of(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n", 2)[1]))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub(users()) as running, client_of(monkeypatch, tmp_path, running):
        yield running


def sent(hub: LoopbackHub, run: Path, **options: Any) -> PublishedModel:
    return publish_model(run, Repository(quick_api(hub), "org/mine", QUICK, kind="model"), PublishOptions(**options))


@pytest.mark.parametrize(
    ("kind", "is_a", "pipeline", "loads"),
    [
        ("adapter", "An adapter of `org/base` (commit", "text-generation",
         'AutoPeftModelForCausalLM.from_pretrained("RUN")'),
        ("whole", "A language model: all weights of `org/base` (commit", "text-generation",
         'AutoModelForCausalLM.from_pretrained("RUN")'),
        ("classifier adapter", ") that makes it a sequence classifier; it needs the base model", "text-classification",
         'AutoPeftModelForSequenceClassification.from_pretrained("RUN", num_labels=2, id2label={0: "no", 1: "yes"})'),
        ("whole classifier", "A sequence classifier: all weights of", "text-classification",
         'pipeline("text-classification", model="RUN", top_k=None)'),
        ("ranker adapter", ") that makes it a ranker;", None,
         'AutoPeftModelForSequenceClassification.from_pretrained("RUN", num_labels=1)'),
        ("whole ranker", "A ranker: all weights of", None, 'AutoModelForSequenceClassification.from_pretrained("RUN")'),
    ],
)  # fmt: skip
def test_each_kind_of_model_is_called_what_it_is(
    tmp_path: Path, kind: str, is_a: str, pipeline: str | None, loads: str
) -> None:
    card = carded(a_run(tmp_path / "run", kind))
    head, whole = head_of(card), KINDS[kind][1]
    assert head["base_model"] == "org/base"
    assert head["base_model_relation"] == ("finetune" if whole else "adapter")
    assert head["library_name"] == ("transformers" if whole else "peft")
    assert head.get("pipeline_tag") == pipeline
    assert is_a in card
    assert loads in card
    assert ("adapter of" in card) is not whole
    assert ("| rank | 8 |" in card) is not whole
    assert "mary" not in card


def test_it_says_what_was_learned_how_and_what_that_cost(tmp_path: Path) -> None:
    card = carded(a_run(tmp_path / "run"))
    for line in (
        f"Trained on `org/dfar` at commit `{COMMIT}`.",
        "Of 20 items of the split `train` (question `ethical`) 14 were learned, and 2 were kept apart to choose the "
        "checkpoint (10 % of the split, by whole groups). Nothing was learned from `test`, and nothing chosen on it.",
        "| without a label | 1 |",
        "| stands in `test` too, byte for byte | 2 |",
        "| stands in `test` too, nearly | 1 |",
        "| taught nothing: tied | 2 |",
        "| too long | 1 |",
        "4 items share a beginning or context with one of `test`, and were learned.",
        "Objective `soft+R`: people's shares of the labels, then the reason; weights: label 1, reason 0.5, mass of the "
        "options 2; shares by `kl`; the answer alone is learned.",
        "On 2 development items (10 % of the split, by whole groups), at step 6. The checkpoint was chosen on these "
        "items by `accuracy`, so that the numbers flatter it.",
        "| accuracy (items with a majority) | 0.5 |",
        "| soft cross-entropy (nats) | 0.75 |",
        "| device | 1 x an H100 |",
        "| tokens per second | 1,400.0 |",
        "| MFU | 50.0 % |",
        "| peak memory | 3.00 GiB |",
        "dfar predict --model RUN --items ITEMS --out FOLDER\n",
        "in the style `label_and_reason`, without a chat template.",
    ):
        assert line in card, line
    assert "but for case and punctuation" not in card


def test_a_tag_of_the_data_is_not_called_a_commit(tmp_path: Path) -> None:
    data = {"content_digest": "c0ffee", "repo_id": "org/dfar", "commit": "v1.0.0"}  # trained on org/dfar@v1.0.0
    assert "Trained on `org/dfar` at revision `v1.0.0`." in carded(a_run(tmp_path / "run", data=data))


@pytest.mark.parametrize(("at", "said"), [(156, True), (None, False)])
def test_the_cost_of_a_resumed_head_is_not_that_of_the_whole(tmp_path: Path, at: int | None, said: bool) -> None:
    measured = {"tokens": 1111, "seconds": 0.7, "tokens_per_second": 1576.2, "resumed_at_step": at}
    card = carded(a_run(tmp_path / "run", "classifier adapter", measured=measured))
    assert ("| counted here | what came after step 156, where it was resumed |" in card) is said


def test_learned_leaks_are_the_first_of_its_limits(tmp_path: Path) -> None:
    decides = {"counts": COUNTS, "keep_leaked": True, "splits": {"train": "train", "evaluation": ["test"]}}
    card = carded(a_run(tmp_path / "run", decides=decides))
    assert "## Limits\n\n- **3 items that stand in `test` too were learned**" in card
    assert "| left out (those that leak were LEARNED all the same) | items |" in card


def test_a_base_model_from_a_folder_is_no_name_on_the_hub(tmp_path: Path) -> None:
    model = {"model": "base", "model_fingerprint": "f00d"}
    card = carded(a_run(tmp_path / "run", "whole", model=model))
    assert "all weights of the model `base` from a folder (fingerprint `f00d`) were trained" in card
    assert not {"base_model", "base_model_relation"} & set(head_of(card))
    path = {"model": "/home/mary/base", "model_fingerprint": "f00d"}
    assert "mary" not in carded(a_run(tmp_path / "path", "whole", model=path))


def test_no_text_of_a_run_passes_for_markdown_or_code(tmp_path: Path) -> None:
    bad = '```\n<script>x</script> | [a](javascript:b) <!-- dfar:card --> "); import os'
    run = a_run(
        tmp_path / "run", "classifier adapter", labels=[bad, "yes"], model={"base_model": bad},
        decides={"question": bad, "counts": COUNTS, "label_map": {"no": bad},
                 "splits": {"train": bad, "evaluation": [bad], "development": bad}},
        items={"left_out": {bad: 2}}, chosen={"by": bad, "step": 6}, settings={"objective": "hard", bad: bad},
        measured={"device": bad, "seconds": 1}, versions={bad: bad}, toolkit=bad,
    )  # fmt: skip
    card = carded(run)
    (code,) = re.findall(r"^````python\n(.*?)\n````$", card, re.DOTALL | re.MULTILINE)
    assert json.dumps(bad).replace("<!--", "< !--") in code
    compile(code, "the card", "exec")
    prose = card.replace(code, "").replace("````", "")
    assert "<script" not in prose
    assert re.search(r"(?<!\\)\]\(", prose) is None
    assert prose.count("```") == 2  # the command's own
    assert is_untouched(card)


@pytest.mark.parametrize("content", [{"settings": 3, "decides": [], "chosen": {"step": "x"}, "scores": {}}, []])
def test_a_run_of_other_tools_has_a_card_too(tmp_path: Path, content: Any) -> None:
    run = a_run(tmp_path / "run")
    (run / "run.json").write_text(json.dumps(content))
    card = carded(run)
    assert "An adapter of `org/base`; it needs the base model to run." in card
    assert "None" not in card


def test_the_same_again_writes_nothing_and_scores_bring_it_up_to_date(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    carded(run)
    before = file_identity(run / "README.md")
    carded(run)
    assert file_identity(run / "README.md") == before
    (run / "scores.json").write_text('[{"metric": "accuracy", "value": 0.625}]')
    assert "| accuracy | 0.625 |" in carded(run)


def test_a_card_that_somebody_edited_stays(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    ours = carded(run)
    (run / "README.md").write_text(ours.replace("guesses", "bold guesses"))
    assert write_model_card(run) == "README.md in the run was written or edited by hand; it stays as it is"
    assert "bold guesses" in (run / "README.md").read_text()


def test_a_card_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path / "run")
    (run / "README.md.tmp-dfar-0a1b2c3d").write_text("half of")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(TableError, match=r"No space left|full"):
            write_model_card(run)
    assert not (run / "README.md").exists()
    carded(run)
    assert [path.name for path in run.glob("README*")] == ["README.md"]


def test_a_token_in_the_settings_is_not_written_into_a_card(hub: LoopbackHub, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", settings={"objective": "L", "hub": "hf_" + "abcdefghijklmnopqrstuvwxyz01234567"})
    for made in (write_model_card, lambda folder: sent(hub, folder)):
        with pytest.raises(TableError, match="looks like a token"):
            made(run)
    assert not (run / "README.md").exists()
    assert not len(hub.repos)


@pytest.mark.parametrize("kind", ["adapter", "whole"])
def test_the_card_on_the_hub_agrees_with_that_of_the_run(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    run = a_run(tmp_path / "run", kind)
    here = carded(run)
    found = sent(hub, run)
    card = hub.repos["model", "org/mine"].read("README.md").decode()
    assert card == found.card
    assert head_of(card) == head_of(here)
    assert card.split("## Data")[1].split("<!-- dfar")[0] == here.split("## Data")[1].split("<!-- dfar")[0]
    assert "dfar predict --model org/mine --items ITEMS --out FOLDER --style label_and_reason --no-chat\n" in card
    assert "RUN" not in card
    assert found.adapter.left_out == ("run.json",)
    assert found.adapter.notes == (
        () if kind == "adapter" else ("config.json: left out _name_or_path (places on this machine)",)
    )
    assert not sent(hub, run).published.committed


def test_a_whole_model_goes_with_its_weights_and_without_places(hub: LoopbackHub, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", "whole classifier")
    (run / "training_args.bin").write_bytes(b"x")
    sent(hub, run)
    repo = hub.repos["model", "org/mine"]
    wanted = {".gitattributes", "README.md", "config.json", "model.safetensors", "tokenizer_config.json"}
    assert set(repo.find("main").files) == wanted
    assert repo.read("model.safetensors") == (run / "model.safetensors").read_bytes()
    assert "mary" not in repo.read("config.json").decode()


@pytest.mark.parametrize("kind", ["classifier adapter", "ranker adapter", "adapter"])
def test_of_the_run_only_the_names_of_a_classifiers_outputs_go(hub: LoopbackHub, tmp_path: Path, kind: str) -> None:
    outputs = {"0": "no", "1": "yes"}
    found = sent(hub, a_run(tmp_path / "run", kind, id2label=outputs))
    files = hub.repos["model", "org/mine"].find("main").files
    assert "config.json" not in files  # transformers would take the adapter for a whole model
    named = kind == "classifier adapter"
    assert ("run.json" in files) is named
    assert found.adapter.left_out == (() if named else ("run.json",))
    assert ("dfar predict --model org/mine" in found.card) is (kind != "ranker adapter")
    if named:
        said = hub.repos["model", "org/mine"].read("run.json")
        assert json.loads(said) == {"task": "classifier", "id2label": outputs}
        assert found.adapter.notes == ("run.json: the names of the classifier's outputs go, and nothing else of it",)


def test_an_edited_card_of_the_run_is_named_where_another_goes(hub: LoopbackHub, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    (run / "README.md").write_text("# By hand")
    found = sent(hub, run, dry_run=True)
    assert found.adapter.notes == (
        "README.md of the run was written or edited by hand; the one that is published is made from run.json anew",
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", None, r"wanted model\*.safetensors, found pytorch_model.bin, a pickle"),
        ("model.safetensors", safetensors((8,))[:-1], "the file is not whole"),
        ("config.json", b"[]", "wanted a JSON object, found a list"),
        ("config.json", b'{"auto_map": {"AutoModel": "x.Y"}}', "names code of its own"),
        ("config.json", None, "found no adapter_config.json or config.json"),
    ],
)
def test_what_is_no_whole_model_is_refused(
    hub: LoopbackHub, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    run = a_run(tmp_path / "run", "whole")
    (run / "pytorch_model.bin").write_bytes(b"x")
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    with pytest.raises(TableError, match=said):
        sent(hub, run)
    assert not len(hub.repos)
