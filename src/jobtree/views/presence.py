"""Whether a master is at work on a tree; found out without disturbing it, or one that is about to start."""

from __future__ import annotations

import fcntl
import os

from ..master.journal import segments
from ..master.journal.directory import Directory
from ..master.journal.holder import Holder, is_local


def master_of(directory: Directory) -> Holder | None:
    """The master that holds the tree now, or None.

    On this machine this is known from the process that claimed the last epoch, and from the kernel's list of locks. Elsewhere,
    and on a network's file system, a very short lock of our own finds out whether the tree's is taken.
    """
    holder = directory.holder()
    if holder is None or holder.is_certainly_dead():
        return None
    path = f"{directory.path}/{segments.LOCK_NAME}"
    if holder.boot == Holder.ourselves().boot:
        lockers = _lockers(path)
        if lockers is not None and holder.pid in lockers:
            return holder
        if lockers is not None and is_local(directory.path):
            # If it lives and another one has the lock, it has superseded a master that stands still.
            return holder if lockers else None
    return holder if _is_taken(path) else None


def _lockers(path: str) -> set[int] | None:
    """The processes of this machine that the kernel knows to have locked a file; None where it does not say."""
    try:
        inode = str(os.stat(path).st_ino)
    except OSError:
        return set()
    try:
        with open("/proc/locks", encoding="ascii") as file:
            # 1: FLOCK  ADVISORY  WRITE 4711 08:01:131200 0 EOF; one that waits has "->" as its second word
            locks = [line.split() for line in file]
    except OSError:
        return None
    return {int(words[4]) for words in locks if len(words) > 5 and words[1] != "->" and words[5].rpartition(":")[2] == inode}


def _is_taken(path: str) -> bool:
    """Whether somebody anywhere has locked a file; True where this file system has no locks: the holder's word must do."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
