"""Loading: what is right works and says what it is, what is wrong is one line."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loading_models import contents, edit, load, logits, lora, tiny_bert

from dfar_toolkit.engines.model_loading import loaded_model
from dfar_toolkit.errors import EngineError
from tiny_models import save_tiny_causal, tiny_causal, tiny_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's own


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_causal(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_folder_gives_the_same_model_and_says_what_it_is(saved: Path) -> None:
    before = contents(saved)
    loaded = load(saved)
    assert torch.equal(logits(loaded.model), logits(tiny_causal(0)))
    assert (loaded.kind, loaded.chat, loaded.max_length, loaded.model.training) == ("causal", True, 1024, False)
    facts = loaded.facts
    assert (facts["model"], facts["dtype"], facts["device"], facts["quantisation"]) == ("tiny", "float32", "cpu", None)
    assert facts["parameters"] == sum(each.numel() for each in tiny_causal(0).parameters())
    assert facts["versions"]["torch"] == torch.__version__
    assert len(facts["chat_template_sha256"]) == len(facts["model_fingerprint"]) == 64
    assert str(saved.parent) not in json.dumps(facts)
    assert contents(saved) == before


def test_settings_reach_the_model(saved: Path) -> None:
    loaded = load(saved, dtype="bf16", attention="eager", max_length=7, chat=False, device="cpu")
    assert loaded.model.dtype == torch.bfloat16
    assert (loaded.max_length, loaded.chat, loaded.facts["attention"]) == (7, False, "eager")


def test_the_fingerprint_tells_weights_of_one_shape_apart(saved: Path, tmp_path: Path) -> None:
    first, second = load(saved), load(save_tiny_causal(tmp_path / "other", seed=1))
    again = load(Path(shutil.copytree(saved, tmp_path / "again")))
    assert first.facts["model_fingerprint"] == again.facts["model_fingerprint"] != second.facts["model_fingerprint"]


def test_libraries_are_silent_and_as_before(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = transformers.utils.logging
    before = log.get_verbosity(), log.is_progress_bar_enabled(), list(warnings.filters)
    capfd.readouterr()
    load(saved)
    with pytest.raises(EngineError):
        load(saved, attention="strange")
    assert capfd.readouterr() == ("", "")
    assert (log.get_verbosity(), log.is_progress_bar_enabled(), list(warnings.filters)) == before


def test_padding_is_found_without_a_new_token(copied: Path) -> None:
    edit(copied / "tokenizer_config.json", pad_token=None)
    loaded = load(copied)
    assert loaded.tokenizer.pad_token == "</s>"
    assert len(loaded.tokenizer) == 400
    tokenizer = tiny_tokenizer()
    given = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")
    kept = loaded_model(tiny_causal(), given)
    assert (kept.tokenizer.pad_token_id, given.pad_token) == (tokenizer.eos_token_id, None)
    assert (kept.chat, kept.facts["model"], kept.facts["chat_template_sha256"]) == (False, "in memory", None)


# --- adapters


def test_an_adapter_folder_is_loaded_on_its_base_model(saved: Path, tmp_path: Path) -> None:
    folder = lora(tiny_causal(), tmp_path / "run", saved, task_type="CAUSAL_LM")
    (folder / "run.json").write_text("{}")
    before = contents(folder)
    expected = logits(peft.PeftModel.from_pretrained(tiny_causal(), folder))
    assert not torch.allclose(expected, logits(tiny_causal()))
    alone, on_top = load(folder), load(saved, adapter=str(folder))
    edit(folder / "adapter_config.json", base_model_name_or_path="../tiny")  # beside the adapter
    shutil.copytree(saved, tmp_path / "tiny")
    beside = load(folder)
    for loaded in (alone, on_top, beside):
        assert torch.allclose(logits(loaded.model), expected, atol=1e-6)
        assert (loaded.facts["adapter"], loaded.facts["base_model"], loaded.facts["adapter_type"]) == (
            *("run", "tiny"),
            "LORA",
        )
    assert (alone.facts["model"], on_top.facts["model"]) == ("run", "tiny")
    assert alone.chat  # the tokenizer came from the base model
    assert {**contents(folder), "adapter_config.json": b""} == {**before, "adapter_config.json": b""}


def test_an_adapter_that_lacks_weights_is_refused(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = lora(tiny_causal(), tmp_path / "run", saved, task_type="CAUSAL_LM")
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(dict(list(tensors.items())[2:]), folder / "adapter_model.safetensors")
    with pytest.raises(EngineError, match="lacks weights"):
        load(folder)
    lora(tiny_causal(hidden=64), folder, saved, task_type="CAUSAL_LM")
    with pytest.raises(EngineError, match="does not fit the model"):
        load(folder)


def spoil_adapter(folder: Path, what: str) -> None:
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if what == "pickle":
        weights.rename(folder / "adapter_model.bin")
    elif what == "torn":
        weights.write_bytes(b"PK\x03\x04 no safetensors")
    elif what == "itself":
        edit(config, base_model_name_or_path=str(folder))
    else:
        edit(config, **json.loads(what))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pickle", "adapter_model.bin, a pickle"),
        ("torn", "whole safetensors file"),
        ('{"base_model_name_or_path": null}', "names no base model; name the base model yourself"),
        ('{"base_model_name_or_path": "/gone/base"}', "is not to be had: /gone/base: wanted the folder"),
        ("itself", "itself an adapter"),
        ('{"task_type": "SEQ_2_SEQ_LM"}', "found 'SEQ_2_SEQ_LM'"),
        ('{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}', "tokens of its own before the prompt"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_said(saved: Path, tmp_path: Path, what: str, said: str) -> None:
    folder = lora(tiny_causal(), tmp_path / "run", saved, task_type="CAUSAL_LM")
    spoil_adapter(folder, what)
    with pytest.raises(EngineError) as caught:
        load(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_adapters_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = lora(tiny_causal(), tmp_path / "run", saved, task_type="CAUSAL_LM")
    with pytest.raises(EngineError, match="is an adapter itself"):
        load(folder, adapter=str(folder))
    with pytest.raises(EngineError, match=r"found no adapter_config\.json"):
        load(saved, adapter=str(saved))


@pytest.mark.parametrize(("family", "most"), [("roberta", 62), ("opt", 64), ("gpt2", 64)])
def test_the_length_is_what_the_positions_hold(family: str, most: int) -> None:
    sizes = {"vocab_size": 400, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if family == "roberta":
        config = transformers.RobertaConfig(**sizes, intermediate_size=16, max_position_embeddings=64, num_labels=2)
        model = transformers.RobertaForSequenceClassification(config)
    elif family == "opt":
        config = transformers.OPTConfig(**sizes, ffn_dim=16, max_position_embeddings=64, word_embed_proj_dim=16)
        model = transformers.OPTForCausalLM(config)
    else:
        config = transformers.GPT2Config(vocab_size=400, n_positions=64, n_embd=16, n_layer=1, n_head=2)
        model = transformers.GPT2LMHeadModel(config)
    loaded = loaded_model(model, tiny_tokenizer())
    assert loaded.max_length == most
    ids = torch.full((1, most), 70)
    assert model(input_ids=ids).logits is not None  # the last position is one that the model has
    with pytest.raises(EngineError, match=f"its positions end at {most}"):
        loaded_model(model, tiny_tokenizer(), max_length=most + 1)


# --- what is wrong


def drop(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def set_config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **values)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def torn(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def headless(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop("config.json"), "found no config.json"),
        (drop("model.safetensors"), "wanted weights as *.safetensors, found none"),
        (pickled, "pytorch_model.bin, a pickle"),
        (torn, "its weights are damaged"),
        (headless, "1 weights are not in its files (lm_head.weight)"),
        (drop("tokenizer.json", "tokenizer_config.json"), "found no tokenizer beside the model"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "wanted a JSON object, found a list"),
        (set_config(is_encoder_decoder=True), "found an encoder-decoder"),
        (set_config(architectures=["LlamaModel"]), "found LlamaModel, which has no head that answers"),
        (set_config(architectures=["BertForMaskedLM"]), "no head that answers"),
        (set_config(architectures=None), "no architectures"),
        (set_config(model_type="strange"), "does not know the model type `strange`"),
        (set_config(model_type="strange", auto_map={"AutoConfig": "x.C"}), "allow it to run with trust_remote_code"),
        (set_config(vocab_size=300), "cannot be loaded"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(copied: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(copied)
    with pytest.raises(EngineError) as caught:
        load(copied)
    assert str(caught.value).startswith(str(copied))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dtype": "int3"}, "wanted a dtype among auto, fp32"),
        ({"device": "tpu"}, "wanted a device among auto"),
        ({"device": "cuda:99"}, "wanted the device cuda:99, found"),
        ({"attention": "strange"}, "the attention 'strange' cannot be had"),
        ({"revision": "main"}, "has no revision 'main'"),
        ({"max_length": 0}, "1 token or more"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(saved: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError) as caught:
        load(saved, **settings)
    assert said in str(caught.value)


def test_names_that_are_nothing(saved: Path, tmp_path: Path) -> None:
    for name in (tmp_path / "gone", "../gone", "a/b/c", ""):
        with pytest.raises(EngineError, match="found nothing there"):
            load(name)
    with pytest.raises(EngineError, match="found a file"):
        load(saved / "config.json")
    with pytest.raises(EngineError, match="found neither"):
        load("no--such..name")


def test_absent_packages_are_named(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lora(tiny_causal(), tmp_path / "run", saved, task_type="CAUSAL_LM")
    for package, name in (("peft", folder), ("transformers", saved)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(EngineError, match=rf"{package}.*pip install 'dfar-toolkit\[models\]'"):
                load(name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="4bit needs the package bitsandbytes"):
        load(saved, dtype="4bit")


def test_a_tokenizer_of_another_model_is_refused() -> None:
    model = tiny_causal()
    model.resize_token_embeddings(200)
    with pytest.raises(EngineError, match="400 tokens, the model knows 200"):
        loaded_model(model, tiny_tokenizer())
    with pytest.raises(EngineError, match="found BertModel"):
        loaded_model(tiny_bert(base=True), tiny_tokenizer())
    bare = transformers.PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer().backend_tokenizer, eos_token="</s>")
    with pytest.raises(EngineError, match="its tokenizer has none"):
        loaded_model(tiny_causal(), bare, chat=True)


# --- the Hub


def test_a_model_on_the_hub_is_pinned_to_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    from dfar_toolkit.hub.loopback import LoopbackHub, User

    with LoopbackHub({"t": User("ann")}) as hub:
        repo = hub.repos.create("model", "ann/tiny", private=False)
        repo.change({**contents(saved), "pytorch_model.bin": b"x"}, title="Publish", author="ann")
        commit = repo.branches["main"]
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", "t")
        try:
            loaded = load("ann/tiny", revision="main")
            assert torch.equal(logits(loaded.model), logits(tiny_causal(0)))
            facts = loaded.facts
            assert (facts["model"], facts["model_revision"], facts["model_commit"]) == ("ann/tiny", "main", commit)
            assert not list((tmp_path / "cache").rglob("*.bin"))
            with pytest.raises(EngineError, match="the Hub has no revision 'v9'"):
                load("ann/tiny", revision="v9")
            with pytest.raises(EngineError, match="no folder of this name and none on the Hub"):
                load("ann/absent")
        finally:
            huggingface_hub.close_session()
    try:
        assert load("ann/tiny").facts["model_commit"] == commit  # from the cache, now that the Hub is gone
        with pytest.raises(EngineError, match="the Hub cannot be reached"):
            load("ann/other")
    finally:
        huggingface_hub.close_session()
