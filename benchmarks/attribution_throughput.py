"""How long token attributions take, beside captum and inseq in the same process.

Asked are input x gradient, integrated gradients (50 points, unknown token as baseline) and leave one out of the logit
of a label of one token, for inputs of 48 to 80 tokens, and for inputs of that length after 256 tokens of instruction
that all share. Of the latter only the text is explained, which is what is compared with people's rationales; the other
libraries run the whole input for it. One thread, random weights, float32. All ways must give the same scores, to 1e-3
of the largest. captum is its core methods on embeddings (gradients) and token ids (``FeatureAblation``, as it comes
and 16 at a time), which are faster than its wrappers for language models; inseq has no leave one out. Ways run in
turns; the processor's time counts, which other work on the machine stretches less, of the best of ``--repeat`` turns
(one turn where a turn takes over 15 s). Engine and wrappers are built once, before; the first turn, in which the engine
tries the model's cache out, is not counted. ``ours`` reads texts: tokenizing and finding the words' tokens are in it.
The pass over the prefix is in it too, but where leave one out is repeated: that engine keeps its last eight caches, and
so still has the prefix from the turn before (256 tokens of about 140,000).

With N inputs of P shared and Q own tokens and S points, a plain loop runs N S (P + Q) tokens forth and back, ours
P + N S Q, and of the model's last layer only what the last token needs. Leave one out runs each input once and each of
its Q copies from about its changed token on, about N Q Q / 2 tokens instead of N Q (P + Q).

captum and inseq are no dependencies of the toolkit; both in an environment of their own:

    python -m pip install captum==0.9.0 inseq==0.7.1
    python benchmarks/attribution_throughput.py
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attribution_inputs import invented, small_llama, tiny_llama

os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}  # the second is the tokenizer's
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
RESULTS = Path(__file__).resolve().parent / "results" / "attribution_throughput.json"
ITEMS, PREFIX, STEPS, AT_ONCE = 64, 256, 50, 16
SLOW = 15.0  # seconds of a turn that is not repeated
LABELS = (" ethical", " unethical")
METHODS = ("input_x_gradient", "integrated_gradients", "leave_one_out")

NOTES = """
Integrated gradients run 50 points of every token forth and back in all libraries. Ours takes the layers of such models
(plain Llama and Mistral of up to 256 MiB, labels of one token, inputs of up to 512 tokens, processor) written out, for
all methods of gradients: of the last layer only keys are made, and what the last token needs; attention sees few keys
that come later; no memory of the way forth but what the way back needs. For integrated gradients the first layer's
queries, keys and values of all points are made of two products, since what is between two inputs is a mix of these.
Leave one out takes them written out too, forth only: all copies of an input at once, each from about its changed token
on, and what the first layer reads is made once per token and place. The look at up to three inputs, by the model
itself, is in the times. Other models run as always, batched: about 1.7 times as fast as captum on the tiny one for
integrated gradients, 2.7 times for input x gradient. What is gained by as many points as each input needs, which is how
`dfar explain` runs, is in `attribution_accuracy.md`. Leave one out is compared with captum as it comes, one changed
input at a time, and with 16 at a time: that is batched like ours and runs about twice the tokens. Of the tiny model's
time for input x gradient a third goes to finding the tokens: what prompts have in common is read once where the
tokenizer allows it, the rest once for its places and once with the options. Integrated gradients and leave one out of
the small model were timed beside other work, hours as they take; of 2 and 4 of these inputs, alone on the machine, ours
was 2.1 and 2.4 times as fast as captum, with the prefix 9.4 and 8.3 times. Ratios move by a tenth and more from run to
run, those of calls that take a tenth of a second by more: over runs of one day ours was 3.2 to 3.9 times as fast as
captum for input x gradient of the tiny model without a prefix, and 3.3 to 3.5 times for integrated gradients there.
""".strip()

Scores = list[list[float]]
Way = Callable[[], Scores]


class Ways:
    """The same inputs, explained in several ways.

    Args:
        model: A causal model, of which each way has a copy.
        tokenizer: Its tokenizer.
        prefix: Tokens of the shared instruction.
    """

    def __init__(self, model: Any, tokenizer: Any, prefix: int) -> None:
        from dfar_toolkit.engines.local import LocalEngine
        from dfar_toolkit.engines.model_loading import loaded_model

        self.tokenizer, self.model = tokenizer, copy.deepcopy(model)
        self.engine = LocalEngine(loaded_model(copy.deepcopy(model), tokenizer, chat=False))
        self.head, self.texts = invented(tokenizer, ITEMS, prefix)
        self.prompts = [f"{self.head}{text}\n\nAnswer:" for text in self.texts]
        self.target = tokenizer(LABELS[0], add_special_tokens=False)["input_ids"]
        assert len(self.target) == 1, self.target
        self._inseq: dict[str, Any] = {}
        self._model = model

    def explained(self, count: int) -> list[tuple[list[int], list[int], list[tuple[int, int]]]]:
        """For each input its ids, the explained places among them, and those tokens' characters."""
        found = []
        for text, prompt in zip(self.texts[:count], self.prompts, strict=False):
            said = self.tokenizer(prompt, return_offsets_mapping=True)
            end = len(self.head) + len(text)
            places = [
                at for at, (a, b) in enumerate(said["offset_mapping"]) if a < b and b > len(self.head) and a < end
            ]
            found.append((said["input_ids"], places, [said["offset_mapping"][at] for at in places]))
        return found

    def ours(self, method: str, count: int) -> Scores:
        """One call of the engine for the gradients of all inputs."""
        from dfar_toolkit.engines.requests import Attribute, Attributed, ScoreOptions
        from dfar_toolkit.prompts.conversation import plain
        from dfar_toolkit.prompts.placing import Place

        options = tuple((label,) for label in LABELS)
        asked = [
            Attribute(
                ScoreOptions(plain(prompt), options), 0,
                (Place(0, 0, len(self.head), len(self.head) + len(text)),), (method,),  # type: ignore[arg-type]
                kind="logit", steps=STEPS,
            )
            for text, prompt in zip(self.texts[:count], self.prompts, strict=False)
        ]  # fmt: skip
        replies = [reply for reply in self.engine.ask(asked) if isinstance(reply, Attributed)]
        return [list(reply.scores[method]) for reply in replies]

    def ours_left_out(self, count: int) -> Scores:
        """One call of the engine for all inputs and all tokens to be left out."""
        from dfar_toolkit.engines.requests import OptionScores, ScoreOptions
        from dfar_toolkit.prompts.conversation import plain
        from dfar_toolkit.prompts.placing import Place

        asked, sizes = [], []
        for (_, _, spans), prompt in zip(self.explained(count), self.prompts, strict=False):
            conversation, options = plain(prompt), ((LABELS[0],),)
            asked.append(ScoreOptions(conversation, options))
            asked += [
                ScoreOptions(conversation, options, hidden=(Place(0, 0, a, b),), hiding="token") for a, b in spans
            ]
            sizes.append(len(spans) + 1)
        said = [reply.logprobs[0] for reply in self.engine.ask(asked) if isinstance(reply, OptionScores)]
        found = []
        for size in sizes:
            own, said = said[:size], said[size:]
            found.append([own[0] - value for value in own[1:]])
        return found

    def captum(self, method: str, count: int) -> Scores:
        """Captum's core methods on embeddings, one input at a time."""
        import torch
        from captum.attr import InputXGradient, IntegratedGradients

        table = self.model.get_input_embeddings()

        def value(embedded: Any) -> Any:
            return self.model(inputs_embeds=embedded, use_cache=False).logits[:, -1, self.target[0]]

        found = []
        for ids, places, _ in self.explained(count):
            real = table(torch.tensor([ids])).detach()
            if method == "input_x_gradient":
                scores = InputXGradient(value).attribute(real.requires_grad_())
            else:
                empty = real.clone()
                empty[0, places] = table.weight[self.tokenizer.unk_token_id].detach()
                scores = IntegratedGradients(value).attribute(real, empty, n_steps=STEPS, method="gausslegendre")
            found.append(scores.sum(-1)[0, places].tolist())
        return found

    def captum_left_out(self, count: int, at_once: int) -> Scores:
        """Captum's ablation of token ids; what is not explained is one feature."""
        import torch
        from captum.attr import FeatureAblation

        def value(ids: Any) -> Any:
            return self.model(input_ids=ids, use_cache=False).logits[:, -1].log_softmax(-1)[:, self.target[0]]

        found = []
        with torch.no_grad():
            for ids, places, _ in self.explained(count):
                mask = torch.zeros(1, len(ids), dtype=torch.long)
                mask[0, places] = torch.arange(1, len(places) + 1)
                scores = FeatureAblation(value).attribute(
                    torch.tensor([ids]), baselines=self.tokenizer.unk_token_id, feature_mask=mask,
                    perturbations_per_eval=at_once,
                )  # fmt: skip
                found.append(scores[0, places].tolist())
        return found

    def inseq(self, method: str, count: int) -> Scores:
        """Inseq with the label given."""
        import inseq

        if method not in self._inseq:
            self._inseq[method] = inseq.load_model(copy.deepcopy(self._model), method, tokenizer=self.tokenizer)
        more = {"n_steps": STEPS, "internal_batch_size": STEPS} if method == "integrated_gradients" else {}
        prompts = self.prompts[:count]
        said = self._inseq[method].attribute(
            prompts, [f"{prompt}{LABELS[0]}" for prompt in prompts], attributed_fn="logit", show_progress=False,
            batch_size=AT_ONCE, **more,
        )  # fmt: skip
        own = zip(said.sequence_attributions, self.explained(count), strict=True)
        return [one.target_attributions[:, -1].sum(-1)[places].tolist() for one, (_, places, _) in own]

    def of(self, method: str, count: int, *, whole_path: bool) -> dict[str, Way]:
        """The ways of a method; ours is the first."""
        if method == "leave_one_out":
            return {
                "ours": lambda: self.ours_left_out(count),
                "captum": lambda: self.captum_left_out(count, 1),
                f"captum, {AT_ONCE} at a time": lambda: self.captum_left_out(count, AT_ONCE),
            }
        ways: dict[str, Way] = {"ours": lambda: self.ours(method, count), "captum": lambda: self.captum(method, count)}
        if not whole_path:
            ways["inseq"] = lambda: self.inseq(method, count)
        else:
            # Its baseline goes over the whole input, so that its scores are others; the work is the same.
            ways["inseq (whole input)"] = lambda: self.inseq(method, count)
        return ways


