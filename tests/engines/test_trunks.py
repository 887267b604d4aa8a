"""Prompts that go the way of one prompt for a while: who goes together, and the same replies with fewer tokens run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from test_token_places import words  # noqa: E402
from tiny_families import FAMILIES, naive_option, tiny_family, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.forward_pass import ForwardPass  # noqa: E402
from dfar_toolkit.engines.local import LocalEngine  # noqa: E402
from dfar_toolkit.engines.option_scoring import OptionJob, score_options  # noqa: E402
from dfar_toolkit.engines.requests import OptionScores, ScoreOptions  # noqa: E402
from dfar_toolkit.engines.shared_prefix import KEPT, PrefixStore, ways_of  # noqa: E402
from dfar_toolkit.engines.trunks import Start, starts_of, together, trunks  # noqa: E402
from dfar_toolkit.prompts.conversation import plain  # noqa: E402
from dfar_toolkit.prompts.placing import Place  # noqa: E402

OPTIONS = ((" ethical",), (" unethical", " Unethical!"), (" not at all good",))
TEXT = "I paid my neighbour for the work that he did in our garden, because it is fair to do so, 🐈 and left."


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def left_out(text: str, hiding: Any, head: str = "") -> list[ScoreOptions]:
    """The text, and the text without each of its words."""
    prompt = plain(f"{head}{text} Answer:")
    places = [Place(0, 0, place.start + len(head), place.end + len(head)) for place in words(text)]
    return [ScoreOptions(prompt, OPTIONS), *(ScoreOptions(prompt, OPTIONS, hidden=(p,), hiding=hiding) for p in places)]


def logs(replies: Any) -> list[tuple[float, ...]]:
    """Their log-probabilities."""
    return [reply.logprobs for reply in replies if isinstance(reply, OptionScores)]


def tokens_run(model: Any, work: Any) -> tuple[Any, int]:
    """What the work returns, and how many tokens, padding among them, the model embedded for it."""
    count = 0

    def seen(_module: Any, args: tuple[Any, ...]) -> None:
        nonlocal count
        count += args[0].numel()

    hook = model.get_input_embeddings().register_forward_pre_hook(seen)
    try:
        return work(), count
    finally:
        hook.remove()


def test_who_goes_together() -> None:
    first, second = tuple(range(100, 140)), tuple(range(200, 240))
    changed = [(*one[:at], 7, *one[at + 1 :]) for one in (first, second) for at in (3, 20, 30, 39)]
    found = starts_of([first, second, *changed], [()] * 10, fork=True)
    assert [(start.trunk, start.parted) for start in found if start.trunk] == [
        # The copies that part at place 3 share less than is worth it; those that part at 39 are the trunks.
        (changed[3], {0: 39, 3: 20, 4: 30, 5: 39}),
        (changed[7], {1: 39, 7: 20, 8: 30, 9: 39}),
    ]
    assert [start.parted for start in found if not start.trunk] == [{2: 0, 6: 0}]
    assert starts_of([first, second, *changed], [()] * 10, fork=False) == [((), (), dict.fromkeys(range(10), 0))]


def test_too_few_or_too_unlike_have_no_trunk() -> None:
    one = tuple(range(200))
    assert trunks([one, (*one[:-1], 7), (*one[:-2], 7)], ()) == []
    assert trunks([(*one[:17], at, *range(300, 420)) for at in range(900, 908)], ()) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=0, max_size=12).map(tuple), min_size=1, max_size=14))
def test_laws_of_starts(tails: list[tuple[int, ...]]) -> None:
    prefix = tuple(range(50, 60))
    prompts = [(*prefix, *range(20), *tail, 9) for tail in tails]
    found = starts_of(prompts, [prefix] * len(prompts), fork=True)
    assert sorted(at for start in found for at in start.parted) == list(range(len(prompts)))
    for start in found:
        for at, shared in start.parted.items():
            assert len(prefix) <= shared < len(prompts[at])
            assert prompts[at][:shared] == (start.trunk or prefix)[:shared]


@pytest.mark.parametrize("hiding", ["attention", "token"])
@pytest.mark.parametrize("head", ["", "Is it ethical or unethical? Answer with one of these two labels. "])
def test_the_same_replies_with_fewer_tokens(hiding: str, head: str) -> None:
    loaded = tiny_loaded()
    requests = left_out(TEXT, hiding, head)
    engine = LocalEngine(loaded)
    engine.ask(requests[:1])  # the model's cache is tried out
    together, run = tokens_run(loaded.model, lambda: engine.ask(requests))
    alone, naive = tokens_run(loaded.model, lambda: [LocalEngine(loaded).ask([one])[0] for one in requests])
    assert len(logs(together)) == len(requests)
    assert torch.tensor(logs(together)).allclose(torch.tensor(logs(alone)), atol=1e-4, rtol=0)
    assert run < 0.7 * naive


def test_items_are_mixed_and_batches_small() -> None:
    loaded = tiny_loaded()
    requests = [one for text in (TEXT, TEXT[::-1], "I lied.") for one in left_out(text, "token")][::-1]
    alone = [LocalEngine(loaded).ask([one])[0] for one in requests]
    for budget in (40, 500, 100_000):
        found = logs(LocalEngine(loaded, budget=budget).ask(requests))
        assert torch.tensor(found).allclose(torch.tensor(logs(alone)), atol=1e-4, rtol=0)


def passes(model: Any, work: Any) -> tuple[Any, int]:
    """What the work returns, and how often the model was called for it."""
    count = 0

    def seen(_module: Any, _args: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1

    hook = model.get_input_embeddings().register_forward_pre_hook(seen)
    try:
        return work(), count
    finally:
        hook.remove()


@pytest.mark.parametrize("hiding", ["attention", "token"])
@pytest.mark.parametrize("options", [OPTIONS, ((" ethical",), (" unethical",))], ids=["long", "of one token"])
def test_items_share_batches(hiding: Any, options: Any) -> None:
    loaded = tiny_loaded()
    texts = [f"{TEXT[at:]} {TEXT[: 9 * at]}" for at in range(0, 40, 10)]
    requests = [replace(one, spellings=options) for text in texts for one in left_out(text, hiding)]
    engine = LocalEngine(loaded)
    engine.ask(requests[1:2])
    found, together_run = passes(loaded.model, lambda: engine.ask(requests))
    each = [LocalEngine(loaded) for _ in texts]
    for other in each:
        other.ask(requests[1:2])
    parts: dict[Any, list[ScoreOptions]] = {}
    for one in requests:
        parts.setdefault(one.conversation, []).append(one)
    apart = zip(each, parts.values(), strict=True)
    _, apart_run = passes(loaded.model, lambda: [engine.ask(own) for engine, own in apart])
    assert together_run < apart_run - 3
    alone = [LocalEngine(loaded).ask([one])[0] for one in requests[::11]]
    assert len(logs(found)) == len(requests)
    assert torch.tensor(logs(found)[::11]).allclose(torch.tensor(logs(alone)), atol=1e-4, rtol=0)


def test_groups_hold_few_trunks_of_one_prefix() -> None:
    def start(prefix: tuple[int, ...], trunk: int) -> Start:
        return Start(prefix, tuple(range(trunk)), {})

    starts = [*(start((), 10) for _ in range(9)), start((), 0), start((), 0), start((1,), 30), start((1,), 10)]
    assert [len(group) for group in together(starts, 1000)] == [KEPT - 1, 2, 1, 1, 2]
    assert [len(group) for group in together(starts, 35)] == [3, 3, 3, 1, 1, 1, 1]
    assert [len(group) for group in together(starts, 1)] == [1] * len(starts)
    assert [one for group in together(starts, 35) for one in group] == starts


def test_a_prompt_of_one_token_has_no_pass_before_its_last() -> None:
    loaded = tiny_loaded()
    run = ForwardPass(loaded)
    jobs = [OptionJob(prompt, (((5,),), ((6, 7),)), len(prompt)) for prompt in ((20,), tuple(range(20, 60)))]
    with run.quiet():
        found = score_options(run, PrefixStore(run), ways_of(run, loaded), jobs, last_apart=True)
    for job, reply in zip(jobs, found, strict=True):
        assert isinstance(reply, OptionScores)
        wanted = [naive_option(loaded.model, job.prompt, [tail]) for tail in ((5,), (6, 7))]
        assert reply.logprobs == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    loaded = tiny_loaded(tiny_family(name))
    requests = left_out(TEXT, "token")[::3]
    alone = [LocalEngine(loaded).ask([one])[0] for one in requests]
    found = logs(LocalEngine(loaded).ask(requests))
    assert torch.tensor(found).allclose(torch.tensor(logs(alone)), atol=1e-3, rtol=0)


def test_a_trunk_is_longer_than_the_window_and_its_prompts_are_not() -> None:
    loaded = tiny_loaded(tiny_family("mistral, window 64"))
    trunk = tuple(range(20, 120))
    prompt = (*trunk[:30], 7, 8, 9)
    run = ForwardPass(loaded)
    with run.quiet():
        job = OptionJob(prompt, (((5,),), ((6, 7),)), len(prompt))
        (found,) = score_options(run, PrefixStore(run), ways_of(run, loaded), [job], trunks=[trunk], parted=[30])
    wanted = [naive_option(loaded.model, prompt, [tail]) for tail in ((5,), (6, 7))]
    assert isinstance(found, OptionScores)
    assert found.logprobs == pytest.approx(wanted, abs=1e-4)
