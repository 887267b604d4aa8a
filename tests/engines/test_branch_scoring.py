"""Options after prompts with hidden tokens, by layers written out: as the model itself says, or left to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_token_places import words
from tiny_families import naive_option, tiny_family, tiny_loaded
from written_models import LABELS, RULES, TEXTS, family

from dfar_toolkit.engines import branch_scoring
from dfar_toolkit.engines.forward_pass import ForwardPass
from dfar_toolkit.engines.hidden_tokens import option_jobs
from dfar_toolkit.engines.llama import branches
from dfar_toolkit.engines.llama.blocks import blocks_of
from dfar_toolkit.engines.llama.branches import BranchPass
from dfar_toolkit.engines.local import LocalEngine
from dfar_toolkit.engines.option_scoring import OptionJob
from dfar_toolkit.engines.requests import Failed, OptionScores, ScoreOptions
from dfar_toolkit.prompts.conversation import plain
from dfar_toolkit.prompts.placing import Place

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = "I paid my neighbour for the work that he did in our garden, because it is fair to do so, 🐈 and left."
MANY = (TEXT, f"No, {TEXT[::-1]}", "It is fair because I wanted to pay for the work, and told nobody about all of it.")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows beside trunks went through layers written out, each time; few are enough for it here."""
    seen: list[int] = []
    states = BranchPass.states

    def spied(self: BranchPass, own: Any, parted: Any) -> Any:
        seen.append(len(own) - 1)
        return states(self, own, parted)

    monkeypatch.setattr(BranchPass, "states", spied)
    monkeypatch.setattr(branch_scoring, "_FEWEST", 1)
    monkeypatch.setattr(branch_scoring, "_TOKENS", 1)
    return seen


def left_out(text: str, head: str = "", options: Any = LABELS, hiding: Any = "token") -> list[ScoreOptions]:
    """The text, and the text without each of its words."""
    prompt = plain(f"{head}{text}\nAnswer:")
    places = [Place(0, 0, place.start + len(head), place.end + len(head)) for place in words(text)]
    return [ScoreOptions(prompt, options), *(ScoreOptions(prompt, options, hidden=(p,), hiding=hiding) for p in places)]


def logs(replies: Any) -> Any:
    """Their log-probabilities."""
    assert all(isinstance(reply, OptionScores) for reply in replies), replies
    return torch.tensor([reply.logprobs for reply in replies])


def by_the_model(loaded: Any, requests: list[ScoreOptions]) -> Any:
    """Each prompt with each option a call of the model, by a loop of the tests."""
    found = []
    for job in option_jobs(requests, loaded, lambda: True):
        assert isinstance(job, OptionJob)
        found.append([naive_option(loaded.model, job.prompt, spellings) for spellings in job.options])
    return torch.tensor(found)


