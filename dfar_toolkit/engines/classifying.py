"""The classes of a sequence classifier: batches of about equal lengths, probabilities in float32."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from dfar_toolkit.engines.batches import token_batches
from dfar_toolkit.engines.device_memory import free_cached, out_of_memory
from dfar_toolkit.engines.hidden_tokens import CANNOT_HIDE, replaced, touched
from dfar_toolkit.engines.hiding_trial import class_hiding
from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.mask_token import mask_token_of
from dfar_toolkit.engines.requests import Classify, ClassProbs, Failed
from dfar_toolkit.engines.token_places import place_class_tokens
from dfar_toolkit.engines.without_gradients import without_gradients
from dfar_toolkit.errors import EngineError

Encoded = dict[str, list[int]]
_LAST_IS_PADDING: Final = "last_is_padding"


def classify(loaded: LoadedModel, requests: Sequence[Classify], *, budget: int) -> list[ClassProbs | Failed]:
    r"""The probability of each class of a classifier for each text, or pair of texts.

    \(p_k = e^{z_k} / \sum_j e^{z_j}\) with \(z\) the logits, in float32 whatever the model computes in.

    Args:
        loaded: A classifier.
        requests: The texts.
        budget: Tokens of a batch at most, padding included.

    Returns:
        For each request, in their order, the probabilities; :class:`Failed` (``too_long``) for a text that is longer
        than the model reads, as nothing is cut off, and (``memory``) for one that alone does not fit the device.

    Raises:
        EngineError: The model gives no probabilities that sum to 1 over classes of its own.
        ValueError: A budget below 1.
    """
    names = class_names(loaded)
    encoded = _encoded(loaded.tokenizer, requests)
    barred = _hide(loaded, requests, encoded)
    lengths = [len(each["input_ids"]) for each in encoded]
    found: list[ClassProbs | Failed] = [
        Failed("too_long", f"the text has {length} tokens, the model reads {loaded.max_length}") for length in lengths
    ]
    fit = [at for at, length in enumerate(lengths) if 0 < length <= loaded.max_length]
    for at, length in enumerate(lengths):
        if length == 0:
            found[at] = Failed("malformed", "the text has no token that the model could read")
    found = [barred.get(at, own) for at, own in enumerate(found)]
    fit = [at for at in fit if at not in barred]
    for batch in token_batches([lengths[at] for at in fit], budget):
        places = [fit[at] for at in batch]
        for at, probs in zip(places, _probabilities(loaded, [encoded[at] for at in places]), strict=True):
            found[at] = probs if isinstance(probs, Failed) else ClassProbs(names, probs, lengths[at])
    return found


def class_names(loaded: LoadedModel) -> tuple[str, ...]:
    """The names of a classifier's classes, in the order of its probabilities.

    Args:
        loaded: A classifier.

    Returns:
        The names.

    Raises:
        EngineError: It is none, has fewer than two classes, scores each class by itself, or names two alike.
    """
    name, config = loaded.facts.get("model", "the model"), loaded.model.config
    if loaded.kind != "classifier":
        raise EngineError(
            f"{name}: wanted a sequence classifier, found a causal language model; score options instead."
        )
    count = int(config.num_labels)
    if count < 2 or config.problem_type == "regression":
        raise EngineError(f"{name}: wanted a classifier of two classes or more, found a regression ({count} output).")
    if config.problem_type == "multi_label_classification":
        raise EngineError(
            f"{name}: wanted classes of which one is right, found a model that scores each of its {count} labels by "
            "itself (multi_label_classification); its numbers are no distribution."
        )
    names = tuple(str(config.id2label[number]) for number in range(count))
    if len(set(names)) < count:
        raise EngineError(f"{name}: wanted {count} different class names, found {', '.join(names)}; mend its id2label.")
    return names


def _encoded(tokenizer: Any, requests: Sequence[Classify]) -> list[Encoded]:
    """The inputs of each request, in calls of one kind: single texts, pairs."""
    found: list[Encoded] = [{} for _ in requests]
    for paired in (False, True):
        places = [at for at, request in enumerate(requests) if (request.second is not None) is paired]
        if not places:
            continue
        texts = [requests[at].text for at in places]
        pairs = [requests[at].second for at in places] if paired else None
        encoded = tokenizer(texts, pairs, truncation=False, padding=False, verbose=False)
        for row, at in enumerate(places):
            found[at] = {key: list(values[row]) for key, values in encoded.items()}
    return found


def _hide(loaded: LoadedModel, requests: Sequence[Classify], encoded: list[Encoded]) -> dict[int, Failed]:
    """Hides the tokens of hidden words in the inputs; where that cannot be done, why."""
    hiding = [at for at, request in enumerate(requests) if request.hidden]
    if not hiding:
        return {}
    mask, _ = mask_token_of(loaded.tokenizer, rows=loaded.model.get_input_embeddings().weight.shape[0])
    placed = place_class_tokens([requests[at] for at in hiding], [requests[at].hidden for at in hiding], loaded)
    unseen = dict(zip(hiding, map(touched, placed), strict=True))
    shut = [at for at in hiding if requests[at].hiding == "attention" and unseen[at]]
    for at in set(hiding).difference(shut):
        _replace(loaded, encoded[at], unseen[at], mask)
    if not shut:
        return {}
    with without_gradients(loaded.model):
        how = class_hiding(loaded)
    if how is None:
        return dict.fromkeys(shut, CANNOT_HIDE)
    for row in encoded:
        row.setdefault("attention_mask", [1] * len(row["input_ids"]))
        if how.causal:
            row["position_ids"] = list(range(len(row["input_ids"])))
    for at in shut:
        ids = encoded[at]["input_ids"]
        # The token at which the classes are read would show itself.
        read = unseen[at] & {*([0] if how.first else []), *([len(ids) - 1] if how.last else [])}
        _replace(loaded, encoded[at], read, mask)
        encoded[at]["attention_mask"] = list(replaced(encoded[at]["attention_mask"], unseen[at] - read, 0))
    return {}


def _replace(loaded: LoadedModel, row: Encoded, places: Collection[int], token: int) -> None:
    """Puts another token at some places of the row."""
    if len(row["input_ids"]) - 1 in places and token == loaded.model.config.get_text_config().pad_token_id:
        row[_LAST_IS_PADDING] = [1]
    row["input_ids"] = list(replaced(row["input_ids"], places, token))


def _probabilities(loaded: LoadedModel, rows: list[Encoded]) -> list[tuple[float, ...] | Failed]:
    """Probabilities of one batch; halves of it where it does not fit the memory."""
    try:
        return _forward(loaded, rows)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Here, not above: the error's traceback holds the tensors.
    free_cached(loaded.model.device)
    if len(rows) == 1:
        return [Failed("memory", f"a text of {len(rows[0]['input_ids'])} tokens does not fit the memory of the device")]
    half = len(rows) // 2
    return _probabilities(loaded, rows[:half]) + _probabilities(loaded, rows[half:])


def _forward(loaded: LoadedModel, rows: list[Encoded]) -> list[tuple[float, ...] | Failed]:
    import torch

    model = loaded.model
    config = model.config.get_text_config()
    width = max(len(row["input_ids"]) for row in rows)
    # Decoders classify at the last token that is not their padding token: where none is set, or a hidden last token
    # was replaced by it, one that stands in no text of the batch is, for the time of the call.
    own = config.pad_token_id
    unset = own is None or any(_LAST_IS_PADDING in row for row in rows)
    pad = _absent(rows) if unset else int(own)
    filling = {"input_ids": pad, "token_type_ids": 0, "attention_mask": 0, "position_ids": 0}
    inputs = {
        key: torch.tensor([[*row[key], *[filling[key]] * (width - len(row[key]))] for row in rows], device=model.device)
        for key in rows[0]
        if key in filling
    }
    try:
        if unset:
            config.pad_token_id = pad
        with without_gradients(model):
            logits = model(**inputs).logits
    finally:
        if unset:
            config.pad_token_id = own
    return [tuple(row) for row in logits.float().softmax(-1).tolist()]


def _absent(rows: list[Encoded]) -> int:
    """The least token id that no row holds."""
    held = {token for row in rows for token in row["input_ids"]}
    return next(token for token in range(len(held) + 1) if token not in held)
