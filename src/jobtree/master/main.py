"""The master's loop: the one place where the doors and the state meet.

Events in, records and effects out; and effects leave only through the journal, when what caused them is on disk.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..protocol.messages import Type
from . import events as e
from . import records as r
from .compaction import Compaction
from .effects import (
    CancelBlocks,
    Effect,
    EndSession,
    Find,
    Output,
    Prune,
    RemoveBlob,
    RemoveTemp,
    Send,
    Step,
    Submit,
    Tell,
    TellFailure,
)  # fmt: skip
from .fence import Fence
from .fleets import Fleets
from .journal.writer import Journal
from .notice import Notice
from .server import Server
from .state import MasterState, Outcome
from .sweeper import Sweeper

log = logging.getLogger("jobtree.master")

#: A pause of the loop longer than this (seconds), or a quarter of --lost-after, proves nothing about anybody else's silence.
STALL = 5.0
MARK_AFTER = 1.0
RETRY_EVERY = 1.0
SHOW_EVERY = 0.2
LONGEST_WAIT = 1.0
HURRY = 0.01


class OutputStore(Protocol):
    """Where the output of targets goes."""

    def write(self, output: Output) -> None:
        """Keep one chunk."""

    def flush(self) -> None:
        """Let readers see what was written."""


class Display(Protocol):
    """What people see of a run."""

    def show(self, state: MasterState) -> None:
        """Draw the state as it is now."""

    def say(self, level: str, text: str) -> None:
        """Say something above it."""

    def failed(self, what: TellFailure) -> None:
        """An attempt has failed; said only where the settings ask for it."""


class Clock:
    """Unix time that never jumps: what the clock said at the start, and what has passed since."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()


