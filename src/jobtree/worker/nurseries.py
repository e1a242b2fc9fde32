"""The supervisor's end of a nursery: starts the process, asks it for runners, hears of their deaths."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from .link import LEAVE, NURSERY_DESCRIPTOR, Link

# The way to this very package, without a variable that user code would see.
_START = """\
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv.pop()]
from jobtree.worker.nursery import main
main()
"""


class Nursery:
    """A nursery process and the link to it."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.link = Link(end)
        end.setblocking(False)
        #: How it ended, once it has.
        self.status: int | None = None
        #: It was asked to leave: its end is no failure.
        self.leaving = False

    def leave(self) -> None:
        """Ask it to end."""
        self.leaving = True
        self.link.send((LEAVE,))

    def has_ended(self) -> bool:
        """Whether the process is gone; collects its status if so."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0  # somebody else has collected it
            self.status = status if pid else None
        return self.status is not None

    def end(self) -> int:
        """Make sure that the process has ended, close the link, and tell the wait status."""
        if not self.has_ended():
            # Its end of the link is closed: it is ending, or of no use (the script has closed everything).
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitpid(self.pid, 0)[1]
        self.link.close()
        assert self.status is not None
        return self.status


def start_nursery() -> Nursery:
    """Start a nursery in a fresh interpreter: this process may have threads, and may have been anywhere."""
    ours, theirs = socket.socketpair()
    with theirs:
        # posix_spawn, because forking a process with threads in Python is a game of chance.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2])],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), NURSERY_DESCRIPTOR)],
            setsigdef=[
                signal.SIGTERM,
                signal.SIGINT,
                signal.SIGUSR1,
                signal.SIGUSR2,
                signal.SIGHUP,
                signal.SIGCHLD,
            ],
        )
    return Nursery(pid, ours)


def fork_first_nursery() -> Nursery:
    """Fork the first nursery from this process, which must be young: without threads, sockets or keys.

    It saves the start of an interpreter; the child imports what runners need while its parent goes on.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            ours.close()
            from .nursery import serve

            status = serve(theirs)
        finally:
            os._exit(status)
    theirs.close()
    return Nursery(pid, ours)
