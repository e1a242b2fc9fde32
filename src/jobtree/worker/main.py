"""The worker's loop, and how a worker begins: the one place where its doors and its state meet."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import platform
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import JobtreeError, UsageError
from ..resources import parse_size
from .effects import Connect, Disconnect, Effect, Exit, Transmit
from .events import ConnectionLost, Event, Signalled
from .nurseries import Nursery, fork_first_nursery
from .own_output import OwnOutput

if TYPE_CHECKING:
    from .connection import Connector
    from .processes import Processes
    from .state import WorkerState

log = logging.getLogger("jobtree.worker")

#: While runners report faster than this many events a turn, the next turn waits a little, so that one message says more.
BUSY_EVENTS = 16
BREATH = 0.001
#: How long the last words to the master may take to leave.
FAREWELL = 0.2


def parser() -> argparse.ArgumentParser:
    """The options of ``jobtree worker``."""
    made = argparse.ArgumentParser(prog="jobtree worker", description="Run targets of a tree on this machine.")
    made.add_argument("tree", metavar="TREE", type=Path, help="directory of the run")
    made.add_argument("--cpus", type=float, help="cpus that targets may use here (default: all that this process may)")
    made.add_argument("--memory", metavar="SIZE", help="memory that targets may use here (default: all there is)")
    made.add_argument("--gpus", type=float, help="gpus that targets may use here (default: those in $CUDA_VISIBLE_DEVICES)")
    made.add_argument("--pin", action="store_true", help="pin each target to cores of its own")
    made.add_argument("--patience", type=float, default=600.0, help="seconds to go on looking for a lost master (default 600)")
    made.add_argument("--scratch-dir", type=Path, help="where local temp dirs are made (default: $TMPDIR)")
    made.add_argument("--walltime", type=float, help="seconds after which something ends this worker (default: nothing does)")
    made.add_argument("--in-batch", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--exit-zero", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--block", default="", help=argparse.SUPPRESS)
    made.add_argument("--index", type=int, default=0, help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Be a worker until the master, a signal or patience ends it; the exit status."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    tree: Path = arguments.tree.absolute()
    if not (tree / "journal" / "FORMAT").exists():
        raise UsageError(f"{tree} is not a jobtree tree: it has no journal/FORMAT")
    # The first nursery is forked while this process is young: no threads, no sockets, no keys.
    first = fork_first_nursery()
    status = _Worker(tree, arguments, first).run()
    return 0 if arguments.exit_zero else status


class _Worker:
    """One worker process: doors, state, loop."""

    def __init__(self, tree: Path, arguments: argparse.Namespace, first: Nursery) -> None:
        from .connection import Connector
        from .processes import Processes
        from .state import WorkerState

        self._offset = time.time() - time.monotonic()
        self.processes: Processes = Processes(tree, arguments.scratch_dir, first, clock=self.clock)
        self.connector: Connector = Connector(tree / "connection")
        self.connector.watch(self.processes.fileno())
        self.state: WorkerState = WorkerState(_about(tree, arguments, self.clock()), self.clock(), random.Random().random)
        self._signals: list[Event] = []
        self._exit: Exit | None = None
        self._output = OwnOutput()

    def clock(self) -> float:
        """Unix time that never jumps."""
        return self._offset + time.monotonic()

    def run(self) -> int:
        """Turn after turn, until the state wants to leave."""
        with self._taking_signals():
            # No cycles are made here that are worth looking for in the middle of a turn.
            gc.freeze()
            gc.disable()
            try:
                self._perform(self.state.begin())
                while self._exit is None:
                    self._turn()
                log.info("leaving: %s", self._exit.reason)
            finally:
                self.processes.close(0.0)
                self.connector.close(FAREWELL)
        return self._exit.status

    def _turn(self) -> None:
        events = self.connector.poll(self._patience())
        now = self.clock()
        news = self.processes.events(now)
        events += news
        events += self._signals
        self._signals.clear()
        self._perform(self.state.step(events, now))
        if len(news) >= BUSY_EVENTS:
            time.sleep(BREATH)
        elif not events:
            gc.collect(1)
            self._output.look(now)

    def _patience(self) -> float:
        deadline = self.state.deadline
        theirs = self.processes.deadline
        if theirs is not None:
            deadline = min(deadline, theirs)
        return max(0.0, min(deadline - self.clock(), 10.0))

    def _perform(self, effects: list[Effect]) -> None:
        lost = False
        for effect in effects:
            match effect:
                case Transmit(message):
                    lost = lost or not self.connector.send(message)
                case Connect(delay):
                    self.connector.dial(delay)
                case Disconnect():
                    self.connector.hang_up()
                case Exit():
                    self._exit = effect
                case _:
                    self.processes.perform(effect)
        if lost and self._exit is None:
            self._perform(self.state.step([ConnectionLost("the line to the master is full or gone")], self.clock()))

    @contextlib.contextmanager
    def _taking_signals(self) -> Iterator[None]:
        """SIGTERM and the batch systems' warnings become events; ^C is the master's business."""
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
        signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        self.connector.watch(near.fileno(), lambda: near.recv(4096))
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal if self.state.about.in_batch else signal.SIG_IGN)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signals.append(Signalled(signal.Signals(number).name))


def _about(tree: Path, arguments: argparse.Namespace, now: float) -> Any:
    """What this worker says of itself."""
    from .. import __version__
    from ..protocol.keys import read_connection
    from ..protocol.sizes import read_berth
    from .state import About

    berth = read_berth(tree / "blocks", arguments.block) if arguments.block else None
    if berth is not None:
        arguments.cpus, arguments.memory, arguments.gpus = berth.cpus, str(berth.memory), berth.gpus

    # Of several workers on one machine that know nothing of each other, the first one has the gpus.
    alone = arguments.in_batch or arguments.index == 0
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "") if alone else ""
    devices = [name.strip() for name in seen.split(",") if name.strip()]
    connection = read_connection(tree / "connection")
    return About(
        version=__version__,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        run=connection.run,
        uid=secrets.token_hex(8),
        block=arguments.block,
        index=arguments.index,
        host=platform.node(),
        pid=os.getpid(),
        cpus=arguments.cpus if arguments.cpus is not None else float(len(os.sched_getaffinity(0))),
        memory=int(parse_size(arguments.memory)) if arguments.memory is not None else _all_memory(),
        gpus=arguments.gpus if arguments.gpus is not None else float(len(devices)),
        devices=tuple(devices),
        cores=_cores(arguments),
        patience=arguments.patience,
        in_batch=arguments.in_batch,
        until=now + arguments.walltime if arguments.walltime is not None else None,
        life=arguments.walltime or 0.0,
    )


def _cores(arguments: argparse.Namespace) -> tuple[int, ...]:
    """The cores to pin targets to: those that the batch system has given, or with --pin our share of what there is.

    Without either nobody is pinned, for two workers on one machine that know nothing of each other must not share core 0.
    """
    ours = sorted(os.sched_getaffinity(0))
    if arguments.in_batch and len(ours) < (os.cpu_count() or 0):
        return tuple(ours)
    if not arguments.pin:
        return ()
    count = max(1, int(arguments.cpus or len(ours)))
    first = 0 if arguments.in_batch else arguments.index * count
    return tuple(ours[first : first + count])


def _all_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def entry(argv: Sequence[str] | None = None) -> int:
    """``main`` for the command line: an error that jobtree raises on purpose is one line and its exit status."""
    try:
        return main(argv)
    except JobtreeError as error:
        print(f"jobtree worker: {error}", file=sys.stderr)
        return error.exit_status