@dataclass(slots=True)
class Master:
    """One life of a master, with all its doors."""

    state: MasterState
    journal: Journal
    server: Server
    fleet: Fleets
    sweeper: Sweeper
    outputs: OutputStore
    display: Display
    clock: Clock
    fence: Fence
    compaction: Compaction
    notice: Notice
    spill: Callable[[int, int, bytes], list[Any]]  # writes a value to TREE/blobs; how a message names it
    interrupts: int = 0  # how many ^C count as pressed already: in a notebook the first one stops
    _signals: list[e.Event] = field(default_factory=list)
    _appended_at: float = 0.0
    _retried_at: float = 0.0
    _paused: str | None = None

    def run(self, opening: list[r.Record]) -> Outcome:
        """Run until nothing is left to do, or somebody wants an end."""
        state, journal = self.state, self.journal
        for descriptor in self.fleet.descriptors:
            self.server.watch(descriptor)
        with self._taking_signals(), _quiet_gc():
            self._perform(state.begin(opening, self.clock()))
            before = shown = self.clock()
            stall = min(STALL, state.core.settings.lost_after / 4)
            while state.outcome is None or journal.pending:
                events = [*self.server.poll(self._patience()), *self.fleet.news(), *self._signalled()]
                if journal.paused is not None and (given_up := self._give_up(events)) is not None:
                    return given_up
                now = self.clock()
                if now - before > stall:
                    events.insert(0, e.Stalled(now - before))
                before = now
                self.fence.guard()
                if self.server.heard_of > self.journal.epoch:
                    self.fence.check()
                events += self._journal_news(now)
                if journal.paused is None:
                    events += self.compaction.news(now)
                self._perform(state.step(events, now))
                if now - shown >= SHOW_EVERY:
                    shown = now
                    self.fence.look()
                    self.outputs.flush()
                    self.display.show(state)
            assert state.outcome is not None
            if state.outcome.state in ("complete", "failed"):
                self._compact_at_the_end()
        return state.outcome

    def end_now(self) -> None:
        """Whoever has started this master is gone: stop as at a second ^C."""
        self._signals.append(e.Signalled(2, 130))

    def _compact_at_the_end(self) -> None:
        """Whoever looks at the run from now on has less to read."""
        made: list[e.Event] = [*self.compaction.finish(lambda: bool(self._signals))]
        if made:
            self._perform(self.state.step(made, self.clock()))

    def _patience(self) -> float:
        """How long the loop may wait for something to happen."""
        deadline = self.state.deadline
        wait = LONGEST_WAIT if deadline is None else deadline - self.clock()
        return max(0.0, min(wait, SHOW_EVERY))

    def _perform(self, step: Step) -> None:
        """Journal a step, and grant what may leave now."""
        self.fence.guard()
        for effect in step.at_once:
            self._grant(effect)
        if step.records or step.effects:
            encoded = [r.encode(record) for record in step.records]
            self.journal.append(encoded, step.effects, sync=not step.lazy)
            self._appended_at = self.clock()
            self.fence.guard()
        for effect in self.journal.released():
            self._grant(effect)

    def _grant(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case Output():
                self.outputs.write(effect)
            case RemoveTemp() | RemoveBlob():
                self.sweeper.post(effect)
            case Prune():
                self.fence.check()
                self.compaction.prune(effect)
                self.sweeper.post(effect)
            case Tell(level, text):
                self.display.say(level, text)
            case TellFailure():
                self.display.failed(effect)
            case EndSession(peer):
                self.server.end_session(peer)
            case Submit() | Find() | CancelBlocks():
                self.fleet.post(effect)

    def _send(self, effect: Send) -> None:
        if effect.type is Type.STOP:
            self.fleet.hurry(HURRY)
        for fetch, epoch, number, value in effect.spills:
            (_, content) = self.journal.fetch(*fetch)
            value[4] = self.spill(epoch, number, content)
        if not effect.fetches:
            self.server.send(effect.peer, effect.type, effect.body, effect.data)
            return
        lengths: list[int] = []
        parts: list[bytes] = []
        for record, place, amount in effect.fetches:
            some, data = self.journal.fetch(record, place, amount)
            lengths += some
            parts.append(data)
        self.server.send(effect.peer, effect.type, [*effect.body, lengths], b"".join(parts))

    def _journal_news(self, now: float) -> list[e.Event]:
        """Keep the journal's watermark up when idle, and try again when there was no room."""
        journal = self.journal
        if journal.paused is not None and now - self._retried_at >= RETRY_EVERY:
            self._retried_at = now
            journal.retry()
        elif journal.paused is None and now - self._appended_at >= MARK_AFTER:
            self._appended_at = now
            journal.mark()
            gc.collect(1)
        if journal.paused == self._paused:
            return []
        self._paused = journal.paused
        self.notice.put(self._paused)
        if self._paused:
            self.display.say("ERROR", f"the journal can't be written, the run is paused: {self._paused}")
        else:
            self.display.say("WARNING", "the journal can be written again, the run goes on")
        return [e.Paused(self._paused)]

    def _give_up(self, events: list[e.Event]) -> Outcome | None:
        """A master that can't write its journal can still be ended: nothing that was decided since will have happened."""
        signals = [event for event in events if isinstance(event, e.Signalled)]
        statuses = [event.status for event in signals if event.status != 130 or event.level > 1]
        decided = self.state.outcome  # by a signal that came before there was no room
        if decided is not None and decided.status > 128:
            statuses.append(decided.status)
        if self.interrupts > 1:
            for block in self.state.core.ledger.blocks.values():
                self.fleet.post(CancelBlocks(sorted(block.alive), force=True, pool=block.pool))
            statuses.append(130)
        if statuses:
            return Outcome("stopped", statuses[0], f"ended while the journal could not be written: {self.journal.paused}")
        if signals:
            self.display.say("WARNING", "interrupted, and paused: what runs is finished when there is room; ^C again ends it now")
        return None

    def _signalled(self) -> list[e.Event]:
        signals = self._signals[:]
        del self._signals[: len(signals)]
        return signals

    @contextlib.contextmanager
    def _taking_signals(self) -> Iterator[None]:
        """Turn signals into events, where this thread is the one that gets them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self.server.watch(near.fileno(), lambda: _drain(near))
        old_wake = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGINT, self._on_interrupt),
                (signal.SIGTERM, self._on_end),
                (signal.SIGHUP, self._on_end),
            )
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_wake)
            self.server.unwatch(near.fileno())
            near.close()
            far.close()

    def _on_interrupt(self, number: int, frame: Any) -> None:
        self.interrupts += 1
        self._signals.append(e.Signalled(self.interrupts, 130))

    def _on_end(self, number: int, frame: Any) -> None:
        self._signals.append(e.Signalled(1, 128 + number))


def _drain(end: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        end.recv(4096)


@contextlib.contextmanager
def _quiet_gc() -> Iterator[None]:
    """A collection over a million targets is a long turn, and few cycles are made: the young ones are looked at when idle."""
    was_on = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def raise_open_files() -> None:
    """Allow as many connections as the system lets us have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def occupy_standard_descriptors() -> None:
    """Whoever has closed 0, 1 or 2 must not get the journal or a socket in their places, where anything may print into them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def host_name() -> str:
    """This machine, as others know it."""
    return os.uname().nodename
