"""Answers of judges: every acknowledged one exactly once, whatever is killed, torn, sent twice or hostile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dfar_toolkit.errors import TableError
from dfar_toolkit.files.judge_log import Answer, JudgeLog, answers_of, export_judgements, holds_answers, judgements_of
from dfar_toolkit.files.judge_log_lines import AppendedLines, file_of, person_named
from dfar_toolkit.files.judgements import read_judgements

# Answers 200 items, forking a life that is killed at a random moment, until one gets to the end; prints what was kept.
LIVES = """
import os, random, signal, sys, time
from pathlib import Path
from dfar_toolkit.files.judge_log import Answer, JudgeLog
folder, judge, seed, n, lives = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])

def live():
    log = JudgeLog(folder, judge)
    done = {a.output_id for a in log.answers()}
    for k in range(n):
        if f"m/i{k}" not in done:
            note = "\\u00fc" * (200_000 if k % 10 == 9 else k)
            kept = log.record(Answer("reason_ok", f"m/i{k}", "m", f"i{k}", ["good", "bad"][k % 2], note=note))
            os.write(1, f"{judge} {kept.output_id} {kept.key}\\n".encode())

rng = random.Random(seed)
for life in range(lives + 1):
    child = os.fork()
    if not child:
        live()
        os._exit(0)
    if life < lives:
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def answer(k: int, value: str | None = "good", **more: object) -> Answer:
    return replace(Answer("reason_ok", f"m/i{k}", "m", f"i{k}", value), **more)  # type: ignore[arg-type]


def started(folder: Path, judge: str, seed: int, *, n: int = 200, lives: int = 40) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LIVES, str(folder), judge, str(seed), str(n), str(lives)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_three_judges_killed_at_random_moments_lose_nothing_acknowledged(tmp_path: Path) -> None:
    judges = ["ann", "bob", "eve"]
    running = [started(tmp_path, judge, seed) for seed, judge in enumerate(judges)]
    acknowledged = [line.split() for p in running for line in p.communicate(timeout=60)[0].splitlines()]
    assert [p.returncode for p in running] == [0, 0, 0]
    table = judgements_of(tmp_path)
    assert len(acknowledged) >= 3 * 200 - 40 * 3  # the rest was kept by a life that died before saying so
    assert table.group_by("judge_id").len().sort("judge_id").rows() == [(judge, 200) for judge in judges]
    counts = Counter(table.select("judge_id", "output_id").rows())
    assert {counts[judge, output] for judge, output, _ in acknowledged} == {1}
    keys = set(answers_of(tmp_path).frame["key"])
    assert {key for _, _, key in acknowledged} <= keys
    assert table["note"].str.len_chars().max() == 200_000


def test_processes_of_one_judge_write_into_one_file_side_by_side(tmp_path: Path) -> None:
    running = [started(tmp_path, "ann", seed, n=60, lives=12) for seed in range(3)]
    acknowledged = {line.split()[2] for p in running for line in p.communicate(timeout=60)[0].splitlines()}
    assert judgements_of(tmp_path)["output_id"].n_unique() == 60
    assert len(judgements_of(tmp_path)) == 60
    (path,) = (tmp_path / "answers").iterdir()
    lines = AppendedLines(path)
    assert acknowledged <= {row["key"] for row in lines.rows()}
    whole = [line for line in path.read_bytes().split(b"\n") if line.endswith(b"}") and b'"crc32":' in line]
    assert len(whole) == len(lines.rows())


def test_threads_of_one_log_and_of_several_lose_nothing(tmp_path: Path) -> None:
    shared = JudgeLog(tmp_path, "ann")

    def some(start: int, log: JudgeLog) -> None:
        for k in range(start, start + 15):
            log.record(answer(k))

    logs = [shared, shared, JudgeLog(tmp_path, "ann"), JudgeLog(tmp_path, "ann")]
    threads = [threading.Thread(target=some, args=(15 * n, log)) for n, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.item_id for a in shared.answers()) == sorted(f"i{k}" for k in range(60))
    assert shared.torn == 0


