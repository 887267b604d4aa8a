"""Words and phrases of the user's own lists: how many statements and reasons hold one, by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from dfar_toolkit.corpus.findings import N_EXAMPLES, ON_DEMAND, Finding, excerpt
from dfar_toolkit.corpus.shingles import comparison_text
from dfar_toolkit.corpus.text_lines import text_lines
from dfar_toolkit.errors import TableError
from dfar_toolkit.estimate import Estimate, estimates_frame, proportion

_NAME: Final = "words.listed"


def read_word_list(path: Path) -> list[str]:
    r"""Words and phrases of a file, one a line; blank lines are passed over.

    Raises:
        TableError: The file is missing, empty, not UTF-8, or holds no word.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "words.txt"
        >>> _ = path.write_text("fool\nhalf wit\n")
        >>> read_word_list(path)
        ['fool', 'half wit']
    """
    words = [w.strip() for w in text_lines(path) if w.strip()]
    if not words:
        raise TableError(f"{path}: wanted words or phrases, one a line; found none.")
    return words


def holds_listed(texts: pl.Series, words: Sequence[str]) -> pl.Series:
    """Whether each text holds one of the words or phrases, as whole words, whatever the case; null holds none.

    Texts and words are compared as the toolkit compares texts elsewhere (``tables.normalised_text``: NFKC, case folded,
    everything that is no letter, mark, digit or ``_`` taken as a space), so "half-wit" is found by "half wit" and
    "fools" is not found by "fool". A word of signs alone, such as an emoji, is found anywhere.

    Example:
        >>> holds_listed(pl.Series(["You FOOL!", "foolish", None]), ["fool"]).to_list()
        [True, False, False]
    """
    plain = pl.DataFrame({"w": [w for w in words if w.strip()]}, schema={"w": pl.String})
    plain = plain.select(comparison_text(pl.col("w"))).unique().sort("w")
    letters = plain["w"].str.contains(r"[\p{L}\p{M}\p{N}_]")
    given = texts.cast(pl.String).fill_null("").to_frame("t")
    hit = pl.lit(False)
    if letters.any():
        whole = [f" {w} " for w in plain["w"].filter(letters)]
        padded = pl.concat_str(pl.lit(" "), comparison_text(pl.col("t")), pl.lit(" "))
        hit = hit | padded.str.contains_any(whole)
    if not letters.all():
        hit = hit | pl.col("t").str.contains_any(plain["w"].filter(~letters).to_list())
    return given.with_columns(hit.alias("hit"))["hit"].rename(texts.name)


def word_shares(
    items: pl.DataFrame,
    reasons: pl.DataFrame,
    lists: Mapping[str, Sequence[str]],
    *,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Share of statements and of reasons that hold a word of each list, overall and by label, with Wilson's interval.

    Args:
        items: ``item_id, statement, label`` and, where present, ``group``, (n,).
        reasons: ``item_id, value, text``, as ``given_reasons`` returns them; a reason is labelled by its value.
        lists: Words and phrases by the name of the list.
        confidence: Two-sided coverage.

    Returns:
        Rows ``words`` (the list), ``where`` (statement, reason), ``label`` (null: all together), ``count`` and
        Estimate's fields.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p", "q"], "statement": ["You fool!", "I paid."],
        ...                       "label": ["bad", "good"]})
        >>> none = pl.DataFrame(schema=dict.fromkeys(("item_id", "value", "text"), pl.String))
        >>> word_shares(items, none, {"insults": ["fool"]}).select("where", "label", "count", "n").rows()
        [('statement', None, 1, 2), ('statement', 'bad', 1, 1), ('statement', 'good', 0, 1), ('reason', None, 0, 0)]
    """
    units = items["group"] if "group" in items.columns else items["item_id"]
    groups = items.select("item_id", unit=units).unique("item_id", keep="first")
    label = pl.col("label").cast(pl.String)
    statements = items.select("item_id", label.alias("label"), pl.col("statement").alias("text"))
    texts = {"statement": statements, "reason": reasons.select("item_id", pl.col("value").alias("label"), "text")}
    beside: list[dict[str, object]] = []
    estimates: list[Estimate] = []
    for name, words in lists.items():
        for where, rows in texts.items():
            own = rows.join(groups, on="item_id", how="left", maintain_order="left")
            own = own.with_columns(holds_listed(own["text"], words).alias("hit"))
            for value in [None, *own["label"].drop_nulls().unique().sort().to_list()]:
                part = own if value is None else own.filter(pl.col("label") == value)
                title = f"share of {where}s with a word of {name}" + ("" if value is None else f', labelled "{value}"')
                found = proportion(title, part["hit"], groups=part["unit"], confidence=confidence)
                beside.append({"words": name, "where": where, "label": value, "count": int(part["hit"].sum())})
                estimates.append(found)
    schema = {"words": pl.String, "where": pl.String, "label": pl.String, "count": pl.Int64}
    return pl.concat([pl.DataFrame(beside, schema=schema), estimates_frame(estimates)], how="horizontal")


def word_finding(
    items: pl.DataFrame, reasons: pl.DataFrame, lists: Mapping[str, Sequence[str]], shares: pl.DataFrame
) -> Finding:
    """``words.listed``: items with a word of any list in the statement or a reason, with the shares of each list.

    Example:
        >>> items = pl.DataFrame({"item_id": ["p"], "statement": ["You fool!"], "label": ["bad"]})
        >>> none = pl.DataFrame(schema=dict.fromkeys(("item_id", "value", "text"), pl.String))
        >>> lists = {"insults": ["fool"]}
        >>> word_finding(items, none, lists, word_shares(items, none, lists)).count
        1
    """
    every = [w for words in lists.values() for w in words]
    rows = pl.concat(
        [items.select("item_id", pl.col("statement").alias("text")), reasons.select("item_id", "text")]
    ).drop_nulls("text")
    hits = rows.filter(holds_listed(rows["text"], every)).unique("item_id", keep="first", maintain_order=True)
    examples = tuple(f"{excerpt(i)}: {excerpt(t)}" for i, t in hits.head(N_EXAMPLES).iter_rows())
    whole = shares.filter(pl.col("label").is_null() & (pl.col("n") > 0))
    said = [
        f"{excerpt(r['words'], length=30)}: {r['count']} of {r['n']} {r['where']}s"
        for r in whole.iter_rows(named=True)
    ]  # fmt: skip
    return Finding(_NAME, ON_DEMAND[_NAME], hits.height, items.height, examples, "; ".join(said))
