"""The supervisor's door to nurseries and runners: grants effects, tells what happened, never waits."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jobtree.errors import Cause
from jobtree.ids import Attempt
from jobtree.protocol.messages import ROW_EPOCH, ROW_NUMBER

from . import link as wire
from . import nurseries, reaper
from .effects import Discard, Dump, Give, GiveCode, Kill, Launch, Prepare, Retire, TakeBack, Throttle
from .events import Dumped, Event, NurseryFailed, RunnerDied, RunnerStarted
from .hunt import Hunt, collect
from .keeper import Dying, Keeper, Order
from .memory import Sampler
from .nurseries import Nursery
from .scratch import Scratch, local_path, remove
from .underway import explain_status

DEFAULT_MAX_LOG_SIZE = 50 * 1024
#: Between two looks at what the runners are at.
LOOK_SECONDS = 0.05
#: Between two collections of the dead orphans of nurseries that are gone.
REAP_SECONDS = 5.0

_Handler = Callable[[float], list[Event]]


class Processes:
    """All processes of one worker.

    `tree` is the run's directory, `scratch_dir` the node's for temporary files (None: TMPDIR), `first` the
    nursery that was forked before this process had threads. `clock` is that of `events(now)` and `deadline`.
    """

    def __init__(
        self,
        tree: Path,
        scratch_dir: str | os.PathLike[str] | None = None,
        first: Nursery | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tree = tree
        reaper.become_subreaper()
        self._strangers = _children() - ({first.pid} if first else set())
        self._scratch = Scratch(scratch_dir)
        self._first = first
        self._clock = clock
        self._nurseries: dict[int, Nursery] = {}
        self._settings: dict[int, dict[str, Any]] = {}
        self._keepers: dict[int, Keeper] = {}
        self._hunts: dict[int, Hunt] = {}
        self._news: list[Event] = []
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[int, _Handler]] = {}
        self._next_look: float | None = None
        self._sampler = Sampler()
        self._failed: dict[int, str] = {}
        self._next_reap: float | None = None

    def fileno(self) -> int:
        """One descriptor to poll: readable when `events` has something to tell."""
        return self._epoll.fileno()

    @property
    def deadline(self) -> float | None:
        """When `events` is to be called at the latest; None: only when there is something to read."""
        if self._news:
            return 0.0
        times = [hunt.look_at for hunt in self._hunts.values()]
        if any(nursery.link.closed for nursery in self._nurseries.values()):
            return 0.0
        times += [at for at in (self._next_look, self._next_reap) if at is not None]
        return min(times, default=None)

    def perform(self, effect: Prepare | Discard | Launch | Give | TakeBack | GiveCode | Kill | Throttle | Dump | Retire) -> None:
        """Grant one effect."""
        match effect:
            case Give(runner, tasks):
                self._give(runner, tasks)
            case TakeBack(runner):
                if runner in self._keepers:
                    self._news.append(self._keepers[runner].take_back())
            case Launch(runner, epoch):
                self._launch(runner, epoch)
            case Retire(runner):
                if runner in self._keepers:
                    self._keepers[runner].retire()
            case Kill(runner, cause, message, grace):
                if runner in self._keepers:
                    keeper = self._keepers[runner]
                    self._hunt(keeper, Order(cause, message, keeper.next_attempt), self._clock() + grace)
            case Dump(runner, attempt):
                self._dump(runner, attempt)
            case GiveCode(runner, sha, data):
                self._scratch.store(data, f"codes/{sha}")
                if runner in self._keepers:
                    self._keepers[runner].answer(sha)
            case Throttle(runner, on):
                if runner in self._keepers:
                    self._throttle(self._keepers[runner], on)
            case Prepare(epoch, settings):
                self._prepare(epoch, settings)
            case Discard(epoch):
                if epoch in self._nurseries:
                    self._nurseries[epoch].leave()

    def events(self, now: float) -> list[Event]:
        """Everything that has happened since the last call."""
        at = time.time()
        ready = [descriptor for descriptor, _ in self._epoll.poll(0)]
        # Who has begun, what was printed, what was reported: each may need the one before. Deaths come last.
        for descriptor in sorted(ready, key=lambda descriptor: self._handlers[descriptor][0]):
            if descriptor in self._handlers:  # else one of those before was its end
                self._news += self._handlers[descriptor][1](at)
        if self._next_look is not None and now >= self._next_look:
            self._look(now, at)
        self._check_nurseries(now, at)
        self._go_hunting(now, at)
        if self._next_reap is not None and now >= self._next_reap:
            reaper.reap(self._strangers | self._known_pids())
            self._next_reap = now + REAP_SECONDS
        news, self._news = self._news, []
        return news

    def close(self, grace: float = 5.0) -> None:
        """End everything: SIGTERM, `grace` seconds later SIGKILL, until no process is left.

        The scratch directory goes too.
        """
        # Not asked to leave, because one that imports a script hears nothing; its children become ours.
        first = [self._first] if self._first is not None else []
        reaper.send(signal.SIGKILL, (nursery.pid for nursery in [*first, *self._nurseries.values()]))
        reaper.kill_descendants(grace, self._strangers)
        for keeper in self._keepers.values():
            keeper.close()
        for nursery in [*first, *self._nurseries.values()]:
            nursery.link.close()
        self._epoll.close()
        self._scratch.close()

    # Nurseries and runners begin.

    def _prepare(self, epoch: int, settings: dict[str, Any]) -> None:
        assert epoch not in self._nurseries, f"epoch {epoch} has a nursery already"
        try:
            nursery = self._first if self._first is not None else nurseries.start_nursery()
        except OSError as error:
            self._news.append(NurseryFailed(epoch, f"no nursery can be started: {error}"))
            return
        self._first = None
        self._nurseries[epoch] = nursery
        self._settings[epoch] = settings
        self._watch(nursery.link.socket.fileno(), 0, partial(self._hear_nursery, epoch))
        self._ask(nursery, (wire.PREPARE, settings, str(self.tree), self._scratch.path))

    def _launch(self, runner: int, epoch: int) -> None:
        nursery = self._nurseries.get(epoch)
        if nursery is None:
            self._news.append(RunnerDied(runner, f"there is no nursery of epoch {epoch}"))
            return
        size = self._settings[epoch].get("max_log_size", DEFAULT_MAX_LOG_SIZE)
        keeper = self._keepers[runner] = Keeper(runner, epoch, self.tree, self._scratch, size)
        self._watch(keeper.stdout, 1, partial(self._pump, keeper, 1))
        self._watch(keeper.stderr, 1, partial(self._pump, keeper, 2))
        self._watch(keeper.report, 2, partial(self._hear, keeper))
        self._ask(nursery, (wire.FORK, runner, keeper.secret), keeper.their_descriptors)

    def _throttle(self, keeper: Keeper, on: bool) -> None:
        """Leave its reports in the pipe, so that it waits; or hear them again."""
        if on:
            self._unwatch(keeper.report)
        elif not keeper.silent:
            self._watch(keeper.report, 2, partial(self._hear, keeper))

    def _dump(self, runner: int, attempt: Attempt) -> None:
        """The answer comes with one of the next looks."""
        keeper = self._keepers.get(runner)
        if keeper is None or keeper.pid is None or keeper.running() != attempt:
            self._news.append(Dumped(attempt, "it has just ended"))
        elif why := keeper.stacks.ask(keeper.pid, attempt, self._clock()):
            self._news.append(Dumped(attempt, why))

    def _give(self, runner: int, tasks: list[Any]) -> None:
        keeper = self._keepers.get(runner)
        if keeper is None:  # it could not be launched, or has died: who gave these has not heard of it yet
            self._news.append(RunnerDied(runner, "there is no such runner", unbegun=[task.attempt for task in tasks]))
            return
        for task in tasks:
            keeper.give(task)
        if self._next_look is None:
            self._next_look = self._clock() + LOOK_SECONDS
        if not keeper.push():
            self._watch(keeper.task_end, 3, partial(self._push, keeper), select.EPOLLOUT)

    # What comes from below.

    def _pump(self, keeper: Keeper, stream: int, at: float) -> list[Event]:
        events = keeper.pump(stream, at)
        if keeper.capture.is_silent(stream):
            self._unwatch(keeper.stdout if stream == 1 else keeper.stderr)
        return events

    def _hear(self, keeper: Keeper, at: float) -> list[Event]:
        events = keeper.hear(at)
        if keeper.silent:
            self._unwatch(keeper.report)
        return events

    def _push(self, keeper: Keeper, at: float) -> list[Event]:
        if keeper.push():
            self._unwatch(keeper.task_end)
        return []

    def _ask(self, nursery: Nursery, message: tuple[Any, ...], descriptors: tuple[int, ...] = ()) -> None:
        nursery.link.send(message, descriptors)
        if not nursery.link.flush():
            self._epoll.modify(nursery.link.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _hear_nursery(self, epoch: int, at: float) -> list[Event]:
        link = self._nurseries[epoch].link
        if link.flush():
            self._epoll.modify(link.socket.fileno(), select.EPOLLIN)
        events: list[Event] = []
        for message in link.receive():
            match message:
                case [wire.FORKED, runner, pid]:
                    events.append(self._started(self._keepers[runner], pid))
                case [wire.DIED, runner, status, user, system]:
                    self._died(self._keepers[runner], Dying(status, user, system), at)
                case [wire.FORK_FAILED, runner, why]:
                    self._bury(self._keepers[runner], Dying(0, message=f"no runner can be forked: {why}"), at)
        if link.closed:
            self._unwatch(link.socket.fileno())
        return events

    def _started(self, keeper: Keeper, pid: int) -> RunnerStarted:
        keeper.pid = pid
        if keeper.ordered is not None:
            self._hunt(keeper, *keeper.ordered)
        return RunnerStarted(keeper.runner, pid)

    # Looking after what runs.

    def _look(self, now: float, at: float) -> None:
        busy = [keeper for keeper in self._keepers.values() if keeper.busy]
        for keeper in busy:
            begun = keeper.look(at)
            self._news += [begun] if begun is not None else []
            if (asked := keeper.stacks.about) is not None and (text := keeper.stacks.answer(now)) is not None:
                self._news.append(Dumped(asked, text))
            if keeper.capture.unsettled:
                self._news += [*keeper.pump(1, at), *keeper.pump(2, at)]
        for keeper, words in self._sampler.look(busy, now, at):
            self._hunt(keeper, Order(Cause.MEMORY, words, keeper.next_attempt), now)
        self._next_look = now + LOOK_SECONDS if busy else None

    # Nurseries and runners end.

    def _hunt(self, keeper: Keeper, order: Order, kill_at: float) -> None:
        if keeper.pid is None:
            keeper.ordered = keeper.ordered or (order, kill_at)  # as soon as there is somebody to kill
        elif keeper.runner in self._hunts:
            self._hunts[keeper.runner].hurry(kill_at)
        else:
            self._hunts[keeper.runner] = Hunt(keeper.pid, order, kill_at)

    def _died(self, keeper: Keeper, dead: Dying, at: float) -> None:
        """The nursery says that a runner is dead; what it has left behind has to follow."""
        assert keeper.pid is not None
        if dead.status == signal.SIGKILL and keeper.runner not in self._hunts and self._sampler.kernel_has_killed():
            dead.cause, dead.message = Cause.MEMORY, "the kernel has ended it because memory had run out"
        if keeper.retired and keeper.runner not in self._hunts:
            self._bury(keeper, dead, at)  # it went in peace: daemons may stay as long as the worker
        else:
            self._hunts.setdefault(keeper.runner, Hunt(keeper.pid, None, 0.0)).runner_died(dead)

    def _go_hunting(self, now: float, at: float) -> None:
        due = [(self._keepers[runner], hunt) for runner, hunt in self._hunts.items() if now >= hunt.look_at]
        if due:
            snapshot = reaper.processes()
            for keeper, hunt in due:
                hunt.look(now, snapshot)
                self._collect(keeper, hunt)
                if hunt.dead is not None and hunt.is_over(now):
                    self._bury(keeper, hunt.dead, at)
        self._announce_failures()

    def _collect(self, keeper: Keeper, hunt: Hunt) -> None:
        """A runner that has lost its nursery is our child now."""
        if hunt.dead is None and keeper.epoch not in self._nurseries and keeper.pid is not None:
            dead = collect(keeper.pid)
            if dead is not None:
                hunt.runner_died(dead)

    def _bury(self, keeper: Keeper, dead: Dying, at: float) -> None:
        *news, died = keeper.die(dead, at)
        assert isinstance(died, RunnerDied)
        self._forget(keeper)
        self._news += news
        if not keeper.retired or died.row is not None or died.unbegun:
            self._news.append(died)
        if died.row is not None:
            path = local_path(self._scratch.path, Attempt(died.row[ROW_EPOCH], died.row[ROW_NUMBER]))
            if os.path.lexists(path):  # in a thread, because there may be a million files in it
                threading.Thread(target=remove, args=(path,), daemon=True).start()

    def _forget(self, keeper: Keeper) -> None:
        for descriptor in (keeper.stdout, keeper.stderr, keeper.report, keeper.task_end):
            self._unwatch(descriptor)
        keeper.close()
        self._hunts.pop(keeper.runner, None)
        del self._keepers[keeper.runner]

    def _check_nurseries(self, now: float, at: float) -> None:
        for epoch, nursery in list(self._nurseries.items()):
            if nursery.link.closed or nursery.has_ended():
                self._unwatch(nursery.link.socket.fileno())
                status = nursery.end()
                del self._nurseries[epoch], self._settings[epoch]
                self._next_reap = now + REAP_SECONDS
                if not nursery.leaving:
                    self._lost(epoch, f"the nursery has died: {explain_status(status)[1]}", now, at)

    def _lost(self, epoch: int, message: str, now: float, at: float) -> None:
        """A nursery has died: its runners, and all that it has looked after, are ours now, and have to go."""
        self._failed[epoch] = message
        for keeper in [keeper for keeper in self._keepers.values() if keeper.epoch == epoch]:
            if keeper.pid is None:
                self._bury(keeper, Dying(0, message=message), at)
            else:
                self._hunt(keeper, Order(Cause.WORKER_LOST, message, keeper.next_attempt), now)
        spare = self._strangers | {nursery.pid for nursery in self._nurseries.values()}
        orphans = reaper.below({os.getpid()}, reaper.processes(), spare)
        reaper.send(signal.SIGKILL, (process.pid for process in orphans))

    def _announce_failures(self) -> None:
        """A nursery's failure is told when its runners have been told of."""
        for epoch in list(self._failed):
            if all(keeper.epoch != epoch for keeper in self._keepers.values()):
                self._news.append(NurseryFailed(epoch, self._failed.pop(epoch)))

    def _known_pids(self) -> set[int]:
        """Those whose status somebody waits for."""
        runners = {keeper.pid for keeper in self._keepers.values() if keeper.pid is not None}
        return runners | {nursery.pid for nursery in self._nurseries.values()}

    # The poll.

    def _watch(self, descriptor: int, rank: int, handler: _Handler, mask: int = select.EPOLLIN) -> None:
        if descriptor not in self._handlers:
            self._handlers[descriptor] = (rank, handler)
            self._epoll.register(descriptor, mask)

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)


def _children() -> set[int]:
    return {process.pid for process in reaper.processes().values() if process.parent == os.getpid()}
