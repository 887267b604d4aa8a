"""A table of scores with every part in it, and with any names of runs, labels and judges."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from report_example import NAN, row

LEFT = "2 of 60 items without a distribution on both sides left out"


def score(part: str, metric: str, run: str | None, value: float, **beside: object) -> dict[str, object]:
    """A row of a table of all scores."""
    whole: dict[str, object] = {"predictor": None, "part": part}
    if value != value or beside.pop("bare", False):
        whole |= {"low": NAN, "high": NAN}
    return row(metric, "", value) | {"run_id": run} | whole | beside


def parts_example(
    runs: Sequence[str] = ("plain", "reasons"), label: str = "ethical", judge: str = "gpt"
) -> pl.DataFrame:
    """Scores of two runs in all parts; the second has collapsed and gave reasons."""
    rows = [r for run in runs for r in _of_run(run, label)]
    collapse = f'collapse: always "{label}"; the gold is "other" on 60.0 % (p = 0.0039); 1 without an answer left out'
    rows = [r | {"note": collapse} if r["metric"] == "top_answer_share" and r["run_id"] == runs[1] else r for r in rows]
    rows += _reasons(runs[1])
    rows += [score("judging", "mar_mean", run, 0.2) for run in (runs[1], "human")]
    rows += [score("judging", "error_type_share", runs[1], 0.3, label=label)]
    rows += [score("judging", "judge_kappa", None, 0.7, predictor=judge, note="3 reasons left out")]
    rows += [score("judging", "judge_accuracy", None, 0.9, predictor=judge, note="3 reasons left out")]
    rows += [score("judging", "judge_sensitivity", None, 0.5, predictor=judge, label=label, note="3 reasons left out")]
    rows += [
        score("judging", "mar_prediction_powered", runs[1], NAN, predictor=judge, note="refused: no inclusion_prob")
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _of_run(run: str, label: str) -> list[dict[str, object]]:
    found = [score("labels", "accuracy", run, 0.8), score("labels", "f1", run, 0.7, label=label)]
    found += [score("ordinal", "quadratic_kappa", run, 0.6)]
    found += [score("bias", m, run, 0.5, label=label, note="1 without an answer left out")
              for m in ("predicted_share", "gold_share", "top_answer_share", "gold_top_share")]  # fmt: skip
    found += [score("bias", "share_difference", run, 0.1, label=label, method="sign-flip")]
    found += [score("bias", m, run, 0.0042, bare=True) for m in ("label_homogeneity_p", "collapse_p")]
    found += [score("bias", "effective_labels", run, 1.1, bare=True)]
    found += [score("soft", m, run, 0.4, note=LEFT) for m in ("soft_cross_entropy", "total_variation", "kl_divergence")]
    found += [score("soft", "total_variation", run, v, predictor=p, note=f"{LEFT}; expected")
              for p, v in (("uniform", 0.5), ("corpus_mean", 0.45), ("perfect_model", 0.1))]  # fmt: skip
    found += [score("soft", "soft_cross_entropy", run, NAN, predictor="hard_majority", note="it would be infinite")]
    found += [score("soft", "option_mass", run, 0.96, note=LEFT)]
    found += [score("ceiling", "ceiling_soft_cross_entropy", run, 0.3, predictor="best", note="not a bound"),
              score("ceiling", "ceiling_accuracy", run, 0.9, predictor="best", note="not a bound"),
              score("ceiling", "ceiling_accuracy", run, 0.85, predictor="held_out_rater"),
              score("ceiling", "share_of_ceiling_soft_cross_entropy", run, 0.66)]  # fmt: skip
    found += [score("calibration", "human_calibration_error", run, 0.01, note=LEFT)]
    found += [score("calibration", "ece_majority", run, 0.1, bare=True, note=f"{LEFT}; no interval: never 0")]
    found += [score("calibration", "mce_majority", run, 0.2, bare=True, note=f"{LEFT}; no interval: never 0")]
    found += [score("people", m, run, v, predictor="people" if m.endswith("_people") else None, note="6 left out")
              for m, v in (("kappa_run", 0.5), ("kappa_people", 0.6), ("kappa_difference", -0.1),
                           ("alpha_with_run", 0.55))]  # fmt: skip
    return [*found, score("people", "alt_test_winning_rate", run, NAN, note="1 annotators tested, 3 wanted")]


def _reasons(run: str) -> list[dict[str, object]]:
    found = [score("reasons", "reason_share", run, 0.9)]
    found += [score("reasons", m, run, v, note="4 without a reason left out")
              for m, v in (("reason_words", 20.0), ("rouge_l_mean", 0.11), ("rouge_l_mean_floor", 0.08),
                           ("rouge_l_mean_run_minus_floor", 0.03), ("rouge_l_mean_ceiling", 0.12))]  # fmt: skip
    return [*found, score("reasons", "rouge_l_mean_position", run, NAN, note="draws undefined")]


def curve(runs: Sequence[str] = ("plain", "reasons")) -> pl.DataFrame:
    """Reliability curves of three bins, the last without a band."""
    bins = [(0.5, 0.6, 0.55, 0.4), (0.6, 0.8, 0.7, 0.75), (0.8, 1.0, 0.95, 1.0)]
    return pl.DataFrame(
        [
            row("observed share", run, value, option="", bin=i, bin_low=low, bin_high=high, mean_predicted=mean,
                band_low=NAN if value == 1 else mean - 0.1, band_high=NAN if value == 1 else mean + 0.1)
            for run in runs
            for i, (low, high, mean, value) in enumerate(bins)
        ]
    )  # fmt: skip
