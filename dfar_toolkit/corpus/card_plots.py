"""Pictures beside a card, as PNG files in ``plots/``: labels, disagreement, lengths, agreement.

Each is drawn from counts, never from rows: labels and the spread of votes stand in the manifest, lengths are counted
by polars. The same counts give the same bytes. Where there is nothing to show, words say so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import polars as pl

from dfar_toolkit.corpus.composition import BINS
from dfar_toolkit.corpus.plot_charts import (
    MOST_SERIES,
    histogram_chart,
    intervals_chart,
    lengths_chart,
    minority_chart,
    shares_chart,
)
from dfar_toolkit.markup import one_line

if TYPE_CHECKING:
    import altair as alt

FOLDER: Final = "plots"
_SCALE: Final = 2  # twice the pixels, for sharp screens
_MOST_CONFIGS: Final = 8
_MOST_ROWS: Final = 30
_SAID: Final = 6  # shares that the words of a picture tell
_STEPS: Final = 20
_ALPHA: Final = ("krippendorff_alpha", "set_alpha")
_PAIRWISE: Final = "cohen_kappa"
_LONGEST_NAME: Final = 60  # characters of a label in the words of a picture

Rows = list[dict[str, Any]]


class Picture(NamedTuple):
    """A chart before it is drawn: the card's block it belongs to, its file, its heading, and what it shows in words."""

    block: str
    name: str
    title: str
    alt: str
    draw: Callable[[], alt.LayerChart]


def write_plots(
    folder: Path, manifest: Mapping[str, Any], *, agreement: Sequence[Mapping[str, Any]]
) -> dict[str, list[Any]]:
    """Draw the pictures of an items folder whose tables are written.

    Args:
        folder: The items folder; ``plots/`` in it is filled, and pictures of an earlier card are removed.
        manifest: The manifest.
        agreement: The rows of ``agreement.json``.

    Returns:
        ``drawn``: per picture the card's ``block``, ``file``, ``title`` and ``alt``; ``skipped``: per block a ``note``
        on what was not drawn.
    """
    for earlier in (manifest.get("plots") or {}).get("drawn", ()):
        old = folder / FOLDER / Path(str(earlier["file"])).name
        old.unlink(missing_ok=True)
    skipped: list[dict[str, str]] = []
    pictures = [
        *_labels(folder, manifest, skipped),
        *_disagreement(manifest, skipped),
        *_lengths(folder),
        *_agreement(agreement, skipped),
    ]
    drawn = []
    for picture in pictures:
        path = folder / FOLDER / f"{picture.name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_png(json.dumps(picture.draw().to_dict())))
        facts = {"block": picture.block, "file": f"{FOLDER}/{path.name}"}
        drawn.append({**facts, "title": picture.title, "alt": picture.alt})
    return {"drawn": drawn, "skipped": skipped}


@lru_cache(maxsize=32)
def _png(chart: str) -> bytes:
    """A chart as PNG, without a browser or a network; fonts are those that the drawing library brings."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart, scale=_SCALE, allowed_base_urls=[]))


def _file(what: str, config: str) -> str:
    """The name of a config's picture, which stays in its folder whatever the config is called."""
    return f"{what}-{quote(config, safe='')}"


def _note(block: str, note: str) -> dict[str, str]:
    """Words in place of a picture."""
    return {"block": block, "note": note}


def _labels(folder: Path, manifest: Mapping[str, Any], skipped: list[dict[str, str]]) -> list[Picture]:
    """How the items of each config are labelled, by split; all splits together where there are too many."""
    pictures = []
    configs = manifest["configs"]
    if len(configs) > _MOST_CONFIGS:
        skipped.append(
            _note("composition", f"Labels are drawn for the first {_MOST_CONFIGS} of {len(configs)} configurations.")
        )
    for config, its in list(configs.items())[:_MOST_CONFIGS]:
        question = _question(manifest, config)
        options = [str(option) for option in question["options"]]
        if not options:
            pictures += _numbers(folder, config, str(question["question"]), skipped)
            continue
        splits = {name: facts for name, facts in its["splits"].items() if facts["rows"]}
        if len(splits) > MOST_SERIES:
            skipped.append(_note("composition", f"The {len(splits)} splits of {one_line(config)} are drawn as one."))
            splits = {"all splits": _pooled(list(splits.values()))}
        none = any(facts["unlabelled"] for facts in splits.values())
        counts = {s: {**f["labels"], **({"(no label)": f["unlabelled"]} if none else {})} for s, f in splits.items()}
        shown = [*options[:_MOST_ROWS], *(["(no label)"] if none else [])]
        if len(options) > _MOST_ROWS:
            skipped.append(
                _note(
                    "composition",
                    f"Labels of {one_line(config)}: the first {_MOST_ROWS} of {len(options)} options are drawn.",
                )
            )
        rows = [
            {"option": option, "series": split, "share": counts[split].get(option, 0) / facts["rows"]}
            for option in shown
            for split, facts in splits.items()
        ]
        alt = f"Plot: share of the items of {one_line(config)} with each label. {_told(rows)}"
        pictures.append(
            Picture(
                "composition",
                _file("labels", config),
                f"Labels of {one_line(config)}",
                alt,
                _drawing(shares_chart, rows),
            )
        )
    return pictures


