"""Texts read in pieces: the same tokens and places as the whole text's, and whole texts where that is not sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfar_toolkit.engines.text_ids import text_ids, text_spans
from dfar_toolkit.engines.text_pieces import pieces, spans_of_pieces, tokens_of_pieces
from tiny_models import CORPUS, tiny_tokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

pre, post = tokenizers.pre_tokenizers, tokenizers.processors
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
HARD = (
    "",
    " ",
    "\n",
    "Answer:",
    "Answer: ",
    "Answer: ethical",
    "a.  b",
    "it's 's. 's 12345 678.9 ?! ..\n\nx y\nz",
    "ক খ। গ: ঘ\n她说谎了。 答案: 下雨\nلقد كذبت: على صديقي\n",
    "👍🏽. 👍🏽 🐈\u200d⬛ a\nb \u0301 c: \u0301d e\u0301. e",
    "a.\u00a0 b. \u3000c\td. \te \r\n f",
    "<s> one. <|end|> two: <|end|>  three\n<|user|> four",
    "a   b.   c\n   d    e\n",
    "x. \u1e9b\u0323 y\u2126. \uac00\u11a8 z\n",
)
PARTS = (
    *(". ", ": ", " ", "  ", "\n", "\n\n", " \n", "\t", "\r\n", "\u00a0", "\x1c", "\u180e", "!", "?!", "-", "_"),
    *("'s", "'", "12", "3456", "a", "Ab", "é", "e\u0301", "\u0301", "她", "。", "🐈", "\u200d", "ক", "।", "ل", "ſ"),
    *("<s>", "<|end|>", "<mask>"),
)


def byte_level(step: Any, *, normalizer: Any = None, processor: Any = None, **model: Any) -> Any:
    """Byte-level BPE with merges over everything that the pre-tokenizer lets stand together."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(**model))
    inner.pre_tokenizer = step
    if normalizer is not None:
        inner.normalizer = normalizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "<|end|>"], initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    inner.train_from_iterator([*list(CORPUS) * 20, *HARD * 5], trainer)
    if processor is not None:
        inner.post_processor = processor
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")


