"""Whether a tree may be had: its lock, what can be known of the master before, and taking over from one that hangs.

Locks are a courtesy: some file systems refuse them, and some keep them to one machine. So a master that may be alive is also
asked at its socket, and where that says nothing, its witness in the tree is watched. The epoch decides in the end, whatever was
guessed here: of all who claim one after another, the last one is the master, and the others stop when they see that.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import TreeLocked, UsageError
from .master.journal.directory import CONNECTION_NAME, Directory, Lock
from .master.journal.holder import Holder, is_local
from .protocol import keys
from .protocol.knock import Answer, knock

log = logging.getLogger("jobtree.master")

#: How long (seconds) a master may take to answer at its socket, and how long its witness may stand still.
ANSWER_WITHIN = 10.0
WITNESS_WITHIN = 12.0


@dataclass(slots=True)
class Hold:
    """A tree that is ours to claim: the lock (held or not), the last epoch, and whether nobody else can be at work there."""

    lock: Lock
    last_epoch: int
    certain: bool


def hold(directory: Directory, *, take_over: bool) -> Hold:
    """Have a tree; raises TreeLocked where a master is, or may be, at work on it."""
    last_epoch = directory.highest_epoch()
    lock = directory.try_lock()
    try:
        certain = _is_vacant(directory, lock, take_over)
    except BaseException:
        lock.release()
        raise
    if lock.warning:
        log.warning("%s: %s; the numbers of epochs decide who is the master", directory.tree, lock.warning)
    return Hold(lock, last_epoch, certain)


def _is_vacant(directory: Directory, lock: Lock, take_over: bool) -> bool:
    """True: nobody can be there. False: nobody is, as far as can be seen, or it hangs and was given up."""
    holder = directory.holder()
    if lock.held or lock.warning:
        if holder is None or holder.is_us or holder.is_certainly_dead() or _has_ended(directory):
            return True
        if lock.held and not holder.is_here and is_local(directory.path):
            return True  # the machine has been started anew since
        return _is_left(directory, lock, holder, take_over)
    holder = directory.lock_holder() or holder
    if not take_over:
        raise directory.locked(holder)
    if _answer(directory, ANSWER_WITHIN) is Answer.ANSWERED:
        raise _answers(directory, holder)
    log.warning("%s: %s does not answer, and is superseded", directory.tree, holder or "its master")
    return False


def _is_left(directory: Directory, lock: Lock, holder: Holder, take_over: bool) -> bool:
    """A former master has not said that it ended, and no lock proves it."""
    answer = _answer(directory, ANSWER_WITHIN)
    if answer is Answer.ANSWERED:
        raise _answers(directory, holder)
    if holder.is_here:
        if answer is Answer.REFUSED and lock.held:
            return True  # its process lives on, but its run has ended
        if not take_over:
            raise directory.locked(holder)
        log.warning("%s: %s does not answer, and is superseded", directory.tree, holder)
        return False
    log.warning("%s: waiting %.0f s for a sign of life of its last master (%s)", directory.tree, WITNESS_WITHIN, holder)
    before = directory.witness()
    deadline = time.monotonic() + WITNESS_WITHIN
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if directory.witness() != before:
            raise directory.locked(holder)
    return False


def _has_ended(directory: Directory) -> bool:
    """Whether the last master has let the tree go in good order."""
    witness = directory.witness()
    return witness is not None and witness.ended and witness.epoch == directory.highest_epoch()


def _answer(directory: Directory, seconds: float) -> Answer:
    """Whether a master answers where the connection file says that it is."""
    try:
        return knock(keys.read_connection(Path(directory.tree) / CONNECTION_NAME), seconds)
    except (OSError, UsageError):
        return Answer.REFUSED  # there is no such file, or none that can be trusted


def _answers(directory: Directory, holder: Holder | None) -> TreeLocked:
    """The refusal to supersede a master that is well."""
    who = f"{holder.described}" if holder else "another master"
    where = f" (kill {holder.pid} on {holder.host})" if holder else ""
    return TreeLocked(
        f"{directory.tree} is held by {who}, which is at work and answers; wait until it has ended, end it{where}, "
        "or use another --tree"
    )
