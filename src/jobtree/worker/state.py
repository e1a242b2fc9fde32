"""The worker as a pure function with a memory: ``WorkerState.step(events, now)`` gives the effects of one turn.

It owns the dealings with the master: looking for it, HELLO, what is held and not yet acknowledged, what to do on each message. Which
runner runs what is the business of ``slots``, what must be kept that of ``held``. Times are unix seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

from ..ids import Attempt
from ..protocol.codec import Message
from ..protocol.messages import (
    DATA_LIMIT,
    ROW_EPOCH,
    ROW_NUMBER,
    ROW_WALL,
    VALUE_INLINE,
    VERDICT_ADOPT,
    Type,
    default_temp,
)
from ..protocol.session import Session
from . import events as e
from .effects import Connect, Disconnect, Effect, Exit, Give, GiveCode, Prepare, Task, Throttle, Transmit
from .held import UNACKNOWLEDGED, Held, Holdings, PieceKept
from .slots import Slots

BEAT_EVERY = 10.0
#: Seconds without a word from the master after which the connection counts as lost.
SILENT_AFTER = 60.0
#: Seconds that a HELLO may go unanswered.
ANSWER_WITHIN = 5.0
REDIAL_FIRST, REDIAL_MOST, REDIAL_LATER = 0.1, 2.0, 30.0
#: How long a worker that holds nothing, or has never reached any master, goes on looking for one.
PATIENCE_IDLE, PATIENCE_NEVER = 120.0, 60.0
#: Output that may be on its way to the master, and that is kept back beyond that (bytes).
LOG_WINDOW = 4 << 20
LOG_KEPT = 4 << 20
GATHER_LIMIT = 500


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


@dataclass(slots=True)
class _Outbox:
    """What a turn has to say, gathered into as few messages as may be."""

    codes: dict[str, bytes] = field(default_factory=dict)
    pieces: list[tuple[Held, PieceKept]] = field(default_factory=list)
    ended: list[Held] = field(default_factory=list)
    started: list[list[Any]] = field(default_factory=list)
    returned: list[list[int]] = field(default_factory=list)
    drains: bool = False  # the master is to know that nothing new is begun here


class WorkerState:
    """All that a worker knows, and what it does about events; ``chance`` gives numbers from 0 to 1."""

    def __init__(self, about: About, now: float, chance: Callable[[], float]) -> None:
        self.about = about
        self.slots = Slots(about.cpus, about.memory, about.gpus)
        self.holdings = Holdings()
        self.contact = Contact.DIALLING
        self.epoch = 0
        self.leaving = ""
        self.exited = False
        self._chance = chance
        self._session = Session(0)
        self._sessions = 0
        self._seen = [0, 0]  # epoch and record of the highest acknowledgement
        self._codes: dict[str, bytes] = {}
        self._codes_found: dict[str, None] = {}  # by runners here, and not known to be on the master's disk
        self._codes_unsent: list[str] = []
        self._codes_sent: list[tuple[int, list[str]]] = []
        self._wanted: dict[str, set[int]] = {}  # code blobs that runners wait for
        self._redials = 0
        self._lost_since = now
        self._met = False  # has ever been welcome
        self._heard = now
        self._beat_at = now
        self._answer_by = 0.0
        self._limits: dict[Attempt, tuple[float, int]] = {}  # when an attempt is out of time, and its runner
        self._log: deque[tuple[list[Any], bytes]] = deque()
        self._log_size = 0
        self._log_sent: deque[tuple[int, int]] = deque()
        self._log_flying = 0
        self._out = _Outbox()
        self._effects: list[Effect] = []

    def begin(self) -> list[Effect]:
        """The first turn."""
        return [Connect(0.0)]

    def step(self, events: list[e.Event], now: float) -> list[Effect]:
        """One turn: what ``events`` and the time lead to."""
        self._effects = []
        for event in events:
            self._take_in(event, now)
        if self.leaving and not self.exited:
            self._see_whether_to_go()
        self._look_at_the_clock(now)
        if not self.exited:
            self._fill()
            if self.contact is Contact.WELCOME:
                self._flush()
        return self._effects

    @property
    def deadline(self) -> float:
        """When the next turn is due though nothing may have happened."""
        if self.contact is Contact.WELCOME:
            times = [self._beat_at, self._heard + SILENT_AFTER]
        elif self.contact is Contact.GREETING:
            times = [self._answer_by]
        else:
            times = [self._lost_since + self._patience]
        times += [at for at, _ in self._limits.values()]
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
                self._begun(event)
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
            case e.NurseryFailed():
                self._nursery_failed(event)
            case e.Connected():
                self._greet(now)
            case e.ConnectionLost():
                self._lose_contact(now)
            case e.Signalled():
                self._drain(f"ended by {event.name}")

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
        self._answer_by = now + ANSWER_WITHIN
        about = self.about
        hello = {
            "version": about.version, "python": about.python, "run": about.run, "uid": about.uid, "block": about.block,
            "index": about.index, "host": about.host, "pid": about.pid, "cpus": about.cpus, "memory": about.memory,
            "gpus": about.gpus, "seen": self._seen, "held": self.holdings.listing(),
        }  # fmt: skip
        self._transmit(Type.HELLO, [hello])

    def _welcome(self, message: Message, now: float) -> None:
        settings, verdicts = message.body
        self.contact = Contact.WELCOME
        self._met = True
        self._redials = 0
        self._heard = self._beat_at = now
        self._beat_at += BEAT_EVERY
        if message.epoch > self.epoch:
            self.epoch = message.epoch
            self._effects.append(Prepare(self.epoch, settings))
            self._effects += self.slots.start_epoch(self.epoch)
            self._effects += self.slots.warm_up()
        for epoch, number, verdict, on_disk in verdicts:
            held = self.holdings.get(Attempt(epoch, number))
            if held is None:
                continue
            if verdict == VERDICT_ADOPT:
                self._adopted(held, on_disk)
            else:
                self._cancel(held.attempt)
        if self._wanted:
            self._transmit(Type.NEED, [sorted(self._wanted)])

    def _adopted(self, held: Held, on_disk: int) -> None:
        """The master knows of this attempt: send what it has not got yet."""
        self.holdings.adopted(held, on_disk)
        if held.backlog <= UNACKNOWLEDGED // 2:
            self._relieve(held)
        self._out.pieces += [(held, piece) for piece in held.pieces]
        if held.begun is not None and held.row is None:
            self._out.started.append([*held.attempt, held.begun])
        if held.row is not None:
            self._out.ended.append(held)

    def _lose_contact(self, now: float) -> None:
        if self.contact is not Contact.DIALLING:
            self._effects.append(Disconnect())
            if self.contact is Contact.WELCOME:
                self._lost_since = now
        self.contact = Contact.DIALLING
        self.holdings.session_over()
        self._codes_sent.clear()
        self._codes_unsent = list(self._codes_found)
        self._out = _Outbox()
        self._log_sent.clear()
        self._log_flying = 0
        most = REDIAL_MOST if now - self._lost_since < SILENT_AFTER else REDIAL_LATER
        delay = min(most, REDIAL_FIRST * 1.6**self._redials) * (0.5 + self._chance() / 2)
        self._redials = min(self._redials + 1, 20)
        self._effects.append(Connect(delay))

    @property
    def _patience(self) -> float:
        if len(self.holdings):
            return self.about.patience
        return PATIENCE_IDLE if self._met else PATIENCE_NEVER

    def _look_at_the_clock(self, now: float) -> None:
        for attempt, (at, runner) in list(self._limits.items()):
            if now >= at:
                del self._limits[attempt]
                held = self.holdings.get(attempt)
                limit = held.task.form[4] if held is not None and held.task is not None else 0
                self._effects += self.slots.kill(runner, "time", f"it has run for more than its time limit of {limit:g} s", 5.0)
        if self.contact is Contact.WELCOME:
            if now - self._heard >= SILENT_AFTER:
                self._lose_contact(now)
            elif now >= self._beat_at:
                self._beat_at = now + BEAT_EVERY
                self._transmit(Type.BEAT, [self._session.taken])
        elif self.contact is Contact.GREETING:
            if now >= self._answer_by:
                self._lose_contact(now)
        if self.contact is not Contact.WELCOME and now - self._lost_since >= self._patience:
            self._leave("no master was found in time", 0)

    # -- leaving --------------------------------------------------------------------------------------------------

    def _drain(self, reason: str) -> None:
        """Begin nothing new, give back what has not begun, and leave when the rest is done; at once when asked again."""
        if self.leaving:
            self._leave(reason, 0)
            return
        self.leaving = reason
        self.slots.closed = True
        self._out.drains = True
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
            self._flush()
            self._transmit(Type.BYE, [reason])
        self.exited = True
        self._effects.append(Exit(status, reason))

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _run(self, message: Message) -> None:
        forms, groups, lengths = message.body
        place = index = 0
        for number, target, count, form, ordinal, temp, extra in groups:
            for offset in range(count):
                length = lengths[index]
                index += 1
                payload = message.data[place : place + length]
                place += length
                attempt = Attempt(message.epoch, number + offset)
                where = temp if temp is not None else default_temp(target + offset, message.epoch, number + offset)
                task = Task(attempt, target + offset, ordinal, forms[form], where, payload)
                if extra is not None:
                    task.blob = extra[0]
                    for value in extra[1]:
                        content = b""
                        if value[3] == VALUE_INLINE:
                            content = message.data[place : place + lengths[index]]
                            place += lengths[index]
                            index += 1
                        task.values.append([*value, content])
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
            self._out.returned.append(list(attempt))

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

    # -- what runners report --------------------------------------------------------------------------------------

    def _begun(self, event: e.Begun) -> None:
        held = self.holdings.get(event.attempt)
        if held is None or held.row is not None:
            return
        held.begun = event.at
        held.runner = event.runner
        self._out.started.append([*event.attempt, event.at])
        limit = held.task.form[4] if held.task is not None else None
        if limit is not None:
            self._limits[event.attempt] = (event.at + limit, event.runner)

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
        self._out.pieces.append((held, kept))

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

    def _end(self, attempt: Attempt, row: list[Any], data: bytes) -> None:
        held = self.holdings.get(attempt)
        if held is None:
            return
        if held.cancelled:
            self.holdings.drop(attempt)
            return
        held.row, held.data, held.task, held.runner = row, data, None, None
        self._out.ended.append(held)

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
        if event.attempt not in self.holdings.held:
            return
        chunk = [*event.attempt, event.stream, event.offset, len(event.data), event.at]
        self._log.append((chunk, event.data))
        self._log_size += len(event.data)
        while self._log_size > LOG_KEPT:
            _, dropped = self._log.popleft()
            self._log_size -= len(dropped)

    # -- code -----------------------------------------------------------------------------------------------------

    def _code_found(self, event: e.CodeFound) -> None:
        if event.sha not in self._codes:
            self._codes[event.sha] = event.data
            self._codes_found[event.sha] = None
            self._codes_unsent.append(event.sha)

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

    def _flush(self) -> None:
        """Say what has come together: creations before the ends that count them."""
        out, self._out = self._out, _Outbox()
        if out.started:
            live = [item for item in out.started if self._is_running(Attempt(item[0], item[1]))]
            if live:
                self._transmit(Type.STARTED, [live])
        self._flush_log()
        self._flush_codes()
        self._flush_pieces(out.pieces)
        self._flush_ended(out.ended)
        if out.returned or out.drains:
            self._transmit(Type.RETURNED, [out.returned, bool(self.leaving)])

    def _is_running(self, attempt: Attempt) -> bool:
        held = self.holdings.get(attempt)
        return held is not None and held.row is None

    def _flush_pieces(self, pieces: list[tuple[Held, PieceKept]]) -> None:
        batch: list[tuple[Held, PieceKept]] = []
        size = 0
        for held, piece in pieces:
            batch.append((held, piece))
            size += piece.bytes
            if size >= DATA_LIMIT or len(batch) >= GATHER_LIMIT:
                self._send_pieces(batch)
                batch, size = [], 0
        if batch:
            self._send_pieces(batch)

    def _flush_codes(self) -> None:
        """Code goes before whatever needs it."""
        unsent, self._codes_unsent = self._codes_unsent, []
        for sha in unsent:
            code = self._codes[sha]
            number = self._transmit(Type.CHILDREN, [[[sha, len(code)]], []], code)
            self._codes_sent.append((number, [sha]))

    def _send_pieces(self, batch: list[tuple[Held, PieceKept]]) -> None:
        body = [[], [piece.piece for _, piece in batch]]
        number = self._transmit(Type.CHILDREN, body, b"".join([piece.data for _, piece in batch]))
        self.holdings.sent(number, [], [(held, piece.size) for held, piece in batch])

    def _flush_ended(self, ended: list[Held]) -> None:
        batch: list[Held] = []
        size = 0
        for held in ended:
            batch.append(held)
            size += len(held.data) + 200
            if held.row is not None and (held.row[-1] or held.row[-2]):
                size += 128 * 1024  # messages and failures are long, at most about this
            if size >= DATA_LIMIT or len(batch) >= GATHER_LIMIT:
                self._send_ended(batch)
                batch, size = [], 0
        if batch:
            self._send_ended(batch)

    def _send_ended(self, batch: list[Held]) -> None:
        body = [[held.row for held in batch], [len(held.data) for held in batch]]
        number = self._transmit(Type.DONE, body, b"".join([held.data for held in batch]))
        self.holdings.sent(number, batch, [])

    def _flush_log(self) -> None:
        """Output goes out as far as the master keeps up; the rest waits, and the oldest is dropped where it gets too much."""
        while self._log and self._log_flying < LOG_WINDOW:
            chunks: list[list[Any]] = []
            parts: list[bytes] = []
            size = 0
            while self._log and size < DATA_LIMIT:
                chunk, data = self._log.popleft()
                chunks.append(chunk)
                parts.append(data)
                size += len(data)
            self._log_size -= size
            self._log_flying += size
            self._log_sent.append((self._transmit(Type.LOG, [chunks], b"".join(parts)), size))

    def _acknowledged(self, body: list[Any]) -> None:
        number, epoch, record = body
        self._seen = [epoch, record]
        for held in self.holdings.acknowledged(number):
            self._relieve(held)
        while self._log_sent and self._log_sent[0][0] <= number:
            self._log_flying -= self._log_sent.popleft()[1]
        while self._codes_sent and self._codes_sent[0][0] <= number:
            for sha in self._codes_sent.pop(0)[1]:
                self._codes_found.pop(sha, None)