def _question(manifest: Mapping[str, Any], config: str) -> Mapping[str, Any]:
    """The primary question of a config."""
    asked: Sequence[Mapping[str, Any]] = manifest["questions"]
    return next((q for q in asked if q.get("primary_of") == config), asked[0])


def _pooled(splits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    labels: dict[str, int] = {}
    for facts in splits:
        for label, n in facts["labels"].items():
            labels[label] = labels.get(label, 0) + n
    rows, unlabelled = (sum(facts[key] for facts in splits) for key in ("rows", "unlabelled"))
    return {"rows": rows, "labels": labels, "unlabelled": unlabelled}


def _told(rows: Rows) -> str:
    """The largest shares of each series in words, as many as one can listen to."""
    parts = []
    for name in list(dict.fromkeys(str(r["series"]) for r in rows))[:3]:
        own = sorted((r for r in rows if r["series"] == name and r["share"]), key=lambda r: -r["share"])[: _SAID // 2]
        said = ", ".join(f"{one_line(r['option'])[:_LONGEST_NAME]} {r['share']:.1%}" for r in own)
        parts.append(f"{one_line(name)}: {said}")
    return "; ".join(parts) + "."


def _numbers(folder: Path, config: str, question: str, skipped: list[dict[str, str]]) -> list[Picture]:
    """A question without options: a histogram of the items' values."""
    of = pl.col("question") == question
    found = pl.scan_parquet(folder / "targets.parquet").filter(of).select("value").collect()["value"].drop_nulls()
    found = found.filter(found.is_finite())
    if not len(found):
        skipped.append(_note("composition", f"Labels of {one_line(config)} are not drawn: no item has one."))
        return []
    least, most = float(str(found.min())), float(str(found.max()))
    width = (most - least) / _STEPS or 1.0
    step = ((found - least) / width).floor().clip(0, _STEPS - 1).cast(pl.Int64)
    counts = dict(step.value_counts().sort(step.name).iter_rows())
    rows = [
        {"low": least + i * width, "high": least + (i + 1) * width, "share": n / len(found)} for i, n in counts.items()
    ]
    title = f"mean rating, {one_line(question)[:_LONGEST_NAME]}"
    alt = f"Histogram of the {title}: from {least:g} to {most:g} over {_items(len(found))}."
    return [
        Picture(
            "composition",
            _file("labels", config),
            f"Labels of {one_line(config)}",
            alt,
            _drawing(lambda r: histogram_chart(r, title=title), rows),
        )
    ]


def _items(n: int) -> str:
    return f"{n} item" + ("" if n == 1 else "s")


def _disagreement(manifest: Mapping[str, Any], skipped: list[dict[str, str]]) -> list[Picture]:
    """By config, how large the minority is on the items that two or more judged."""
    if "divided" not in manifest:  # built by an earlier release: the card says so
        return []
    divided = {row["question"]: row for row in manifest["divided"]}
    if not divided:  # the card says so once, for all configs
        return []
    pictures = []
    for config in list(manifest["configs"])[:_MOST_CONFIGS]:
        row = divided.get(_question(manifest, config)["question"])
        if row is None:
            skipped.append(
                _note(
                    "disagreement",
                    f"Disagreement in {one_line(config)} is not drawn: it needs two votes for single options.",
                )
            )
            continue
        sizes = ["none", *(f"to {10 * (i + 1)} %" for i in range(BINS))]
        last = max(i for i, n in enumerate(row["minority"]) if n)
        rows = [
            {"size": size, "share": n / row["of"]}
            for size, n in list(zip(sizes, row["minority"], strict=True))[: max(last, BINS // 2) + 1]
        ]
        most = max(rows[1:], key=lambda r: float(str(r["share"])))
        alt = (
            f"Plot: share of the {_items(row['of'])} of {one_line(config)} with two votes or more, by the share of "
            f"votes outside the largest group: all agree on {rows[0]['share']:.1%}"
        )
        if most["share"]:
            upper = 10 * sizes.index(str(most["size"]))
            alt += f", and the commonest size of a minority is above {upper - 10} and up to {upper} %"
        alt += "."
        pictures.append(
            Picture(
                "disagreement",
                _file("disagreement", config),
                f"Votes of {one_line(config)}",
                alt,
                _drawing(minority_chart, rows),
            )
        )
    return pictures


def _lengths(folder: Path) -> list[Picture]:
    """Characters of statements and of reasons, in two steps to a doubling."""
    items = pl.scan_parquet(sorted(folder.glob("data/*/*.parquet")), missing_columns="insert")
    texts = {"statements": items.select(pl.col("statement").alias("text"))}
    given = pl.scan_parquet(folder / "annotations.parquet").select(pl.col("reason").str.strip_chars().alias("text"))
    texts["reasons"] = given.filter(pl.col("text") != "")
    rows: Rows = []
    said = []
    for series, frame in texts.items():
        counted = frame.select(pl.col("text").str.len_chars().alias("n")).drop_nulls().group_by("n").len().collect()
        if not counted.height:
            continue
        counted = counted.sort("n")
        total = counted["len"].sum()
        middle = counted.filter(pl.col("len").cum_sum() * 2 >= total)["n"][0]
        said.append(f"half of the {series} have {middle} characters or fewer")
        step = (2 * pl.col("n").clip(1).log(2)).floor().cast(pl.Int64)
        by_step = dict(counted.group_by(step.alias("step")).agg(pl.col("len").sum()).sort("step").iter_rows())
        first, last = min(by_step), max(by_step)
        rows += [
            {"series": series, "low": round(math.sqrt(2) ** i, 4), "share": by_step.get(i, 0) / total}
            for i in range(first, last + 2)
        ]
    alt = f"Plot: share of the texts by their number of characters; {' and '.join(said)}."
    return (
        [Picture("composition", "lengths", "Lengths of the texts", alt, _drawing(lengths_chart, rows))] if rows else []
    )


def _agreement(agreement: Sequence[Mapping[str, Any]], skipped: list[dict[str, str]]) -> list[Picture]:
    """Several questions: alpha of each; one question: all of its statistics."""
    rows = [row for row in agreement if row["statistic"] != _PAIRWISE and row["value"] is not None]
    several = len({row["question"] for row in rows}) > 1
    if several:
        rows = [row for row in rows if row["statistic"] in _ALPHA]
    if not rows:
        skipped.append(_note("agreement", "Agreement is not drawn: no statistic of it is defined here."))
        return []
    if len(rows) > _MOST_ROWS:
        skipped.append(
            _note("agreement", f"Agreement is drawn for the first {_MOST_ROWS} of {len(rows)} rows of its table.")
        )
    points: Rows = []
    for row in rows[:_MOST_ROWS]:
        whole = row["low"] is not None and row["high"] is not None
        name = f"{row['question']}{_distance(row)}" if several else f"{row['name']}"
        ends = (row["low"], row["high"]) if whole else (row["value"], row["value"])
        points.append({"name": name, "value": row["value"], "low": ends[0], "high": ends[1]})
    what = "Krippendorff's alpha of each question" if several else f"agreement on {one_line(rows[0]['question'])}"
    said = ", ".join(f"{one_line(p['name'])[:_LONGEST_NAME]} {p['value']:.2f}" for p in points[:_SAID])
    more = f" and {len(points) - _SAID} further" if len(points) > _SAID else ""
    alt = f"Plot of values with intervals: {what}. {said}{more}."
    return [Picture("agreement", "agreement", "Agreement", alt, _drawing(intervals_chart, points))]


def _distance(row: Mapping[str, Any]) -> str:
    return f" ({row['level']})" if row["statistic"] == "set_alpha" else ""


def _drawing(chart: Callable[[Rows], alt.LayerChart], rows: Rows) -> Callable[[], alt.LayerChart]:
    return lambda: chart(rows)