def near(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", ["", RULES])
@pytest.mark.parametrize("more", [{}, {"num_hidden_layers": 3, "num_key_value_heads": 4}])
def test_as_the_model_says(head: str, more: dict[str, Any], rows: list[int]) -> None:
    loaded = family(**more)
    requests = [one for text in MANY for one in left_out(text, head)]
    near(logs(LocalEngine(loaded).ask(requests)), by_the_model(loaded, requests))
    assert len(requests) - 4 < sum(rows) <= len(requests)  # some have a trunk of another length beside them


def test_spellings_of_an_option_add_up(rows: list[int]) -> None:
    loaded = family()
    requests = left_out(TEXT, options=((" ethical", " fair"), (" unethical",)))
    found = logs(LocalEngine(loaded).ask(requests))
    near(found, by_the_model(loaded, requests))
    assert sum(rows) == len(requests)


def test_the_model_itself_takes_the_rest(rows: list[int]) -> None:
    """Long options, words hidden from attention, texts of their own: in one call with those that are taken."""
    loaded = family()
    others = [
        *left_out(TEXT, options=((" ethical",), (" not at all good",))), *left_out(TEXT, hiding="attention")[1:],
        ScoreOptions(plain("I lied. Answer:"), LABELS),
    ]  # fmt: skip
    taken = left_out(TEXT)
    engine = LocalEngine(loaded)
    near(logs(engine.ask([*others, *taken])), logs([LocalEngine(loaded).ask([one])[0] for one in [*others, *taken]]))
    assert len(taken) <= sum(rows) < len(taken) + 3  # a prompt alone goes with a trunk, where there is one


@settings(max_examples=15, deadline=None)
@given(data=st.data(), budget=st.sampled_from([1, 30, 200, 5000]), head=st.sampled_from(["", RULES]))
def test_neither_order_nor_budget_matters(data: Any, budget: int, head: str) -> None:
    loaded = family()
    requests = [one for text in (*MANY[:2], *TEXTS) for one in left_out(text, head)]
    order = data.draw(st.permutations(range(len(requests))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_scoring, "_FEWEST", 1)
        patch.setattr(branch_scoring, "_TOKENS", 1)
        found = logs(LocalEngine(loaded, budget=budget).ask([requests[at] for at in order]))
    patched = logs(LocalEngine(loaded).ask(requests))
    near(found, patched[list(order)])


def test_few_tokens_are_not_worth_it(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    requests = left_out(TEXT)
    for name, least in (("_FEWEST", len(requests)), ("_TOKENS", 10_000)):
        with monkeypatch.context() as patch:
            patch.setattr(branch_scoring, name, least + 1)
            LocalEngine(family()).ask(requests)
    assert rows == []
    LocalEngine(family()).ask(requests)
    assert sum(rows) == len(requests)


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_other_models_run_as_always(name: str, rows: list[int]) -> None:
    loaded = tiny_loaded(tiny_family(name))
    requests = left_out(TEXT)[::3]
    near(logs(LocalEngine(loaded).ask(requests)), logs([LocalEngine(loaded).ask([one])[0] for one in requests]))
    assert rows == []


@pytest.mark.parametrize("after", [0, 20])
def test_where_the_look_differs_the_model_itself_says(after: int, rows: list[int], monkeypatch: Any) -> None:
    """Also where only rows are wrong that part late; and it is not tried again."""
    loaded = family()
    requests = left_out(TEXT)
    states = BranchPass.states

    def spoilt(self: BranchPass, own: Any, parted: Any) -> Any:
        late = torch.tensor(parted)[:, None] >= after
        return states(self, own, parted) * torch.where(late, torch.linspace(0.9, 1.1, 32), 1.0)

    monkeypatch.setattr(BranchPass, "states", spoilt)
    engine = LocalEngine(loaded)
    for _ in range(2):
        near(logs(engine.ask(requests)), by_the_model(loaded, requests))
    assert sum(rows) == len(requests)


def test_without_memory_the_model_itself_says(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    loaded = family()
    requests = left_out(TEXT)
    monkeypatch.setattr(BranchPass, "states", full)
    near(logs(LocalEngine(loaded).ask(requests)), by_the_model(loaded, requests))


def test_an_error_of_another_kind_is_not_hidden(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(BranchPass, "states", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        LocalEngine(family()).ask(left_out(TEXT))


def test_numbers_that_are_none_are_said(rows: list[int]) -> None:
    loaded = family()
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[loaded.tokenizer(" fair")["input_ids"][-1]] = torch.nan
    requests = left_out(TEXT)
    replies = LocalEngine(loaded).ask(requests)
    bad = [at for at, reply in enumerate(replies) if isinstance(reply, Failed)]
    fair = next(at for at, place in enumerate(words(TEXT), 1) if TEXT[place.start : place.end] == "fair")
    assert bad == [at for at in range(len(requests)) if at != fair]
    near(logs(replies[fair : fair + 1]), by_the_model(loaded, requests[fair : fair + 1]))
    assert sum(rows) == len(requests)


@pytest.mark.parametrize("head", ["", RULES])
def test_the_model_stays_and_may_learn_between(head: str, rows: list[int]) -> None:
    """Weights are read anew each time, and what a prefix left is not kept."""
    loaded = family()
    requests = left_out(TEXT, head)
    engine = LocalEngine(loaded)
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    first = logs(engine.ask(requests))
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(1.3)
    second = logs(engine.ask(requests))
    near(second, by_the_model(loaded, requests))
    assert (first - second).abs().max() > 0.01
    assert sum(rows) == 2 * len(requests)


def test_prompts_that_part_early_go_with_their_trunk(rows: list[int]) -> None:
    """The model's own way leaves those aside that share fewer than 16 tokens with it."""
    loaded = family()
    requests = left_out(TEXT)
    jobs = [job for job in option_jobs(requests, loaded, lambda: True) if isinstance(job, OptionJob)]
    assert len(jobs) == len(requests)
    LocalEngine(loaded).ask(requests)
    assert sum(rows) == len(requests)


def test_a_prompt_of_another_length_goes_alone(rows: list[int]) -> None:
    """Else short ones would be filled up to its length."""
    loaded = family()
    long = replace(left_out(TEXT)[0], conversation=plain(f"I lied.{TEXT * 9}\nAnswer:"))
    requests = [*left_out(TEXT), long]
    near(logs(LocalEngine(loaded).ask(requests)), by_the_model(loaded, requests))
    assert rows == [len(requests) - 1]


def tokens_of(work: Any) -> int:
    """Tokens that are run for it, by the model or by layers written out, padding among them."""
    count = 0
    called = ForwardPass._called

    def by_the_model_run(self: Any, own: Any, *more: Any, **how: Any) -> Any:
        nonlocal count
        count += len(own) * max(map(len, own))
        return called(self, own, *more, **how)

    def written_out(*how: Any) -> Any:
        nonlocal count
        count += blocks_of(*how)[-1].cells.stop
        return blocks_of(*how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForwardPass, "_called", by_the_model_run)
        patch.setattr(branches, "blocks_of", written_out)
        work()
    return count


@pytest.mark.parametrize(("words_", "last", "budget"), [(30, 30, 8192), (30, 4, 8192), (250, 6, 8192), (90, 90, 300)])
@pytest.mark.parametrize("other", ["", "I lied. "])
def test_not_much_more_is_run_than_by_the_model_itself(
    words_: int, last: int, budget: int, other: str, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of texts of so many words the last ones are left out; a prompt of 700 tokens may be asked beside them."""
    loaded = family()
    texts = [" ".join(f"{chr(97 + (5 * at + own) % 26)}{at % 7}" for at in range(words_)) for own in range(4)]
    requests = [one for own in map(left_out, texts) for one in (own[0], *own[-last:])]
    requests += [ScoreOptions(plain(other * 100), LABELS)] if other else []
    engine, found = LocalEngine(loaded, budget=budget), []
    engine.ask(requests[:1])  # the model's cache is tried out
    ours = tokens_of(lambda: found.extend(engine.ask(requests)))
    near(logs(found), logs([LocalEngine(loaded).ask([one])[0] for one in requests]))
    taken = sum(rows)
    monkeypatch.setattr(branch_scoring, "_FEWEST", 10**9)
    engine = LocalEngine(loaded, budget=budget)
    engine.ask(requests[:1])
    lengths = [len(job.prompt) for job in option_jobs(requests, loaded, lambda: True) if isinstance(job, OptionJob)]
    look = 3 * max(lengths)
    assert ours <= 1.5 * tokens_of(lambda: engine.ask(requests)) + look
    assert taken == len(texts) * (last + 1) or last < words_ or budget < 8192
