"""People and models in camps: everybody who gives the same value stands together, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from dfar_toolkit._viewer.addresses import EVERYTHING
from dfar_toolkit._viewer.item_found import MarkedText, marked_reason
from dfar_toolkit._viewer.item_place import ItemPlace, list_of
from dfar_toolkit._viewer.item_statement import option_texts, options_of, question_of
from dfar_toolkit.browsing.camps import Camp, QuestionCamps, Voice, question_camps
from dfar_toolkit.browsing.item_record import ItemRecord, RunRecord
from dfar_toolkit.browsing.word_rationales import field_texts
from dfar_toolkit.tables import HUMAN_RUN

SHOWN: Final = 12  # people of a camp whose reasons are shown unasked
_MOST: Final = 400  # people of a camp that are on the page at all
_CAMPS: Final = 12  # camps side by side
_ROWS: Final = 50  # rows of a folded table
_BEGIN: Final = 300  # characters of a text in it that are shown unasked
_LONGEST: Final = 20_000
_MAIN: Final = frozenset({
    "run_id", "item_id", "question", "sample", "annotator_id", "method", "condition", "operator", "k", "draw", "label",
    "label_probs", "reason", "evidence", "word_scores", "words", "raw", "error", "options", "output_id",
})  # fmt: skip


def camps_shown(place: ItemPlace, record: ItemRecord) -> dict[str, Any]:
    """The camps of the primary question with the models that join them, models without an answer, other questions."""
    item = record.item
    primary, options = question_of(place, item), options_of(place, item)
    table = place.index.files.questions
    named = dict(zip(table["question"], [list(o or ()) for o in table["options"].to_list()], strict=True))
    questions = question_camps(record.annotations, named, primary=primary)
    asked = questions[0] if questions and questions[0].question == primary else QuestionCamps(primary, (), 0)
    others = [one for one in questions if one is not asked]
    models = {run.run: _model(place, record, run) for run in record.runs}
    labels = [one["label"] for one in models.values() if one["label"] is not None]
    values = [camp.value for camp in asked.camps]
    values += [value for value in dict.fromkeys(labels) if value not in values]
    if len(options) <= 6:
        values.sort(key=lambda value: options.index(value) if value in options else len(options))
    texts = option_texts(place, item)
    shown = []
    for value in values:
        camp = next((camp for camp in asked.camps if camp.value == value), Camp(value, ()))
        joined = [model for model in models.values() if model["label"] == value]
        of_value = {"value": value, "text": texts.get(value, ""), "gold": item.get("label") == value, "models": joined}
        shown.append(of_value | _voices(place, record, camp) | {"place": _place(value, options, values)})
    return {
        "camps": shown[:_CAMPS],
        "more": shown[_CAMPS:],
        "more_open": any(_shows_found(camp) for camp in shown[_CAMPS:]),
        "n_ratings": asked.n_ratings,
        "n_runs": len(record.runs),
        "n_answers": len(labels),
        "silent": [model for model in models.values() if model["label"] is None and model["key"]],
        "missing": [name for name, model in models.items() if not model["key"]],
        "others": [_other_question(place, record, one) for one in others],
        "runs": place.index.runs,
    }


def _shows_found(camp: Mapping[str, Any]) -> bool:
    """Whether something is marked in what a camp says."""
    of_models = any(model["reason"] is not None and model["reason"].found for model in camp["models"])
    return of_models or any(one["found"] for one in (*camp["people"], *camp["folded"]))


def _place(value: str, options: Sequence[str], values: Sequence[str]) -> int:
    return list(options).index(value) if value in options else len(options) + list(values).index(value)


def _other_question(place: ItemPlace, record: ItemRecord, asked: QuestionCamps) -> dict[str, Any]:
    camps = [{"value": camp.value} | _voices(place, record, camp) for camp in asked.camps]
    found = any(one["found"] for camp in camps for one in (*camp["people"], *camp["folded"]))
    return {"question": asked.question, "camps": camps[:_CAMPS], "n": asked.n_ratings, "hidden": len(camps[_CAMPS:]),
            "open": found}  # fmt: skip


def _voices(place: ItemPlace, record: ItemRecord, camp: Camp) -> dict[str, Any]:
    found = [_voice(place, record, voice) for voice in camp.voices[:_MOST]]
    folded = found[SHOWN:]
    return {"people": found[:SHOWN], "folded": folded, "n_people": len(camp.voices),
            "hidden": len(camp.voices) - len(found), "open": any(one["found"] for one in folded)}  # fmt: skip


def _voice(place: ItemPlace, record: ItemRecord, voice: Voice) -> dict[str, Any]:
    texts = field_texts(record.item)
    key = f"{HUMAN_RUN}/{voice.rating_id}"
    reason = marked_reason(voice.reason, place.at.wanted) if voice.reason else None
    return {
        "name": voice.annotator_id,
        "href": list_of(annotator=voice.annotator_id),
        "reason": reason,
        "found": reason is not None and reason.found,
        "also": voice.also,
        "quotes": quotes(voice.evidence or (), texts),
        "unmarked": voice.evidence == (),
        "person": voice.person,
        "facts": voice.facts,
        "key": key,
        "judged": judged(record.judgements, key),
    }


def quotes(places: Sequence[tuple[str, int, int]], texts: Mapping[str, str]) -> list[str]:
    """The words at some places of the item, without those that it does not have."""
    spans = sorted((f, a, b) for f, a, b in places if f in texts and a is not None and b is not None)
    return [texts[f][a:b] for f, a, b in spans if 0 <= a < b <= len(texts[f])]


def judged(judgements: pl.DataFrame, output_id: str) -> dict[str, Any]:
    """What judges say about one reason: a tally, then each of them."""
    if not len(judgements):
        return {"tally": [], "verdicts": [], "hidden": 0}
    about = judgements.filter((pl.col("output_id") == output_id) | (pl.col("other_output_id") == output_id))
    tally: dict[str, int] = {}
    for value in about["value"].fill_null("no verdict").to_list():
        tally[value] = tally.get(value, 0) + 1
    verdicts = [_verdict(row, output_id) for row in about.head(_ROWS).iter_rows(named=True)]
    order = sorted(tally.items(), key=lambda found: (found[0] != "good", found[0] != "bad", found[0]))
    return {"tally": order, "verdicts": verdicts, "hidden": max(0, len(about) - _ROWS)}


def _verdict(row: Mapping[str, Any], output_id: str) -> dict[str, Any]:
    other = ""
    if row["other_output_id"]:
        other = row["other_output_id"] if row["output_id"] == output_id else row["output_id"]
    value = row["value"] if row["value"] is not None else row["score"]
    return {
        "judge": row["judge_id"], "value": "no verdict" if value is None else value, "error": row["error_type"] or "",
        "note": row["note"] or "", "against": other, "asked": row["question"],
    }  # fmt: skip


def _model(place: ItemPlace, record: ItemRecord, run: RunRecord) -> dict[str, Any]:
    answer = run.answer or {}
    texts = field_texts(record.item)
    options = answer.get("options") or options_of(place, record.item)
    key = str(answer.get("output_id") or "")
    evidence = [(m["field"], m["start"], m["end"]) for m in answer.get("evidence") or ()]
    reason = _text(answer.get("reason"))
    return {
        "run": run.run,
        "state": run.state,
        "label": place.answer(run.run),
        "argmax": bool(answer) and answer.get("label") is None and place.answer(run.run) is not None,
        "probs": probabilities(options, answer.get("label_probs")),
        "reason": marked_reason(reason, place.at.wanted) if reason else None,
        "error": _text(answer.get("error")),
        "raw": _text(answer.get("raw")),
        "quotes": quotes(evidence, texts),
        "key": key,
        "judged": judged(record.judgements, key),
        "samples": _samples(place, run),
        "annotators": _conditioned(place, record, run),
        "other": _others(place, run),
        "facts": _facts(answer),
    }


def _reason_or_error(place: ItemPlace, row: Mapping[str, Any]) -> MarkedText | None:
    """What a row of a folded table says; only in a reason something may be marked."""
    wanted = place.at.wanted if row["reason"] else EVERYTHING
    text = _text(row["reason"] or row["error"])
    return marked_reason(text, wanted, begin=_BEGIN, most=_LONGEST) if text else None


def _opened(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what was searched for is in one of the rows."""
    return any(row["text"] is not None and row["text"].found for row in rows)


