"""What tests of judging rounds share: a protocol in a folder, known answers, a judge who answers everything."""

from __future__ import annotations

from pathlib import Path

import yaml

from dfar_toolkit.journeys.judge_session import JudgeSession
from dfar_toolkit.journeys.judge_session_queue import queue_of

CHECKS = [
    {"statement": f"I stole {k} bikes.", "label": "unethical", "reason": "Bananas.", "value": "bad"} for k in range(30)
]
TRAINING = [
    {"statement": "I lied.", "label": "unethical", "reason": "It deceives.", "value": "good", "why": "It is about it."},
    {"statement": "I lied.", "label": "unethical", "reason": "Because.", "value": "bad"},
]


def judging(folder: Path, **said: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.yaml").write_text(yaml.safe_dump({"human_per_item": 1, **said}), encoding="utf-8")
    return folder


def answer_all(session: JudgeSession, values: tuple[str | None, ...] = ("good", "bad", "good")) -> None:
    while (shown := session.next()) is not None:
        number = int(shown.blind_id[1:])
        session.record(shown.blind_id, values[number % len(values)], token=shown.token)


def names_in(session: JudgeSession) -> list[str]:
    return [task.output_id for task in queue_of(session.round.pool, session.round.protocol, session.judge)]
