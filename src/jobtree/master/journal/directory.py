"""TREE/journal as a directory: made once, its FORMAT, the lock, and the claims of epochs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from jobtree.errors import JournalDamaged, StorageFailed, TreeLocked, UsageError
from jobtree.master.journal import segments
from jobtree.master.journal.files import NO_LOCKS, NO_ROOM, Files, close, write_all
from jobtree.master.journal.holder import Holder
from jobtree.master.journal.segments import SegmentName
from jobtree.master.journal.witness import EndMissing, Witness

MAJOR, MINOR = 1, 0
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_LARGEST = 1 << 16  # no file read here is longer
_HOLDER_BYTES = 512

T = TypeVar("T")


#: What a master tells its workers, in the tree: written when it has begun its first segment.
CONNECTION_NAME = "connection"


class Claim(NamedTuple):
    """The epoch that is ours now, and who had the one before it (None: nobody, or it is not known)."""

    epoch: int
    before: Holder | None


class Lock:
    """The lock on a tree. It is `held`, or somebody else has it, or (`warning`) this file system has no locks."""

    def __init__(self, files: Files, descriptor: int) -> None:
        self._files = files
        self._descriptor: int | None = descriptor
        self.warning: str | None = None
        self.held = False

    def claim(self) -> bool:
        """Try to get it; True if it is ours now, or was. Raises OSError for what is neither a refusal nor the lack of locks."""
        if self.held or self._descriptor is None:
            return self.held
        try:
            self._files.lock(self._descriptor)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self.warning = f"no locks on this file system ({error.strerror})"
            return False
        self.held = True
        with contextlib.suppress(OSError):  # it is for words only
            write_all(self._files, self._descriptor, Holder.ourselves().written().ljust(_HOLDER_BYTES), 0)
        return True

    def release(self) -> None:
        """Let another master have the tree."""
        descriptor, self._descriptor, self.held = self._descriptor, None, False
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
        lock = self.try_lock()
        if not lock.held and not lock.warning:
            lock.release()
            raise self.locked(self.lock_holder())
        return lock

    def try_lock(self) -> Lock:
        """Lock the tree for us, if that can be had."""
        descriptor = _asking(self.tree, lambda: self.files.open_lock(f"{self.path}/{segments.LOCK_NAME}"))
        lock = Lock(self.files, descriptor)
        try:
            lock.claim()
        except OSError as error:
            lock.release()
            raise StorageFailed(f"{self.tree} cannot be locked: {error.strerror}") from error
        return lock

    def locked(self, holder: Holder | None = None) -> TreeLocked:
        """The error that says who has the tree (None: who claimed the last epoch), and what can be done."""
        holder = holder or self.holder()
        if holder is None:
            return TreeLocked(f"{self.tree} is held by another master, which is starting; wait for it, or use another --tree")
        return TreeLocked(
            f"{self.tree} is held by {holder.described}; wait until it has ended, end it (kill {holder.pid} on {holder.host}), "
            "or use another --tree; --take-over takes the tree from a master that hangs"
        )

    def superseded(self, epoch: int) -> TreeLocked:
        """The error of the master of an epoch that has found a higher one."""
        found = self.highest_epoch()
        holder = self._holder_of(found)
        return TreeLocked(
            f"{self.tree} was taken over by {holder.described if holder else 'another master'} (epoch {found}); this master "
            f"(epoch {epoch}) has changed nothing since, and ends; the run goes on there"
        )

    def lock_holder(self) -> Holder | None:
        """Who has the lock, as it says itself; None where that is not known."""
        try:
            holder = Holder.read(_read(self.files, f"{self.path}/{segments.LOCK_NAME}"))
        except OSError:
            return None
        return None if holder is None or holder.is_certainly_dead() else holder

    def witness(self) -> Witness | None:
        """What the last master has said of the journal, if anything."""
        return Witness.read(self.files, self.path)

    def holder(self) -> Holder | None:
        """Who claimed the highest epoch."""
        epoch = self.highest_epoch()
        return self._holder_of(epoch) if epoch else None

    def highest_epoch(self) -> int:
        """The highest epoch that was ever claimed, looked up afresh; 0: none."""
        epochs = (segments.epoch_of(name) for name in self.files.names(self.path))
        return max((epoch for epoch in epochs if epoch is not None), default=0)

    def refuse_lost_end(self, last: SegmentName | None, next_sequence: int) -> None:
        """Raise EndMissing where a journal that ends so is known to have gone further.

        The witness knows, and the connection file: a master writes both when it has begun a segment.
        """
        has = f"what is there ends with frame {next_sequence - 1:,} in {last}" if last else "has no segment left"
        epoch = last.epoch if last else 0
        witness = self.witness()
        if witness and (witness.epoch > epoch or (witness.epoch == epoch and witness.sequence > next_sequence)):
            raise EndMissing(self.path, f"{witness.sequence:,} frames, the last ones in {witness.segment}", has)
        connected = self._connected_epoch()
        if connected > epoch:
            raise EndMissing(self.path, f"a segment of epoch {connected}", has)

    def _connected_epoch(self) -> int:
        try:
            return int(json.loads(_read(self.files, f"{self.tree}/{CONNECTION_NAME}"))["epoch"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, TypeError, KeyError):
            return 1  # it cannot be understood, but somebody has written it

    def claim_epoch(self, who: Holder, after: int | None = None) -> Claim:
        """Claim the next epoch; of all who try, on any host, each gets another one. Durable on return.

        With `after`, only the one after that: raises TreeLocked where somebody else has it by now.
        """
        while True:
            epoch = _asking(self.tree, self.highest_epoch) + 1
            if after is not None and epoch != after + 1:
                raise self.locked()
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
        try:
            write_all(files, descriptor, data, 0)
        except OSError:
            with contextlib.suppress(OSError):
                files.unlink(temporary)  # who has no room tries again, perhaps often
            raise
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
        raise StorageFailed(f"{reason}; make room and start again" if error.errno in NO_ROOM else reason) from error
