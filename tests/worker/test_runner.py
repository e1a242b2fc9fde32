"""What a runner makes of targets: results, failures, directories, and a process that is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jobtree
from jobtree._promise import Cancelled, Failure, Promise
from jobtree.errors import Cause
from jobtree.ids import PromiseKey
from jobtree.protocol import blobs, payload
from jobtree.protocol.codec import packed_size
from jobtree.protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_HIGH_WATER,
    FLAG_TEMP,
    ROW_CAUSE,
    ROW_CREATED,
    ROW_EMBEDS,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_MEMORY,
    ROW_MESSAGES,
    ROW_RESULT,
    ROW_SYSTEM,
    ROW_USER,
    ROW_WALL,
    VALUE_BLOB,
    VALUE_CANCELLED,
    VALUE_FAILURE,
    VALUE_INLINE,
    VALUE_NONE,
)
from jobtree.worker.channel import LARGEST_MESSAGE
from jobtree.worker.effects import Give, Launch
from jobtree.worker.events import CodeFound, Created, Ended, Printed
from tests.worker.door import Door, attempt_of, cause_of, opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with opened(tmp_path_factory.mktemp("shared")) as door:
        yield door


@pytest.fixture
def door(shared: Door) -> Door:
    """One runner for all tests of this file that leave it alive: which they must, whatever they do."""
    shared.all.clear()
    return shared


def failure(row: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = row[ROW_FAILURE]
    return found


def test_none_is_no_data(door: Door) -> None:
    ended = door.call("return None")
    assert (ended.row[ROW_CAUSE], ended.row[ROW_RESULT], ended.data) == ("", None, b"")


def test_a_large_result_is_named_and_lies_in_the_tree(door: Door) -> None:
    ended = door.call("return 'x' * 100_000")
    path = blobs.blob_path(door.tree, *attempt_of(ended.row), blobs.RESULT)
    data = blobs.read_blob(path, blobs.BlobName(*ended.row[ROW_RESULT]))
    assert payload.loads(data) == "x" * 100_000
    assert ended.data == b""


def test_a_returned_promise_passes_the_result_on(door: Door) -> None:
    ended = door.call("return jobtree.current_target().add_child(nothing())")
    assert (ended.row[ROW_RESULT], ended.row[ROW_CREATED], ended.data) == ([1], 1, b"")


def test_promises_inside_a_result_are_named(door: Door) -> None:
    ended = door.call("add = jobtree.current_target().add_child\nreturn [add(nothing()) for _ in range(4)][1:]")
    assert (ended.row[ROW_RESULT], ended.row[ROW_EMBEDS]) == (True, [2, 3])


def test_children_and_follow_on_say_what_they_wait_for(door: Door) -> None:
    ended = door.call(
        "t = jobtree.current_target()\n"
        "a, b = t.add_child(nothing()), t.add_child(echo(1), allow_failure=True)\n"
        "c = t.add_child(echo([a, b]), after=[b])\n"
        "t.set_follow_on(echo(c).needs(memory='3M'))"
    )
    assert (ended.row[ROW_CREATED], ended.row[ROW_FLAGS] & FLAG_FOLLOW_ON) == (3, FLAG_FOLLOW_ON)
    children, follow_on = (event.piece for event in door.heard(Created))
    assert children[:3] == [*attempt_of(ended.row), 1]
    assert children[3] == [["nothing", None, {}], ["echo", True, {}], ["echo", None, {}]]
    assert children[4] == [0, 1, 1, 1, 2, 1]
    assert children[5] == {2: [[1, 2], [2, 1], None]}
    assert follow_on[2:6] == [0, [["echo", None, {"memory": 3 << 20}]], [0, 1], {0: [[3, 1], [], None]}]


def test_a_large_child_is_named_and_lies_in_the_tree(door: Door) -> None:
    ended = door.call("jobtree.current_target().add_child(echo('x' * 100_000))")
    (created,) = door.heard(Created)
    (name,) = [extra[2] for extra in created.piece[5].values()]
    assert created.piece[6] == [0]
    data = blobs.read_blob(blobs.blob_path(door.tree, *attempt_of(ended.row), 1), blobs.BlobName(*name))
    task = door.raw_task(b"", blob=[*name, *attempt_of(ended.row), 1])
    door.processes.perform(Give(1, [task]))
    assert door.result(door.ended(task.attempt)) == "x" * 100_000 == payload.loads(data).run()


def test_values_arrive_in_the_places_of_promises(door: Door) -> None:
    keys = [PromiseKey(1, 900, n) for n in range(1, 7)]
    large = payload.dumps("large" * 20_000).data
    name = blobs.write_blob(blobs.blob_path(door.tree, 1, 901, blobs.RESULT), large)
    values = [
        [*keys[0], VALUE_NONE, None, b""],
        [*keys[1], VALUE_INLINE, None, payload.dumps({"inner": Promise(keys[2])}, Promise).data],
        [*keys[2], VALUE_BLOB, [*name, 1, 901], b""],
        [*keys[3], VALUE_FAILURE, {"name": "", "id": 7, "cause": "exception", "message": "it went wrong"}, b""],
        [*keys[4], VALUE_CANCELLED, {"name": "", "id": 8, "cause": "cancelled", "message": "cancelled"}, b""],
        [*keys[5], VALUE_FAILURE, {"name": "sort", "id": 9, "cause": "exit", "message": "exited with status 1"}, b""],
    ]
    targets = door.script.echo([Promise(key) for key in keys])
    (attempt,) = door.give(targets, values=values)
    assert door.result(door.ended(attempt)) == [
        None,
        {"inner": "large" * 20_000},
        "large" * 20_000,
        Failure(message="it went wrong"),
        Cancelled(),
        Failure("sort", "exit", "exited with status 1"),
    ]


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("raise ValueError('bad input')", "ValueError", "ValueError: bad input"),
        ("raise SystemExit(0)", "SystemExit", "SystemExit: 0"),
        ("sys.exit()", "SystemExit", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "import no_such_module",
            "ModuleNotFoundError",
            "ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("jobtree.current_target().add_child(5)", "jobtree.errors.UsageError", None),
        ("return nothing()", "jobtree.errors.UsageError", None),
    ],
)
def test_whatever_escapes_from_run_is_a_failure(door: Door, source: str, kind: str, message: str | None) -> None:
    ended = door.call(f"print('before')\n{source}")
    why = failure(ended.row)
    assert cause_of(ended.row) is Cause.EXCEPTION
    assert why["type"] == kind
    assert message is None or why["message"] == message
    assert why["host"] == os.uname().nodename
    assert why["output"].startswith("before\nTraceback")
    assert type(payload.load_exception(ended.data)).__name__ == kind.rpartition(".")[2]
    assert door.result(door.call("return 'goes on'")) == "goes on"


def test_a_failure_names_the_users_own_line(door: Door) -> None:
    ended = door.call("x = 1\njobtree.current_target().add_child(None)")
    assert failure(ended.row)["where"] == "body.py:3 in body"


def test_a_child_that_cannot_be_pickled_is_named(door: Door) -> None:
    ended = door.call("add_locked()")
    assert cause_of(ended.row) is Cause.UNPICKLABLE
    assert "Locked.lock" in failure(ended.row)["message"]


def test_a_result_that_cannot_be_pickled_is_a_failure(door: Door) -> None:
    assert cause_of(door.call("import threading\nreturn threading.Lock()").row) is Cause.UNPICKLABLE


def test_code_that_cannot_be_found_is_named_with_the_path(door: Door) -> None:
    data = payload.dumps(door.script.nothing()).data.replace(b"nothing", b"n0thing")
    task = door.raw_task(data)
    door.processes.perform(Give(1, [task]))
    row = door.ended(task.attempt).row
    assert cause_of(row) is Cause.IMPORT
    assert "n0thing" in failure(row)["message"]
    assert "sys.path is [" in failure(row)["message"]


@pytest.mark.parametrize(
    ("words", "cause", "status"),
    [("exit 3", Cause.EXIT, 3), ("kill -9 $$", Cause.SIGNAL, -9)],
)
def test_a_failed_command_is_told_by_its_status(door: Door, words: str, cause: Cause, status: int) -> None:
    (attempt,) = door.give(jobtree.command(f"echo said; {words}"))
    row = door.ended(attempt).row
    assert (cause_of(row), failure(row)["exit"]) == (cause, status)
    assert failure(row)["output"].startswith("said\n")


def test_messages_go_out_at_once_and_into_the_row(door: Door) -> None:
    ended = door.call("t = jobtree.current_target()\nt.log('one')\nt.log('two\\nlines', 'WARNING')\nt.log('x' * 70_000)")
    assert [(level, len(text)) for _, level, text in ended.row[ROW_MESSAGES]] == [
        ("INFO", 3),
        ("WARNING", 9),
        ("INFO", LARGEST_MESSAGE),
    ]
    live = b"".join(e.data for e in door.heard(Printed) if e.stream == 0)
    assert live.startswith(b"INFO one\nWARNING two\nlines\nINFO xxx")


def test_the_last_messages_stay_within_the_limit(door: Door) -> None:
    ended = door.call("for n in range(3000): jobtree.current_target().log(f'{n} ' + 50 * 'x')")
    messages = ended.row[ROW_MESSAGES]
    assert 40 * 1024 < sum(len(text) for _, _, text in messages) < 64 * 1024
    assert [int(text.split()[0]) for _, _, text in messages] == list(range(3000 - len(messages), 3000))


def test_the_limit_of_messages_counts_bytes(door: Door) -> None:
    ended = door.call("for n in range(9): jobtree.current_target().log(f'{n} ' + 100_000 * '\N{GREEK SMALL LETTER ALPHA}')")
    messages = ended.row[ROW_MESSAGES]
    assert messages
    assert packed_size(messages) < 65 * 1024
    assert all(len(text.encode()) <= LARGEST_MESSAGE for _, _, text in messages)


@pytest.mark.parametrize(
    ("level", "kept"),
    [("'WARNING'", "WARNING"), ("logging.ERROR", "ERROR"), ("'my level'", "my"), ("'x' * 1000", "x" * 20), ("''", "INFO")],
)
def test_a_level_is_one_short_word(door: Door, level: str, kept: str) -> None:
    ended = door.call(f"import logging; jobtree.current_target().log('text', {level})")
    assert ended.row[ROW_MESSAGES][0][1:] == [kept, "text"]


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('x' * 1_500_000)",
        "raise ValueError('\N{GREEK SMALL LETTER ALPHA}' * 1_500_000)",
        "raise type('E' * 1_500_000, (Exception,), {'__module__': 'm' * 1_500_000})()",
        "kind = Exception\nfor n in range(200): kind = type('E' * 2000, (kind,), {})\nraise kind()",
        "exec(compile('1/0', 'f' * 1_500_000, 'exec'), {})",
        "raise jobtree.CommandFailed('c' * 1_500_000, 1, 'r' * 1_500_000)",
        "raise jobtree.CommandFailed('c', 2 ** 80)",
        "import os; os.write(2, b'\\xff' * 200_000); raise ValueError",
    ],
)
def test_a_row_stays_small_whatever_was_raised(door: Door, source: str) -> None:
    (attempt,) = door.give(door.script.call("for n in range(9): jobtree.current_target().log('x' * 30_000)\n" + source))
    row = door.ended(attempt).row
    assert failure(row)["message"]
    assert packed_size(row) < 200 * 1024


@pytest.mark.parametrize("code", [0xDCFF, 0xD800])
def test_texts_that_are_no_unicode_are_told_with_escapes(door: Door, code: int) -> None:
    strange = f"a{chr(code)}"
    source = (
        "jobtree.current_target().log(strange, strange)\nraise type('Strange', (ValueError,), {'__module__': strange})(strange)"
    )
    row = door.ended(door.give(door.script.call(source, strange=strange))[0]).row
    readable = strange.encode(errors="backslashreplace").decode()
    assert row[ROW_MESSAGES][0][1:] == [readable, readable]
    assert failure(row)["type"] == f"{readable}.Strange"
    assert failure(row)["message"].endswith(f": {readable}")
    assert readable in failure(row)["output"]


def test_forms_count_in_the_size_of_a_piece(door: Door) -> None:
    door.call(
        "t = jobtree.current_target()\n"
        "for n in range(3000): t.add_child(nothing().needs(name=f'{n} ' + 150 * 'x', resources={f'{n} {k} ' + 'y' * 150: 1 "
        "for k in range(20)}))"
    )
    pieces = [event.piece for event in door.heard(Created)]
    assert sum(len(piece[6]) for piece in pieces) == 3000
    assert max(packed_size(piece) + sum(piece[6]) for piece in pieces) < 300 * 1024


def test_a_target_made_and_never_added_is_warned_of(door: Door) -> None:
    ended = door.call("nothing()")
    ((_, level, text),) = ended.row[ROW_MESSAGES]
    assert level == "WARNING"
    assert "nothing was made and never added" in text


def test_the_local_temp_dir_is_private_and_gone_with_the_attempt(door: Door) -> None:
    path, mode, found = door.result(
        door.call(
            "d = jobtree.current_target().local_temp_dir\n(d / 'a').write_text('x')\n"
            "return str(d), d.stat().st_mode & 0o777, d == jobtree.current_target().local_temp_dir"
        )
    )
    assert (mode, found) == (0o700, True)
    assert Path(path).is_relative_to(door.scratch)
    assert not Path(path).exists()


def test_the_global_temp_dir_is_the_chains_and_stays(door: Door) -> None:
    task = door.task(door.script.call("return jobtree.current_target().global_temp_dir"))
    door.processes.perform(Give(1, [task]))
    ended = door.ended(task.attempt)
    path = door.result(ended)
    assert path == door.tree / "tmp" / task.temp
    assert path.is_dir()
    assert ended.row[ROW_FLAGS] & FLAG_TEMP
    assert not door.call("return None").row[ROW_FLAGS] & FLAG_TEMP


def test_what_a_target_changes_of_the_process_is_put_back(door: Door) -> None:
    look = "return os.getcwd(), os.environ.get('NEW'), os.environ['PATH'], list(sys.path), os.umask(0o022)"
    before = door.result(door.call(look))
    door.call("os.chdir('/'); os.environ['NEW'] = '1'; del os.environ['PATH']\nsys.path.insert(0, '/nowhere'); os.umask(0)")
    assert door.result(door.call(look)) == before


def test_streams_that_a_target_redirects_or_closes_are_put_back(door: Door, tmp_path: Path) -> None:
    door.call(
        "f = open(path, 'w'); os.dup2(f.fileno(), 1); os.dup2(f.fileno(), 2); print('there')",
        path=tmp_path / "f",
    )
    assert (tmp_path / "f").read_text() == "there\n"
    door.call("sys.stdout.close(); sys.stderr.close(); os.close(1)")
    door.call("import io; sys.stdout = io.StringIO(); print('lost')")
    ended = door.call("print('here'); print('and here', file=sys.stderr)")
    assert door.output(attempt_of(ended.row), 1) == "here\n"
    assert door.output(attempt_of(ended.row), 2) == "and here\n"


@pytest.mark.parametrize("deed", ["os.close(2)", "sys.stderr.close()", "os.close(1); os.close(2)"])
def test_a_traceback_is_captured_also_where_stderr_was_closed(door: Door, deed: str) -> None:
    ended = door.call(f"{deed}\nraise ValueError('all the same')")
    assert cause_of(ended.row) is Cause.EXCEPTION
    assert failure(ended.row)["output"].endswith("ValueError: all the same")
    assert door.output(attempt_of(door.call("print('and on')").row), 1) == "and on\n"


def test_all_ways_to_print_are_captured(door: Door) -> None:
    ended = door.call(
        "print('python'); sys.stdout.buffer.write(b'buffer\\n'); sys.stdout.write('no end')\n"
        "ctypes.CDLL(None).puts(b'C'); subprocess.run('echo shell', shell=True); os.system('echo system')\n"
        "logging.getLogger('me').info('logged'); warnings.warn('warned')"
    )
    out, err = (door.output(attempt_of(ended.row), stream) for stream in (1, 2))
    assert sorted(out.replace("no end", "").split()) == ["C", "buffer", "python", "shell", "system"]
    assert "INFO me: logged\n" in err
    assert "UserWarning: warned" in err


def test_a_forked_child_that_returns_does_not_run_on(door: Door) -> None:
    ended = door.call("pid = os.fork()\nif pid: return os.waitpid(pid, 0)[1]\nreturn 'child'")
    assert door.result(ended) == 0
    assert door.result(door.call("return 'next'")) == "next"
    assert [door.result(event) for event in door.heard(Ended)] == [0, "next"]


def test_a_forked_child_may_not_add_targets(door: Door) -> None:
    ended = door.call(
        "pid = os.fork()\n"
        "if pid: return os.waitpid(pid, 0)[1]\n"
        "try: jobtree.current_target().add_child(nothing())\n"
        "except jobtree.UsageError: os._exit(7)"
    )
    assert os.waitstatus_to_exitcode(door.result(ended)) == 7
    assert (ended.row[ROW_CREATED], door.heard(Created)) == (0, [])


def test_multiprocessing_and_threads_work(door: Door) -> None:
    source = (
        "for method in ('fork', 'spawn'):\n"
        "    with multiprocessing.get_context(method).Pool(2) as pool: found = pool.map(square, range(5))\n"
        "    assert found == [0, 1, 4, 9, 16]\n"
        "thread = threading.Thread(target=print, args=('in a thread',)); thread.start(); thread.join()"
    )
    ended = door.call(source)
    assert ended.row[ROW_CAUSE] == "", ended.row
    assert door.output(attempt_of(ended.row), 1) == "in a thread\n"


def test_threads_of_a_target_find_its_context(door: Door) -> None:
    source = "thread = threading.Thread(target=lambda: jobtree.current_target().log('hello'))\nthread.start(); thread.join()"
    assert door.call(source).row[ROW_MESSAGES][0][2] == "hello"


def test_stdin_is_empty(door: Door) -> None:
    assert door.result(door.call("return sys.stdin.read(), os.read(0, 10)")) == ("", b"")


def test_the_number_of_threads_follows_the_cpus(door: Door) -> None:
    target = door.script.call("return os.environ['OMP_NUM_THREADS'], subprocess.getoutput('echo $MKL_NUM_THREADS')")
    for cpus, expected in ((4.0, "4"), (0.5, "1"), (2.0, "2")):
        (attempt,) = door.give(target, cpus=cpus)
        assert door.result(door.ended(attempt)) == (expected, expected)


def test_the_remaining_time_is_that_of_the_limit(door: Door) -> None:
    target = door.script.call("return jobtree.current_target().remaining_time()")
    limited, unlimited = door.give(target, limit=100.0) + door.give(target)
    assert 0 < door.result(door.ended(limited)) <= 100
    assert door.result(door.ended(unlimited)) is None


def test_time_and_memory_of_subprocesses_count(door: Door) -> None:
    burn = "import time\\nend = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
    row = door.call(f"subprocess.run([sys.executable, '-c', '''{burn}'''])").row
    assert row[ROW_USER] + row[ROW_SYSTEM] >= 0.3
    assert row[ROW_WALL] >= 0.3


def test_the_peak_of_memory_is_the_attempts_own_or_said_not_to_be(door: Door) -> None:
    hungry = door.call("held = bytearray(150_000_000); del held").row
    modest = door.call("return None").row
    assert hungry[ROW_MEMORY] > 150_000_000
    assert not hungry[ROW_FLAGS] & FLAG_HIGH_WATER
    assert modest[ROW_MEMORY] >= hungry[ROW_MEMORY]
    assert modest[ROW_FLAGS] & FLAG_HIGH_WATER


def test_code_in_a_result_is_told_before_the_end(door: Door) -> None:
    ended = door.call("return lambda: 41")
    (found,) = door.heard(CodeFound)
    assert payload.loads(ended.data, {}, {found.sha: found.data}.__getitem__)() == 41


def test_random_numbers_differ_between_runners(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        door.processes.perform(Launch(2, 1))
        target = door.script.call("return random.random()")
        attempts = door.give(target) + door.give(target, runner=2)
        one, two = (door.result(door.ended(attempt)) for attempt in attempts)
        assert one != two


def test_a_runner_holds_no_descriptor_but_its_own(tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as secret, opened(tmp_path) as door:
        os.set_inheritable(secret.fileno(), True)
        source = (
            "def name(n):\n"
            "    try: return os.readlink(f'/proc/self/fd/{n}')\n"
            "    except FileNotFoundError: return 'the listing'\n"
            "return {int(n): name(n) for n in os.listdir('/proc/self/fd')}"
        )
        found = door.result(door.call(source))
        assert not any("secret" in path or "eventpoll" in path for path in found.values())
        others = [path for n, path in found.items() if 2 < n < 700 and path != "the listing"]
        assert others == ["/memfd:jobtree-runner (deleted)"]  # the page that tells what runs
