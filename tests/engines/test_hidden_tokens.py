"""Words that a model does not see: against masks and tokens given by hand."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from test_token_places import words  # noqa: E402
from tiny_families import FAMILIES, tiny_family, tiny_loaded  # noqa: E402

from dfar_toolkit.engines.classifying import classify  # noqa: E402
from dfar_toolkit.engines.forward_pass import ForwardPass  # noqa: E402
from dfar_toolkit.engines.loaded import LoadedModel  # noqa: E402
from dfar_toolkit.engines.local import LocalEngine  # noqa: E402
from dfar_toolkit.engines.mask_token import mask_token_of  # noqa: E402
from dfar_toolkit.engines.requests import Classify, ClassProbs, Failed, OptionScores, ScoreOptions  # noqa: E402
from dfar_toolkit.engines.token_ids import option_ids  # noqa: E402
from dfar_toolkit.engines.token_places import place_class_tokens, place_tokens  # noqa: E402
from dfar_toolkit.prompts.conversation import Turn, plain  # noqa: E402
from dfar_toolkit.prompts.placing import Place  # noqa: E402
from tiny_models import tiny_causal, tiny_tokenizer  # noqa: E402

HEAD = "Is it ethical or unethical? Answer with one of these labels, and nothing else. "
OPTIONS = ((" ethical",), (" unethical", " Unethical!"), (" not at all good",))
TEXTS = (
    "I lied.",
    "I paid my neighbour for the work, because it is fair.",
    "আমি মিথ্যা বলেছি 🐈 ঘৃণা",
    "她说谎了。",
    "لقد كذبت على صديقي",
)
FULL = torch.finfo(torch.float32).min


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def asked(text: str, gone: Any, hiding: Any = "attention", head: str = HEAD, tail: str = " Answer:") -> ScoreOptions:
    """The text between an instruction and a question, some of its words hidden."""
    places = [place._replace(start=place.start + len(head), end=place.end + len(head)) for place in words(text)]
    return ScoreOptions(plain(f"{head}{text}{tail}"), OPTIONS, hidden=tuple(places[at] for at in gone), hiding=hiding)


REQUESTS = [
    asked(text, gone, hiding)
    for text in TEXTS
    for gone in ([], [0], range(len(words(text))))
    for hiding in ("attention", "token")
]


def seen_by(model: Any, row: list[int], hidden: set[int]) -> Any:
    """Log-probabilities after each token: a mask of four dimensions, given by hand."""
    size = len(row)
    mask = torch.full((1, 1, size, size), FULL)
    for query in range(size):
        for key in range(query + 1):
            # A hidden token sees itself here; nobody sees what it makes of that.
            if key not in hidden or key == query:
                mask[0, 0, query, key] = 0
    with torch.no_grad():
        return model(torch.tensor([row]), attention_mask=mask).logits[0].double().log_softmax(-1)


def by_hand(loaded: LoadedModel, request: ScoreOptions) -> list[float]:
    tokens = option_ids(request.conversation, request.spellings, loaded)
    hidden = {at for at, _, _ in place_tokens([request.conversation], [request.hidden], loaded)[0].shares}
    prompt = list(tokens.common)
    if request.hiding == "token":
        mask, _ = mask_token_of(loaded.tokenizer)
        prompt, hidden = [mask if at in hidden else own for at, own in enumerate(prompt)], set()
    found = []
    for spellings in tokens.tails:
        total = 0.0
        for tail in spellings:
            logs = seen_by(loaded.model, [*prompt, *tail], hidden)
            total += float(sum(logs[len(prompt) - 1 + at, token] for at, token in enumerate(tail)).exp())
        found.append(float(torch.tensor(total).log()))
    return found


def scored(engine: LocalEngine, requests: list[ScoreOptions]) -> list[OptionScores]:
    replies = engine.ask(requests)
    assert all(isinstance(reply, OptionScores) for reply in replies), replies
    return [reply for reply in replies if isinstance(reply, OptionScores)]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_as_a_mask_given_by_hand(implementation: str) -> None:
    model = tiny_causal()
    model.set_attn_implementation(implementation)
    loaded = tiny_loaded(model)
    engine = LocalEngine(loaded)
    together = scored(engine, REQUESTS)
    assert engine.facts["prefix_shared"] is True
    some = REQUESTS[1::2] + REQUESTS[4::6] if implementation == "sdpa" else REQUESTS[::7]
    for request in some:
        found = together[REQUESTS.index(request)]
        assert found.logprobs == pytest.approx(by_hand(loaded, request), rel=1e-5, abs=1e-4)
    full = {text: together[6 * at].logprobs for at, text in enumerate(TEXTS)}
    # What is hidden matters, and each way in its own manner.
    for at, text in enumerate(TEXTS):
        rest = [found.logprobs for found in together[6 * at + 2 : 6 * at + 6]]
        assert all(max(abs(a - b) for a, b in zip(own, full[text], strict=True)) > 1e-3 for own in rest)


def test_batched_as_alone_with_and_without_a_plan() -> None:
    loaded = tiny_loaded()
    alone = [scored(LocalEngine(loaded), [request])[0] for request in REQUESTS[:14]]
    for budget in (1, 400, 100_000):
        engine = LocalEngine(loaded, budget=budget)
        engine.share([request.conversation for request in REQUESTS])
        for one, found in zip(alone, scored(engine, REQUESTS[:14]), strict=True):
            assert found.logprobs == pytest.approx(one.logprobs, abs=2e-4)
            assert found[1:] == one[1:]


def test_a_prefix_with_hidden_words_is_not_shared() -> None:
    """The same words at the beginning of all prompts, hidden in some."""
    loaded = tiny_loaded()
    place = Place(0, 0, 0, 6)
    requests = [
        ScoreOptions(plain(f"{HEAD}{text}:"), OPTIONS, hidden=hidden) for text in TEXTS[:2] for hidden in ((), (place,))
    ]
    engine = LocalEngine(loaded)
    engine.share([request.conversation for request in requests])
    assert len(engine.facts["prefix_tokens"]) == 1
    for request, found in zip(requests, scored(engine, requests), strict=True):
        assert found.logprobs == pytest.approx(by_hand(loaded, request), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_first_token_and_the_last(implementation: str) -> None:
    """Without a token before the text its first query sees nothing; the last is replaced, as it is where one reads."""
    model = tiny_causal()
    model.set_attn_implementation(implementation)
    loaded = tiny_loaded(model)
    whole, start = "<s> I lied", Place(0, 0, 0, 3)
    first = ScoreOptions(plain(whole), OPTIONS, hidden=(start, Place(1, 0, 4, 5)))
    every = ScoreOptions(plain(whole), OPTIONS, hidden=(start, *words(whole)[1:]))
    one, all_ = scored(LocalEngine(loaded), [first, every])
    assert one.logprobs == pytest.approx(by_hand(loaded, first), abs=1e-4)
    tokens = option_ids(every.conversation, OPTIONS, loaded)
    mask, _ = mask_token_of(loaded.tokenizer)
    prompt = [*tokens.common[:-1], mask]
    hidden = set(range(len(prompt) - 1))
    logs = [seen_by(model, [*prompt, *tails[0]], hidden) for tails in tokens.tails]
    wanted = [
        float(sum(own[len(prompt) - 1 + at, token] for at, token in enumerate(tails[0])))
        for own, tails in zip(logs, tokens.tails, strict=True)
    ]
    assert (all_.logprobs[0], all_.logprobs[2]) == pytest.approx((wanted[0], wanted[2]), abs=1e-4)
    other = ScoreOptions(plain("<s> I paid"), OPTIONS, hidden=(start, *words("<s> I paid")[1:]))
    if len(option_ids(other.conversation, OPTIONS, loaded).common) == len(prompt):
        assert scored(LocalEngine(loaded), [other])[0].logprobs == pytest.approx(all_.logprobs, abs=1e-5)


CANNOT = {"bloom", "mpt", "mamba", "falcon-h1"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_hides_exactly_or_says_that_it_cannot(name: str) -> None:
    loaded = tiny_loaded(tiny_family(name))
    engine = LocalEngine(loaded)
    requests = [asked(text, gone) for text in TEXTS[:2] for gone in ([0], [1])]
    replies = engine.ask(requests)
    if name in CANNOT:
        assert {reply.kind for reply in replies if isinstance(reply, Failed)} == {"needs_model"}
        assert all(isinstance(reply, OptionScores) for reply in engine.ask([asked(TEXTS[0], [0], "token")]))
        return
    for request, reply in zip(requests, replies, strict=True):
        assert isinstance(reply, OptionScores)
        hidden = {at for at, _, _ in place_tokens([request.conversation], [request.hidden], loaded)[0].shares}
        (alone,) = scored(LocalEngine(loaded, budget=1), [request])
        assert reply.logprobs == pytest.approx(alone.logprobs, abs=2e-4)
        # Whatever stands at the hidden tokens, the answer is the same.
        tokens = option_ids(request.conversation, OPTIONS, loaded)
        run = ForwardPass(loaded)
        rows = [list(tokens.common), [7 if at in hidden else own for at, own in enumerate(tokens.common)]]
        with run.quiet():
            logits, _ = run(rows, [(0, len(rows[0]) - 1), (1, len(rows[0]) - 1)], hidden=[hidden, hidden])
        logs = logits.log_softmax(-1)
        assert float((logs[0] - logs[1]).abs().max()) < 1e-5
        assert reply.logprobs[0] == pytest.approx(float(logs[0][tokens.tails[0][0][0]]), abs=2e-4)


def test_nothing_to_hide_and_words_that_cannot_be_hidden() -> None:
    loaded = tiny_loaded()
    engine = LocalEngine(loaded)
    bare, blank = asked(TEXTS[0], []), asked(TEXTS[0], [])
    blank = ScoreOptions(blank.conversation, OPTIONS, hidden=(Place(0, 0, 5, 5),))
    one, other = scored(engine, [bare, blank])
    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    # "un" is the beginning of the option's first token.
    merged = ScoreOptions(plain("Answer: un"), (("ethical",), ("fair",)), hidden=(Place(0, 0, 8, 10),))
    (failed,) = engine.ask([merged])
    assert isinstance(failed, Failed)
    assert failed.kind == "unplaced"
    long = asked("I lied. " * 200, [0])
    (failed,) = engine.ask([long])
    assert isinstance(failed, Failed)
    assert failed.kind == "too_long"


def test_turns_of_a_chat() -> None:
    loaded = tiny_loaded(chat=True)
    turns = (Turn("system", "Be brief."), Turn("user", "I lied to 🐈"))
    request = ScoreOptions(turns, (("ethical",), ("unethical",)), hidden=(Place(1, 1, 2, 6), Place(3, 1, 10, 11)))
    (found,) = scored(LocalEngine(loaded), [request])
    assert found.logprobs == pytest.approx(by_hand(loaded, request), rel=1e-5, abs=1e-4)


# --- classifiers


def classifier(kind: str, *, end: bool = True) -> LoadedModel:
    sizes: dict[str, Any] = {"vocab_size": 400, "num_labels": 3, "initializer_range": 0.5, "pad_token_id": 0}
    usual = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    stem = {"bert": "Bert", "llama": "Llama", "gpt2": "GPT2", "bloom": "Bloom", "roberta": "Roberta"}[kind]
    if kind == "gpt2":
        usual = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}
    if kind in ("bert", "roberta"):
        usual["max_position_embeddings"] = 128
    config = getattr(transformers, f"{stem}Config")(**sizes, **usual)
    model = getattr(transformers, f"{stem}ForSequenceClassification")(config).eval()
    return LoadedModel(model, tiny_tokenizer(), "classifier", chat=False, max_length=100)


def class_by_hand(loaded: LoadedModel, request: Classify) -> list[float]:
    """The plain way: one text, a mask of four dimensions or other tokens."""
    encoded = loaded.tokenizer(request.text, request.second)
    row = list(encoded["input_ids"])
    hidden = {at for at, _, _ in place_class_tokens([request], [request.hidden], loaded)[0].shares}
    decoder = loaded.model.config.model_type in ("llama", "gpt2")
    token, _ = mask_token_of(loaded.tokenizer)
    swapped = hidden if request.hiding == "token" else hidden & {len(row) - 1} if decoder else set()
    row = [token if at in swapped else own for at, own in enumerate(row)]
    hidden -= swapped
    size = len(row)
    mask = torch.zeros(1, 1, size, size)
    for query in range(size):
        for key in range(size):
            if (decoder and key > query) or (key in hidden and key != query):
                mask[0, 0, query, key] = FULL
    call = {"input_ids": torch.tensor([row]), "attention_mask": mask}
    before = loaded.model.config.pad_token_id
    loaded.model.config.pad_token_id = None if decoder else before  # the last token, whatever it is
    try:
        with torch.no_grad():
            return list(loaded.model(**call).logits[0].softmax(-1).tolist())
    finally:
        loaded.model.config.pad_token_id = before


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "gpt2"])
def test_classifiers_as_a_mask_given_by_hand(kind: str) -> None:
    loaded = classifier(kind)
    requests = [
        Classify(text, hidden=tuple(words(text)[at] for at in gone), hiding=hiding)
        for text in TEXTS[1:3]
        for gone in ([], [0], [len(words(text)) - 1], range(len(words(text))))
        for hiding in ("attention", "token")
    ]
    requests += [Classify("I lied.", "She paid me.", hidden=(*words("I lied.")[:1], *words("She paid me.", 1, 9)[1:2]))]
    before = loaded.model.config.to_dict()
    for budget in (20, 10_000):
        for request, found in zip(requests, classify(loaded, requests, budget=budget), strict=True):
            assert isinstance(found, ClassProbs)
            # In BERT's plain pass hidden tokens see themselves; what they make of it is seen by none.
            assert found.probs == pytest.approx(class_by_hand(loaded, request), abs=1e-4), request
    assert loaded.model.config.to_dict() == before
    assert LocalEngine(loaded).ask(requests[:2]) == classify(loaded, requests[:2], budget=8192)


def test_a_classifier_that_counts_positions_itself_says_so() -> None:
    loaded = classifier("bloom")
    attention, token = (Classify("I lied.", hidden=words("I lied.")[:1], hiding=way) for way in ("attention", "token"))
    replies = classify(loaded, [attention, token, Classify("I lied.")], budget=1000)
    assert isinstance(replies[0], Failed)
    assert replies[0].kind == "needs_model"
    assert all(isinstance(reply, ClassProbs) for reply in replies[1:])
