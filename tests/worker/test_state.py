"""Turns of a worker, as values: its dealings with the master, what it runs, and how it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from jobtree.ids import Attempt
from jobtree.protocol.codec import Message
from jobtree.protocol.messages import VALUE_INLINE, VERDICT_ADOPT, VERDICT_CANCEL, Type
from jobtree.worker import effects as do
from jobtree.worker import events as e
from jobtree.worker.state import About, Contact, WorkerState

ONE = Attempt(1, 1)
FORM = ["t", 1.0, 1, 0.0, None, False]


class Bench:
    """A worker's state, and a master that says what the test wants."""

    def __init__(self, cpus: float = 1.0, patience: float = 600.0, life: float = 0.0) -> None:
        self.now = 100.0
        about = About("1", "3.11", "run", "u", "b", 0, "h", 1, cpus, 100, 0.0, patience)
        if life:  # a batch system's
            about.in_batch, about.until, about.life = True, self.now + life, life
        self.state = WorkerState(about, self.now, lambda: 1.0)
        self.effects = self.state.begin()
        self.epoch = 1
        self._number = 0
        self._session = 0

    def turn(self, *events: e.Event, after: float = 0.0) -> list[do.Effect]:
        self.now += after
        self.effects = self.state.step(list(events), self.now)
        return self.effects

    def connect(self) -> list[do.Effect]:
        self._session += 1
        self._number = 0
        return self.turn(e.Connected())

    def hears(self, kind: Type, body: list[Any], data: bytes = b"", *, number: int | None = None) -> list[do.Effect]:
        message = Message(kind, self.epoch, self._session, self._number if number is None else number, body, data)
        self._number += 1
        return self.turn(e.Received(message))

    def welcome(self, verdicts: list[list[int]] | None = None) -> list[do.Effect]:
        self.connect()
        return self.hears(Type.WELCOME, [{"worker": 1}, verdicts or []])

    def run(self, count: int = 1, first: int = 1, form: list[Any] = FORM) -> list[do.Effect]:
        group = [first, 10 + first, count, 0, 1, None, None]
        return self.hears(Type.RUN, [[form], [group], [1] * count], b"p" * count)

    def said(self, kind: Type) -> list[Message]:
        return [effect.message for effect in self.effects if isinstance(effect, do.Transmit) and effect.message.type is kind]

    def did(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def piece(self, attempt: Attempt, first_n: int, count: int = 1) -> e.Created:
        return e.Created(1, [*attempt, first_n, [["t", None, {}]], [0, count], {}, [1] * count], [], b"x" * count)

    def ended(self, attempt: Attempt, created: int = 0) -> e.Ended:
        return e.Ended(1, [*attempt, "", created, 0, None, None, 0.0, 1.0, 0.0, 0.0, 0, None, None], b"")


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.welcome()
    return made


# -- contact ----------------------------------------------------------------------------------------------------------


def test_a_worker_dials_and_says_hello_first() -> None:
    made = Bench()
    assert made.effects == [do.Connect(0.0)]
    made.connect()
    (hello,) = made.said(Type.HELLO)
    assert (hello.number, hello.session, hello.body[0]["held"]) == (0, 1, [])


def test_a_welcome_of_a_new_epoch_prepares_a_new_nursery_and_warms_up() -> None:
    made = Bench(cpus=2.0)
    made.welcome()
    assert made.effects == [do.Prepare(1, {"worker": 1}), do.Launch(1, 1), do.Launch(2, 1)]
    made.hears(Type.NOSESSION, [])
    made.welcome()
    assert not made.did(do.Prepare), "it is the same epoch"


def test_a_gap_in_the_masters_messages_ends_the_session(bench: Bench) -> None:
    bench.hears(Type.BEAT, [0], number=5)
    assert bench.did(do.Disconnect)
    assert bench.did(do.Connect)
    assert bench.state.contact is Contact.DIALLING


def test_a_message_of_an_older_epoch_ends_the_session(bench: Bench) -> None:
    bench.epoch = 0
    bench.hears(Type.BEAT, [0])
    assert bench.did(do.Disconnect)


def test_no_session_means_hello_again(bench: Bench) -> None:
    bench.hears(Type.NOSESSION, [])
    assert bench.did(do.Connect)
    bench.connect()
    (hello,) = bench.said(Type.HELLO)
    assert (hello.session, hello.number) == (2, 0)


def test_a_rejected_worker_leaves_with_status_2() -> None:
    made = Bench()
    made.connect()
    made.hears(Type.REJECT, ["wrong version"])
    assert made.did(do.Exit) == [do.Exit(2, "the master refuses this worker: wrong version")]


def test_a_worker_that_is_put_off_says_hello_again_and_loses_no_patience() -> None:
    made = Bench(patience=8.0)
    made.welcome()
    made.run()
    made.hears(Type.NOSESSION, [])
    for _ in range(5):
        made.turn(after=3.0)
        made.connect()
        assert made.said(Type.HELLO)
        made.hears(Type.BUSY, [5.0, "no room"])
        assert made.effects == [do.Disconnect(), do.Connect(4.0)]
        assert made.state.contact is Contact.DIALLING
    made.turn(after=8.0)
    assert made.did(do.Exit), "now nobody has answered for so long"


def test_an_unanswered_hello_is_said_again_later_and_later() -> None:
    made = Bench()
    delays = []
    for _ in range(4):
        made.connect()
        made.turn(after=made.state.deadline - made.now)
        delays += [effect.delay for effect in made.did(do.Connect)]
    assert delays == sorted(delays)
    assert len(set(delays)) == 4


def test_a_master_that_takes_long_to_answer_is_given_more_time_with_each_hello() -> None:
    """One whose disk takes six seconds to sync would else be taken for dead for ever."""
    made = Bench()
    made.connect()
    waits = []
    for _ in range(6):
        waits.append(made.state.deadline - made.now)
        made.turn(after=waits[-1])
        made.connect()
    assert waits == [20.0, 40.0, 60.0, 60.0, 60.0, 60.0]
    made.hears(Type.WELCOME, [{"worker": 1}, []])
    made.turn(e.ConnectionLost("cut"))
    made.connect()
    assert made.state.deadline - made.now == 20.0


def test_a_worker_that_holds_nothing_is_no_more_patient_than_one_that_does() -> None:
    for patience, expected in ((5.0, 5.0), (600.0, 120.0)):
        made = Bench(patience=patience)
        made.welcome()
        made.turn(e.ConnectionLost("cut"))
        assert made.state.deadline - made.now == expected
        made.turn(after=expected)
        assert made.did(do.Exit) == [do.Exit(0, "no master was found in time")]


def test_beats_and_silence_follow_what_the_master_says_of_them() -> None:
    made = Bench()
    made.connect()
    made.hears(Type.WELCOME, [{"worker": 1, "lost_after": 6.0}, []])
    assert made.state.deadline == pytest.approx(made.now + 1.0)
    made.turn(after=1.0)
    assert len(made.said(Type.BEAT)) == 1
    made.turn(after=5.0)
    assert made.did(do.Disconnect)


def test_a_worker_beats_every_ten_seconds(bench: Bench) -> None:
    bench.turn(after=9.0)
    assert not bench.effects
    bench.turn(after=1.0)
    assert len(bench.said(Type.BEAT)) == 1
    assert bench.state.deadline == pytest.approx(bench.now + 10.0)


def test_a_silent_master_is_looked_for_after_a_minute(bench: Bench) -> None:
    bench.turn(after=59.0)
    assert not bench.did(do.Connect)
    bench.turn(after=1.5)
    assert bench.did(do.Connect)


def test_an_idle_worker_that_finds_no_master_leaves_after_two_minutes(bench: Bench) -> None:
    bench.turn(e.ConnectionLost("dead"))
    bench.turn(after=119.0)
    assert not bench.did(do.Exit)
    bench.turn(after=2.0)
    assert bench.did(do.Exit)


def test_a_worker_that_holds_something_is_more_patient(bench: Bench) -> None:
    bench.run()
    bench.turn(e.ConnectionLost("dead"))
    bench.turn(after=599.0)
    assert not bench.did(do.Exit)
    bench.turn(after=2.0)
    assert bench.did(do.Exit)


# -- attempts ---------------------------------------------------------------------------------------------------------


def test_a_run_message_becomes_tasks(bench: Bench) -> None:
    bench.run()
    (give,) = bench.did(do.Give)
    (task,) = give.tasks
    assert (task.attempt, task.target, task.ordinal, task.temp, task.payload) == (ONE, 11, 1, "0b/11-1.1", b"p")


def test_values_come_behind_the_payload_that_takes_them(bench: Bench) -> None:
    values = [[1, 9, 1, VALUE_INLINE, None], [1, 9, 2, 0, None], [1, 9, 3, VALUE_INLINE, None]]
    groups = [[1, 11, 1, 0, 1, None, [None, values]]]
    bench.hears(Type.RUN, [[FORM], groups, [2, 3, 4]], b"ppaaabbbb")
    (give,) = bench.did(do.Give)
    assert give.tasks[0].payload == b"pp"
    assert [value[-1] for value in give.tasks[0].values] == [b"aaa", b"", b"bbbb"]


def test_creations_are_sent_before_the_end_that_counts_them(bench: Bench) -> None:
    bench.run()
    bench.turn(bench.piece(ONE, 1), bench.piece(ONE, 2), bench.ended(ONE, 2))
    assert [effect.message.type for effect in bench.did(do.Transmit)] == [Type.CHILDREN, Type.DONE]
    (children,) = bench.said(Type.CHILDREN)
    assert [piece[2] for piece in children.body[1]] == [1, 2]


def test_what_is_not_acknowledged_is_sent_again_in_the_next_session(bench: Bench) -> None:
    bench.run()
    bench.turn(bench.piece(ONE, 1), bench.piece(ONE, 2))
    bench.turn(bench.ended(ONE, 2))
    bench.turn(e.ConnectionLost("cut"))
    bench.connect()
    assert bench.said(Type.HELLO)[0].body[0]["held"] == [[1, 1, 11, 2, 2]]
    bench.hears(Type.WELCOME, [{}, [[1, 1, VERDICT_ADOPT, 1]]])
    (children,) = bench.said(Type.CHILDREN)
    assert [piece[2] for piece in children.body[1]] == [2], "the first is on the master's disk"
    assert len(bench.said(Type.DONE)) == 1


def test_an_acknowledged_end_is_forgotten(bench: Bench) -> None:
    bench.run()
    bench.turn(bench.ended(ONE))
    (done,) = bench.said(Type.DONE)
    assert len(bench.state.holdings) == 1
    bench.hears(Type.ACK, [done.number, 1, 10])
    assert len(bench.state.holdings) == 0


def test_a_cancel_verdict_kills_what_runs_and_says_nothing_of_it(bench: Bench) -> None:
    bench.run()
    bench.turn(e.Begun(1, ONE, 100.0))
    bench.turn(e.ConnectionLost("cut"))
    bench.connect()
    bench.hears(Type.WELCOME, [{}, [[1, 1, VERDICT_CANCEL, 0]]])
    (kill,) = bench.did(do.Kill)
    assert (kill.runner, kill.cause) == (1, "cancelled")
    row = [*ONE, "cancelled", 0, 0, None, None, 0.0, 1.0, 0.0, 0.0, 0, None, {}]
    bench.turn(e.RunnerDied(1, "killed", row))
    assert not bench.did(do.Transmit)
    assert len(bench.state.holdings) == 0


def test_a_recalled_attempt_that_waits_goes_back_at_once(bench: Bench) -> None:
    bench.run(2)
    bench.hears(Type.RECALL, [[[1, 2]]])
    (returned,) = bench.said(Type.RETURNED)
    assert returned.body == [[[1, 2]], False]
    assert [held.attempt for held in bench.state.holdings] == [ONE]


def test_a_recalled_attempt_that_runs_does_not_go_back(bench: Bench) -> None:
    bench.run()
    bench.turn(e.Begun(1, ONE, 100.0))
    bench.hears(Type.RECALL, [[[1, 1]]])
    assert not bench.effects


def test_a_recalled_attempt_at_a_runner_is_taken_back_if_it_was_not_begun(bench: Bench) -> None:
    bench.run()
    bench.hears(Type.RECALL, [[[1, 1]]])
    assert bench.did(do.TakeBack) == [do.TakeBack(1)]
    bench.turn(e.TakenBack(1, [ONE]))
    assert bench.said(Type.RETURNED)[0].body == [[[1, 1]], False]


def test_a_dead_runner_fails_what_it_ran_and_the_rest_is_run_by_another() -> None:
    made = Bench()
    made.welcome()
    for number in range(1, 4):
        made.run(1, number)
        made.turn(e.Ended(1, [1, number, "", 0, 0, None, None, 0.0, 0.001, 0.0, 0.0, 0, None, None], b""))
    made.run(2, 4)
    row = [1, 4, "signal", 0, 0, None, None, 0.0, 1.0, 0.0, 0.0, 0, None, {}]
    made.turn(e.RunnerDied(1, "SIGSEGV", row, b"", [Attempt(1, 5)]))
    assert [message.body[0] for message in made.said(Type.DONE)] == [[row]]
    assert [task.attempt for give in made.did(do.Give) for task in give.tasks] == [Attempt(1, 5)]


def test_a_time_limit_kills_the_runner(bench: Bench) -> None:
    bench.run(form=["t", 1.0, 1, 0.0, 30.0, False])
    bench.turn(e.Begun(1, ONE, bench.now))
    assert bench.state.deadline <= bench.now + 30.0
    bench.turn(after=30.0)
    (kill,) = bench.did(do.Kill)
    assert (kill.cause, kill.message) == ("time", "it has run for more than its time limit of 30 s")


def test_code_that_a_runner_needs_is_asked_for_once_and_kept(bench: Bench) -> None:
    bench.turn(e.CodeNeeded(1, "sha"), e.CodeNeeded(2, "sha"))
    assert [message.body for message in bench.said(Type.NEED)] == [[["sha"]]]
    bench.hears(Type.BLOB, [["sha"], [4]], b"code")
    assert bench.did(do.GiveCode) == [do.GiveCode(1, "sha", b"code"), do.GiveCode(2, "sha", b"code")]
    bench.turn(e.CodeNeeded(3, "sha"))
    assert bench.effects == [do.GiveCode(3, "sha", b"code")]


def test_code_is_asked_for_again_in_the_next_session(bench: Bench) -> None:
    bench.turn(e.CodeNeeded(1, "sha"))
    bench.turn(e.ConnectionLost("cut"))
    bench.welcome()
    assert [message.body for message in bench.said(Type.NEED)] == [[["sha"]]]


def test_code_travels_with_the_first_piece_that_needs_it_until_it_is_on_disk(bench: Bench) -> None:
    bench.run()
    created = e.Created(1, [*ONE, 1, [["t", None, {}]], [0, 1], {}, [1]], ["sha"], b"x")
    bench.turn(e.CodeFound(1, "sha", b"code"), created)
    code, piece = bench.said(Type.CHILDREN)
    assert (code.body, code.data) == ([[["sha", 4]], []], b"code")
    assert (piece.body[0], piece.data) == ([], b"x")
    bench.hears(Type.ACK, [piece.number, 1, 5])
    created.piece[2] = 2
    bench.turn(created)
    assert len(bench.said(Type.CHILDREN)) == 1


# -- leaving ----------------------------------------------------------------------------------------------------------


def test_stop_is_obeyed_with_a_good_bye(bench: Bench) -> None:
    bench.hears(Type.STOP, ["done"])
    assert [message.type for message in (effect.message for effect in bench.did(do.Transmit))] == [Type.BYE]
    assert bench.did(do.Exit)[0].status == 0


def test_a_signalled_worker_gives_back_what_waits_says_so_and_leaves_when_the_rest_is_done(bench: Bench) -> None:
    bench.run(2)
    bench.turn(e.Begun(1, ONE, 100.0))
    bench.turn(e.Signalled("SIGUSR1"))
    assert bench.said(Type.RETURNED)[0].body == [[[1, 2]], True]
    bench.turn(bench.ended(ONE))
    (done,) = bench.said(Type.DONE)
    assert not bench.did(do.Exit), "its end is not on the master's disk yet"
    bench.hears(Type.ACK, [done.number, 1, 10])
    assert bench.did(do.Exit) == [do.Exit(0, "ended by SIGUSR1")]


def test_what_comes_while_a_worker_drains_goes_back(bench: Bench) -> None:
    bench.run()
    bench.turn(e.Begun(1, ONE, 100.0))
    bench.turn(e.Signalled("SIGTERM"))
    bench.run(1, 7)
    assert bench.said(Type.RETURNED)[0].body == [[[1, 7]], True]
    assert not bench.did(do.Give)


def test_a_second_signal_is_obeyed_at_once(bench: Bench) -> None:
    bench.run()
    bench.turn(e.Begun(1, ONE, 100.0))
    bench.turn(e.Signalled("SIGTERM"))
    bench.turn(e.Signalled("SIGTERM"))
    assert bench.did(do.Exit)


def test_a_worker_without_a_nursery_leaves_with_status_1(bench: Bench) -> None:
    bench.turn(e.NurseryFailed(1, "no memory"))
    assert bench.did(do.Exit) == [do.Exit(1, "runners can't be made: no memory")]


def _row(cause: str, failure: dict[str, Any] | None) -> list[Any]:
    return [1, 1, cause, 0, 0, None, None, 100.0, 1.0, 0.0, 0.0, 100, None, failure]


def test_a_worker_says_how_long_it_has_and_takes_nothing_new_before_its_end() -> None:
    bench = Bench(life=100.0)
    bench.connect()
    (hello,) = bench.said(Type.HELLO)
    assert hello.body[0]["left"] == 100.0
    bench.hears(Type.WELCOME, [{"worker": 1}, []])
    bench.run()
    bench.turn(after=91.0)
    assert bench.state.leaving
    assert not bench.state.exited, "what runs may go on for a while"
    bench.turn(after=6.5)
    (exit_,) = bench.did(do.Exit)
    assert exit_.status == 0
    assert "time is up" in exit_.reason


@pytest.mark.parametrize(
    ("cause", "failure"),
    [("signal", {"exit": -15}), ("exit", {"exit": 143}), ("exception", {"exit": None, "type": "KeyboardInterrupt"})],
)
def test_a_target_that_dies_of_what_ends_the_whole_job_has_not_failed(cause: str, failure: dict[str, Any]) -> None:
    bench = Bench(life=1000.0)
    bench.welcome()
    bench.run()
    bench.turn(e.Ended(1, _row(cause, failure), b""))
    assert not bench.said(Type.DONE)
    bench.turn(e.Signalled("SIGTERM"))
    assert not bench.said(Type.DONE), "it is lost with its worker, and costs no retry"
    assert bench.said(Type.BYE)


def test_a_target_that_ends_itself_by_such_a_signal_has_failed_a_moment_later() -> None:
    bench = Bench(life=1000.0)
    bench.welcome()
    bench.run()
    bench.turn(e.Ended(1, _row("signal", {"exit": -15}), b""))
    bench.turn(after=1.1)
    assert len(bench.said(Type.DONE)) == 1
