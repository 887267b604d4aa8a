"""Small items, outputs and judgements for tests, conformed to the tables."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dfar_toolkit.tables import conform


def make_items(
    labels: Sequence[str | None],
    *,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    leaks: Sequence[str | None] | None = None,
    splits: Sequence[str] | None = None,
) -> pl.DataFrame:
    n = len(labels)
    ids = [f"i{k}" for k in range(n)] if ids is None else list(ids)
    frame = pl.DataFrame(
        {
            "item_id": ids,
            "label": labels,
            "group": ids if groups is None else groups,
            "leak_kind": [None] * n if leaks is None else leaks,
            "split": ["test"] * n if splits is None else splits,
            "statement": ids,
            "text_key": [f"{k:016x}" for k in range(n)],
            "source": ["made"] * n,
            "context": [[]] * n,
            "reasons": [[]] * n,
        },
        schema_overrides={"item_id": pl.String, "label": pl.String, "leak_kind": pl.String, "group": pl.String},
    )
    return conform(frame, "items")


def make_outputs(labels: dict[str, str | None], *, run: str = "m", **columns: Sequence[object]) -> pl.DataFrame:
    """Outputs of one run: item id to label, further columns by name."""
    frame = pl.DataFrame(
        {"item_id": list(labels), "label": list(labels.values()), **columns}, schema_overrides={"label": pl.String}
    )
    sample = pl.col("sample") if "sample" in columns else pl.lit(0)
    frame = frame.with_columns(run_id=pl.lit(run), question=pl.lit("q")).with_columns(
        output_id=pl.concat_str(pl.lit(run), "item_id", pl.lit("q"), sample.cast(pl.String), separator="/")
    )
    return conform(frame, "outputs")


def make_judgements(votes: dict[str, str], *, run: str = "m") -> pl.DataFrame:
    """One letter per judge and item: b bad, g good, - no verdict. {"i0": "bgg"} is three judges on item i0."""
    word = {"b": "bad", "g": "good", "-": None}
    rows = [
        {"judge_id": f"j{k}", "item_id": item, "value": word[v]}
        for item, said in votes.items()
        for k, v in enumerate(said)
    ]
    frame = pl.DataFrame(rows, schema={"judge_id": pl.String, "item_id": pl.String, "value": pl.String})
    frame = frame.with_columns(run_id=pl.lit(run), question=pl.lit("reason_ok")).with_columns(
        output_id=pl.concat_str(pl.lit(run), "item_id", pl.lit("q/0"), separator="/")
    )
    return conform(frame, "judgements")
