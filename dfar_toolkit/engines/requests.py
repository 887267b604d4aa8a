"""What a model can be asked, and what it replies: the same for local models and servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dfar_toolkit.prompts.conversation import Conversation
from dfar_toolkit.prompts.placing import Place

Elicited = Literal["forced", "first_token"]
# How places are hidden from a local model: from its attention, or behind its mask token (unknown token, padding token).
Hiding = Literal["attention", "token"]
TargetKind = Literal["logit", "log_prob", "prob", "option_log_prob"]
# Tokens that stand for nothing; "zero" is the embedding of zeros, "mean" the mean of all embeddings.
Steps = int | Literal["auto"]
Baseline = Literal["mask", "unk", "pad", "zero", "mean"]
Attribution = Literal[
    "attention", "attention_rollout", "gradient_l1", "gradient_l2", "input_x_gradient", "input_x_gradient_l1",
    "input_x_gradient_l2", "integrated_gradients",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generate:
    """Go on with a conversation.

    Attributes:
        conversation: What is gone on with.
        max_new_tokens: Tokens at most, per sample.
        temperature: 0: the likeliest token each time.
        top_p: The smallest set of tokens with this probability is drawn from.
        samples: How many answers.
        seed: Seed of this request alone; sample i is the same whatever else is asked beside it.
        stops: Texts that end an answer; not part of it.
    """

    conversation: Conversation
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How likely the conversation goes on with each option.

    Attributes:
        conversation: What stands before the options.
        spellings: For each option the texts that say it, exactly as they follow the conversation (" ethical" after a
            plain text that ends with a colon, "ethical" in a new turn); probabilities of its spellings are added up.
        seed: For servers that draw.
        hidden: Places of the conversation that a local model does not see.
        hiding: How they are hidden. The last token of the prompt, where the answer is read, is always replaced.
    """

    conversation: Conversation
    spellings: tuple[tuple[str, ...], ...]
    seed: int = 0
    hidden: tuple[Place, ...] = ()
    hiding: Hiding = "attention"


@dataclass(frozen=True, slots=True)
class Classify:
    """The probabilities of a classifier's own classes for a text, or a pair of texts (premise, statement).

    Attributes:
        text: The text, turn 0 of the places.
        second: The second of a pair, turn 1.
        hidden: Places that the model does not see.
        hiding: How they are hidden. The token at which the classes are read is always replaced.
    """

    text: str
    second: str | None = None
    hidden: tuple[Place, ...] = ()
    hiding: Hiding = "attention"


@dataclass(frozen=True, slots=True)
class Attribute:
    """What each token of an input has to do with a number that a local model makes of it.

    Attributes:
        asked: The input. Of options the first spelling is what is explained.
        target: Number of the option or class whose value is explained.
        places: Where the words are; only tokens that touch one are explained, all else stays as it is.
            None: all tokens of the prompt are explained, special ones included.
        methods: Attribution methods, all of one forward pass where they can be.
        contrast: Number of the option or class whose value is taken off; None: of none.
        kind: The value of an option: ``log_prob`` (sum over its tokens of the logarithm of their probability),
            ``prob`` (its exponential), ``logit`` (sum of the tokens' logits), ``option_log_prob`` (logarithm of the
            probability among the options). Of a class: its logit, log-probability or probability.
        baseline: What stands for nothing in integrated gradients.
        steps: Points of the Gauss-Legendre rule of integrated gradients; ``auto``: as many points as the input needs,
            where it needs them, 257 at most.
    """

    asked: ScoreOptions | Classify
    target: int
    places: tuple[Place, ...] | None
    methods: tuple[Attribution, ...]
    contrast: int | None = None
    kind: TargetKind = "log_prob"
    baseline: Baseline = "mask"
    steps: Steps = 50


Request = Generate | ScoreOptions | Classify | Attribute


class Generated(NamedTuple):
    """Answers to :class:`Generate`.

    Attributes:
        texts: One per sample; special tokens and stops removed.
        finish: For each why it ended: ``stop``, ``length``, ``refusal``, or what a server says.
        tokens_in: Tokens of the prompt (once, whatever the number of samples).
        tokens_out: Tokens written, all samples together.
    """

    texts: tuple[str, ...]
    finish: tuple[str, ...]
    tokens_in: int
    tokens_out: int


class OptionScores(NamedTuple):
    """Answer to :class:`ScoreOptions`.

    Attributes:
        logprobs: Natural logarithm of the probability of each option (of all its spellings together); ``-inf`` where a
            server's most likely tokens do not hold it.
        lengths: Tokens of each option's first spelling after what all options share.
        kind: ``forced`` (whole options) or ``first_token`` (a server's most likely first tokens).
        missing_mass: Probability of the tokens that the server did not list; 0 where all are known.
        tokens_in: Tokens of the prompt.
    """

    logprobs: tuple[float, ...]
    lengths: tuple[int, ...]
    kind: Elicited
    missing_mass: float
    tokens_in: int


class ClassProbs(NamedTuple):
    """Answer to :class:`Classify`: class names of the model and their probabilities."""

    names: tuple[str, ...]
    probs: tuple[float, ...]
    tokens_in: int


class Attributed(NamedTuple):
    """Answer to :class:`Attribute`.

    Attributes:
        value: The number that is explained.
        tokens: Ids of the tokens that are explained, in order.
        scores: For each method one number per token.
        shares: Triples of token (place in ``tokens``), unit and share, from :func:`~dfar_toolkit.spans.unit_shares`;
            empty where no places were given.
        gaps: For methods that are complete, |sum of scores - (f(x) - f(baseline))| / |f(x) - f(baseline)|; ``nan``
            where the two values are equal.
        baseline: The token that stood for nothing, as text; or ``zero embedding``, ``mean embedding``.
        dtype: What the model computed in.
        points: Points of integrated gradients; None without.
        settled: With ``auto`` points, whether they were enough for scores within about 1 %; else None.
    """

    value: float
    tokens: tuple[int, ...]
    scores: dict[str, tuple[float, ...]]
    shares: tuple[tuple[int, int, float], ...]
    gaps: dict[str, float]
    baseline: str
    dtype: str
    points: int | None = None
    settled: bool | None = None


class Failed(NamedTuple):
    """No answer came. ``kind`` is one word to count by; ``message`` one line.

    Kinds: ``timeout``, ``rate_limit``, ``server`` (5xx), ``refused`` (4xx), ``malformed``, ``no_logprobs``,
    ``too_long`` (the prompt does not fit the model), ``memory``, ``connection``, ``needs_model`` (a server, or this
    model, cannot do it), ``unplaced`` (no token stands at the places, or one of an option does too).
    """

    kind: str
    message: str


Reply = Generated | OptionScores | ClassProbs | Attributed | Failed
