"""The supervisor's side of one runner: what it was given, says, prints, and leaves when it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from platform import node
from typing import Any

from jobtree.errors import Cause
from jobtree.ids import Attempt
from jobtree.protocol.messages import (
    FLAG_HIGH_WATER,
    FLAG_TEMP,
    ROW_CAUSE,
    ROW_EPOCH,
    ROW_FAILURE,
    ROW_FLAGS,
    ROW_MEMORY,
    ROW_NUMBER,
    ROW_SYSTEM,
    ROW_USER,
)

from . import channel
from .capture import SECRET_BYTES, Capture
from .effects import Task
from .events import Begun, CodeFound, CodeNeeded, Created, Ended, Event, RunnerDied, TakenBack
from .scratch import Scratch, global_path
from .stacks import Stacks, without_ours
from .texts import LARGEST_OUTPUT, end_of
from .underway import Underway, death_of, explain_status

PIPE_BYTES = 1 << 20
#: Room for prefetched tasks in the socket; what does not fit waits in the supervisor.
SOCKET_BYTES = 1 << 20
#: An attempt is announced as begun when it has run for this long: most are over by then.
ANNOUNCE_SECONDS = 0.05

_READ_BYTES = 1 << 20
_TURN_BYTES = 4 << 20
_SHORT_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Dying:
    """How a runner died: the wait status, what it cost, and if we ended it, why and for which attempt."""

    status: int
    user: float = 0.0
    system: float = 0.0
    cause: str = ""
    message: str = ""
    doomed: Attempt | None = None


@dataclass(slots=True)
class Order:
    """Why we end a runner: cause and message for the attempt that it was at, as far as the state knew."""

    cause: str
    message: str
    doomed: Attempt | None


class Keeper:
    """One runner as the supervisor knows it. `pid` is None until the nursery has forked it."""

    def __init__(self, runner: int, epoch: int, tree: Path, scratch: Scratch, max_log_size: int) -> None:
        self.runner = runner
        self.epoch = epoch
        self.pid: int | None = None
        #: To be killed when it is there, and when by SIGKILL.
        self.ordered: tuple[Order, float] | None = None
        self.retired = False
        self.silent = False  # nobody is left who could report anything
        self.secret = os.urandom(SECRET_BYTES)
        self._scratch = scratch
        self._tree = tree
        self._given: dict[Attempt, Task] = {}
        self._waiting: deque[tuple[Attempt, bytes]] = deque()
        self._underway: Underway | None = None
        self._spent = [0.0, 0.0]  # user and system seconds of the attempts that have ended
        self._reports = channel.Reports()
        self._open(max_log_size)

    def _open(self, max_log_size: int) -> None:
        self._tasks, self._their_tasks = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._tasks, self._their_tasks):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self.report, their_report = _pipe()
        _widen(their_report)
        self.stdout, their_stdout = _pipe()
        self.stderr, their_stderr = _pipe()
        their_answer, self._answer = os.pipe()
        os.set_blocking(self._answer, False)
        page = os.memfd_create("jobtree-runner", os.MFD_CLOEXEC)
        os.truncate(page, channel.PAGE_BYTES)
        self._page = mmap(page, channel.PAGE_BYTES)
        self.stacks = Stacks(os.dup(page))
        self.capture = Capture(self.stdout, self.stderr, self.secret, max_log_size)
        # In the order in which the runner expects them; closed when they have been sent.
        tasks = fcntl.fcntl(self._their_tasks.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        self.their_descriptors = (tasks, their_report, their_stdout, their_stderr, their_answer, page)

    def close(self) -> None:
        """Close all ends."""
        for end in (self._tasks, self._their_tasks):
            end.close()
        for descriptor in (self.report, self._answer):
            os.close(descriptor)
        self.capture.close()
        self.stacks.close()
        self._page.close()

    # Tasks.

    def give(self, task: Task) -> None:
        """Pass a task on, or keep it until there is room."""
        self._given[task.attempt] = task
        datagram = channel.pack_task(task)
        if len(datagram) > channel.LARGEST_DATAGRAM:
            path = self._scratch.store(datagram, f"tasks/{task.attempt.epoch}-{task.attempt.number}")
            datagram = channel.pack_spilled(task.attempt, path)
        self._waiting.append((task.attempt, datagram))
        self.push()

    def push(self) -> bool:
        """Write what waits; False if some of it still does."""
        while self._waiting:
            try:
                self._tasks.send(self._waiting[0][1], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            self._waiting.popleft()
        return True

    @property
    def task_end(self) -> int:
        """The descriptor to watch for room."""
        return self._tasks.fileno()

    def take_back(self) -> TakenBack:
        """Take what the runner has not read yet: each task goes to one of the two."""
        return TakenBack(self.runner, list(self._unread()))

    def retire(self) -> None:
        """Ask the runner to leave when it has run what it was given."""
        self.retired = True
        self._waiting.append((Attempt(0, 0), channel.LEAVE))
        self.push()

    def _unread(self) -> Iterator[Attempt]:
        while True:
            try:
                datagram = self._their_tasks.recv(channel.LARGEST_DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if datagram != channel.LEAVE:
                yield self._forget(channel.attempt_of(datagram))
        while self._waiting:
            attempt, datagram = self._waiting.popleft()
            if datagram != channel.LEAVE:
                yield self._forget(attempt)

    def _forget(self, attempt: Attempt) -> Attempt:
        del self._given[attempt]
        path = os.path.join(self._scratch.path, "tasks", f"{attempt.epoch}-{attempt.number}")
        if os.path.exists(path):
            os.unlink(path)
        return attempt

    def answer(self, sha: str) -> None:
        """Tell the runner that a code blob lies in the scratch directory now."""
        try:
            os.write(self._answer, sha.encode())
        except BrokenPipeError:
            pass  # it has died, and its death is on the way

    # What comes back.

    def hear(self, at: float) -> list[Event]:
        """All that the runner has reported; `at` is the unix time."""
        events: list[Event] = []
        for _ in range(_TURN_BYTES // _READ_BYTES):
            try:
                data = os.read(self.report, _READ_BYTES)
            except BlockingIOError:
                break
            for head, rest in self._reports.feed(data):
                self._understand(head, rest, at, events)
            if len(data) < _SHORT_READ_BYTES:
                self.silent = not data
                break  # as good as empty; what comes now wakes us again
        return events

    def _understand(self, head: list[Any], data: bytes, at: float, events: list[Event]) -> None:
        kind = head[0]
        if kind == channel.ENDED:
            self._ended(head[1], head[2], data, at, events)
        elif kind == channel.CREATED:
            self._noticed(Attempt(head[1][0], head[1][1]), at).count(head[1])
            events.append(Created(self.runner, head[1], head[2], data))
        elif kind == channel.CODE_FOUND:
            self._scratch.store(data, f"codes/{head[1]}")
            events.append(CodeFound(self.runner, head[1], data))
        elif kind == channel.CODE_NEEDED:
            events.append(CodeNeeded(self.runner, head[1]))
        elif kind == channel.LOGGED:
            events.append(self._noticed(Attempt(head[1], head[2]), at).log(*head[3:]))

    def _ended(self, marked: int, row: list[Any], data: bytes, at: float, events: list[Event]) -> None:
        attempt = Attempt(row[ROW_EPOCH], row[ROW_NUMBER])
        task = self._given.pop(attempt)
        self._spent[0] += row[ROW_USER]
        self._spent[1] += row[ROW_SYSTEM]
        if self._underway is not None and self._underway.attempt == attempt:
            _take_peak(row, self._underway.peak_bytes)
            self._underway = None
        if marked or self.capture.knows(attempt):
            printed, tail = self.capture.finish(attempt, marked, at)
            events.extend(printed)
            if row[ROW_CAUSE]:
                row[ROW_FAILURE]["output"] = end_of(tail, LARGEST_OUTPUT)
        if row[ROW_CAUSE]:
            _note_limits(row, task)
        events.append(Ended(self.runner, row, data))

    def pump(self, stream: int, at: float) -> list[Event]:
        """Read what the runner has printed."""
        return list(self.capture.pump(stream, self.running, at))

    # What runs.

    def running(self) -> Attempt | None:
        """The attempt that runs; between two, the one whose end, or begin, is the next to be heard of."""
        attempt, _ = channel.shown(self._page)
        return attempt if attempt in self._given else next(iter(self._given), None)

    def look(self, now: float) -> Begun | None:
        """Take note of what runs; it is told of once it has run for some time. `now` is the unix time."""
        attempt, started = channel.shown(self._page)
        if attempt is None or attempt not in self._given:
            return None
        underway = self._noticed(attempt, started)
        if underway.announced or now - started < ANNOUNCE_SECONDS:
            return None
        underway.announced = True
        return Begun(self.runner, attempt, started)

    @property
    def busy(self) -> bool:
        """Whether it has something to run."""
        return bool(self._given)

    @property
    def next_attempt(self) -> Attempt | None:
        """The attempt that the state believes to be running: the first whose end it has not heard of."""
        return next(iter(self._given), None)

    @property
    def underway(self) -> Underway | None:
        """What is known of the attempt that runs, if it has run long enough to be known."""
        return self._underway if self._underway is not None and self._underway.attempt in self._given else None

    def memory_limit(self, attempt: Attempt) -> int | None:
        """What an attempt may hold, in bytes."""
        limit: int | None = self._given[attempt].form[2]
        return limit

    def _noticed(self, attempt: Attempt, started: float) -> Underway:
        if self._underway is None or self._underway.attempt != attempt:
            self._underway = Underway(attempt, started)
        return self._underway

    # The end.

    def die(self, death: Dying, at: float) -> list[Event]:
        """Everything that is left to say of a runner that is dead with all its descendants."""
        events = self._rest(at)
        unbegun = list(self._unread())
        attempt = next(iter(self._given), None)
        assert len(self._given) <= 1, "a runner reads one task at a time"
        printed = self.capture.drain(attempt, at)
        events += printed
        died = RunnerDied(self.runner, death.message or explain_status(death.status)[1], unbegun=unbegun)
        if attempt is not None:
            more, tail = self.capture.finish(attempt, 0, at)
            events += more
            if self._is_bystander(attempt, death):
                died.unbegun.insert(0, self._forget(attempt))
            else:
                died.row = self._last_row(attempt, death, tail, at)
        return [*events, died]

    def _rest(self, at: float) -> list[Event]:
        events: list[Event] = []
        while heard := self.hear(at):
            events += heard
        return events

    def _is_bystander(self, attempt: Attempt, death: Dying) -> bool:
        """Whether another attempt had to die, which ended meanwhile, and this one left no trace yet."""
        if death.doomed is None or death.doomed == attempt:
            return False
        underway = self._underway
        return underway is None or underway.attempt != attempt or not (underway.announced or underway.heard_of)

    def _last_row(self, attempt: Attempt, death: Dying, tail: str, at: float) -> list[Any]:
        _, started = channel.shown(self._page)
        underway = self._noticed(attempt, started if 0 < started <= at else at)
        if os.path.isdir(global_path(str(self._tree), self._given[attempt].temp)):
            underway.flags |= FLAG_TEMP
        cause, message = death.cause, death.message
        if death.doomed is not None and death.doomed != attempt:
            cause, message = (
                str(Cause.WORKER_LOST),
                "its runner was killed on account of the attempt before it",
            )
        spent = (max(0.0, death.user - self._spent[0]), max(0.0, death.system - self._spent[1]))
        tail = without_ours(tail)  # of what faulthandler may have printed
        row = underway.row(death_of(death.status, node(), tail, (cause, message) if cause else None), spent, at)
        _note_limits(row, self._given[attempt])
        return row


def _take_peak(row: list[Any], peak_bytes: int) -> None:
    """What was sampled is this attempt's own, and counts its subprocesses together."""
    if peak_bytes and row[ROW_FLAGS] & FLAG_HIGH_WATER:
        row[ROW_FLAGS] &= ~FLAG_HIGH_WATER
        row[ROW_MEMORY] = peak_bytes
    row[ROW_MEMORY] = max(row[ROW_MEMORY], peak_bytes)


def _note_limits(row: list[Any], task: Task) -> None:
    """What it was allowed, to be compared with what it took."""
    _, _, memory, _, time_limit, *_ = task.form
    row[ROW_FAILURE]["memory_limit"], row[ROW_FAILURE]["time_limit"] = memory, time_limit


def _pipe() -> tuple[int, int]:
    """A pipe of which the supervisor reads without waiting, and the runner writes as anybody does."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    return reading, writing


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # this user has too many wide pipes already; a narrow one works too
