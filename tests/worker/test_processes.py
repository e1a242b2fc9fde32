"""The door to nurseries and runners, with real processes behind it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobtree
from jobtree.errors import Cause
from jobtree.ids import Attempt
from jobtree.protocol.messages import (
    FLAG_TEMP,
    ROW_CAUSE,
    ROW_CREATED,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_MEMORY,
    ROW_MESSAGES,
    ROW_WALL,
)
from jobtree.worker import reaper
from jobtree.worker.effects import Discard, Give, GiveCode, Kill, Launch, Retire, TakeBack
from jobtree.worker.events import (
    Begun,
    CodeFound,
    CodeNeeded,
    Created,
    Ended,
    NurseryFailed,
    Printed,
    RunnerDied,
    RunnerStarted,
    TakenBack,
)
from tests.worker.door import Door, attempt_of, cause_of, is_alive, opened, wait_until


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(tmp_path) as door:
        yield door


def test_a_given_task_is_run_and_its_result_comes_back(door: Door) -> None:
    (attempt,) = door.give(door.script.echo({"a": [1, 2]}))
    ended = door.ended(attempt)
    assert ended.runner == 1
    assert door.result(ended) == {"a": [1, 2]}
    started = door.wait_for(RunnerStarted)
    assert (started.runner, is_alive(started.pid)) == (1, True)
    assert [type(event) for event in door.all] == [RunnerStarted, Ended]


def test_a_runner_runs_its_tasks_in_order(door: Door) -> None:
    attempts = door.give(*[door.script.echo(n) for n in range(500)])
    door.ended(attempts[-1])
    assert [attempt_of(event.row) for event in door.heard(Ended)] == attempts
    assert [door.result(event) for event in door.heard(Ended)] == list(range(500))


def test_tasks_beyond_what_a_socket_holds_wait_in_the_supervisor(door: Door, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    door.give(door.script.call("while not gate.exists(): time.sleep(0.01)", gate=ready))
    attempts = door.give(*[door.script.echo("x" * 20_000) for _ in range(300)])
    ready.touch()
    door.ended(attempts[-1])
    assert [attempt_of(event.row) for event in door.heard(Ended)[1:]] == attempts


def test_a_task_too_large_for_a_datagram_arrives_all_the_same(door: Door) -> None:
    (attempt,) = door.give(door.script.echo("y" * 3_000_000))
    ended = door.ended(attempt)
    assert ended.row[5][0] > 3_000_000  # the result is a blob
    assert os.listdir(next(door.scratch.iterdir()) / "tasks") == []


def test_what_a_runner_has_not_begun_can_be_taken_back(door: Door, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (first,) = door.give(door.script.call("while not gate.exists(): time.sleep(0.01)", gate=gate))
    begun = door.wait_for(Begun)
    assert (begun.runner, begun.attempt) == (1, first)
    rest = door.give(*[door.script.echo(n) for n in range(20)], door.script.echo("z" * 200_000))
    door.processes.perform(TakeBack(1))
    assert door.wait_for(TakenBack).attempts == rest
    gate.touch()
    door.ended(first)
    (last,) = door.give(door.script.echo("last"))
    door.ended(last)
    assert [attempt_of(event.row) for event in door.heard(Ended)] == [first, last]


def test_only_attempts_that_last_are_told_to_have_begun(door: Door) -> None:
    quick = door.give(*[door.script.nothing() for _ in range(100)])
    (slow,) = door.give(door.script.call("time.sleep(0.3)"))
    door.ended(slow)
    assert [begun.attempt for begun in door.heard(Begun)] == [slow]
    assert len(door.heard(Ended)) == len(quick) + 1


def test_created_targets_are_told_before_the_end_of_their_creator(door: Door) -> None:
    (attempt,) = door.give(door.script.parent(2500))
    ended = door.ended(attempt)
    assert ended.row[ROW_CREATED] == 2500
    pieces = [event.piece for event in door.heard(Created)]
    assert [piece[2] for piece in pieces][:2] == [1, 1 + len(pieces[0][6])]
    assert sum(len(piece[6]) for piece in pieces) == 2500
    assert all(len(piece[6]) <= 1000 and sum(piece[6]) == len(event.data) <= 256 * 1024
               for piece, event in zip(pieces, door.heard(Created), strict=True))  # fmt: skip
    assert isinstance(door.all[-1], Ended)


@pytest.mark.parametrize(
    ("source", "cause", "words"),
    [
        ("os._exit(3)", Cause.EXIT, "exited with status 3"),
        ("os._exit(0)", Cause.EXIT, "exited with status 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Cause.SIGNAL, "killed by SIGKILL"),
        ("ctypes.string_at(0)", Cause.SIGNAL, "killed by SIGSEGV"),
        ("os.closerange(0, 2000)", Cause.EXIT, "exited with status 70"),
    ],
)
def test_a_dying_runner_leaves_a_row(door: Door, source: str, cause: Cause, words: str) -> None:
    attempt, *rest = door.give(
        door.script.call(f"print('last words'); jobtree.current_target().log('note')\n{source}"),
        *[door.script.echo(n) for n in range(5)],
    )
    died = door.died()
    assert (died.runner, died.message, died.unbegun) == (1, words, rest)
    assert died.row is not None
    assert (attempt_of(died.row), cause_of(died.row)) == (attempt, cause)
    failure = died.row[ROW_FAILURE]
    assert failure["message"] == words
    assert failure["host"] == os.uname().nodename
    assert failure["output"].startswith("last words")
    assert [message[1:] for message in died.row[ROW_MESSAGES]] == [["INFO", "note"]]
    assert door.heard(Ended) == []
    assert door.output(attempt, 1) == "last words\n"
    assert door.all[-1] is died


def test_directories_of_a_killed_attempt_are_removed_or_told_of(door: Door) -> None:
    deed = "t = jobtree.current_target(); (t.local_temp_dir / 'x').touch(); t.global_temp_dir; os._exit(1)"
    task = door.task(door.script.call(deed))
    door.processes.perform(Give(1, [task]))
    died = door.died()
    assert died.row is not None
    assert died.row[ROW_FLAGS] & FLAG_TEMP
    assert (door.tree / "tmp" / task.temp).is_dir()
    (scratch,) = door.scratch.iterdir()
    wait_until(lambda: os.listdir(scratch / "local") == [])


def test_what_had_ended_before_the_death_has_ended(door: Door) -> None:
    attempts = door.give(*[door.script.echo(n) for n in range(50)], door.script.call("os._exit(1)"))
    died = door.died()
    assert [attempt_of(event.row) for event in door.heard(Ended)] == attempts[:-1]
    assert died.row is not None
    assert attempt_of(died.row) == attempts[-1]
    assert died.unbegun == []


def test_a_kill_ends_the_runner_and_all_its_descendants(door: Door, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    (attempt,) = door.give(door.script.deaf(ready))
    door.until(ready.exists)
    pid = door.wait_for(RunnerStarted).pid
    members = [pid, *reaper.descendants(pid)]
    assert len(members) == 2
    door.processes.perform(Kill(1, "time", "it took too long", grace=0.2))
    died = door.died()
    assert died.row is not None
    assert (attempt_of(died.row), cause_of(died.row)) == (attempt, Cause.TIME)
    assert died.row[ROW_FAILURE]["message"] == died.message == "it took too long"
    assert not any(map(is_alive, members))


def test_sigterm_is_enough_for_who_listens_to_it(door: Door, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    door.give(door.script.hang(ready))
    door.until(ready.exists)
    door.processes.perform(Kill(1, "cancelled", "not wanted", grace=1000.0))
    died = door.died()
    assert cause_of(died.row) is Cause.CANCELLED
    assert died.row is not None
    assert died.row[ROW_FAILURE]["output"] == "hanging"


def test_a_kill_before_the_runner_is_there_is_not_forgotten(door: Door) -> None:
    door.processes.perform(Launch(2, 1))
    attempts = door.give(door.script.echo(1), runner=2)
    door.processes.perform(Kill(2, "cancelled", "not wanted", grace=0.0))
    died = door.died()
    ended = [attempt_of(event.row) for event in door.heard(Ended)]
    row = [attempt_of(died.row)] if died.row is not None else []
    assert died.runner == 2
    assert ended + row + died.unbegun == attempts


def test_tasks_for_a_runner_that_there_is_no_nursery_for_come_back(door: Door) -> None:
    door.processes.perform(Launch(7, epoch=3))
    attempts = door.give(door.script.echo(1), door.script.echo(2), runner=7)
    door.until(lambda: len(door.heard(RunnerDied)) == 2)
    assert [(died.runner, died.unbegun) for died in door.heard(RunnerDied)] == [(7, []), (7, attempts)]
    assert door.result(door.call("return 1")) == 1


def test_an_attempt_that_began_when_the_other_had_to_die_is_not_blamed(door: Door, tmp_path: Path) -> None:
    gate, ready = tmp_path / "gate", tmp_path / "ready"
    first, second = door.give(door.script.call("while not gate.exists(): time.sleep(0.01)", gate=gate), door.script.hang(ready))
    door.until(lambda: door.heard(Begun))
    gate.touch()
    wait_until(ready.exists)  # the first has ended, and the supervisor has not heard of it
    door.processes.perform(Kill(1, "time", "it took too long", grace=0.0))
    died = door.died()
    assert attempt_of(door.heard(Ended)[0].row) == first
    assert (died.row, died.unbegun) == (None, [second])


def test_an_idle_runner_dies_without_a_row(door: Door) -> None:
    pid = door.wait_for(RunnerStarted).pid
    os.kill(pid, signal.SIGKILL)
    died = door.died()
    assert (died.row, died.unbegun, died.message) == (None, [], "killed by SIGKILL")


def test_a_retired_runner_leaves_without_a_word(door: Door) -> None:
    (attempt,) = door.give(door.script.nothing())
    door.ended(attempt)
    pid = door.wait_for(RunnerStarted).pid
    heard = len(door.all)
    door.processes.perform(Retire(1))
    door.until(lambda: reaper.look(pid) is None)
    door.processes.perform(Launch(2, 1))
    door.wait_for(RunnerStarted, 2)
    assert [type(event) for event in door.all[heard:]] == [RunnerStarted]


def test_a_daemon_survives_its_runner_but_not_the_worker(tmp_path: Path) -> None:
    pidfile = tmp_path / "daemon"
    with opened(tmp_path) as door:
        (attempt,) = door.give(door.script.daemon(pidfile))
        door.ended(attempt)
        pid = int(door.until(lambda: pidfile.exists() and pidfile.read_text()))
        os.kill(door.wait_for(RunnerStarted).pid, signal.SIGKILL)
        door.died()
        assert is_alive(pid)
    assert not is_alive(pid)


def test_ten_megabytes_of_output_never_block_and_the_end_survives(door: Door) -> None:
    ended = door.call("for n in range(100_000): print(f'{n:09d}' + 90 * 'x')\nraise SystemExit('enough')")
    attempt = attempt_of(ended.row)
    pieces = [e for e in door.heard(Printed) if e.attempt == attempt and e.stream == 1]
    assert sum(len(piece.data) for piece in pieces) == (1 << 20) + 50 * 1024
    assert pieces[-1].offset + len(pieces[-1].data) == 10_000_000
    assert pieces[-1].data.endswith(b"000099999" + 90 * b"x" + b"\n")
    lines = ended.row[ROW_FAILURE]["output"].splitlines()
    assert len(lines) == 50
    assert lines[-1] == "SystemExit: enough"


def test_output_is_told_while_the_attempt_runs_and_before_its_end(door: Door, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (attempt,) = door.give(
        door.script.call(
            "print('one'); subprocess.run(['echo', 'two'])\n"
            "while not gate.exists(): time.sleep(0.01)\n"
            "print('three', file=sys.stderr)",
            gate=gate,
        )
    )
    door.until(lambda: door.output(attempt, 1) == "one\ntwo\n")
    gate.touch()
    door.ended(attempt)
    assert door.output(attempt, 2) == "three\n"
    assert isinstance(door.all[-1], Ended)


def test_output_of_quick_attempts_is_told_apart(door: Door) -> None:
    texts = [f"text {n}" for n in range(200)]
    attempts = door.give(*[door.script.say(text, text.upper()) for text in texts])
    door.ended(attempts[-1])
    assert [door.output(attempt, 1) for attempt in attempts] == [text + "\n" for text in texts]
    assert [door.output(attempt, 2) for attempt in attempts] == [text.upper() + "\n" for text in texts]


def test_an_attempt_that_holds_more_memory_than_it_asked_for_is_killed(door: Door) -> None:
    door.give(door.script.call("held = bytearray(300_000_000)\ntime.sleep(100)"), memory=200 << 20)
    died = door.died()
    assert cause_of(died.row) is Cause.MEMORY
    assert "asked for 200 MiB" in died.message
    assert died.row is not None
    assert died.row[ROW_MEMORY] > 200 << 20
    assert died.row[ROW_WALL] < 90


def test_memory_of_subprocesses_counts(door: Door) -> None:
    source = "subprocess.run([sys.executable, '-c', 'import time; x = bytearray(200_000_000); time.sleep(1.5)'])"
    ended = door.call(source)
    assert ended.row[ROW_CAUSE] == ""
    assert ended.row[ROW_MEMORY] > 200_000_000


def test_code_by_value_is_told_once_and_asked_for_where_it_is_missing(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
    with opened(first) as door:
        ended = door.call("t = jobtree.current_target()\nfor n in range(3): t.add_child(echo(lambda: 42))")
        assert ended.row[ROW_CAUSE] == ""
        (found,) = door.heard(CodeFound)
        (created,) = door.heard(Created)
        assert created.codes == [found.sha]
        assert door.all.index(found) < door.all.index(created)
        data = created.data[: created.piece[6][0]]
    with opened(second) as door:
        task = door.raw_task(data)
        door.processes.perform(Give(1, [task]))
        needed = door.wait_for(CodeNeeded)
        assert needed.sha == found.sha
        door.processes.perform(GiveCode(1, found.sha, found.data))
        assert door.ended(task.attempt).row[ROW_CAUSE] == ""
        again = door.raw_task(data)
        door.processes.perform(Launch(2, 1))
        door.processes.perform(Give(2, [again]))
        door.ended(again.attempt)
        assert len(door.heard(CodeNeeded)) == 1


def test_a_new_nursery_runs_the_script_as_it_is_now(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("def value(): return 'old'\n")
    with opened(tmp_path) as door:
        door.prepare(2, script=str(script))
        script.write_text("def value(): return 'new'\n")
        door.processes.perform(Launch(2, 2))
        door.wait_for(RunnerStarted, 2)
        door.prepare(3, script=str(script))
        door.processes.perform(Launch(3, 3))
        newest = jobtree.call(eval, "__import__('__jobtree_main__').value()")
        (attempt,) = door.give(newest, runner=3)
        assert door.result(door.ended(attempt)) == "new"
        for epoch, runner in ((2, 2), (3, 3)):
            door.processes.perform(Retire(runner))
            door.processes.perform(Discard(epoch))
        assert door.result(door.call("return 'nursery 1 is still there'")) == "nursery 1 is still there"
        assert door.heard(NurseryFailed) == []


def test_a_script_that_cannot_be_imported_fails_its_targets_and_not_the_nursery(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import no_such_module_anywhere\n")
    with opened(tmp_path, script=str(script)) as door:
        (attempt,) = door.give(door.script.nothing())
        row = door.ended(attempt).row
        assert cause_of(row) is Cause.IMPORT
        assert "no_such_module_anywhere" in row[ROW_FAILURE]["message"]
        assert f"{script}:1" in row[ROW_FAILURE]["message"]
        assert f"sys.path is {sys.path}"[:-1] in row[ROW_FAILURE]["message"]
        assert door.heard(NurseryFailed) == []


def test_a_script_that_exits_while_it_is_imported_is_a_failure_of_the_nursery(tmp_path: Path) -> None:
    script = tmp_path / "exits.py"
    script.write_text("import os\nos._exit(5)\n")
    with opened(tmp_path, script=str(script)) as door:
        attempts = door.give(door.script.nothing())
        failed = door.wait_for(NurseryFailed)
        assert (failed.epoch, failed.message) == (1, "the nursery has died: exited with status 5")
        (died,) = door.heard(RunnerDied)
        assert (died.row, died.unbegun) == (None, attempts)


def test_a_killed_nursery_takes_its_runners_along_and_can_be_replaced(door: Door, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    attempt, waiting = door.give(door.script.deaf(ready), door.script.nothing())
    door.until(ready.exists)
    runner = door.wait_for(RunnerStarted).pid
    (nursery,) = [p.parent for p in reaper.processes().values() if p.pid == runner]
    members = [runner, *reaper.descendants(runner)]
    os.kill(nursery, signal.SIGKILL)
    failed = door.wait_for(NurseryFailed)
    assert (failed.epoch, failed.message) == (1, "the nursery has died: killed by SIGKILL")
    (died,) = door.heard(RunnerDied)
    assert died.row is not None
    assert (attempt_of(died.row), cause_of(died.row)) == (attempt, Cause.WORKER_LOST)
    assert died.unbegun == [waiting]
    assert not any(map(is_alive, members))
    door.prepare(1)
    door.processes.perform(Launch(7, 1))
    (again,) = door.give(door.script.echo("again"), runner=7)
    assert door.result(door.ended(again)) == "again"


def test_nothing_survives_a_killed_supervisor(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.worker.door import Door\n"
        "directory = Path(sys.argv[1]); door = Door(directory).start()\n"
        "door.give(door.script.daemon(directory / 'daemon'), door.script.deaf(directory / 'ready'))\n"
        "while True: door.turn()\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    supervisor = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=environ)
    wait_until((tmp_path / "ready").exists)
    members = wait_until(lambda: len(found := reaper.descendants(supervisor.pid)) >= 4 and found)
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not any(map(is_alive, members)))
    wait_until(lambda: os.listdir(tmp_path / "scratch") == [])


def test_no_runner_survives_a_supervisor_and_a_nursery_that_are_killed_in_the_same_instant(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.worker.door import Door\n"
        "directory = Path(sys.argv[1]); door = Door(directory).start()\n"
        "door.give(door.script.deaf(directory / 'ready'))\n"
        "while True: door.turn()\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    supervisor = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=environ)
    wait_until((tmp_path / "ready").exists)
    snapshot = reaper.processes()
    nurseries = [process.pid for process in snapshot.values() if process.parent == supervisor.pid]
    runners = [process.pid for process in snapshot.values() if process.parent in nurseries]
    assert runners
    for number in (signal.SIGSTOP, signal.SIGKILL):  # so that neither has the time to look after the other
        reaper.send(number, [supervisor.pid, *nurseries])
    supervisor.wait()
    wait_until(lambda: not any(map(is_alive, runners)))


@pytest.mark.parametrize("seed", range(3))
def test_every_task_is_accounted_for_exactly_once_whatever_is_killed_when(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with opened(tmp_path) as door:
        given: list[Attempt] = []
        first = door.wait_for(RunnerStarted)
        pids: dict[int, int] = {first.runner: first.pid}
        alive = {1}
        launched = 1
        for _ in range(300):
            runner = chance.choice(sorted(alive))
            deed = chance.random()
            if deed < 0.7:
                sleep = "if slow: time.sleep(0.002)"
                slow = [chance.random() < 0.5 for _ in range(chance.randrange(1, 6))]
                targets = [door.script.call(sleep, slow=each) for each in slow]
                given += door.give(*targets, runner=runner)
            elif deed < 0.85:
                door.processes.perform(TakeBack(runner))
            elif runner in pids:
                reaper.send(signal.SIGKILL, [pids[runner]])
            if chance.random() < 0.5:
                door.turn(seconds=0.01 * chance.random())
            pids.update({event.runner: event.pid for event in door.heard(RunnerStarted)})
            alive -= {event.runner for event in door.heard(RunnerDied)}
            while len(alive) < 2:
                launched += 1
                door.processes.perform(Launch(launched, 1))
                alive.add(launched)
        door.until(lambda: len(_accounted(door)) >= len(given))
        door.turn(seconds=0.05)
        assert sorted(_accounted(door)) == given
        assert len(door.heard(RunnerDied)) > 0
        assert len(door.heard(TakenBack)) > 0


def _accounted(door: Door) -> list[Attempt]:
    accounted = [attempt_of(event.row) for event in door.heard(Ended)]
    for taken in door.heard(TakenBack):
        accounted += taken.attempts
    for died in door.heard(RunnerDied):
        accounted += died.unbegun
        accounted += [attempt_of(died.row)] if died.row is not None else []
    return accounted
