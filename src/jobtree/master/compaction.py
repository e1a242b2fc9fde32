"""Keeps the journal small: when it has grown by half, a process beside the master makes a snapshot, and old files go.

The loop only looks whether that process has ended. What it has made is journaled, and only then are files removed: the segments
before the older one of two snapshots, oldest first, so that the newer may be damaged and nothing is lost.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..files import Files
from .events import Compacted
from .journal import segments, snapshots
from .journal.directory import Directory
from .journal.segments import SegmentName
from .journal.snapshots import KeptPayloads, Snapshot
from .journal.writer import Journal

if TYPE_CHECKING:
    from .effects import Prune

#: The journal's growth that is worth a snapshot, whatever the size of the last one (bytes); and that at a clean end.
WORTH_BYTES = 32 << 20
WORTH_AT_THE_END_BYTES = 8 << 20
#: Seconds between looks at the process, and before another try after one that failed.
LOOK_EVERY = 0.1
AGAIN_AFTER = 60.0
#: The longest that a clean end waits for its snapshot (seconds).
LAST_PATIENCE = 600.0

Say = Callable[[str, str], None]


class Compaction:
    """One master's care for the size of its journal. ``command`` starts the compactor."""

    def __init__(
        self, command: Sequence[str], directory: Directory, journal: Journal, base: Snapshot | None, tail_bytes: int, say: Say
    ) -> None:
        self._command = list(command)
        self._directory = directory
        self._journal = journal
        self._say = say
        self._grown_before = tail_bytes  # since the last snapshot, when this master began
        self._snapshot_bytes = base.sum.bytes if base is not None else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._written_at_start = 0
        self._look_at = self._try_at = 0.0
        self._leftover = leftover(directory, base) if base is not None else None

    @property
    def grown_bytes(self) -> int:
        """By how much the journal has grown since the last snapshot."""
        return self._grown_before + self._journal.written

    def news(self, now: float) -> list[Compacted]:
        """Begin, if it is time to; a snapshot that was made since the last look, and the files that may go with it."""
        if self._leftover is not None:
            found, self._leftover = self._leftover, None
            return [found]
        if self._process is None:
            if self.grown_bytes >= max(WORTH_BYTES, self._snapshot_bytes // 2) and now >= self._try_at:
                self._begin()
            return []
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_EVERY
        return [] if self._process.poll() is None else self._ended(now)

    def finish(self, is_hurried: Callable[[], bool]) -> list[Compacted]:
        """At a clean end: wait for a snapshot, if one is worth it, and nobody is in a hurry."""
        if self._process is None and self.grown_bytes >= max(WORTH_AT_THE_END_BYTES, self._snapshot_bytes // 2):
            self._begin()
        until = time.monotonic() + LAST_PATIENCE
        while self._process is not None and self._process.poll() is None:
            if is_hurried() or time.monotonic() > until:
                self.close()
                return []
            time.sleep(LOOK_EVERY / 10)
        return self._ended(0.0) if self._process is not None else []

    def prune(self, effect: Prune) -> None:
        """The snapshot is journaled: payloads come out of it from now on, not out of the segments that go."""
        if effect.index_offset:
            kept = KeptPayloads.open(self._directory.files, self._directory, effect.name, effect.index_offset)
            self._journal.payloads.rest_on(kept, effect.record)

    def close(self) -> None:
        """End the process, if one is at work; what it has begun counts for nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _begin(self) -> None:
        self._written_at_start = self._journal.written
        if self._journal.seal():
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )

    def _ended(self, now: float) -> list[Compacted]:
        process, self._process = self._process, None
        assert process is not None
        said, complaint = process.communicate()
        if process.returncode != 0 or not said:
            self._try_at = now + AGAIN_AFTER
            words = complaint.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
            self._say("WARNING", f"the journal could not be compacted and goes on growing: {words[-1]}")
            return []
        made = Compacted(**json.loads(said))
        self._grown_before = -self._written_at_start
        self._snapshot_bytes = made.bytes
        return [replace(made, remove=list(needless(self._directory.files, self._directory)))]


def leftover(directory: Directory, base: Snapshot) -> Compacted | None:
    """What a master that was killed had no time to remove, and the snapshot that makes it needless."""
    names = list(needless(directory.files, directory, base.position.frames))
    if not names:
        return None
    first = base.head.parts[-1].first if base.head.parts else 0
    position = base.position
    return Compacted(base.head.name, base.sum.bytes, base.sum.sha, first, position.frames, position.record, 0, names)


def needless(files: Files, directory: Directory, newest: int | None = None) -> Iterator[str]:
    """The files that nothing rests on any more, the oldest first; snapshots beyond ``newest`` are of no use."""
    names = files.names(directory.path)
    heads, _ = snapshots.heads_of(files, directory, names)
    heads = [head for head in heads if newest is None or head.position.frames <= newest][:2]
    if not heads:
        return
    kept = {head.name for head in heads} | {part.name for head in heads for part in head.parts}
    before = heads[1].position.segment.first_sequence if len(heads) > 1 else -1
    yield from (name for name in sorted(names, key=_age) if name not in kept and _is_needless(name, before))


def _is_needless(name: str, before: int) -> bool:
    torn, _, _ = name.partition(".torn-")  # a copy for people goes with what it was copied from
    segment = SegmentName.parse(torn)
    if segment is not None:
        return segment.first_sequence <= before
    if segments.snapshot_of(name) is not None or segments.part_of(name) is not None:
        return True
    return name.startswith(("snap-", "hist-")) and ".tmp-" in name


def _age(name: str) -> tuple[int, str]:
    segment = SegmentName.parse(name)
    return (segment.first_sequence if segment is not None else 0, name)
