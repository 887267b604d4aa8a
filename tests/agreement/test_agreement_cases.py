"""Published values: small ones copied as numbers, and the whole case file where it is at hand."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfar_toolkit.agreement import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha, percent_agreement

Triples = list[tuple[Any, Any, Any]]


def raters_by_items(values: list[list[Any]]) -> Triples:
    return [(i, j, v) for j, row in enumerate(values) for i, v in enumerate(row) if v is not None]


def item_counts(values: list[list[int]]) -> Triples:
    lists = [list(chain.from_iterable([c] * n for c, n in enumerate(row))) for row in values]
    return [(i, j, v) for i, row in enumerate(lists) for j, v in enumerate(row)]


def contingency(values: list[list[int]]) -> Triples:
    pairs = [(a, b) for a, row in enumerate(values) for b, n in enumerate(row) for _ in range(n)]
    return [(i, j, v) for i, pair in enumerate(pairs) for j, v in enumerate(pair)]


def triples(data: dict[str, Any]) -> Triples:
    values = data["values"]
    if data["format"] == "raters_x_items":
        return raters_by_items(values)
    if data["format"] == "item_counts":
        return item_counts(values)
    if data["format"] == "contingency":
        return contingency(values)
    if data["format"] == "long_rater_item_value":
        return [(item, rater, value) for rater, item, value in values]
    return [(item, rater, value) for item, rater, value in values]


STATISTICS = {
    "percent_agreement": percent_agreement,
    "krippendorff_alpha": krippendorff_alpha,
    "fleiss_kappa": fleiss_kappa,
    "gwet_ac1": gwet_ac1,
    "cohen_kappa": cohen_kappa,
}

# Krippendorff (2011), observers A to D, 12 units, the last one with a single rating.
K2011_C = raters_by_items(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
)
# Gwet (2014), four raters, 12 subjects.
GWET = raters_by_items(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, None],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 3],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
)


@pytest.mark.parametrize(
    ("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_own_example_at_all_four_levels(level: Any, expected: float) -> None:
    assert krippendorff_alpha(K2011_C, level=level, ci=None).value == pytest.approx(expected, abs=5.1e-4)


def test_gwets_example_of_four_raters() -> None:
    assert percent_agreement(GWET, ci=None).value == pytest.approx(0.8181818, abs=5.1e-8)
    assert gwet_ac1(GWET, ci=None).value == pytest.approx(0.77544, abs=5.1e-6)
    assert fleiss_kappa(GWET, ci=None).value == pytest.approx(0.76117, abs=5.1e-6)
    assert krippendorff_alpha(GWET, ci=None).value == pytest.approx(0.74342, abs=5.1e-6)


def test_cohens_own_table() -> None:
    table = contingency([[88, 10, 2], [14, 40, 6], [18, 10, 12]])
    assert cohen_kappa(table, ci=None).value == pytest.approx(0.492, abs=5.1e-4)


def test_fleiss_on_the_table_of_the_encyclopaedia() -> None:
    table = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]]
    table += [[7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    assert fleiss_kappa(item_counts(table), ci=None).value == pytest.approx(0.210, abs=5.1e-4)


def test_every_published_case(shared_cases: Path) -> None:
    read = json.loads((shared_cases / "agreement_cases.json").read_text(encoding="utf-8"))
    checked, unlike = 0, []
    for case in read["cases"]:
        params = case["params"]
        if case["statistic"] not in STATISTICS or not set(params) <= {"level"}:
            continue  # weights and standard errors of other packages
        found = STATISTICS[case["statistic"]](triples(read["datasets"][case["dataset"]]), ci=None, **params)
        checked += 1
        if not np.isclose(found.value, case["expected"], rtol=0, atol=case["tol"]):
            unlike.append((case["id"], found.value))
    assert checked > 80
    assert unlike == []
