"""The compactor: a process beside the master that makes one snapshot, and one part of the history, of what is sealed.

``python -P .../_compact.py TREE`` reads the last snapshot and the sealed segments after it, never what is being written, writes
two files, and says on its standard output, as one line of JSON, what it has made; nothing, if there was nothing to do. It
removes the blobs that nobody needs any more. What its snapshot makes needless in the journal is for the master to remove.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobtree.errors import JobtreeError
from jobtree.files import Files
from jobtree.master import records as r
from jobtree.master.events import Compacted
from jobtree.master.journal import segments, snapshots
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Frame
from jobtree.master.journal.snapshots import Head
from jobtree.master.snapshot import items, named_blobs, spans
from jobtree.protocol import blobs
from jobtree.views import parts
from jobtree.views.history import History

#: A blob of which the journal knows nothing may be a living worker's, which will tell of it within its patience (seconds).
ORPHANED_AFTER = 86_400.0
_CACHE_BYTES = 16 << 20

Blob = tuple[int, int, str]


def compact(files: Files, tree: str, sweep: Callable[[Past], None] | None = None) -> Compacted | None:
    """Make a snapshot of all that is sealed; None if nothing has been since the last one.

    Raises JournalDamaged for a journal that can't be read, and OSError or StorageFailed as the disk does; then nothing is left
    but, at most, a part that no snapshot names.
    """
    past = Past(tree, files)
    past.poll()
    past.tree.settle()
    position, base = past.reader.position, past.reader.base
    if position is None or (base is not None and position == base.position):
        return None
    first = base.position.frames if base is not None else 0
    told = chain(parts.columns(past), parts.said(past.messages))
    part = snapshots.make_part(files, past.directory, first, position.frames, told)
    name = segments.snapshot_name(position.frames)
    head = Head(name, position, (*(base.head.parts if base is not None else ()), part))
    state = items(past.tree, past.ledger)
    measures, index_offset = snapshots.make(
        files, past.directory, head, state, parts.standing(past), spans(past.tree), past.source.fetch
    )
    past.source.close()
    if sweep is not None:
        sweep(past)
    return Compacted(name, measures.bytes, measures.sha, first, position.frames, position.record, index_offset)


class Past(History):
    """What the sealed segments tell, with the ledger, and with the places of the payloads."""

    def __init__(self, tree: str, files: Files) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.unneeded: set[Blob] = set()
        super().__init__(tree, files=files, on_messages=lambda *said: self.messages.append(said), detail=True, sealed=True)
        self.source = Payloads(files, self.directory, _CACHE_BYTES)
        base = self.reader.base
        if base is not None:
            self.source.rest_on(base.payloads, base.position.record)

    def _take(self, frame: Frame) -> None:
        self.source.index(frame)
        for head in frame.heads:
            self.ledger.apply(r.decode(head))
        super()._take(frame)

    def _forget_news(self) -> None:
        self.unneeded.update(self.tree.unneeded)
        super()._forget_news()


def sweep_blobs(past: Past, *, now: float | None = None) -> None:
    """Remove the blobs that the sealed records have made needless, and old ones whose attempt has come to nothing."""
    tree = Path(past.path)
    for epoch, number, name in past.unneeded:
        (tree / "blobs" / f"{number & 0xFF:02x}" / f"{epoch}-{number}-{name}").unlink(missing_ok=True)
    kept = named_blobs(past.tree) | {(*remains.blob[2:4], blobs.RESULT) for remains in past.remains.values() if remains.blob}
    oldest = (time.time() if now is None else now) - max(ORPHANED_AFTER, 2 * _patience(past))
    for path in (tree / "blobs").glob("??/*-*-*"):
        attempt = path.name.split("-")
        if len(attempt) != 3 or not attempt[0].isdigit() or not attempt[1].isdigit():
            continue
        epoch, number, name = int(attempt[0]), int(attempt[1]), attempt[2]
        begun_later = (epoch, number) >= (past.tree.epoch, past.tree.next_number)
        if begun_later or (epoch, number) in past.tree.current or (epoch, number, name) in kept:
            continue
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _patience(past: Past) -> float:
    patience = past.tree.options.get("worker_patience")
    return float(patience) if isinstance(patience, int | float) else 0.0


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or that of the error, which is told in one line."""
    _end_with_the_master()
    os.nice(10)
    gc.disable()  # all that is made here is needed to the end
    try:
        made = compact(Files(), argv[0], sweep_blobs)
    except JobtreeError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"{error.filename or argv[0]}: {error.strerror}", file=sys.stderr)
        return 4
    if made is not None:
        print(json.dumps(asdict(made)))
    return 0


def _end_with_the_master() -> None:
    import ctypes

    parent_death_signal = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