def difference(ours: Scores, other: Scores) -> float:
    """Largest difference of a score as a share of the largest score of its input."""
    return max(
        max(abs(a - b) for a, b in zip(mine, its, strict=True)) / max(map(abs, mine))
        for mine, its in zip(ours, other, strict=True)
    )


def timed(ways: dict[str, Way], count: int, repeat: int) -> dict[str, dict[str, Any]]:
    """Seconds of each way, in turns; the first warms up, checks that all say the same, and counts where it is slow."""
    said: dict[str, Scores] = {}
    taken: dict[str, list[float]] = {}
    for turn in range(repeat + 1):
        for name, work in ways.items():
            if turn > 0 and taken[name][:1] > [SLOW]:
                continue
            start = time.process_time()
            scores = work()
            seconds = time.process_time() - start
            said.setdefault(name, scores)
            taken.setdefault(name, []).extend([seconds] if turn > 0 or seconds > SLOW else [])
    differences = {name: difference(said["ours"], scores) for name, scores in said.items() if "(" not in name}
    assert max(differences.values()) < 1e-3, differences
    best = min(taken["ours"])
    return {
        name: {
            "cpu_s": round(min(own), 4), "inputs_per_s": round(count / min(own), 3),
            "ratio_to_ours": round(min(own) / best, 2), "largest_difference": differences.get(name),
        }
        for name, own in taken.items()
    }  # fmt: skip


