"""Progress is shown as the place where it appears allows, and never disturbs the run."""

from __future__ import annotations

import io
import json
import re

import pytest

from jobtree.master.nodes import PHASES, Phase
from jobtree.views.progress import Console, Progress
from jobtree.views.snapshot import Snapshot, ending, sentence


class Clock:
    """Time moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def snapshot(elapsed: float = 1.0, **counts: int) -> Snapshot:
    tally = [0] * PHASES
    for name, count in counts.items():
        tally[Phase[name.upper()]] = count
    return Snapshot({"leaf": tally}, elapsed, workers=2, workers_wanted=2)


def test_plain_lines_come_after_two_seconds_and_then_less_and_less_often() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress("plain", out, clock=clock)
    times = []
    for tenth in range(1000):
        clock.now = tenth / 10
        before = out.tell()
        progress.update(snapshot(clock.now, done=tenth, ready=1000 - tenth))
        if out.tell() > before:
            times.append(clock.now)
    assert times == [2.0, 6.0, 14.0, 30.0, 62.0]
    assert out.getvalue().splitlines()[0] == "jobtree: 2s: 20 of 1,000 targets have run, 0 running, 2 workers"


def test_a_plain_line_that_would_say_the_same_is_left_out() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress("plain", out, clock=clock)
    for second in range(100):
        clock.now = float(second)
        progress.update(snapshot(second, running=1))
    assert len(out.getvalue().splitlines()) == 1


def test_the_last_line_says_how_it_ended() -> None:
    out = io.StringIO()
    progress = Progress("auto", out)
    tally = [0] * PHASES
    tally[Phase.DONE], tally[Phase.FAILED], tally[Phase.BLOCKED] = 10, 2, 1
    progress.close(Snapshot({"leaf": tally}, 65.0, failed=2, retries=3, state="failed"))
    assert out.getvalue() == "jobtree: failed after 1m5s: 10 of 13 targets done, 2 failed, 1 blocked by what failed, 3 retries\n"


def test_json_lines_can_be_read_by_a_program() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress("json", out, clock=clock)
    for tenth in range(25):
        clock.now = tenth / 10
        progress.update(snapshot(clock.now, done=tenth))
    progress.say("WARNING", "a worker is lost")
    progress.close(snapshot(3.0, done=30))
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [document.get("elapsed") for document in documents] == [0.0, 1.0, 2.0, None, 3.0]
    assert documents[3] == {"schema": 1, "level": "WARNING", "message": "a worker is lost"}
    assert documents[4]["final"] is True
    assert documents[4]["counts"]["done"] == 30
    assert documents[0]["names"][0]["name"] == "leaf"


def test_a_terminal_gets_a_table_with_words_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    out = Terminal()
    progress = Progress("auto", out)
    progress.update(snapshot(1.0, done=5, running=1, ready=4))
    progress.say("INFO", "worker w1 has joined \x1b[2J")
    progress.update(snapshot(2.0, done=10))
    progress.close(Snapshot({"leaf": [0] * PHASES}, 3.0, state="complete"))
    text = out.getvalue()
    assert re.search(r"leaf +━+╌+ +50% +1 +4 +5", text)
    assert "worker w1 has joined \\x1b[2J" in text
    assert text.rstrip().endswith("complete after 3s: 0 targets\x1b[0m")


def test_a_table_never_gets_higher_than_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "10")
    out = Terminal()
    names = {f"name{n}": [0, 0, 1, n % 3, 0, 0, 0, 0, 0] for n in range(100)}
    Progress("rich", out).update(Snapshot(names, 1.0))
    assert "and 95 more names" in out.getvalue()
    assert out.getvalue().count("\n") < 10


def test_none_is_silent_but_for_warnings() -> None:
    out = io.StringIO()
    progress = Progress("none", out)
    progress.update(snapshot(99.0, done=1))
    progress.say("INFO", "hello")
    progress.say("WARNING", "a worker is lost")
    progress.close(snapshot(100.0, done=1))
    assert out.getvalue() == "jobtree: a worker is lost\n"


def test_words_below_the_level_are_not_said() -> None:
    out = io.StringIO()
    progress = Progress("plain", out, level="ERROR")
    progress.say("WARNING", "not this")
    progress.say("ERROR", "this")
    assert out.getvalue() == "jobtree: this\n"


def test_a_stream_that_is_gone_ends_the_display_and_not_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for stream in (Gone(), io.StringIO()):
        progress = Progress("plain", stream)
        if not isinstance(stream, Gone):
            stream.close()
        progress.say("ERROR", "nobody hears it")
        progress.close(snapshot(1.0))


def test_the_estimate_is_called_one_for_what_is_known() -> None:
    known = Snapshot({"a": [0, 0, 5, 1, 0, 4, 0, 0, 0]}, 1.0, seconds_left=95.0)
    assert sentence(known).endswith("about 1m35s for what is known")
    assert ending(snapshot(1.0, done=1)) == "running after 1s: 1 target"


def test_the_console_shows_a_masters_own_state() -> None:
    from jobtree.master.core import Settings
    from jobtree.master.ledger import Ledger
    from jobtree.master.state import MasterState
    from jobtree.master.tree import Tree

    out = io.StringIO()
    state = MasterState(Tree(), Ledger(), Settings(workers=3), 0.0)
    state.core.tree.tallies["leaf"] = [0, 0, 6, 0, 0, 0, 0, 0, 0]
    console = Console(Progress("json", out), Clock())
    console.show(state)
    console.say("INFO", "hello")
    console.close(state)
    first, _, last = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["state"], first["counts"]["ready"], first["workers"], first["workers_wanted"]) == ("running", 6, 0, 3)
    assert first["seconds_left"] is None
    assert last["state"] == "stopped"
    assert last["hints"] == []


def test_time_left_utilisation_and_hints_come_from_what_was_learned() -> None:
    from jobtree.master.core import Settings
    from jobtree.master.ledger import Ledger
    from jobtree.master.nodes import Form
    from jobtree.master.records import WorkerJoined
    from jobtree.master.state import MasterState
    from jobtree.master.tree import Tree
    from jobtree.views.progress import snapshot_of

    state = MasterState(Tree(), Ledger(), Settings(workers=2), 0.0)
    form = state.core.tree.form(["leaf", None, {"memory": 32 << 30}])
    assert isinstance(form, Form)
    form.tally[Phase.READY] = 6
    worker = state.core.roster.join(WorkerJoined(0.0, 1, "u", "here", 1, "", 0, 4.0, 1 << 30))
    worker.peer = 1
    worker.free_cpus = 1.0
    for _ in range(3):
        state.core.scheduler.learn(form, 10.0, 9.0, 3 << 30)
    now = snapshot_of(state, 1.0)
    assert (now.left, now.seconds_left, now.utilisation, now.hints) == ({"leaf": 15.0}, 15.0, 0.75, ())
    assert sentence(now).endswith("1 of 2 workers 75% busy, about 15s for what is known")
    (hint,) = snapshot_of(state, 1.0, "complete").hints
    assert (hint.name, hint.asked, hint.used) == ("leaf", 32 << 30, 3 << 30)
