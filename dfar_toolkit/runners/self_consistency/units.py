"""The units of a run that tests free-text reasons: one per item, with all tests of it.

Requests of an item, W words, S shares, with the answer itself counted as one: the correlational test asks
places x words_per_place more answers; the chain of thought one label per change and one text per edit; contributions 2
attributions, or 2 (W + 1) scores by ``leave_one_out``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from dfar_toolkit.engines.requests import Reply, Request
from dfar_toolkit.errors import TableError
from dfar_toolkit.prompts.asking import Asked
from dfar_toolkit.prompts.written_reasons import reason_in
from dfar_toolkit.runners.prompting import unit_of
from dfar_toolkit.runners.self_consistency.candidate_words import words_from
from dfar_toolkit.runners.self_consistency.chain_of_thought import Pool, chain_rows, needs_pool, wants_chain
from dfar_toolkit.runners.self_consistency.contributions import contribution_rows
from dfar_toolkit.runners.self_consistency.insertions import inserted_rows, insertions
from dfar_toolkit.runners.self_consistency.reason_testing import CC_SHAP, ReasonTesting, check_reason_testing
from dfar_toolkit.runners.self_consistency.side_by_side import side_by_side
from dfar_toolkit.runners.units import Row, Unit


def self_consistency_units(
    items: Sequence[tuple[str, Asked]], how: ReasonTesting, *, words: Sequence[str] | None = None, pool: Pool = ()
) -> list[Unit]:
    """The units that test the reasons of the items; every question is a conversation of its own.

    Args:
        items: Item ids with what is asked, in the order of the outputs.
        how: The tests.
        words: Words that may be inserted; None: ours.
        pool: Sentences of other items' reasons, from ``sentence_pool``; for mistakes by ``other_sentence``.

    Returns:
        One unit per item; its rows have ``item_id, annotator_id, sample, method, condition, operator, k, draw`` as key.

    Raises:
        TableError: A style or tests that do not fit, no words, or no sentences of two items where they are needed.

    Example:
        >>> from dfar_toolkit.prompts.styles import load_style
        >>> from dfar_toolkit.runners.prompting import Manner
        >>> how = ReasonTesting(Manner(load_style("reason_first")))
        >>> units = self_consistency_units([("i1", Asked("I lied.", options=("bad", "good")))], how)
        >>> len(next(units[0].start()))
        9
    """
    check_reason_testing(how)
    candidates = tuple(words_from() if words is None else words)
    if "cct" in how.tests and not candidates:
        raise TableError("wanted words to insert, found none.")
    if needs_pool(how) and len({item for item, _ in pool}) < 2:
        raise TableError("mistakes from other items' reasons need the reasons of two items or more; give them.")
    return [_unit(item_id, asked, how, candidates, pool) for item_id, asked in items]


def _unit(item_id: str, asked: Asked, how: ReasonTesting, words: Sequence[str], pool: Pool) -> Unit:
    whole = unit_of(item_id, asked, how.manner)

    def start() -> Generator[list[Request], list[Reply], list[Row]]:
        return _tested(item_id, asked, how, words, pool)

    return Unit(item_id, whole.size, start)


def _tested(
    item_id: str, asked: Asked, how: ReasonTesting, words: Sequence[str], pool: Pool
) -> Generator[list[Request], list[Reply], list[Row]]:
    tried = insertions(item_id, asked, words, how) if "cct" in how.tests else []
    # The same name, and so the same seeds: answers then differ by the inserted word and not by the draw.
    every: list[Any] = [unit_of(item_id, one, how.manner).start() for one in (asked, *(one.asked for one in tried))]
    full, *others = yield from side_by_side(every)
    rows = list(full)
    for draw, (own, insertion) in enumerate(zip(others, tried, strict=True)):
        rows += inserted_rows(own, insertion, draw)
    answer = next((row for row in full if row["condition"] == "full"), None)
    if answer is None or answer.get("raw") is None:
        return rows
    key = {name: answer[name] for name in ("item_id", "annotator_id")}
    if wants_chain(how):
        style = how.manner.style
        reason = reason_in(str(answer["raw"]), style, style.spellings(asked.options))
        rows += [{**key, **row} for row in (yield from chain_rows(item_id, asked, reason, how, pool))]
    if CC_SHAP in how.tests:
        rows += [{**key, **row} for row in (yield from contribution_rows(asked, answer, how))]
    return rows