def _text(value: object) -> str:
    return "" if value is None or not str(value).strip() else str(value)


def probabilities(names: Sequence[str], probs: Sequence[float] | None) -> list[dict[str, Any]]:
    """Options with their probability, in the order of the options; by number where the names do not fit."""
    if not probs:
        return []
    shown = [str(name) for name in names] if len(names) == len(probs) else [str(at + 1) for at in range(len(probs))]
    return [
        {"name": name, "p": p, "share": p if p is not None and math.isfinite(p) and 0 <= p <= 1 else 0.0}
        for name, p in zip(shown, probs, strict=True)
    ]


def _samples(place: ItemPlace, run: RunRecord) -> dict[str, Any]:
    """How often the same question was answered how, the answer itself included."""
    answer = place.answer(run.run)
    if not len(run.samples) or run.answer is None:
        return {"n": 0, "counts": [], "rows": [], "hidden": 0, "open": False}
    given = [answer, *run.samples["label"].to_list()]
    counts: dict[str, int] = {}
    for label in given:
        counts["no answer" if label is None else str(label)] = counts.get(label or "no answer", 0) + 1
    rows = [
        {"name": " ".join(p for p in (f"sample {row['sample']}", row["method"].replace("_", " ")) if p),
         "label": row["label"], "text": _reason_or_error(place, row)}
        for row in run.samples.head(_ROWS).iter_rows(named=True)
    ]  # fmt: skip
    order = sorted(counts.items(), key=lambda found: -found[1])
    hidden = max(0, len(run.samples) - _ROWS)
    return {"n": len(given), "counts": order, "rows": rows, "hidden": hidden, "open": _opened(rows)}


