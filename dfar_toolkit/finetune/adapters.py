"""What of a model is trained: a low-rank adapter, or all of it; and the types in which it is computed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.model_files import INSTALL
from dfar_toolkit.errors import EngineError
from dfar_toolkit.finetune.settings import TrainSettings

_TASKS: Final = {"causal": "CAUSAL_LM", "classifier": "SEQ_CLS"}


def with_adapter(loaded: LoadedModel, settings: TrainSettings, *, base: str | None = None) -> LoadedModel:
    """The model as it is to be trained.

    With an adapter the model's own weights are frozen, and the adapter is drawn from torch's random numbers; without,
    all weights are trained. What is trained is held in 32 bits.

    Args:
        loaded: The model, causal or a classifier (whose head is then trained along).
        settings: Kind, rank, alpha, dropout and target modules of the adapter.
        base: What the adapter's files name as the model they go on; None: as the model's facts say.

    Returns:
        The model with its adapter, and facts: ``trainable`` numbers of ``parameters``, the modules changed, and
        ``half``, whether it is computed in bf16.

    Raises:
        EngineError: peft is absent, or the modules are not in the model.

    Example:
        >>> with_adapter(loaded, TrainSettings(rank=64)).facts["trainable"]  # doctest: +SKIP
        159907840
    """
    model = loaded.model
    if settings.dtype == "4bit":
        keep_gradients(model)
    stored = model.get_input_embeddings().weight.dtype
    half = settings.dtype in ("bf16", "4bit") or (settings.dtype == "auto" and stored.itemsize < 4)
    facts: dict[str, Any] = {"adapter_kind": settings.adapter, "half": loaded.facts.get("half", half)}
    if settings.adapter == "none":
        for weight in model.parameters():
            weight.requires_grad_(weight.is_floating_point())
    else:
        model = _put_on(loaded, settings, base)
        facts |= {"rank": settings.rank, "alpha": settings.alpha, "target_modules": _targets(model)}
    for weight in model.parameters():
        if weight.requires_grad and weight.dtype.itemsize < 4:
            weight.data = weight.data.float()
    counted = list(model.parameters())
    facts["trainable"] = sum(weight.numel() for weight in counted if weight.requires_grad)
    facts["parameters"] = loaded.facts.get("parameters", sum(weight.numel() for weight in counted))
    return LoadedModel(model, loaded.tokenizer, loaded.kind, loaded.chat, loaded.max_length, {**loaded.facts, **facts})


def _put_on(loaded: LoadedModel, settings: TrainSettings, base: str | None) -> Any:
    try:
        import peft
    except ImportError as error:
        raise EngineError(f"an adapter needs the package peft ({error}); {INSTALL}") from error
    if hasattr(loaded.model, "get_base_model"):
        raise EngineError(
            f"{loaded.facts.get('model')}: the model has an adapter already; merge it into its base model first, or "
            "train from the base model."
        )
    config = peft.LoraConfig(
        task_type=_TASKS[loaded.kind],
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides by the rank; any number does
        lora_dropout=settings.dropout,
        use_dora=settings.adapter == "dora",
        use_rslora=settings.adapter == "rslora",
        target_modules=_named(settings.target_modules),
        bias="none",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's advice on settings that files of adapters carry anyway
            model = peft.get_peft_model(loaded.model, config)
    except (ValueError, RuntimeError, ImportError) as error:
        said = " ".join(str(error).split())[:200]
        raise EngineError(
            f"the adapter cannot be put on this model ({said}); name other modules by target_modules, or all-linear."
        ) from error
    kept = model.peft_config["default"]
    kept.base_model_name_or_path, kept.revision = _base(loaded, base)
    return model


def _base(loaded: LoadedModel, base: str | None) -> tuple[str, str | None]:
    """The name of the model that the adapter goes on, as its files say it, and the commit."""
    said = base or str(loaded.facts.get("model", ""))
    folder = Path(said).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), None
    commit = loaded.facts.get("model_commit")
    return said, None if commit is None else str(commit)


def _named(modules: str | tuple[str, ...]) -> str | list[str] | None:
    """Modules as peft wants them."""
    if isinstance(modules, tuple):
        return list(modules)
    return {"default": None, "all-linear": "all-linear"}.get(modules, [modules])


def _targets(model: Any) -> list[str]:
    """Names of the modules that the adapter changes, each once."""
    found = {
        name.rsplit(".lora_A", 1)[0].rsplit(".", 1)[-1] for name, _ in model.named_modules() if name.endswith(".lora_A")
    }
    return sorted(found)


def keep_gradients(model: Any) -> None:
    """Lets gradients go through weights of 4 bits on a CPU too.

    Where a model is asked once in between, bitsandbytes lays its weights out anew for a CPU that multiplies bf16, and
    the product with these has no gradient: all that was to be learned before the last layers would be lost in silence.

    Args:
        model: A model with weights of 4 bits that was not asked yet.
    """
    import bitsandbytes  # type: ignore[import-not-found, unused-ignore]

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def recompute_activations(model: Any) -> None:
    """Lets each layer compute its activations again in the backward pass instead of keeping them.

    Args:
        model: The model.
    """
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def compile_layers(model: Any) -> int:
    """Compiles each of the model's layers by itself; the layers are alike, so that one compilation serves them all.

    Args:
        model: The model.

    Returns:
        How many layers.
    """
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module) > 1]
    layers: Any = max(lists, key=lambda each: sum(weight.numel() for weight in each.parameters()), default=[])
    for layer in layers:
        layer.compile(dynamic=True)
    return len(layers)
