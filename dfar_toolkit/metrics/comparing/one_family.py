"""All values of a column as one family of tests."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from dfar_toolkit.metrics.comparing.differences import PRIMARY


def as_one_family(differences: pl.DataFrame, subsets: Collection[str], *, by: str) -> pl.DataFrame:
    """Holm's correction over all pairs on the primary metric in all of several subsets together.

    Args:
        differences: Rows with ``subset, family, p_value, p_holm, note``.
        subsets: Names of those that are one family; the rows of others stay as they are.
        by: The column that the subsets are values of, for the note.

    Returns:
        The rows in their order, ``p_holm`` of the family anew.

    Example:
        Two subsets with one pair each: the smaller p is doubled, the larger is its own.

        >>> rows = pl.DataFrame({"subset": ["x=1", "x=2"], "family": ["primary"] * 2, "p_value": [0.01, 0.04],
        ...                      "p_holm": [0.01, 0.04], "note": ["", "b"]})
        >>> as_one_family(rows, ["x=1", "x=2"], by="x").select("p_holm", "note").rows()
        [(0.02, 'Holm over 2 tests: pairs x values of x'), (0.04, 'b; Holm over 2 tests: pairs x values of x')]
    """
    from dfar_toolkit.metrics.judging.multiple_testing import holm

    member = (pl.col("family") == PRIMARY) & pl.col("subset").is_in(list(subsets)) & pl.col("p_value").is_not_null()
    numbered = differences.with_row_index("place")
    tested = numbered.filter(member)
    if not len(tested):
        return differences
    corrected = tested.select("place", pl.Series("anew", holm(tested["p_value"].to_list()), dtype=pl.Float64))
    said = f"Holm over {len(tested)} tests: pairs x values of {by}"
    parted = pl.when(pl.col("note") == "").then(pl.lit(said)).otherwise(pl.col("note") + pl.lit(f"; {said}"))
    joined = numbered.join(corrected, on="place", how="left", maintain_order="left")
    known = pl.col("anew").is_not_null()
    return joined.with_columns(
        pl.coalesce("anew", "p_holm").alias("p_holm"), pl.when(known).then(parted).otherwise("note").alias("note")
    ).drop("place", "anew")
