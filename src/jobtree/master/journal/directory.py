"""TREE/journal as a directory: made once, its FORMAT, the lock, and the claims of epochs."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from jobtree.errors import JournalDamaged, StorageFailed, TreeLocked, UsageError
from jobtree.master.journal import segments
from jobtree.master.journal.files import NO_LOCKS, Files, close, write_all
from jobtree.master.journal.holder import Holder

MAJOR, MINOR = 1, 0
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_LARGEST = 1 << 16  # no file read here is longer

T = TypeVar("T")


#: What a master tells its workers, in the tree: written when it has begun its first segment.
CONNECTION_NAME = "connection"


class Claim(NamedTuple):
    """The epoch that is ours now, and who had the one before it (None: nobody, or it is not known)."""

    epoch: int
    before: Holder | None


class Lock:
    """The lock on a tree. `warning` says so where the file system has no locks and it is a courtesy only."""

    def __init__(self, files: Files, descriptor: int, warning: str | None) -> None:
        self._files = files
        self._descriptor: int | None = descriptor
        self.warning = warning

    def release(self) -> None:
        """Let another master have the tree."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            close(self._files, descriptor, segments.LOCK_NAME)


class Directory:
    """The journal's directory in a tree. `run_id` has 16 bytes and is the tree's for all its life."""

    def __init__(self, files: Files, tree: str, run_id: bytes) -> None:
        self.files = files
        self.tree = tree
        self.path = f"{tree}/journal"
        self.run_id = run_id

    @classmethod
    def open(cls, files: Files, tree: str) -> Directory:
        """The directory of a tree that is there. Changes nothing.

        Raises UsageError for what is no tree, belongs to another user or was written by a newer jobtree, and
        JournalDamaged where FORMAT cannot be understood.
        """
        run_id = _read_format(files, tree)
        if run_id is None:
            raise UsageError(f"{tree} is not a jobtree tree: it has no journal/FORMAT")
        return cls(files, tree, run_id)

    @classmethod
    def prepare(cls, files: Files, tree: str, writer: str, run_id: bytes | None = None) -> Directory:
        """The directory of a tree for a master, made where there is nothing yet.

        `writer` is the version that FORMAT names, `run_id` the id of a new tree (a random one unless given).
        Raises as `open` does, and UsageError where the directory holds something else or we may not write.
        """
        found = _read_format(files, tree)
        if found is None:
            _asking(tree, lambda: _make(files, tree, writer, run_id or uuid.uuid4().bytes))
        _asking(tree, lambda: _sync_names(files, tree))
        return cls.open(files, tree)

    def lock(self) -> Lock:
        """Lock the tree for us; raises TreeLocked where another process has it."""
        descriptor = _asking(self.tree, lambda: self.files.open_lock(f"{self.path}/{segments.LOCK_NAME}"))
        try:
            self.files.lock(descriptor)
        except OSError as error:
            if error.errno in NO_LOCKS:
                warning = f"{self.tree}: no locks on this file system ({error.strerror})"
                return Lock(self.files, descriptor, warning)
            close(self.files, descriptor, segments.LOCK_NAME)
            if isinstance(error, BlockingIOError):
                raise self.locked() from error
            raise StorageFailed(f"{self.tree} cannot be locked: {error.strerror}") from error
        return Lock(self.files, descriptor, None)

    def locked(self) -> TreeLocked:
        """The error that says who has the tree."""
        holder = self.holder()
        who = f"by {holder}" if holder else "by another master"
        return TreeLocked(f"{self.tree} is held {who}; wait until it has ended, or end it, or use another tree")

    def holder(self) -> Holder | None:
        """Who claimed the highest epoch."""
        epoch = self.highest_epoch()
        return self._holder_of(epoch) if epoch else None

    def highest_epoch(self) -> int:
        """The highest epoch that was ever claimed, looked up afresh; 0: none."""
        epochs = (segments.epoch_of(name) for name in self.files.names(self.path))
        return max((epoch for epoch in epochs if epoch is not None), default=0)

    def refuse_lost_segments(self) -> None:
        """Raise JournalDamaged where a master was at work, which wrote a segment before anything else, and no segment is left."""
        if CONNECTION_NAME not in self.files.names(self.tree):
            return
        if not any(segments.SegmentName.parse(name) for name in self.files.names(self.path)):
            raise JournalDamaged(
                f"{self.path} has no segment left, though a master has been at work here; "
                "bring the files back from a copy, or use another tree"
            )

    def claim_epoch(self, who: Holder) -> Claim:
        """Claim the next epoch; of all who try, on any host, each gets another one. Durable on return."""
        while True:
            epoch = _asking(self.tree, self.highest_epoch) + 1
            if self._claimed(epoch, who):
                return Claim(epoch, self._holder_of(epoch - 1) if epoch > 1 else None)

    def _claimed(self, epoch: int, who: Holder) -> bool:
        name = segments.epoch_name(epoch)
        return _asking(self.tree, lambda: _write_whole(self.files, self.path, name, who.written()))

    def _holder_of(self, epoch: int) -> Holder | None:
        try:
            return Holder.read(_read(self.files, f"{self.path}/{segments.epoch_name(epoch)}"))
        except OSError:
            return None  # it is for words, and for a wait that is taken when nothing is known


