"""A report's data with everything in it, and with any labels and names."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.report.document import Comparison, ReportData

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
LINK = "![x](http://outside.example/x) | *a*"
ODD = 'a\x08b\u202ec {{ 7 * 7 }} \' \\ {"signal": "1"}'
HOSTILE = (SCRIPT, IMAGE, ODD)
NAN = float("nan")


def row(metric: str, run: str, value: float, **beside: object) -> dict[str, object]:
    filled = {
        "metric": metric, "subset": "all", "run_id": run, "label": None, "name": metric, "value": value,
        "low": value - 0.05, "high": value + 0.05, "n": 500, "n_units": 480, "unit": "groups", "scope": "items",
        "method": "bootstrap", "confidence": 0.95, "note": "",
    }  # fmt: skip
    return filled | beside


def example(
    *,
    options: Sequence[str] = ("ethical", "unethical"),
    runs: Sequence[str] = ("plain", "reasons"),
    title: str = "A set",
) -> ReportData:
    """Two runs with scores, confusions, a comparison, judgements, findings and agreement."""
    a, b = runs
    scores = [row(m, r, 0.6, subset=s) for r in runs for s in ("all", "clean") for m in ("accuracy", "macro_f1")]
    scores += [row("majority_baseline", r, 0.55, subset=s) for r in runs for s in ("all", "clean")]
    scores += [row("missing_outputs", a, 3.0, low=NAN, high=NAN)]
    scores += [
        row("f1", a, NAN, low=NAN, high=NAN, label=o, note=f'"{o}" is neither gold nor predicted') for o in options
    ]
    scores += [row("mar_mean", r, 0.2) for r in ("human", b)]
    scores += [row("mar_mean", a, NAN, low=NAN, high=NAN, note="no reason was judged")]
    cells = [(g, p, 7 + i) for i, g in enumerate(options) for p in (*options, None)]
    confusion = pl.DataFrame(cells, schema=["gold", "pred", "count"], orient="row")
    beside = {"run_a": a, "run_b": b, "p_value": 0.012, "test": "McNemar", "family": "primary", "p_holm": 0.012}
    differences = pl.DataFrame([row("accuracy", b, 0.05, **beside)])
    cell = {"subset": "all", "run_a": a, "run_b": b, "a_right": True, "b_right": False, "count": 1234}
    compared = Comparison((a, b), "accuracy", differences, right_wrong=pl.DataFrame([cell]), notes={"all": options[0]})
    finding = {
        "finding": "leak.exact",
        "severity": "fail",
        "count": 189,
        "total": 500,
        "examples": [options[0]] * 5,
        "note": "",
    }
    absent = finding | {"finding": "label.range", "count": 0, "examples": []}
    odd = finding | {"finding": options[0], "severity": options[0], "note": options[-1]}
    estimated = {"n": 5000, "n_units": 1120, "unit": "groups", "method": "bootstrap", "confidence": 0.95, "note": ""}
    alpha = {"statistic": "krippendorff_alpha", "level": "nominal", "question": "label", **estimated}
    alpha |= {"value": 0.347, "low": 0.311, "high": 0.383}
    undefined = alpha | {"statistic": "cohen_kappa", "value": None, "low": None, "high": None, "note": "three raters"}
    return ReportData(
        title=title,
        facts={"name": options[0], "rows": "5,000"},
        findings=[finding, absent, odd],
        agreement=[alpha, undefined, alpha | {"statistic": options[-1]}],
        scores=pl.DataFrame(scores),
        confusions=dict.fromkeys(runs, confusion),
        comparison=compared,
        protocol={"wording": options[0], "shown": ["statement", "label"], "blind": True},
        notes=[f"About {options[-1]}."],
    )