def test_a_line_torn_at_any_byte_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(0))
    before = log.path.read_bytes()
    log.record(answer(1, note='a "quoted" note, {"crc32":1}'))
    line = log.path.read_bytes()[len(before) :]
    for cut in range(len(line)):
        log.path.write_bytes(before + line[:cut])
        again = JudgeLog(tmp_path, "ann")
        assert [a.item_id for a in again.answers()] == ["i0"]
        again.record(answer(2))
        kept = ["i1"] if cut == len(line) - 1 else []  # all but the end of the line: whole, if never acknowledged
        assert [a.item_id for a in JudgeLog(tmp_path, "ann").answers()] == ["i0", *kept, "i2"]
        assert again.torn == (0 < cut < len(line) - 1)
        assert log.path.read_bytes().startswith(before + line[:cut])  # nothing is ever taken away


def test_the_last_answer_counts_and_undo_brings_the_one_before_back(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    first = log.record(answer(1, "good"))
    second = log.record(answer(1, "bad", note="vague"))
    log.record(answer(2, None))
    assert [(a.item_id, a.value) for a in log.answers()] == [("i1", "bad"), ("i2", None)]
    assert log.undo(second.key) == second
    assert [(a.item_id, a.value) for a in log.answers()] == [("i1", "good"), ("i2", None)]
    assert log.undo(second.key) is None
    assert log.undo() is not None
    assert log.undo() == first
    assert log.answers() == []
    assert log.undo() is None
    assert len(log.path.read_bytes().splitlines()) == 6
    assert len(judgements_of(tmp_path)) == 0


def test_an_answer_sent_twice_is_kept_once_even_after_another_one(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    first = log.record(answer(1, "good", key="k1"))
    log.record(answer(1, "bad", key="k2"))
    assert JudgeLog(tmp_path, "ann").record(answer(1, "good", key="k1")) == first
    assert [a.value for a in log.answers()] == ["bad"]
    log.undo("k2")
    log.record(answer(1, "bad", key="k2"))  # a late repetition does not bring back what was taken back
    assert [a.value for a in log.answers()] == ["good"]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\con", "con", ".", "..", "a/b", "-rf", "Ann", "ann", "ANN", "a\x00b",
     "ann\n{}", "é", "e\u0301", "\ud800x", "‮evil", "😀", "名" * 200, "%2e%2e", "~", "$(id)", "*", "nul.jsonl"],
)  # fmt: skip
def test_a_judges_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    log = JudgeLog(tmp_path / "judging", name)
    log.record(answer(1))
    assert [p.name for p in tmp_path.iterdir()] == ["judging"]
    (file,) = (tmp_path / "judging" / "answers").iterdir()
    assert file.name.isascii()
    assert len(file.name) < 70
    assert file.name.replace("-", "").removesuffix(".jsonl").isalnum()
    assert judgements_of(tmp_path / "judging")["judge_id"].to_list() == [person_named(name)]


def test_names_that_people_take_for_one_are_one_and_others_are_not() -> None:
    assert person_named("é ") == person_named("e\u0301")
    assert len({file_of(person_named(name)) for name in ("Ann", "ann", "ANN", "an n", "ann.")}) == 5


