"""The worker as a pure function with a memory: ``WorkerState.step(events, now)`` gives the effects of one turn.

It owns the dealings with the master: looking for it, HELLO, what to do on each message. Which runner runs what is the business
of ``slots``, what must be kept that of ``held``, what is to be told that of ``outbox``. Times are unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from ..ids import Attempt
from ..protocol.codec import Message
from ..protocol.messages import ROW_CAUSE, ROW_EPOCH, ROW_FAILURE, ROW_NUMBER, ROW_WALL, VERDICT_ADOPT, Type
from ..protocol.session import Session
from . import events as e
from .effects import Connect, Disconnect, Dump, Effect, Exit, Give, GiveCode, Prepare, Throttle, Transmit
from .held import UNACKNOWLEDGED, Held, Holdings, PieceKept
from .letters import tasks_of
from .outbox import Outbox
from .slots import Slots

#: Seconds without a word from the master after which the connection counts as lost, unless --lost-after says otherwise.
SILENT_AFTER = 60.0
#: Beats that fit into that time: one or two may get lost in a busy moment.
BEATS = 6
#: Seconds that a HELLO may go unanswered, the first time; each time it was not, twice as long, because a master whose disk takes
#: its time to sync is alive, and would never be heard out. (Lines that are dead are found out by libzmq, and sooner.)
ANSWER_WITHIN, ANSWER_MOST = 20.0, 60.0
REDIAL_FIRST, REDIAL_MOST, REDIAL_LATER = 0.1, 2.0, 30.0
#: What is announced as begun has begun a moment ago; more than this (seconds) is a clock that was set.
CLOCK_SLACK = 5.0
#: How long a worker that holds nothing (at most), or has never reached any master, goes on looking for one.
PATIENCE_IDLE, PATIENCE_NEVER = 120.0, 60.0
#: The share of its life before whose end a worker of a batch system takes nothing new, and before whose end it goes; with bounds.
LAST_ORDERS, LAST_ORDERS_LEAST, LAST_ORDERS_MOST = 0.1, 6.0, 120.0
CLOSING, CLOSING_LEAST, CLOSING_MOST = 0.03, 3.0, 15.0
#: A batch system that ends a job signals its processes one after the other: so long a target that dies of such a signal may
#: have been ended with the worker, and not by itself (seconds).
SUSPECT_FOR = 1.0
#: What the exit of a target shows that died of what ends jobs: SIGTERM or SIGINT, as a signal or a shell's word for it.
_ENDED_WITH_THE_JOB = (-15, -2, 143, 130)


@unique
class Contact(Enum):
    """How the worker stands with the master."""

    DIALLING = "dialling"  # waits for its time to dial, or for the socket
    GREETING = "greeting"  # has said HELLO
    WELCOME = "welcome"


@dataclass(slots=True)
class About:
    """Who this worker is: what HELLO says beside what it holds. ``memory`` in bytes, ``patience`` in seconds."""

    version: str
    python: str
    run: str
    uid: str
    block: str
    index: int
    host: str
    pid: int
    cpus: float
    memory: int
    gpus: float = 0.0
    patience: float = 600.0
    in_batch: bool = False  # a batch system has started it, and ends it when it likes
    until: float | None = None  # when that will be, at the latest
    life: float = 0.0
    cores: tuple[int, ...] = ()  # that targets are pinned to, each to its own; none: nobody is pinned
    devices: tuple[str, ...] = ()  # the gpus by name, where they have other names than 0, 1, ...


class WorkerState:
    """All that a worker knows, and what it does about events; ``chance`` gives numbers from 0 to 1."""

    def __init__(self, about: About, now: float, chance: Callable[[], float]) -> None:
        self.about = about
        self.slots = Slots(about.cpus, about.memory, about.gpus, about.devices, about.cores)
        self.holdings = Holdings()
        self.contact = Contact.DIALLING
        self.epoch = 0
        self.leaving = ""
        self.exited = False
        self._chance = chance
        self._session = Session(0)
        self._sessions = 0
        self._seen = [0, 0]  # epoch and record of the highest acknowledgement
        self._codes: dict[str, bytes] = {}  # code pickled by value, by SHA-256
        self._wanted: dict[str, set[int]] = {}  # code blobs that runners wait for
        self._redials = 0
        self._unanswered = 0
        self._silence = SILENT_AFTER
        self._lost_since = now
        self._met = False  # has ever been welcome
        self._heard = now
        self._beat_at = now
        self._answer_by = 0.0
        self._limits: dict[Attempt, tuple[float, int]] = {}  # when an attempt is out of time, and its runner
        self._suspects: dict[Attempt, tuple[float, list[Any], bytes]] = {}  # ends that may be the batch system's doing
        self._now = now
        self._outbox = Outbox(self.holdings, self._transmit)
        self._effects: list[Effect] = []

    def begin(self) -> list[Effect]:
        """The first turn."""
        return [Connect(0.0)]

    def step(self, events: list[e.Event], now: float) -> list[Effect]:
        """One turn: what ``events`` and the time lead to."""
        self._effects = []
        self._now = now
        for event in events:
            self._take_in(event, now)
        if self.leaving and not self.exited:
            self._see_whether_to_go()
        self._look_at_the_clock(now)
        if not self.exited:
            self._fill()
            if self.contact is Contact.WELCOME:
                self._outbox.flush(leaving=bool(self.leaving))
        return self._effects

    @property
    def deadline(self) -> float:
        """When the next turn is due though nothing may have happened."""
        if self.contact is Contact.WELCOME:
            times = [self._beat_at, self._heard + self._silence]
        elif self.contact is Contact.GREETING:
            times = [self._answer_by]
        else:
            times = [self._lost_since + self._patience]
        times += [at for at, _ in self._limits.values()]
        times += [at for at, _, _ in self._suspects.values()]
        times += self._closing_times()
        return min(times)

    # -- events ---------------------------------------------------------------------------------------------------

    def _take_in(self, event: e.Event, now: float) -> None:
        match event:
            case e.Ended():
                self._ended(event.runner, event.row, event.data)
            case e.Created():
                self._created(event)
            case e.Received():
                self._received(event.message, now)
            case e.Begun():
                self._begun(event, now)
            case e.Printed():
                self._printed(event)
            case e.CodeFound():
                self._code_found(event)
            case e.CodeNeeded():
                self._code_needed(event)
            case e.RunnerStarted():
                if event.runner in self.slots.runners:
                    self.slots.runners[event.runner].pid = event.pid
            case e.TakenBack():
                self._taken_back(event)
            case e.RunnerDied():
                self._runner_died(event)
            case e.Dumped():
                self._dumped(event)
            case e.NurseryFailed():
                self._nursery_failed(event)
            case e.Connected():
                self._greet(now)
            case e.ConnectionLost():
                self._lose_contact(now)
            case e.Signalled():
                self._signalled(event.name)

    def _received(self, message: Message, now: float) -> None:
        if self.contact is Contact.DIALLING:
            return
        if message.type in (Type.NOSESSION, Type.REJECT):
            # These may come from a master that knows nothing of our session, so their numbers mean nothing.
            if message.type is Type.REJECT:
                self._leave(f"the master refuses this worker: {message.body[0]}", 2)
            else:
                self._lose_contact(now)
            return
        if message.type is Type.BUSY and self.contact is Contact.GREETING:
            self._put_off(message.body[0], now)
            return
        if message.epoch < self.epoch or not self._session.accepts(message):
            self._lose_contact(now)
            return
        if self.contact is Contact.GREETING:
            if message.type is Type.WELCOME:
                self._welcome(message, now)
            else:
                self._lose_contact(now)
            return
        self._heard = now
        match message.type:
            case Type.RUN:
                self._run(message)
            case Type.ACK:
                self._acknowledged(message.body)
            case Type.BLOB:
                self._blobs(message)
            case Type.RECALL:
                self._recall([Attempt(*attempt) for attempt in message.body[0]])
            case Type.CANCEL:
                for attempt in message.body[0]:
                    self._cancel(Attempt(*attempt))
            case Type.STACK:
                self._dump(Attempt(*message.body[0]))
            case Type.STOP:
                self._leave(f"the master says: {message.body[0]}", 0)
            case Type.BEAT:
                pass
            case _:
                self._lose_contact(now)

    # -- contact with the master ----------------------------------------------------------------------------------

    def _greet(self, now: float) -> None:
        if self.contact is not Contact.DIALLING:
            return
        self._sessions += 1
        self._session = Session(self._sessions)
        self.contact = Contact.GREETING
        self._answer_by = now + min(ANSWER_MOST, ANSWER_WITHIN * 2.0**self._unanswered)
        self._unanswered = min(self._unanswered + 1, 10)
        about = self.about
        left = max(0.001, about.until - now) if about.until is not None else 0.0
        hello = {
            "version": about.version, "python": about.python, "run": about.run, "uid": about.uid, "block": about.block,
            "index": about.index, "host": about.host, "pid": about.pid, "cpus": about.cpus, "memory": about.memory,
            "gpus": about.gpus, "left": left, "seen": self._seen, "held": self.holdings.listing(),
        }  # fmt: skip
        self._transmit(Type.HELLO, [hello])

    def _welcome(self, message: Message, now: float) -> None:
        settings, verdicts = message.body
        self.contact = Contact.WELCOME
        self._met = True
        self._redials = self._unanswered = 0
        self._silence = settings.get("lost_after", SILENT_AFTER)
        self._heard = now
        self._beat_at = now + self._silence / BEATS
        if message.epoch > self.epoch:
            self.epoch = message.epoch
            self._effects.append(Prepare(self.epoch, settings))
            self._effects += self.slots.start_epoch(self.epoch)
            self._effects += self.slots.warm_up()
        adopted = []
        for epoch, number, verdict, on_disk in verdicts:
            held = self.holdings.get(Attempt(epoch, number))
            if held is None:
                continue
            if verdict == VERDICT_ADOPT:
                self._adopt(held, on_disk)
                adopted.append(held)
            else:
                self._cancel(held.attempt)
        self._outbox.begin_session(adopted)
        if self._wanted:
            self._transmit(Type.NEED, [sorted(self._wanted)])

    def _adopt(self, held: Held, on_disk: int) -> None:
        """The master knows of this attempt, and has so many of its creations."""
        self.holdings.adopted(held, on_disk)
        if held.backlog <= UNACKNOWLEDGED // 2:
            self._relieve(held)

    def _lose_contact(self, now: float) -> None:
        if self.contact is not Contact.DIALLING:
            self._effects.append(Disconnect())
            if self.contact is Contact.WELCOME:
                self._lost_since = now
        self.contact = Contact.DIALLING
        self._outbox.end_session()
        most = REDIAL_MOST if now - self._lost_since < self._silence else REDIAL_LATER
        delay = min(most, REDIAL_FIRST * 1.6**self._redials) * (0.5 + self._chance() / 2)
        self._redials = min(self._redials + 1, 20)
        self._effects.append(Connect(delay))

    def _put_off(self, seconds: float, now: float) -> None:
        """The master lives and can decide nothing now (its disk is full): no patience is lost over that."""
        self._effects.append(Disconnect())
        self.contact = Contact.DIALLING
        self._lost_since = now
        self._redials = self._unanswered = 0
        self._effects.append(Connect(min(seconds, self._patience / 2) * (0.5 + self._chance() / 2)))

    @property
    def _patience(self) -> float:
        if len(self.holdings):
            return self.about.patience
        return min(self.about.patience, PATIENCE_IDLE) if self._met else PATIENCE_NEVER

    def _look_at_the_clock(self, now: float) -> None:
        self._close_in_time(now)
        for attempt, (at, row, data) in list(self._suspects.items()):
            if now >= at:
                self._end(attempt, row, data, sure=True)
        for attempt, (at, runner) in list(self._limits.items()):
            if now >= at:
                del self._limits[attempt]
                held = self.holdings.get(attempt)
                limit = held.task.form[4] if held is not None and held.task is not None else 0
                self._effects += self.slots.kill(runner, "time", f"it has run for more than its time limit of {limit:g} s", 5.0)
        if self.contact is Contact.WELCOME:
            if now - self._heard >= self._silence:
                self._lose_contact(now)
            elif now >= self._beat_at:
                self._beat_at = now + self._silence / BEATS
                self._transmit(Type.BEAT, [self._session.taken])
        elif self.contact is Contact.GREETING and now >= self._answer_by:
            self._lose_contact(now)
        if self.contact is not Contact.WELCOME and now - self._lost_since >= self._patience:
            self._leave("no master was found in time", 0)

    # -- leaving --------------------------------------------------------------------------------------------------

    def _signalled(self, name: str) -> None:
        """A warning drains; but a batch system that says TERM or INT kills soon, and so it does with what runs here."""
        if self.about.in_batch and name in ("SIGTERM", "SIGINT"):
            self._suspects.clear()
            self._leave(f"ended by {name}: the batch system ends this job", 0)
        else:
            self._drain(f"ended by {name}")

    def _closing_times(self) -> list[float]:
        """When a worker whose life is limited takes nothing new, and when it goes."""
        about = self.about
        if about.until is None:
            return []
        last_orders = min(max(about.life * LAST_ORDERS, LAST_ORDERS_LEAST), LAST_ORDERS_MOST)
        closing = min(max(about.life * CLOSING, CLOSING_LEAST), CLOSING_MOST)
        return [at for at in (about.until - last_orders, about.until - closing) if at > self._now] or [about.until]

    def _close_in_time(self, now: float) -> None:
        """What still runs at the very end is lost with the worker, which says so rather than fall silent."""
        about = self.about
        if about.until is None or len(left := self._closing_times()) == 2:
            return
        if left == [about.until]:
            self._leave("its time is up: the batch system would end it now", 0)
        elif not self.leaving:
            self._drain("its time will soon be up")

    def _drain(self, reason: str) -> None:
        """Begin nothing new, give back what has not begun, and leave when the rest is done; at once when asked again."""
        if self.leaving:
            self._leave(reason, 0)
            return
        self.leaving = reason
        self.slots.closed = True
        waiting = [held.attempt for held in self.holdings if held.begun is None]
        self._recall(waiting)

    def _see_whether_to_go(self) -> None:
        busy = any(held.row is None for held in self.holdings)
        if not busy and (self.contact is not Contact.WELCOME or not len(self.holdings)):
            self._leave(self.leaving, 0)

    def _leave(self, reason: str, status: int) -> None:
        if self.exited:
            return
        if self.contact is Contact.WELCOME:
            self._outbox.flush(leaving=bool(self.leaving))
            self._transmit(Type.BYE, [reason])
        self.exited = True
        self._effects.append(Exit(status, reason))

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _run(self, message: Message) -> None:
        for task in tasks_of(message):
            self.holdings.add(task)
            self.slots.add(task)
        if self.leaving:
            self._recall([task.attempt for task in self.slots.queue])

    def _fill(self) -> None:
        effects = self.slots.fill()
        for effect in effects:
            if isinstance(effect, Give):
                for task in effect.tasks:
                    held = self.holdings.get(task.attempt)
                    if held is not None:
                        held.runner = effect.runner
        self._effects += effects

    def _recall(self, attempts: list[Attempt]) -> None:
        queued = {task.attempt for task in self.slots.queue}
        at_once = [attempt for attempt in attempts if attempt in queued]
        if at_once:
            gone = set(at_once)
            self.slots.queue = type(self.slots.queue)(task for task in self.slots.queue if task.attempt not in gone)
            for attempt in at_once:
                self._return(attempt)
        for attempt in attempts:
            held = self.holdings.get(attempt)
            if held is None or held.row is not None or held.begun is not None:
                continue
            held.recalled = True
            runner = self.slots.runners.get(held.runner or 0)
            if runner is not None:
                self._effects += self.slots.take_back(runner)

    def _return(self, attempt: Attempt) -> None:
        """An attempt goes back to the master, never begun."""
        held = self.holdings.drop(attempt)
        if held is not None and not held.cancelled:
            self._outbox.returned(attempt)

    def _taken_back(self, event: e.TakenBack) -> None:
        tasks = self.slots.taken_back(event.runner, event.attempts)
        again = []
        for task in tasks:
            held = self.holdings.get(task.attempt)
            if held is None or held.recalled or held.cancelled:
                self._return(task.attempt)
            else:
                held.runner = None
                again.append(task)
        self.slots.requeue(again)
        self._effects += self.slots.after_taking_back(event.runner)

    def _cancel(self, attempt: Attempt) -> None:
        """The master does not want this attempt any more."""
        held = self.holdings.get(attempt)
        if held is None:
            return
        held.cancelled = True
        if held.row is not None:
            self.holdings.drop(attempt)
        elif held.runner is None:
            self.slots.queue = type(self.slots.queue)(task for task in self.slots.queue if task.attempt != attempt)
            self.holdings.drop(attempt)
        else:
            runner = self.slots.runners.get(held.runner)
            if runner is None:
                self.holdings.drop(attempt)
            elif next(iter(runner.tasks), None) == attempt:
                self._effects += self.slots.kill(held.runner, "cancelled", "it was cancelled", 5.0)
            else:
                self._effects += self.slots.take_back(runner)

    def _dump(self, attempt: Attempt) -> None:
        """Somebody wants to know where an attempt is."""
        held = self.holdings.get(attempt)
        if held is None or held.row is not None:
            self._dumped(e.Dumped(attempt, "it has just ended"))
        elif held.runner is None or held.begun is None:
            self._dumped(e.Dumped(attempt, "it has not begun: it waits on its worker"))
        else:
            self._effects.append(Dump(held.runner, attempt))

    def _dumped(self, event: e.Dumped) -> None:
        if self.contact is Contact.WELCOME:
            self._transmit(Type.STACKED, [*event.attempt, event.text])

    # -- what runners report --------------------------------------------------------------------------------------

    def _begun(self, event: e.Begun, now: float) -> None:
        held = self.holdings.get(event.attempt)
        if held is None or held.row is not None:
            return
        held.begun = event.at
        held.runner = event.runner
        if held.cancelled:  # it had been read before it could be taken back
            self._effects += self.slots.kill(event.runner, "cancelled", "it was cancelled", 5.0)
            return
        self._outbox.started(event.attempt, event.at)
        limit = held.task.form[4] if held.task is not None else None
        if limit is not None:
            # The runner's clock is the system's, which may have been set since: then it counts from now.
            since = event.at if abs(now - event.at) < CLOCK_SLACK else now
            self._limits[event.attempt] = (since + limit, event.runner)

    def _created(self, event: e.Created) -> None:
        piece = event.piece
        held = self.holdings.get(Attempt(piece[0], piece[1]))
        if held is None or held.cancelled:
            return
        kept = PieceKept(piece, event.codes, event.data, len(piece[6]))
        held.pieces.append(kept)
        held.backlog += kept.bytes
        if held.backlog > UNACKNOWLEDGED and not held.throttled:
            held.throttled = True
            self._effects.append(Throttle(event.runner, True))
        held.created += kept.size
        self._outbox.piece(held, kept)

    def _relieve(self, held: Held) -> None:
        """The master has caught up with an attempt: hear its runner again."""
        if held.throttled:
            held.throttled = False
            if held.runner is not None:
                self._effects.append(Throttle(held.runner, False))

    def _ended(self, runner: int, row: list[Any], data: bytes) -> None:
        attempt = Attempt(row[ROW_EPOCH], row[ROW_NUMBER])
        self._effects += self.slots.finished(runner, attempt, row[ROW_WALL])
        self._limits.pop(attempt, None)
        self._end(attempt, row, data)

    def _end(self, attempt: Attempt, row: list[Any], data: bytes, *, sure: bool = False) -> None:
        held = self.holdings.get(attempt)
        if self.about.in_batch and not sure and _is_suspect(row):
            self._suspects[attempt] = (self._now + SUSPECT_FOR, row, data)
            return
        self._suspects.pop(attempt, None)
        if held is None:
            return
        if held.cancelled:
            self.holdings.drop(attempt)
            return
        held.row, held.data, held.task, held.runner = row, data, None, None
        self._outbox.ended(held)

    def _runner_died(self, event: e.RunnerDied) -> None:
        tasks, effects = self.slots.died(event.runner)
        self._effects += effects
        again = set(event.unbegun)
        row = event.row
        if row is not None:
            attempt = Attempt(row[ROW_EPOCH], row[ROW_NUMBER])
            self._limits.pop(attempt, None)
            self._end(attempt, row, event.data)
        back = []
        for task in tasks:
            held = self.holdings.get(task.attempt)
            if held is None or held.row is not None or task.attempt not in again:
                continue
            if held.recalled or held.cancelled:
                self._return(task.attempt)
            else:
                held.runner = None
                back.append(task)
        self.slots.requeue(back)

    def _nursery_failed(self, event: e.NurseryFailed) -> None:
        """Without a nursery nothing can be run here; what is held fails where it belongs, on the next worker."""
        if event.epoch == self.epoch:
            self._leave(f"runners can't be made: {event.message}", 1)

    def _printed(self, event: e.Printed) -> None:
        if event.attempt in self.holdings.held:
            self._outbox.printed(event)

    # -- code -----------------------------------------------------------------------------------------------------

    def _code_found(self, event: e.CodeFound) -> None:
        if event.sha not in self._codes:
            self._codes[event.sha] = event.data
            self._outbox.code(event.sha, event.data)

    def _code_needed(self, event: e.CodeNeeded) -> None:
        code = self._codes.get(event.sha)
        if code is not None:
            self._effects.append(GiveCode(event.runner, event.sha, code))
            return
        waiting = self._wanted.setdefault(event.sha, set())
        if not waiting and self.contact is Contact.WELCOME:
            self._transmit(Type.NEED, [[event.sha]])
        waiting.add(event.runner)

    def _blobs(self, message: Message) -> None:
        names, lengths = message.body
        place = 0
        for sha, length in zip(names, lengths, strict=True):
            code = self._codes[sha] = message.data[place : place + length]
            place += length
            for runner in sorted(self._wanted.pop(sha, ())):
                self._effects.append(GiveCode(runner, sha, code))

    # -- what goes out --------------------------------------------------------------------------------------------

    def _transmit(self, kind: Type, body: list[Any], data: bytes = b"") -> int:
        number = self._session.next_number()
        self._effects.append(Transmit(Message(kind, self.epoch, self._session.id, number, body, data)))
        return number

    def _acknowledged(self, body: list[Any]) -> None:
        number, epoch, record = body
        self._seen = [epoch, record]
        for held in self._outbox.acknowledged(number):
            self._relieve(held)


def _is_suspect(row: list[Any]) -> bool:
    """Whether an attempt may have been ended by what ends the whole job."""
    failure = row[ROW_FAILURE] if row[ROW_CAUSE] else None
    if not failure:
        return False
    return failure.get("exit") in _ENDED_WITH_THE_JOB or failure.get("type") == "KeyboardInterrupt"
