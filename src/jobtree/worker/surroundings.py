"""What a runner does for the target that runs: sends what it creates and logs, makes its directories."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jobtree._recording import Creation, ranges
from jobtree.errors import StorageFailed, UsageError
from jobtree.ids import FOLLOW_ON, PromiseKey
from jobtree.protocol import blobs
from jobtree.protocol.codec import packed_size
from jobtree.protocol.messages import INLINE_LIMIT

from . import channel, scratch
from .effects import Task
from .room import patiently
from .settings import Settings
from .texts import end_of, level_of
from .underway import Messages

#: A piece of created targets is sent when it has so many bytes, or targets, or is so old when one more comes.
#: (Nothing waits for children while their creator runs, so an older piece may also wait for its end.)
PIECE_BYTES = 256 * 1024
PIECE_TARGETS = 1000
PIECE_SECONDS = 0.05
HELD_BYTES = 64 * 1024
#: A whole number takes at most so many bytes in a record, which has to fit into a frame of 1 MiB: so many may stand in one extra.
RANGE_BYTES = 5
MOST_RANGES = 120_000
#: What a row may name of targets to be cancelled, for the same reason.
MOST_CANCELS = 20_000


class Voice:
    """How a runner speaks to the supervisor: reports go out, names of arrived code blobs come in."""

    def __init__(self, settings: Settings, reports: int, answers: int) -> None:
        self._settings = settings
        self._reports = reports
        self._answers = answers
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._held = b""

    def say(self, head: tuple[Any, ...], data: bytes = b"", *, hold: bool = False) -> None:
        """Send a report; waits while the supervisor has no time. With ``hold`` it goes with the next one, which is near."""
        self.write(channel.pack_report(head, data), hold=hold)

    def write(self, frame: bytes, *, hold: bool = False) -> None:
        """Send a whole frame."""
        with self._lock:
            if self._held:
                frame, self._held = self._held + frame, b""
            if hold and len(frame) < HELD_BYTES:
                self._held = frame
                return
            sent = os.write(self._reports, frame)
            while sent < len(frame):
                sent += os.write(self._reports, memoryview(frame)[sent:])

    def tell_codes(self, codes: Mapping[str, bytes]) -> list[str]:
        """Make code blobs known, each once; returns the names of those that the journal has to keep."""
        for sha, data in codes.items():
            if sha not in self._told:
                self._told.add(sha)
                if len(data) > INLINE_LIMIT:
                    patiently(partial(blobs.write_code, Path(self._settings.tree), sha, data))
                else:
                    self.say((channel.CODE_FOUND, sha), data)
        return [sha for sha, data in codes.items() if len(data) <= INLINE_LIMIT]

    def code(self, sha: str) -> bytes:
        """A code blob: from this node, from the tree, or from the master."""
        path = os.path.join(self._settings.scratch, "codes", sha)
        if not os.path.exists(path):
            if blobs.code_path(Path(self._settings.tree), sha).exists():
                return blobs.read_code(Path(self._settings.tree), sha)
            self.say((channel.CODE_NEEDED, sha))
            while self._arrived() != sha:
                pass  # an answer that came too late for who had asked
        with open(path, "rb") as file:
            return file.read()

    def _arrived(self) -> str:
        name = os.read(self._answers, channel.SHA_BYTES)
        if not name:
            raise StorageFailed("the worker has gone while code was awaited from it")
        return name.decode()


class Attendance:
    """The surroundings of one attempt."""

    def __init__(self, task: Task, settings: Settings, voice: Voice, deadline: float | None) -> None:
        self.task = task
        self.used_temp = False
        self.failed: BaseException | None = None
        self.forked = False
        self.cancels: list[list[int]] = []
        self._settings = settings
        self._voice = voice
        self._deadline = deadline
        self._piece: _Piece | None = None
        self._messages: Messages | None = None
        self._local: Path | None = None

    @property
    def granted(self) -> Mapping[str, Any]:
        """The requests as they were granted."""
        _, cpus, memory, gpus, time_limit, isolate = self.task.form
        return {"cpus": cpus, "memory": memory, "gpus": gpus, "time_limit": time_limit, "isolate": isolate}

    def create(self, creation: Creation) -> None:
        """Send a created target on, together with others."""
        self._refuse_in_fork("targets can be added")
        try:
            self._create(creation)
        except BaseException as error:
            # The number is spent: an attempt that goes on without this target must not be committed.
            self.failed = error
            raise

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """Send a line on if it is `live`, and keep it for the row."""
        self._refuse_in_fork("the master's log can be written to")
        if self._messages is None:
            self._messages = Messages()
        at = time.time()
        text, level = end_of(text, channel.LARGEST_MESSAGE), level_of(level)
        self._messages.add(at, level, text)
        if live:
            self._voice.say((channel.LOGGED, *self.task.attempt, at, level, text))

    def local_temp_dir(self) -> Path:
        """Made when first asked for."""
        if self._local is None:
            self._local = scratch.make_local(self._settings.scratch, self.task.attempt)
        return self._local

    def global_temp_dir(self) -> Path:
        """Made when first asked for; the chain's."""
        path = scratch.make_global(self._settings.tree, self.task.temp)
        self.used_temp = True
        return path

    def remaining_time(self) -> float | None:
        """By the target's own limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def cancel(self, key: PromiseKey) -> None:
        """With the commit of this attempt a child or sibling is cancelled."""
        self._refuse_in_fork("targets can be cancelled")
        if len(self.cancels) >= MOST_CANCELS:
            raise UsageError(f"cancel: one target can cancel {MOST_CANCELS:,} others at the most")
        self.cancels.append(list(key))

    def flush(self, *, hold: bool = False) -> None:
        """Send what is still here; with ``hold`` in one write with the attempt's end, which wakes the supervisor once."""
        if self._piece is not None:
            piece, self._piece = self._piece, None
            codes = self._voice.tell_codes(piece.codes)
            self._voice.say((channel.CREATED, piece.to_wire(self.task), codes), b"".join(piece.payloads), hold=hold)

    def messages(self) -> list[list[Any]] | None:
        """What was logged, for the row."""
        return self._messages.kept() if self._messages is not None else None

    def leave(self) -> None:
        """The attempt has ended: its directory goes."""
        if self._local is not None:
            scratch.remove(os.fspath(self._local))

    def _create(self, creation: Creation) -> None:
        blob = None
        data = creation.data
        if len(data) > INLINE_LIMIT:
            path = blobs.blob_path(Path(self._settings.tree), *self.task.attempt, creation.n)
            blob, data = list(patiently(partial(blobs.write_blob, path, data))), b""
        if creation.n == FOLLOW_ON:
            self.flush()
        extra = _extra(creation, blob)
        if self._piece is not None and self._piece.size + self._piece.cost(creation, data, extra) > PIECE_BYTES:
            self.flush()
        if self._piece is None:
            self._piece = _Piece(creation.n)
        self._piece.add(creation, data, extra)
        if self._piece.is_full() or creation.n == FOLLOW_ON:
            self.flush()

    def _refuse_in_fork(self, what: str) -> None:
        if self.forked:
            raise UsageError(f"{what} by the process that runs the target, not by one forked from it")


