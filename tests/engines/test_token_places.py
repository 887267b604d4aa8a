"""Where words are in tokens: by characters, whatever the tokenizer and the template."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.engines.loaded import LoadedModel
from dfar_toolkit.engines.mask_token import mask_token_of
from dfar_toolkit.engines.requests import Classify
from dfar_toolkit.engines.token_ids import prompt_ids_many
from dfar_toolkit.engines.token_places import PlacedTokens, place_class_tokens, place_tokens
from dfar_toolkit.errors import EngineError
from dfar_toolkit.prompts.conversation import Conversation, Turn, plain
from dfar_toolkit.prompts.placing import Place
from dfar_toolkit.spans import word_spans
from tiny_models import CORPUS, tiny_tokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = (
    "I lied to my friend.",
    "  her 🐈‍⬛ and left 👍🏽!",
    "আমি মিথ্যা বলেছি ঘৃণা",
    "她说谎了。答案 is 下雨",
    "لقد كذبت على صديقي",
    "Ich zahlte für das Mädchen – CAFÉ cafe\u0301 İstanbul",
    "x",
    "a  b\t c\n\nd ",
    "<s> she </s> said",
)


def wrapped(inner: Any, **special: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def trained(inner: Any, trainer: Any, start: str, end: str = "") -> Any:
    inner.train_from_iterator([*list(CORPUS) * 20, *TEXTS], trainer)
    special = [(name, inner.token_to_id(name)) for name in (start, end) if name]
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{start} $A {end}".strip(),
        pair=" ".join(f"{start} $A {end} $B:1 {end}".split()),
        special_tokens=special,
    )
    return inner


def word_pieces() -> Any:
    """Lower case, no accents, [CLS] and [SEP]."""
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    return wrapped(trained(inner, trainer, "[CLS]", "[SEP]"), mask_token="[MASK]", **names)


def sentence_pieces(normalizer: Any = None, pre_tokenizer: Any = None) -> Any:
    """Blanks are parts of tokens; unknown characters are bytes."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True))
    if normalizer is not None:
        inner.normalizer = normalizer
    if pre_tokenizer is not None:
        inner.pre_tokenizer = pre_tokenizer
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, limit_alphabet=40, show_progress=False
    )
    return wrapped(trained(inner, trainer, "<s>"), bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def composed() -> Any:
    """Byte-level after compatibility composition, which changes the number of characters."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.normalizer = tokenizers.normalizers.NFKC()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    return wrapped(trained(inner, trainer, "<s>"), bos_token="<s>")


def llama_2() -> Any:
    """No pre-tokenizer: blanks become marks, one is put before the text, merges go over words."""
    replace = tokenizers.normalizers.Replace(" ", "▁")
    return sentence_pieces(tokenizers.normalizers.Sequence([tokenizers.normalizers.Prepend("▁"), replace]))


KINDS = {
    "bytes": tiny_tokenizer,
    "word pieces": word_pieces,
    "llama 2": llama_2,
    "gemma": lambda: sentence_pieces(tokenizers.normalizers.Replace(" ", "▁")),
    "metaspace": lambda: sentence_pieces(None, tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first", split=True)),
    "composed": composed,
}


def wrap(tokenizer: Any, *, chat: bool = False, kind: Any = "causal") -> LoadedModel:
    return LoadedModel(None, tokenizer, kind, chat, 1024)


@pytest.fixture(params=list(KINDS), scope="module")
def any_kind(request: pytest.FixtureRequest) -> LoadedModel:
    return wrap(KINDS[request.param]())


def words(text: str, turn: int = 0, first: int = 0) -> tuple[Place, ...]:
    return tuple(Place(first + at, turn, *span) for at, span in enumerate(word_spans(text)))


def naive(spans: list[tuple[int, int]], places: tuple[Place, ...]) -> dict[tuple[int, int], float]:
    """Character by character: of a token's characters in places, those of each unit."""
    found: dict[tuple[int, int], float] = {}
    for token, (start, end) in enumerate(spans):
        units = [place.unit for at in range(start, end) for place in places if place.start <= at < place.end]
        for unit in set(units):
            found[token, unit] = units.count(unit) / len(units)
    return found


def as_dict(placed: PlacedTokens) -> dict[tuple[int, int], float]:
    found = {(token, unit): share for token, unit, share in placed.shares}
    assert len(found) == len(placed.shares)
    assert placed.shares == sorted(placed.shares)
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_words_of_a_plain_text_as_character_by_character(any_kind: LoadedModel, text: str) -> None:
    (placed,) = place_tokens([plain(text)], [words(text)], any_kind)
    assert placed.ids == prompt_ids_many([plain(text)], any_kind)[0]
    alone = any_kind.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    before = len(placed.ids) - len(alone)
    wanted = naive([(0, 0)] * before + alone, words(text))
    assert as_dict(placed) == pytest.approx(wanted)
    assert {unit for _, unit, _ in placed.shares} == set(range(len(words(text))))  # no word is lost


def test_bytes_of_one_character_all_touch_it() -> None:
    (placed,) = place_tokens([plain("a 👍 b")], [(Place(7, 0, 2, 3),)], wrap(tiny_tokenizer()))
    assert [(unit, share) for _, unit, share in placed.shares] == [(7, 1.0)] * 4


def test_a_token_over_several_words_is_shared_by_characters() -> None:
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={"▁": 0, "a": 1, "b": 2, "a▁": 3, "a▁b": 4}, merges=[("a", "▁"), ("a▁", "b")])
    )
    inner.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    (placed,) = place_tokens([plain("a b a")], [words("a b a")], wrap(wrapped(inner)))
    assert placed == PlacedTokens([4, 0, 1], [(0, 0, 0.5), (0, 1, 0.5), (2, 2, 1.0)])


