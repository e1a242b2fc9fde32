"""The nursery: a process that imports the user's script once, and forks runners that have it imported."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from jobtree import _context
from jobtree.protocol.tracebacks import text_of

from . import link, reaper, runner, scratch, traces
from .failure import describe_import_error
from .settings import Settings

#: Between SIGTERM and SIGKILL when the supervisor has died.
ORPHAN_GRACE_SECONDS = 1.0

#: What the batch system sends to all processes of a job: the supervisor alone answers it.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: What Python itself has for signals that are not at the system's default.
_PYTHONS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}


def main() -> None:
    """The program of a nursery in a fresh interpreter."""
    sys.exit(serve(socket.socket(fileno=link.NURSERY_DESCRIPTOR)))


def serve(end: socket.socket) -> int:
    """Be a nursery until the supervisor says so, or dies; returns the exit status (in a runner: never)."""
    end.set_inheritable(False)
    _close_others(end.fileno())
    reaper.become_subreaper()
    _context.enter_runner()
    traces.install_streams()
    return _Nursery(link.Link(end)).serve()


class _Nursery:
    def __init__(self, end: link.Link) -> None:
        self._link = end
        self._runners: dict[int, int] = {}  # pid -> runner
        self._scratch = ""
        self._settings: Settings | None = None
        self._import_error = ""
        self._leaving = False
        self._handlers: dict[signal.Signals, Any] = {}
        self._wake, self._woken = os.pipe()
        for descriptor in (self._wake, self._woken):
            os.set_blocking(descriptor, False)

    def serve(self) -> int:
        self._take_signals()
        poll = select.poll()
        poll.register(self._link.socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        # A runner that has been let go may still be leaving, and would not survive us.
        while not (self._leaving and not self._runners) and not self._link.closed:
            ready = dict(poll.poll())
            if self._wake in ready:
                os.read(self._wake, 4096)
            if self._link.socket.fileno() in ready:
                for message in self._link.receive():
                    self._obey(message)
            self._reap()
        if self._link.closed:
            self._be_orphaned()
        return 0

    def _obey(self, message: list[Any]) -> None:
        match message:
            case [link.PREPARE, given, tree, scratch_path]:
                self._scratch = scratch_path
                self._settings = Settings.of(given, tree, scratch_path)
                self._prepare(self._settings)
            case [link.FORK, number, secret]:
                descriptors = [self._link.descriptors.popleft() for _ in range(link.RUNNER_DESCRIPTORS)]
                self._fork(number, secret, descriptors)
            case [link.LEAVE]:
                self._leaving = True

    def _prepare(self, settings: Settings) -> None:
        # There is nobody yet whom we would have to kill before we die.
        reaper.die_with_parent(signal.SIGKILL)
        self._import_error = enter(settings)
        reaper.die_with_parent(0)
        self._take_signals()
        gc.collect()
        gc.freeze()  # so that collections in the runners don't touch, and copy, what all of them share

    def _fork(self, number: int, secret: bytes, descriptors: Sequence[int]) -> None:
        assert self._settings is not None, "a nursery is prepared before it is asked for runners"
        sys.stdout.flush()
        sys.stderr.flush()
        nursery = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._link.send((link.FORK_FAILED, number, str(error)))
        else:
            if pid == 0:
                self._become_runner(self._settings, secret, descriptors, nursery)
            self._runners[pid] = number
            self._link.send((link.FORKED, number, pid))
        for descriptor in descriptors:
            os.close(descriptor)

    def _become_runner(self, settings: Settings, secret: bytes, descriptors: Sequence[int], nursery: int) -> None:
        status = 70
        try:
            os.setsid()
            # If supervisor and nursery are killed in the same instant, nobody is left to end what they have started.
            reaper.die_with_parent(signal.SIGKILL)
            if os.getppid() != nursery:
                os._exit(status)
            signal.set_wakeup_fd(-1)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._link.close()
            os.close(self._wake)
            os.close(self._woken)
            status = runner.run(settings, self._import_error, secret, descriptors)
        except BaseException:  # noqa: BLE001  # said where the target's output goes; never a second nursery
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Collect the dead: runners, whose end is told, and orphans, whom nobody asks for."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._runners.pop(pid, None)
            if number is not None:
                self._link.send((link.DIED, number, status, usage.ru_utime, usage.ru_stime))

    def _be_orphaned(self) -> None:
        """The supervisor is dead: nothing that it has started may survive it."""
        reaper.kill_descendants(ORPHAN_GRACE_SECONDS)
        if self._scratch:
            scratch.remove(self._scratch)

    def _take_signals(self) -> None:
        """Hear of dead children, and of nothing else; what the script has set is kept for the runners."""
        for number in (signal.SIGCHLD, *_IGNORED):
            before = signal.signal(number, _nothing)
            if before is not _nothing:
                first = number not in self._handlers
                self._handlers[number] = _PYTHONS.get(number, signal.SIG_DFL) if first or before is None else before
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)


def enter(settings: Settings) -> str:
    """Put the settings into effect; returns why that failed, if so: the rows of the targets will tell."""
    try:
        settings.enter()
    except BaseException as error:  # noqa: BLE001  # a script may raise anything, SystemExit too
        sys.stderr.write(text_of(error))
        return describe_import_error(error)
    return ""


def _close_others(kept: int) -> None:
    """Close what was inherited from the supervisor: user code must not find its sockets and keys."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own


def _nothing(number: int, frame: FrameType | None) -> None:
    """A handler and not SIG_IGN, which programs started from here would inherit."""
