"""Finds and ends processes: what a target has started is found through /proc, however far it has gone."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Between two looks at what is still alive.
_PAUSE_SECONDS = 0.01
#: What SIGKILL has not ended by then hangs in the kernel (a dead file server): nobody can wait for it.
_UNKILLABLE_SECONDS = 30.0


class Process(NamedTuple):
    """One process as /proc showed it; `start` (ticks since boot) tells it from one with the pid later."""

    pid: int
    parent: int
    session: int
    start: int
    resident_bytes: int
    zombie: bool


def become_subreaper() -> None:
    """Make orphans among this process's descendants its children, so that none of them can get lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int) -> None:
    """Have the kernel send this process signal `number` when its parent dies; 0: no longer."""
    _prctl(_PR_SET_PDEATHSIG, number)


def descendants(pid: int) -> list[int]:
    """The pids of all live descendants of `pid`, parents before their children."""
    return [process.pid for process in below({pid}, processes()) if not process.zombie]


def kill_descendants(grace: float = 0.0, spare: Collection[int] = ()) -> bool:
    """End all descendants of this process but `spare` and those below, until none is left.

    SIGTERM comes first, SIGKILL `grace` seconds later. Reaps what becomes this process's child meanwhile.
    False if something is left that not even SIGKILL can end.
    """
    begun = time.monotonic()
    told: set[int] = set()
    while True:
        reap(spare)
        alive = [p for p in below({os.getpid()}, processes(), spare) if not p.zombie]
        if not alive:
            return True
        waited = time.monotonic() - begun
        if waited > grace + _UNKILLABLE_SECONDS:
            return False
        if waited >= grace:
            send(signal.SIGKILL, (p.pid for p in alive))
        else:
            fresh = [p.pid for p in alive if p.pid not in told]
            told.update(fresh)
            send(signal.SIGTERM, fresh)
        time.sleep(_PAUSE_SECONDS)


def reap(spare: Collection[int] = ()) -> None:
    """Collect the status of all dead children but `spare`, which somebody else waits for."""
    for process in processes().values():
        if process.zombie and process.parent == os.getpid() and process.pid not in spare:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass  # somebody was faster


def send(number: int, pids: Iterable[int]) -> None:
    """Send signal `number` to each of `pids` that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended, or has become another user's (sudo): beyond our reach


def processes() -> dict[int, Process]:
    """All processes of this machine (of this pid namespace), by pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = look(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def look(pid: int) -> Process | None:
    """The process with this pid; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name, in brackets, may contain anything, brackets too.
    fields = text[text.rfind(b")") + 2 :].split()
    zombie = fields[0] in (b"Z", b"X")
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), int(fields[21]) * _PAGE, zombie)


def below(roots: Collection[int], snapshot: dict[int, Process], spare: Collection[int] = ()) -> list[Process]:
    """All descendants of `roots` in `snapshot`, parents first, without `spare` and what is below them."""
    children: dict[int, list[Process]] = {}
    for process in snapshot.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    seen = {*roots, *spare}
    wave = list(roots)
    while wave:
        born = [child for pid in wave for child in children.get(pid, ()) if child.pid not in seen]
        found += born
        wave = [child.pid for child in born]
        seen.update(wave)
    return found


class Prey:
    """A process and all that belongs to it, hunted until nothing of it is left.

    Who has been seen belongs to it for good: a child whose parent has died is nobody's descendant any more.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._seen: dict[int, int] = {}  # pid -> start

    def look(self, snapshot: dict[int, Process], alive: bool) -> list[int]:
        """The pids of all that belong to the process, which is `alive` or not; zombies don't count."""
        roots = {pid for pid, start in self._seen.items() if pid in snapshot and snapshot[pid].start == start}
        roots.update(process.pid for process in snapshot.values() if process.session == self.pid)
        if alive and self.pid in snapshot:
            roots.add(self.pid)
        members = [snapshot[pid] for pid in roots] + below(roots, snapshot)
        self._seen = {process.pid: process.start for process in members}
        return [process.pid for process in members if not process.zombie]


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