@pytest.mark.parametrize(
    ("name", "said"), [(" \n", "1 to 200"), ("x" * 201, "found 201"), ("Model:gpt", "marks judge models")]
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        JudgeLog(tmp_path, name)


@pytest.mark.parametrize(
    "note", ["x" * 1_000_000, "two\nlines\r\n\u2028", "nul \x00 here", '","crc32":1}\n', "=1+1", "‮evil", "\t", "😀"]
)
def test_notes_come_back_as_they_were_written(tmp_path: Path, note: str) -> None:
    JudgeLog(tmp_path, "ann").record(answer(1, "bad", note=note, error_type="vague; off topic"))
    for ending in (".parquet", ".jsonl"):
        export_judgements(tmp_path, tmp_path / f"j{ending}")
        read = read_judgements(tmp_path / f"j{ending}")
        assert read["note"].to_list() == [note]
        assert read["error_type"].to_list() == ["vague; off topic"]


def test_half_a_surrogate_pair_is_replaced_and_said_so_in_the_answer(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    assert log.record(answer(1, note="a\ud800b")).note == "a\ufffdb"
    assert log.record(answer(2, note="\ud83d\ude00")).note == "😀"
    assert judgements_of(tmp_path)["note"].to_list() == ["a\ufffdb", "😀"]


def test_an_answer_that_is_too_long_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    with pytest.raises(TableError, match="may take 16 MiB"):
        log.record(answer(1, note="x" * (1 << 24)))
    assert not log.path.exists()


@pytest.mark.parametrize(
    "wrong", [{"question": ""}, {"output_id": ""}, {"item_id": ""}, {"run_id": ""}, {"value": " "}]
)
def test_an_answer_about_nothing_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"record: {next(iter(wrong))} is empty"):
        JudgeLog(tmp_path, "ann").record(answer(1, **wrong))  # type: ignore[arg-type]


def test_a_changed_line_is_refused_by_its_number(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(1, "good"))
    log.record(answer(2, "good"))
    data = log.path.read_bytes()
    place = data.rindex(b'"good"')
    log.path.write_bytes(data[:place] + b'"best"' + data[place + 6 :])
    for read in (JudgeLog(tmp_path, "ann").answers, lambda: judgements_of(tmp_path)):
        with pytest.raises(TableError, match="line 2 was changed or the disk is damaged"):
            read()
    log.path.write_bytes(data[: data.index(b"\n") + 1])
    assert [a.item_id for a in log.answers()] == ["i1"]  # a log that was open sees that the file is another


def test_what_cannot_be_written_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(1))
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[: len(data) // 2]))
    with pytest.raises(TableError, match=r"this answer could not be kept \(No space left"):
        log.record(answer(2))
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(TableError, match="Input/output error"):
        log.record(answer(3))
    monkeypatch.undo()
    log.record(answer(4))
    assert {"i1", "i4"} <= {a.item_id for a in log.answers()} <= {"i1", "i3", "i4"}
    assert log.torn == 1


def test_the_disk_is_reached_before_the_answer_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda handle, data: happened.append("write") or write(handle, data))
    monkeypatch.setattr(os, "fsync", lambda handle: happened.append("fsync") or fsync(handle))
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(1))
    assert happened == ["fsync", "fsync", "write", "fsync"]  # the two folders, then the line
    happened.clear()
    log.record(answer(2, key="k"))
    log.record(answer(2, key="k"))
    assert happened == ["write", "fsync", "fsync"]


def test_without_file_locks_a_torn_line_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    log = JudgeLog(tmp_path, "ann")
    for k in range(3):
        log.record(answer(k))
        with log.path.open("ab") as handle:  # another process dies in the middle of a line
            handle.write(b'{"key":"half')
    assert [a.item_id for a in log.answers()] == ["i0", "i1", "i2"]
    assert log.torn == 2


def test_checks_training_and_other_questions_stay_out_of_the_judgements(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(1, inclusion_prob=0.5))
    log.record(answer(2, role="attention"))
    log.record(answer(3, role="training"))
    log.record(answer(1, question="valid"))
    assert judgements_of(tmp_path, question="reason_ok").select("item_id", "inclusion_prob").rows() == [("i1", 0.5)]
    assert len(judgements_of(tmp_path)) == 2
    assert judgements_of(tmp_path, roles=["attention"])["item_id"].to_list() == ["i2"]
    assert len(answers_of(tmp_path).frame) == 4


def test_answers_under_two_protocols_are_not_put_together(tmp_path: Path) -> None:
    JudgeLog(tmp_path, "ann").record(answer(1, protocol="a"))
    JudgeLog(tmp_path, "bob").record(answer(1, protocol="b"))
    with pytest.raises(TableError, match="'reason_ok' were given under 2 protocols"):
        judgements_of(tmp_path)


def test_a_copy_of_a_file_adds_nothing_twice(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "ann")
    log.record(answer(1, "good"))
    copy = log.path.with_name("ann (copy).jsonl")
    copy.write_bytes(log.path.read_bytes())
    log.record(answer(1, "bad"))
    assert judgements_of(tmp_path).select("judge_id", "value").rows() == [("ann", "bad")]


def test_a_folder_without_answers_is_an_empty_table(tmp_path: Path) -> None:
    assert not holds_answers(tmp_path)
    assert judgements_of(tmp_path).schema["sample"] == pl.Int64
    assert len(judgements_of(tmp_path / "absent")) == 0
    with pytest.raises(TableError, match=r"ends in \.parquet or \.jsonl"):
        export_judgements(tmp_path, tmp_path / "j.csv")


def test_lines_are_plain_json_that_anybody_can_read(tmp_path: Path) -> None:
    log = JudgeLog(tmp_path, "Ann")
    log.record(answer(1))
    (line,) = log.path.read_text().splitlines()
    assert json.loads(line)["judge_id"] == "Ann"
    assert holds_answers(tmp_path)