def _make(files: Files, tree: str, writer: str, run_id: bytes) -> None:
    """Make the directories and FORMAT in a place that holds nothing, or what a start killed early left."""
    for path in (tree, f"{tree}/journal"):
        try:
            files.make_directory(path)
        except FileExistsError:
            if not files.status(path).is_directory:
                raise UsageError(f"{path} is a file; name another directory with --tree") from None
        except FileNotFoundError:
            raise UsageError(f"{path} cannot be made: the directory above it is not there") from None
        if _holds_something(files, tree):
            raise UsageError(f"{tree} holds something else and is no jobtree tree; name another with --tree")
    form = {"format": f"{MAJOR}.{MINOR}", "run": str(uuid.UUID(bytes=run_id)), "writer": writer}
    _write_whole(files, f"{tree}/journal", segments.FORMAT_NAME, json.dumps(form).encode() + b"\n")


def _sync_names(files: Files, tree: str) -> None:
    """Also where all was there: the start that made it may have been killed before it could do this."""
    for path in (f"{tree}/journal", tree, os.path.dirname(os.path.abspath(tree))):
        files.sync_directory(path)


def _holds_something(files: Files, tree: str) -> bool:
    if files.names(tree) != ["journal"]:
        return files.names(tree) != []
    names = files.names(f"{tree}/journal")
    known = [name for name in names if name in (segments.LOCK_NAME, segments.FORMAT_NAME) or ".tmp-" in name]
    return len(known) < len(names)


def _read_format(files: Files, tree: str) -> bytes | None:
    """The run id of a tree, or None where there is no FORMAT (yet)."""
    path = f"{tree}/journal/{segments.FORMAT_NAME}"
    try:
        owner = files.status(path).owner
        if owner != files.user():
            raise UsageError(f"{tree} belongs to user {owner} and not to you; name another with --tree")
        data = _asking(tree, lambda: _read(files, path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise UsageError(f"{tree} cannot be opened: {error.strerror}") from error
    try:
        form = json.loads(data)
        major, writer = int(str(form["format"]).partition(".")[0]), str(form.get("writer"))
        run_id = uuid.UUID(form["run"]).bytes
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise JournalDamaged(f"{path} cannot be understood; restore it from a backup") from error
    if major != MAJOR:
        raise UsageError(
            f"{tree} was written by {writer} in format {form['format']}, and this version reads {MAJOR}.x; use that version"
        )
    return run_id


def _write_whole(files: Files, directory: str, name: str, data: bytes) -> bool:
    """Make a file that is there with all its bytes or not at all; False: the name was taken by another.

    A link and not a rename, so that of several who try exactly one wins, on NFS too: there the answer to a
    link that was made may get lost, and only the number of links says the truth.
    """
    temporary = f"{directory}/{name}.tmp-{uuid.uuid4().hex}"
    descriptor = files.create(temporary)
    try:
        write_all(files, descriptor, data, 0)
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    try:
        files.link(temporary, f"{directory}/{name}")
        won = True
    except OSError as error:
        won = files.status(temporary).links == 2
        if not won and not isinstance(error, FileExistsError):
            raise
    finally:
        files.unlink(temporary)
    files.sync_directory(directory)
    return won


def _read(files: Files, path: str) -> bytes:
    descriptor = files.open(path)
    try:
        return files.read(descriptor, _LARGEST, 0)
    finally:
        files.close(descriptor)


def _asking(tree: str, action: Callable[[], T]) -> T:
    """Do something that the directory's owner or its disk may refuse, and say so in words."""
    try:
        return action()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        reason = f"{tree} cannot be used: {error.strerror}"
        if error.errno in _REFUSED:
            raise UsageError(f"{reason}; name another with --tree") from error
        raise StorageFailed(reason) from error