def _conditioned(place: ItemPlace, record: ItemRecord, run: RunRecord) -> dict[str, Any]:
    """Answers in the place of single people, beside what these said."""
    found = record.annotations
    said: dict[str, list[str]] = {}
    if len(found) and len(run.annotators):
        own = found.filter(pl.col("question") == run.annotators["question"][0])
        for name, value in own.select("annotator_id", "value").iter_rows():
            said.setdefault(str(name), []).append(str(value))
    rows = [
        {"name": row["annotator_id"], "label": row["label"], "said": said.get(row["annotator_id"], []),
         "text": _reason_or_error(place, row)}
        for row in run.annotators.iter_rows(named=True)
    ]  # fmt: skip
    known = [row for row in rows if row["said"] and row["label"] is not None]
    right = sum(row["label"] in row["said"] for row in known)
    return {"rows": rows[:_ROWS], "n": len(rows), "right": right, "known": len(known), "hidden": len(rows[_ROWS:]),
            "open": _opened(rows[:_ROWS])}  # fmt: skip


def _others(place: ItemPlace, run: RunRecord) -> dict[str, Any]:
    """Rows that answer something else, or under another condition."""
    rows = []
    for row in run.other.head(_ROWS).iter_rows(named=True):
        plain = {"method": "", "condition": "full", "operator": "", "k": -1, "draw": 0, "annotator_id": ""}
        parts = [row["question"], *(f"{name} {row[name]}" for name, usual in plain.items() if row[name] != usual)]
        text = _reason_or_error(place, row)
        rows.append({"name": " · ".join(p.replace("_", " ") for p in parts), "label": row["label"], "text": text})
    return {"rows": rows, "n": len(run.other), "hidden": max(0, len(run.other) - _ROWS), "open": _opened(rows)}


def _facts(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else the output says of itself, such as a temperature or the number of tokens."""
    plain = [
        (name, value) for name, value in answer.items() if name not in _MAIN and isinstance(value, str | int | float)
    ]
    return [(n, f"{v:g}" if isinstance(v, float) else str(v)[:300]) for n, v in plain if str(v) not in ("", "nan")]