def split(pattern: str, **more: Any) -> Any:
    """A pattern, then bytes, as newer tokenizers have it."""
    cut = pre.Split(tokenizers.Regex(pattern), behavior=more.pop("behavior", "isolated"))
    return pre.Sequence([cut, pre.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt_2(*, add_prefix_space: bool = False, **more: Any) -> Any:
    return byte_level(pre.ByteLevel(add_prefix_space=add_prefix_space), **more)


def with_token(token: str, to: Any = None, **how: Any) -> Any:
    tokenizer = to or gpt_2()
    tokenizer.add_tokens([tokenizers.AddedToken(token, **how)])
    return tokenizer


class AtBlanks:
    """A step that no ``tokenizer.json`` can hold."""

    def pre_tokenize(self, text: Any) -> None:
        text.split(lambda _, part: part.split(" ", "isolated"))


def in_python() -> Any:
    tokenizer = gpt_2()
    tokenizer.backend_tokenizer.pre_tokenizer = pre.PreTokenizer.custom(AtBlanks())
    return tokenizer


def metaspace() -> Any:
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre.Metaspace(split=False)
    inner.train_from_iterator(
        [*list(CORPUS) * 20, *HARD * 5],
        tokenizers.trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], show_progress=False),
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


IN_PIECES: dict[str, Callable[[], Any]] = {
    "tiny": tiny_tokenizer,
    "gpt 2": gpt_2,
    "gpt 2, blank first": lambda: gpt_2(add_prefix_space=True),
    "gpt 2, runs of blanks": lambda: with_token("   ", normalized=True),
    "gpt 2, token that takes blanks before it": lambda: with_token("<mask>", lstrip=True),
    "llama 3": lambda: byte_level(split(LLAMA_3), processor=post.ByteLevel(trim_offsets=False)),
    "qwen": lambda: byte_level(split(LLAMA_3.replace("{1,3}", "")), normalizer=tokenizers.normalizers.NFC()),
}
WHOLE: dict[str, Callable[[], Any]] = {
    "metaspace": metaspace,
    "no pattern": lambda: byte_level(pre.ByteLevel(add_prefix_space=False, use_regex=False)),
    "another pattern": lambda: byte_level(split(r"[^\n]+|\n+")),
    "pattern of gaps": lambda: byte_level(split(LLAMA_3, behavior="merged_with_next")),
    "compatibility": lambda: gpt_2(normalizer=tokenizers.normalizers.NFKC()),
    "token with a blank": lambda: with_token("Answer: e"),
    "token that takes blanks after it": lambda: with_token("<mask>", rstrip=True),
    "token that is a word": lambda: with_token("ethical", single_word=True),
    "token that has a blank when it is normalized": lambda: with_token(
        "e\u0301 b", gpt_2(normalizer=tokenizers.normalizers.NFC()), normalized=True
    ),
    "dropped merges": lambda: gpt_2(dropout=1.0),
    "no steps": lambda: byte_level(pre.Sequence([])),
    "written in Python": in_python,
}


@pytest.fixture(params=list(IN_PIECES), scope="module")
def in_pieces(request: pytest.FixtureRequest) -> Any:
    return IN_PIECES[request.param]()


def assert_as_whole(texts: list[str], tokenizer: Any) -> None:
    """Against the tokenizer itself, text by text."""
    wanted = [tokenizer(text, add_special_tokens=False, return_offsets_mapping=True) for text in texts]
    ids = [list(one["input_ids"]) for one in wanted]
    assert text_ids(texts, tokenizer) == ids
    assert text_spans(texts, tokenizer) == [
        (own, list(one["offset_mapping"])) for own, one in zip(ids, wanted, strict=True)
    ]


def test_hard_texts_are_read_as_whole_ones(in_pieces: Any) -> None:
    assert tokens_of_pieces(in_pieces.backend_tokenizer)
    assert_as_whole([first + second for first in HARD for second in HARD], in_pieces)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=14).map("".join), min_size=1, max_size=4))
def test_any_texts_are_read_as_whole_ones(in_pieces: Any, texts: list[str]) -> None:
    assert_as_whole(texts, in_pieces)


@settings(max_examples=40)
@given(st.text("ab.:!? \n\t\u00a0她é_", max_size=40))
def test_pieces_make_the_text_and_are_cut_before_blanks_after_something(text: str) -> None:
    found = pieces(text)
    assert "".join(piece for _, piece in found) == text
    assert all(text[start:].startswith(piece) for start, piece in found)
    assert [start for start, _ in found] == sorted({start for start, _ in found})
    assert all(text[start] == " " and not text[start - 1].isspace() for start, _ in found[1:])


@pytest.mark.parametrize("name", WHOLE)
def test_other_tokenizers_read_whole_texts(name: str) -> None:
    tokenizer = WHOLE[name]()
    assert not tokens_of_pieces(tokenizer.backend_tokenizer)
    assert_as_whole(
        [*HARD, "It is. Answer: ethical. <mask>  It", "ethical. unethical", "\u00e9 b e\u0301 b"], tokenizer
    )


def test_places_without_their_blanks_are_those_of_whole_texts() -> None:
    tokenizer = gpt_2(processor=post.ByteLevel(trim_offsets=True))
    assert not spans_of_pieces(tokenizer.backend_tokenizer)
    assert_as_whole(list(HARD), tokenizer)


def test_what_texts_share_is_read_once() -> None:
    head = "Read the statement. Is it ethical or unethical? " * 5 + "Answer with a label.\n\n"
    texts = [f"{head}I lied{end}" for end in (".", ". Answer:", ". Answer: ethical", ". Answer: unethical")]
    assert len({piece for text in texts for _, piece in pieces(text)}) < 12
    assert_as_whole(texts, tiny_tokenizer())
