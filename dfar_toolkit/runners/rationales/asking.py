"""How the label of an item, whole or without some of its words, is asked for, and how the reply is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from dfar_toolkit.engines.requests import (
    Classify,
    ClassProbs,
    Failed,
    Generate,
    Generated,
    Hiding,
    OptionScores,
    Reply,
    Request,
    ScoreOptions,
)
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.conversation import Conversation, Turn
from dfar_toolkit.prompts.item_words import Word
from dfar_toolkit.prompts.parsing import parse_answers
from dfar_toolkit.prompts.placing import Place, placed
from dfar_toolkit.runners.answers import Reading, says_of
from dfar_toolkit.runners.label_probabilities import label_of, renormalised
from dfar_toolkit.runners.prompting import Manner, spelled
from dfar_toolkit.runners.units import Row, seed_of

BEFORE: Final = "\n"  # between the contexts that a classifier reads before the statement


class Asker:
    """Asks for the label of one item in all its forms; the same text is asked the same way each time.

    Args:
        manner: How the model is asked; None: a classifier, which reads the contexts as the first text of a pair.
        whole: The item with all its words. Its options are those that replies are read as; what a classifier reads
            as a pair stays one, whichever words are taken away.

    Raises:
        TableError: A style that answers with more than a label, or in several steps; an item that a classifier
            cannot read.

    Example:
        >>> asker = Asker(None, Asked("I lied.", options=("bad", "good")))
        >>> asker.request(Asked("I lied."))
        Classify(text='I lied.', second=None, hidden=(), hiding='attention')
        >>> asker.label_of(ClassProbs(("good", "bad"), (0.25, 0.75), 4))
        'bad'
    """

    def __init__(self, manner: Manner | None, whole: Asked) -> None:
        if manner is None and any(text is not None for text in whole.option_texts):
            raise TableError("a classifier of one text cannot read the texts of options; ask by a prompt.")
        if manner is not None:
            check_manner(manner)
        self.manner, self.options = manner, whole.options
        self._paired = bool(_before(whole))

    @property
    def known_probs(self) -> bool:
        """Whether replies hold probabilities, and not only what the model writes."""
        return self.manner is None or self.manner.elicit == "forced"

    def request(self, asked: Asked, hidden: Sequence[Place] = (), hiding: Hiding = "attention") -> Request:
        """What asks for the label.

        Args:
            asked: The item, or what is left of it.
            hidden: Places from :meth:`places` that the model does not see.
            hiding: How they are hidden.

        Returns:
            The request.

        Raises:
            TableError: Places are hidden from a model that only writes.
        """
        if self.known_probs:
            return self.scored(asked, hidden, hiding)
        if hidden:
            raise TableError("words can be hidden from a model only where its probabilities are asked for (forced).")
        assert self.manner is not None
        style, chat = self.manner.style, self._chat
        conversation = style.conversation(asked, chat=chat)
        return Generate(
            conversation,
            max_new_tokens=self.manner.max_new_tokens,
            temperature=self.manner.temperature,
            top_p=self.manner.top_p,
            seed=self._seed(conversation),
            stops=() if chat else style.stops,
        )

    def scored(
        self, asked: Asked, hidden: Sequence[Place] = (), hiding: Hiding = "attention"
    ) -> ScoreOptions | Classify:
        """What asks for the probabilities of the labels, however labels are asked for.

        Args:
            asked: As in :meth:`request`.
            hidden: As there.
            hiding: As there.

        Returns:
            The request.
        """
        conversation = self._conversation(asked)
        if self.manner is None:
            second = conversation[1].text if len(conversation) > 1 else None
            return Classify(conversation[0].text, second, tuple(hidden), hiding)
        texts = spelled(self.options, self.manner)
        return ScoreOptions(conversation, texts, self._seed(conversation), tuple(hidden), hiding)

    def places(self, asked: Asked, words: Sequence[Word]) -> tuple[Place, ...]:
        """Where words of the item stand in what is asked, each with its number as unit.

        Args:
            asked: The item.
            words: Words of it.

        Returns:
            The places.

        Raises:
            TableError: The style does not show a field as it is.
        """
        return placed(asked, words, self._conversation)[1]

    def row(self, reply: Reply, request: Request | None = None) -> Row:
        """The reply as columns of a row, from which a label and probabilities are read for the whole run at once.

        Args:
            reply: The reply.
            request: What it replies to, for its seed.

        Returns:
            ``error``; or ``shown``, ``option_logprobs``, ``probs_kind``, ``missing_mass``, ``tokens_in`` and, of
            options, ``option_tokens``; or ``raw``, ``finish``, ``temperature`` and numbers of tokens.
        """
        seed = {"seed": request.seed} if isinstance(request, Generate | ScoreOptions) else {}
        if isinstance(reply, Failed):
            return {"error": f"{reply.kind}: {reply.message}"}
        if isinstance(reply, Generated):
            return {
                **seed, "raw": reply.texts[0], "finish": reply.finish[0], "tokens_in": reply.tokens_in,
                "tokens_out": reply.tokens_out, "temperature": self.manner.temperature if self.manner else None,
            }  # fmt: skip
        if isinstance(reply, ClassProbs):
            return {
                "shown": list(reply.names), "option_logprobs": list(map(_log, reply.probs)),
                "probs_kind": "classifier", "missing_mass": 0.0, "tokens_in": reply.tokens_in,
            }  # fmt: skip
        assert isinstance(reply, OptionScores)
        return {
            **seed, "shown": list(self.options), "option_logprobs": list(reply.logprobs),
            "option_tokens": list(reply.lengths), "probs_kind": reply.kind, "missing_mass": reply.missing_mass,
            "tokens_in": reply.tokens_in,
        }  # fmt: skip

    def label_of(self, reply: Reply) -> str | None:
        """The option that the reply says; None where it failed, says none, or two are equally likely.

        Raises:
            TableError: A class of a classifier that is no option.
        """
        if isinstance(reply, Generated):
            letters = self.manner is not None and self.manner.style.letters
            said = parse_answers(pl.Series([reply.texts[0]]), list(self.options), letters=letters)["label"][0]
            return None if said is None else str(said)
        probs = self.probs_of(reply)
        found = None if probs is None else label_of([probs], self.options)[0]
        return None if found is None else str(found)

    def probs_of(self, reply: Reply) -> tuple[float, ...] | None:
        """The probabilities among the options, in their order; None where none are known.

        Raises:
            TableError: A class of a classifier that is no option.
        """
        logs = self.logprobs_of(reply)
        if logs is None:
            return None
        probs = renormalised([logs]).probs[0]
        return None if np.isnan(probs).any() else tuple(probs.tolist())

    def logprobs_of(self, reply: Reply) -> tuple[float, ...] | None:
        """Logarithms of the options' probabilities, in their order; None where none are known.

        Raises:
            TableError: A class of a classifier that is no option.
        """
        if isinstance(reply, OptionScores):
            return reply.logprobs
        if not isinstance(reply, ClassProbs):
            return None
        says_of(reply.names, Reading("", "label", self.options))
        given = dict(zip(reply.names, reply.probs, strict=True))
        return tuple(_log(given.get(option, 0.0)) for option in self.options)

    def number_of(self, label: str, reply: Reply) -> int:
        """The number of a label in what :meth:`scored` asks: of the option, or of the classifier's class.

        Args:
            label: An option.
            reply: A reply of the model, which knows the order of its classes.

        Returns:
            The number.

        Raises:
            TableError: The classifier has no such class.
        """
        names = reply.names if isinstance(reply, ClassProbs) else self.options
        if label not in names:
            raise TableError(f"the model has no class {label!r}; it has {', '.join(names)}.")
        return names.index(label)

    @property
    def _chat(self) -> bool:
        return self.manner is not None and self.manner.chat and not self.manner.style.plain_only

    def _conversation(self, asked: Asked) -> Conversation:
        """What stands before the label; of a classifier its text, or its two."""
        if self.manner is not None:
            return self.manner.style.conversation(asked, chat=self._chat, up_to_label=True)
        texts = [_before(asked), asked.statement] if self._paired else [asked.statement]
        return tuple(Turn("text", text) for text in texts)

    def _seed(self, conversation: Conversation) -> int:
        assert self.manner is not None
        return seed_of(self.manner.seed, *(part for turn in conversation for part in turn))


def check_manner(manner: Manner) -> None:
    """Refuse what has no label that is answered at once.

    Raises:
        TableError: The style answers with more than a label, or in several steps.

    Example:
        >>> from dfar_toolkit.prompts.styles import load_style
        >>> check_manner(Manner(load_style("label-letters")))
    """
    style = manner.style
    if style.answer != "label" or style.steps or manner.rephrase is not None or manner.drafts is not None:
        how = f"answers with {style.answer}" if style.answer != "label" else "asks in several steps"
        raise TableError(
            f"rationales are of a label that is answered at once; the style {style.name!r} {how}; use 'label' or "
            "'label-letters'."
        )


def _before(asked: Asked) -> str:
    return BEFORE.join(context.text for context in asked.context)


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
