"""Rows of an explained item become outputs: labels go by the options' own names throughout."""

from __future__ import annotations

import polars as pl

from dfar_toolkit.runners.answers import Reading
from dfar_toolkit.runners.rationales.explained_table import explained_table


def test_labels_that_a_rationale_names_are_the_options_too() -> None:
    shared = {"item_id": "i", "sample": 0, "annotator_id": "", "operator": "", "k": -1, "draw": 0}
    full = {"condition": "full", "method": "", "label": "good", "raw": None, "error": None}
    why = {"condition": "rationale", "method": "prompted_counterfactual", "target": "good", "contrast": "bad",
           "asked_label": "bad", "counterfactual_label": "good", "raw": "some text", "word_scores": None}  # fmt: skip
    said = pl.DataFrame([shared | full, shared | why], infer_schema_length=None)
    reading = Reading("r", "q", ("fair", "unfair"), says={"good": "fair", "bad": "unfair"})
    row = explained_table(said, reading).filter(condition="rationale").row(0, named=True)
    found = [row[name] for name in ("target", "contrast", "asked_label", "counterfactual_label")]
    assert found == ["fair", "unfair", "unfair", "fair"]
    assert row["raw"] == "some text"
