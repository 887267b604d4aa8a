"""Encoders and decoders with a head: made from a name or taken as they are, with an adapter or without, and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.engines.model_facts import text_limit
from dfar_toolkit.engines.model_files import INSTALL, ModelFiles, find_model
from dfar_toolkit.engines.quiet_loading import quiet_loading
from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.adapters import recompute_activations
from dfar_toolkit.finetune.head_settings import HeadSettings

_CLASSIFIER: Final = "ForSequenceClassification"
_POOLERS: Final = ("pooler", "score_norm")  # weights between encoder and head that some checkpoints lack


@dataclass(slots=True)
class HeadModel:
    """A model with a head, as it is trained.

    Attributes:
        model: The transformers or peft model.
        tokenizer: Its tokenizer.
        limit: Tokens that it reads.
        base: Name or folder from which the adapter's base model can be loaded again as it was; None: it cannot, and
            the adapter is merged into the model when it is saved.
        revision: Of the base model on the Hub.
        facts: What the run says of the base model.
        notes: What must be known.
        drawn: Parts between encoder and head that may not be in the base model's files.
    """

    model: Any
    tokenizer: Any
    limit: int
    base: str | None
    revision: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = _POOLERS

    @property
    def is_adapter(self) -> bool:
        """Whether the model is one of peft."""
        return hasattr(self.model, "peft_config")


def head_model(model: Any, tokenizer: Any, names: Sequence[str], settings: HeadSettings) -> HeadModel:
    """A model whose head has one output per name, ready to be trained.

    Args:
        model: Folder or name on the Hub of an encoder or decoder, with a head or without; or a sequence classifier in
            memory, which is trained in place.
        tokenizer: Of a model in memory; None: the one beside the model.
        names: Names of the outputs.
        settings: Adapter, precision, longest text, seed of a new head.

    Returns:
        The model.

    Raises:
        EngineError: It cannot be had, cannot carry a head, or its head has other outputs.
    """
    try:
        import peft  # noqa: F401 - asked for here, so that its absence is one clear line
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise EngineError(f"training needs the packages torch, transformers and peft ({error}); {INSTALL}") from error
    transformers.set_seed(settings.seed)
    with quiet_loading(transformers):
        if isinstance(model, str | Path):
            found = _from_files(transformers, str(model), tokenizer, names, settings)
        else:
            found = _from_memory(model, tokenizer, names)
        found.limit = text_limit(found.model, found.tokenizer, settings.max_length, found.facts["base_model"])
        if settings.activation_checkpointing:
            recompute_activations(found.model)
        if settings.lora_rank:
            _put_adapter_on(found, settings)
    for weight in found.model.parameters():  # what is trained is kept in full, whatever the base is stored in
        if weight.requires_grad:
            weight.data = weight.data.float()
    return found


def head_parts(model: Any) -> list[str]:
    """Modules above the encoder that have weights: what a task adds to a model, and an adapter must bring along.

    Args:
        model: A transformers model.

    Returns:
        Their names.
    """
    body = model.base_model_prefix
    return [name for name, part in model.named_children() if name != body and any(True for _ in part.parameters())]


def all_weights_used(model: Any, text: Mapping[str, Sequence[int]]) -> bool:
    """Whether the output of a text hangs on every weight that is trained, as several processes need to know.

    Args:
        model: A transformers or peft model with a head.
        text: Its inputs, not padded.
    """
    import torch

    was, device = model.training, next(iter(model.parameters())).device
    try:
        model.eval()
        logits = model(**{name: torch.tensor([list(ids)], device=device) for name, ids in text.items()}).logits
    finally:
        model.train(was)
    seen, open_nodes = set(), [logits.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            open_nodes += [before for before, _ in node.next_functions]
    reached = {id(node.variable) for node in seen if hasattr(node, "variable")}
    return all(id(weight) in reached for weight in model.parameters() if weight.requires_grad)


def save_head(found: HeadModel, folder: Path) -> None:
    """Write weights, configuration and tokenizer as ``load_model`` reads them.

    Args:
        found: The trained model; an adapter whose base cannot be loaded again is merged into it, in place.
        folder: Where to.
    """
    model = found.model
    if found.is_adapter and found.base is None:
        model = found.model = model.merge_and_unload()
    if found.is_adapter:
        for config in model.peft_config.values():
            config.base_model_name_or_path, config.revision = found.base, found.revision
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # peft's, with nothing but slots
    else:
        model.save_pretrained(folder)
    found.tokenizer.save_pretrained(folder)


def _from_files(
    transformers: Any, name: str, tokenizer: Any, names: Sequence[str], settings: HeadSettings
) -> HeadModel:
    files = find_model(name)
    if files.is_adapter:
        raise EngineError(f"{name}: wanted a model to train, found an adapter; merge it into its base model first.")
    if not files.has("config.json"):
        raise EngineError(f"{name}: wanted a model as save_pretrained writes it, found no config.json there.")
    files.check_weights("*.safetensors")
    model, said = _loaded(transformers, files, names, settings)
    if tokenizer is None:
        if not files.has_tokenizer:
            raise EngineError(f"{name}: found no tokenizer beside the model; save it there, or give one.")
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(files.folder))
    parts = [*head_parts(model), *_POOLERS]
    absent = [key for key in said["missing_keys"] if not any(part in key.split(".") for part in parts)]
    if absent:
        raise EngineError(
            f"{name}: {len(absent)} weights are not in its files ({', '.join(sorted(absent)[:3])}) and would be drawn "
            "at random; is it another kind of model than its config.json says?"
        )
    reshaped = bool(said.get("mismatched_keys"))
    notes = ["the head of the model had other outputs; a new one was drawn"] if reshaped else []
    base = None if reshaped else files.name if files.commit else str(files.folder.resolve())
    drawn = tuple(part for part in _POOLERS if any(part in key.split(".") for key in said["missing_keys"]))
    return HeadModel(
        model, tokenizer, 0, base, files.commit, files.facts("base_model"), notes=tuple(notes), drawn=drawn
    )


def _loaded(
    transformers: Any, files: ModelFiles, names: Sequence[str], settings: HeadSettings
) -> tuple[Any, dict[str, Any]]:
    import torch

    stored = settings.precision == "bf16" and settings.lora_rank > 0
    labels = dict(enumerate(names))
    try:
        config = transformers.AutoConfig.from_pretrained(str(files.folder))
        config.id2label, config.label2id = labels, {name: number for number, name in labels.items()}
        if getattr(config, "is_encoder_decoder", False):
            raise EngineError(f"{files.asked}: an encoder-decoder ({config.model_type}) is not supported.")
        if getattr(config, "problem_type", None) is not None:
            config.problem_type = None
        model, said = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(files.folder), config=config, dtype="auto" if stored else torch.float32, use_safetensors=True,
            ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    except EngineError:
        raise
    except Exception as error:
        said_so = " ".join(str(error).split())[:300] or type(error).__name__
        raise EngineError(f"{files.asked}: it cannot be loaded with a head: {said_so}") from error
    return model, said


def _from_memory(model: Any, tokenizer: Any, names: Sequence[str]) -> HeadModel:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not type(inner).__name__.endswith(_CLASSIFIER):
        raise EngineError(
            f"wanted a sequence classifier, found {type(inner).__name__}; load it with "
            "AutoModelForSequenceClassification."
        )
    if tokenizer is None:
        raise EngineError("wanted the tokenizer of the model in memory, found none; give it as tokenizer=.")
    if inner.config.num_labels != len(names):
        raise EngineError(
            f"wanted a head of {len(names)} outputs ({', '.join(names)}), found one of {inner.config.num_labels}; load "
            f"the model with num_labels={len(names)}."
        )
    inner.config.id2label = dict(enumerate(names))
    inner.config.label2id = {name: number for number, name in enumerate(names)}
    inner.config.problem_type = None
    named = str(getattr(inner.config, "_name_or_path", "") or "")
    base = named or None
    if named and Path(named).is_dir():
        base = str(Path(named).resolve())
        said = ModelFiles(Path(named), named, named).read_json("config.json")
        own = said.get("id2label") or {0: "", 1: ""}  # a file that names none means two
        if any(str(each).endswith(_CLASSIFIER) for each in said.get("architectures") or ()) and len(own) != len(names):
            base = None  # the head on the disk is of another shape
    return HeadModel(model, tokenizer, 0, base, None, {"base_model": Path(named).name or type(inner).__name__})


def _put_adapter_on(found: HeadModel, settings: HeadSettings) -> None:
    """LoRA on every linear layer below the head; the head and new weights are trained whole."""
    import peft
    import torch

    if found.is_adapter:
        raise EngineError("the model has an adapter already; leave lora_rank at 0 to train that one.")
    model = found.model
    whole = [*head_parts(model), *found.drawn]
    kinds: tuple[Any, ...] = (torch.nn.Linear,)
    try:
        from transformers.pytorch_utils import Conv1D

        kinds = (*kinds, Conv1D)
    except ImportError:  # only GPT-2 and its like have it
        pass
    targets = [
        name
        for name, part in model.named_modules()
        if isinstance(part, kinds) and not set(name.split(".")) & set(whole)
    ]
    if not targets:
        raise EngineError(f"{type(model).__name__}: found no linear layer to put an adapter on; train all its weights.")
    poolers = [name for name, part in model.named_modules() if name.split(".")[-1] in found.drawn and "." in name]
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout,
        target_modules=_ends(targets, model), modules_to_save=[*head_parts(model), *poolers],
        fan_in_fan_out=all(type(part).__name__ == "Conv1D" for name, part in model.named_modules() if name in targets),
    )  # fmt: skip
    if settings.activation_checkpointing:
        model.enable_input_require_grads()
    found.model = peft.get_peft_model(model, config)


def _ends(targets: Sequence[str], model: Any) -> list[str]:
    """The last parts of the names of layers where they mean these layers alone; else the names in full."""
    ends = sorted({name.rpartition(".")[2] for name in targets})
    meant = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in ends}
    return ends if meant == set(targets) else sorted(targets)