def _extra(creation: Creation, blob: list[Any] | None) -> list[Any] | None:
    """What most targets do not have: promises that they take, siblings that they wait for, a payload in a blob."""
    if not (creation.takes or creation.after or blob):
        return None
    takes, after = ranges(creation.takes), ranges(creation.after)
    refuse_scattered(creation.form.name, len(takes) + len(after))
    return [takes, after, blob]


def refuse_scattered(name: str, numbers: int) -> None:
    """A record has to fit into a frame of the journal, and neighbours take no more room in it than one."""
    if numbers > MOST_RANGES:
        raise UsageError(
            f"{name} takes or waits for too many scattered targets: {numbers // 2:,} groups of neighbours, where the most is "
            f"{MOST_RANGES // 2:,}; add the targets that belong together one after the other"
        )


def _size_of(extra: list[Any] | None) -> int:
    return RANGE_BYTES * (len(extra[0]) + len(extra[1])) + 100 if extra is not None else 0


class _Piece:
    """Created targets with consecutive n, on their way."""

    def __init__(self, first_n: int) -> None:
        self.codes: dict[str, bytes] = {}
        self.payloads: list[bytes] = []
        self._first_n = first_n
        self.size = 0
        self._due = time.monotonic() + PIECE_SECONDS
        self._forms: dict[int, int] = {}  # id of a form, which the attempt keeps alive, -> index
        self._wire_forms: list[list[object]] = []
        self._runs: list[int] = []
        self._extras: dict[int, list[Any]] = {}

    def cost(self, creation: Creation, data: bytes, extra: list[Any] | None) -> int:
        """Bytes by which this target makes it larger: its form counts where it is the first that has it."""
        form = 0 if id(creation.form) in self._forms else packed_size(creation.form.to_wire())
        return len(data) + _size_of(extra) + form

    def add(self, creation: Creation, data: bytes, extra: list[Any] | None) -> None:
        self.size += self.cost(creation, data, extra)
        if extra is not None:
            self._extras[len(self.payloads)] = extra
        self.codes.update(creation.codes)
        self.payloads.append(data)
        index = self._forms.get(id(creation.form))
        if index is None:
            index = self._forms[id(creation.form)] = len(self._wire_forms)
            self._wire_forms.append(creation.form.to_wire())
        if self._runs and self._runs[-2] == index:
            self._runs[-1] += 1
        else:
            self._runs += (index, 1)

    def is_full(self) -> bool:
        """Whether it is time to send it; a target more must not make it too large."""
        if self.size > PIECE_BYTES - INLINE_LIMIT or len(self.payloads) >= PIECE_TARGETS:
            return True
        return time.monotonic() >= self._due

    def to_wire(self, task: Task) -> list[Any]:
        lengths = [len(data) for data in self.payloads]
        return [*task.attempt, self._first_n, self._wire_forms, self._runs, self._extras, lengths]