def as_markdown(found: dict[str, Any]) -> str:
    """The results as a table."""
    lines = [
        "# Token attributions: inputs per second of processor time", "",
        "<!-- Written by benchmarks/attribution_throughput.py; change that. -->", "", f"{found['machine']}.", "",
        "| model | shared tokens | method | inputs | way | inputs/s | ours is faster by | largest difference |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for run in found["runs"]:
        for way, row in run["ways"].items():
            apart = row["largest_difference"]
            lines.append(
                f"| {run['model']} ({run['parameters'] / 1e6:.2f} M) | {run['prefix']} | {run['method']} | "
                f"{run['inputs']} | {way} | {row['inputs_per_s']} | "
                f"{'' if way == 'ours' else row['ratio_to_ours']} | {'' if not apart else f'{apart:.0e}'} |"
            )
    return "\n".join([*lines, "", NOTES]) + "\n"


def check_installed() -> None:
    """Stops where the libraries to be compared with are not there."""
    try:
        import captum  # noqa: F401
        import inseq  # noqa: F401
    except ImportError as error:
        raise SystemExit(
            f"{error}: the comparison needs captum and inseq, best in an environment of their own beside the toolkit: "
            "pip install captum==0.9.0 inseq==0.7.1"
        ) from None


def setting() -> tuple[Any, str]:
    """The tokenizer that both benchmarks use, and what the numbers were taken on; one thread from here on."""
    import captum
    import torch
    import transformers

    from tiny_models import tiny_tokenizer  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.unk_token = "<|end|>"
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, captum {captum.__version__}, "
        f"inseq {importlib.metadata.version('inseq')}, 1 thread"
    )
    return tokenizer, machine


