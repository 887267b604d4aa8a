"""Token attributions beside captum 0.9.0 and inseq 0.7.1 on the tiny Llama of the shared cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from naive_attribution import near

from dfar_toolkit.engines.local import LocalEngine
from dfar_toolkit.engines.model_loading import load_model
from dfar_toolkit.engines.requests import Attribute, Attributed, ScoreOptions
from dfar_toolkit.prompts.conversation import plain

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.real

METHODS = (
    "gradient_l1", "gradient_l2", "input_x_gradient", "input_x_gradient_l1", "input_x_gradient_l2",
    "integrated_gradients",
)  # fmt: skip
CAPTUM = {name: name for name in METHODS} | {
    "input_x_gradient": "input_x_gradient_signed_sum",
    "integrated_gradients": "integrated_gradients_50_unk_signed_sum",
}
INSEQ = {
    "input_x_gradient": ("input_x_gradient", "signed_sum"), "input_x_gradient_l2": ("input_x_gradient", "l2"),
    "gradient_l1": ("saliency", "signed_sum"), "gradient_l2": ("saliency", "l2"),
    "integrated_gradients": ("integrated_gradients", "signed_sum"),
}  # fmt: skip
KINDS: dict[str, tuple[Any, int | None]] = {
    "logit": ("logit", None), "log_prob": ("log_prob", None), "prob": ("prob", None), "logit_diff": ("logit", 1),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cases(shared_cases: Path) -> list[dict[str, Any]]:
    return list(json.loads((shared_cases / "attribution_cases.json").read_text(encoding="utf-8"))["cases"])


@pytest.fixture(scope="module")
def engine(shared_cases: Path) -> LocalEngine:
    return LocalEngine(load_model(str(shared_cases / "tiny_llama")))


def first_tokens(engine: LocalEngine, case: dict[str, Any]) -> tuple[tuple[str], ...]:
    """The cases explain the first token of each label."""
    decode = engine._loaded.tokenizer.decode
    return tuple((decode([case[name]]),) for name in ("target_token_id", "contrast_token_id"))


@pytest.fixture(scope="module")
def replies(engine: LocalEngine, cases: list[dict[str, Any]]) -> dict[tuple[str, str], Attributed]:
    """All inputs and numbers in one call."""
    asked = {}
    for case in cases:
        for name, (kind, contrast) in KINDS.items():
            options = ScoreOptions(plain(case["prompt"]), first_tokens(engine, case))
            asked[case["id"], name] = Attribute(options, 0, None, METHODS, contrast, kind)
    found = dict(zip(asked, engine.ask(list(asked.values())), strict=True))
    assert all(isinstance(reply, Attributed) for reply in found.values())
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_as_captum(cases: list[dict[str, Any]], replies: dict[tuple[str, str], Attributed], kind: str) -> None:
    for case in cases:
        reply = replies[case["id"], kind]
        assert list(reply.tokens) == case["input_ids"]
        assert reply.baseline == "<unk>"
        assert reply.dtype == "float32"
        assert reply.shares == ()
        for method, theirs in CAPTUM.items():
            assert near(reply.scores[method], case["captum"][kind][theirs]), (case["id"], method)
        delta = case["captum"][kind]["integrated_gradients_50_unk_delta"][0]
        lost = reply.gaps["integrated_gradients"]
        base = sum(reply.scores["integrated_gradients"]) - delta  # f(x) - f(b)
        assert lost * abs(base) == pytest.approx(abs(delta), abs=1e-3)
        assert lost < 0.01
        if kind != "logit_diff":
            assert reply.value == pytest.approx(case["model_outputs"][kind], rel=1e-4)


@pytest.mark.parametrize(("kind", "name"), [("prob", "probability"), ("logit", "logit")])
def test_as_inseq(
    cases: list[dict[str, Any]], replies: dict[tuple[str, str], Attributed], kind: str, name: str
) -> None:
    for case in cases:
        for method, (theirs, form) in INSEQ.items():
            wanted = case["inseq"][f"{theirs}__{name}"][form]
            assert near(replies[case["id"], kind].scores[method], wanted), (case["id"], method)


def test_whole_labels_as_captums_wrapper(engine: LocalEngine, cases: list[dict[str, Any]]) -> None:
    methods = ("input_x_gradient", "integrated_gradients")
    asked = [
        Attribute(ScoreOptions(plain(case["prompt"]), ((case["label"],), (case["contrast_label"],))), 0, None, methods)
        for case in cases
    ]
    assert max(len(case["label_ids"]) for case in cases) == 7
    for case, reply in zip(cases, engine.ask(asked), strict=True):
        assert isinstance(reply, Attributed)
        theirs = case["captum_llm"]
        assert near(reply.scores["input_x_gradient"], theirs["LayerGradientXActivation"]["seq_attr"])
        # Its default baseline is the token 0, which is the unknown token here.
        wanted = theirs["LayerIntegratedGradients_50_default_baseline"]["seq_attr"]
        assert near(reply.scores["integrated_gradients"], wanted)


def test_a_path_from_zeros_is_theirs_too_and_says_that_it_is_worthless(
    engine: LocalEngine, cases: list[dict[str, Any]]
) -> None:
    case = cases[1]
    asked = ScoreOptions(plain(case["prompt"]), first_tokens(engine, case))
    (reply,) = engine.ask([Attribute(asked, 0, None, ("integrated_gradients",), kind="logit", baseline="zero")])
    assert isinstance(reply, Attributed)
    assert near(
        reply.scores["integrated_gradients"], case["captum"]["logit"]["integrated_gradients_50_zero_signed_sum"]
    )
    assert reply.gaps["integrated_gradients"] > 0.05
    assert reply.baseline == "zero embedding"


def test_attention_beside_gradients(engine: LocalEngine, cases: list[dict[str, Any]]) -> None:
    asked = [
        Attribute(
            ScoreOptions(plain(case["prompt"]), first_tokens(engine, case)), 0, None, ("attention", "gradient_l2")
        )
        for case in cases
    ]
    for case, reply in zip(cases, engine.ask(asked), strict=True):
        assert isinstance(reply, Attributed)
        assert list(reply.scores) == ["attention", "gradient_l2"]
        assert near(reply.scores["attention"], case["attention"]["transformers_last_layer_head_mean_last_row"])
        assert near(reply.scores["gradient_l2"], case["captum"]["log_prob"]["gradient_l2"])
        assert reply.gaps == {}