def test_one_unit_in_several_places_and_places_that_are_empty_or_blank() -> None:
    loaded, text = wrap(tiny_tokenizer()), "I lied. I lied."
    places = (Place(0, 0, 0, 1), Place(0, 0, 8, 9), Place(1, 0, 3, 3), Place(2, 0, 1, 2))
    (placed,) = place_tokens([plain(text)], [places], loaded)
    shown = {
        unit: [loaded.tokenizer.convert_ids_to_tokens(placed.ids[at]) for at, one, _ in placed.shares if one == unit]
        for unit in range(3)
    }
    assert shown == {0: ["I", "ĠI"], 1: [], 2: ["Ġlied"]}
    assert place_tokens([plain(text)], [()], loaded)[0].shares == []
    assert place_tokens([], [], loaded) == place_class_tokens([], [], loaded) == []


TURNS: Conversation = (
    Turn("system", " Be <brief>. "),
    Turn("user", "\n I lied 🐈 to ঘৃণা! "),
    Turn("assistant", "It is"),
)
TRIMMING = (
    "{% for m in messages %}{% if m['role'] == 'system' %}SYSTEM{% else %}<|{{ m['role'] }}|>\n"
    "{{ m['content'] | trim }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def templated(template: str) -> LoadedModel:
    tokenizer = wrapped(tiny_tokenizer().backend_tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = template
    return wrap(tokenizer, chat=True)


@pytest.mark.parametrize(
    "template",
    [
        "own",
        TRIMMING.replace("SYSTEM", "{{ raise_exception('no') }}"),
        TRIMMING.replace("SYSTEM", "{{ '' }}"),
        TRIMMING.replace("SYSTEM", "{{ m['content'] }} again: {{ m['content'] }}"),
        None,
    ],
)
def test_turns_through_templates_that_trim_move_and_repeat(template: str | None) -> None:
    loaded = wrap(tiny_tokenizer(), chat=template is not None) if template in ("own", None) else templated(template)
    places = tuple(place for turn in range(3) for place in words(TURNS[turn].text, turn, 10 * turn))
    for turns in (TURNS, TURNS[:2]):
        own = tuple(place for place in places if place.turn < len(turns))
        (placed,) = place_tokens([turns], [own], loaded)
        assert placed.ids == prompt_ids_many([turns], loaded)[0]
        for place in own:
            tokens = [placed.ids[at] for at, unit, _ in placed.shares if unit == place.unit]
            said = turns[place.turn].text[place.start : place.end]
            shown = loaded.tokenizer.decode(tokens).replace(" ", "")
            assert shown == said * (2 if template and "again" in template and place.turn == 0 else 1)


def test_a_template_that_changes_a_text_is_refused() -> None:
    turns, said = (Turn("user", "I lied."),), "{{ messages[0]['content'] }}"
    for template in (f"{said}{{{{ messages[0]['content'] | length }}}}", "{{ messages[0]['content'][:3] }} I lied."):
        with pytest.raises(EngineError, match=r"changes the texts|leaves out the text"):
            place_tokens([turns], [words("I lied.")], templated(template))
    with pytest.raises(EngineError, match="not show turn 0 as it is"):
        place_tokens(
            [(Turn("assistant", "I  lied"), *turns)],
            [words("I  lied")],
            templated("{{ messages[0]['content'].split() | join(' ') }}{{ messages[1]['content'] }}"),
        )
    # What has no places may be changed.
    cut = templated("{{ messages[0]['content'][:4] }}{{ messages[1]['content'] }}")
    two = (Turn("assistant", "Hello"), *turns)
    with pytest.raises(EngineError, match="chat template"):
        place_tokens([two], [(Place(0, 0, 0, 5),)], cut)
    assert place_tokens([two], [words("I lied.", 1)], cut)[0].shares


def test_what_makes_no_sense_is_refused() -> None:
    loaded = wrap(tiny_tokenizer())
    for place in (Place(0, 1, 0, 1), Place(0, 0, 0, 99), Place(0, 0, 3, 2), Place(0, -1, 0, 1)):
        with pytest.raises(EngineError, match="wanted places"):
            place_tokens([plain("I lied.")], [(place,)], loaded)
        with pytest.raises(EngineError, match="wanted places"):
            place_class_tokens([Classify("I lied.")], [(place,)], loaded)
    with pytest.raises(EngineError, match="fast tokenizer"):
        place_tokens([plain("I lied.")], [()], wrap(SimpleNamespace(is_fast=False)))
    with pytest.raises(ValueError, match="as many lists"):
        place_tokens([plain("I lied.")], [], loaded)
    with pytest.raises(ValueError, match="as many lists"):
        place_class_tokens([Classify("I lied.")], [], loaded)


@settings(max_examples=20, deadline=None)
@given(text=st.text("ab é🐈ঘৃ她\n\u0301", max_size=12), other=st.text("ab é🐈ঘৃ她\n\u0301", max_size=12))
def test_many_as_one_by_one(text: str, other: str) -> None:
    loaded = wrap(tiny_tokenizer())
    prompts = [plain(f"x {text}"), plain(f"x {other}"), plain(f"x {text}")]
    places = [words(prompt[0].text) for prompt in prompts]
    together = place_tokens(prompts, places, loaded)
    assert together == [place_tokens([prompt], [own], loaded)[0] for prompt, own in zip(prompts, places, strict=True)]
    assert [one.ids for one in together] == prompt_ids_many(prompts, loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_as_a_classifier_reads_them(kind: str) -> None:
    tokenizer = KINDS[kind]()
    loaded = wrap(tokenizer, kind="classifier")
    for text, second in zip(TEXTS, [*TEXTS[1:], None], strict=True):
        places = words(text) + (() if second is None else words(second, 1, 100))
        (placed,) = place_class_tokens([Classify(text, second)], [places], loaded)
        assert placed.ids == list(tokenizer(text, second)["input_ids"])
        encoded = tokenizer(text, second, return_offsets_mapping=True)
        wanted = {}
        for side in (0, 1):
            spans = [
                span if which == side else (0, 0)
                for span, which in zip(encoded["offset_mapping"], encoded.sequence_ids(), strict=True)
            ]
            wanted |= naive(spans, tuple(place for place in places if place.turn == side))
        assert as_dict(placed) == pytest.approx(wanted)
        assert {unit for _, unit, _ in placed.shares} == {place.unit for place in places}


def test_the_mask_token_or_what_comes_next() -> None:
    def held(**names: str) -> Any:
        kinds = dict.fromkeys(("mask_token", "unk_token", "pad_token", "eos_token"))
        return SimpleNamespace(**(kinds | names), convert_tokens_to_ids={"<m>": 9, "<u>": 0, "<p>": 2, "<e>": 3}.get)

    every = {"mask_token": "<m>", "unk_token": "<u>", "pad_token": "<p>", "eos_token": "<e>"}
    assert mask_token_of(held(**every)) == (9, "<m>")
    assert mask_token_of(held(**every), rows=9) == (0, "<u>")
    assert mask_token_of(held(pad_token="<p>", eos_token="<e>")) == (2, "<p>")
    assert mask_token_of(held(eos_token="<e>")) == (3, "<e>")
    assert mask_token_of(word_pieces())[1] == "[MASK]"
    with pytest.raises(EngineError, match="stands for nothing"):
        mask_token_of(held())