def main() -> None:
    """All methods on both models, with and without a shared instruction; runs of one replace those of the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--model", choices=("tiny", "small"), help="only this one; the other's results stay")
    parser.add_argument("--method", choices=METHODS, help="only this one; the others' results stay")
    parser.add_argument("--prefix", type=int, choices=(0, PREFIX), help="only with so many shared tokens, likewise")
    given = parser.parse_args()
    check_installed()
    tokenizer, machine = setting()
    runs = []
    for name, make in (("tiny", tiny_llama), ("small", small_llama)):
        if given.model not in (None, name):
            continue
        model = make(tokenizer)
        for prefix in (0, PREFIX) if given.prefix is None else (given.prefix,):
            ways = Ways(model, tokenizer, prefix)
            lengths = [len(ids) for ids, _, _ in ways.explained(ITEMS)]
            for method in METHODS if given.method is None else (given.method,):
                rows = timed(ways.of(method, ITEMS, whole_path=method == "integrated_gradients"), ITEMS, given.repeat)
                runs.append(
                    {
                        "model": name, "parameters": sum(weight.numel() for weight in model.parameters()),
                        "repeat": given.repeat, "prefix": prefix, "mean_tokens": round(sum(lengths) / len(lengths), 1),
                        "method": method, "inputs": ITEMS, "ways": rows,
                    }
                )  # fmt: skip
                print(name, prefix, method, flush=True)
                for way, row in rows.items():
                    print(f"  {way:22} {row}", flush=True)
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if RESULTS.is_file() else []
    new = {(run["model"], run["prefix"], run["method"]) for run in runs}
    runs += [run for run in kept if (run["model"], run["prefix"], run["method"]) not in new]
    order = sorted(runs, key=lambda run: (int(run["parameters"]), int(run["prefix"]), METHODS.index(run["method"])))
    found = {"machine": machine, "runs": order}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    RESULTS.with_suffix(".md").write_text(as_markdown(found), encoding="utf-8")


if __name__ == "__main__":
    main()
