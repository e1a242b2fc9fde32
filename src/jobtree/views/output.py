"""Reads TREE/logs: the chunks that targets have printed, each byte once, with what is missing said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..master import logstore
from ..master.journal import frames
from ..master.journal.files import Files
from ..master.journal.frames import BadFrame
from ..master.logstore import Chunk, Index, OutputName

_WINDOW_BYTES = 4 << 20
_FRAME_BYTES = frames.HEADER_BYTES + frames.MAX_PAYLOAD_BYTES


class Piece(NamedTuple):
    """New output of an attempt: the chunk without what was there before; ``missing`` bytes of the stream lie before it."""

    chunk: Chunk
    missing: int


class OutputReader:
    """The log store of a tree. Reading again goes on where it ended, so a view can follow a run.

    It holds no file open between two readings, and changes nothing. Files that vanish or can't be read count as empty.
    """

    def __init__(self, files: Files, tree: str, run_id: bytes) -> None:
        self._files = files
        self._path = f"{tree}/{logstore.DIRECTORY}"
        self._run_id = run_id
        self._segment: OutputName | None = None
        self._offset = 0
        self._ends: dict[tuple[int, int, int], int] = {}  # by attempt and stream: how much of it was seen

    def poll(self, *, final: bool = False) -> Iterator[Piece]:
        """What is new; with ``final`` also what stands behind a damaged place at the very end."""
        names = self._names()
        for position, name in enumerate(names):
            if self._segment is not None and name < self._segment:
                continue
            if name != self._segment:
                self._segment, self._offset = name, 0
            for chunk in self._rest(name, sealed=final or position + 1 < len(names)):
                yield from self._fresh(chunk)

    def skip_old(self) -> None:
        """Begin with the newest file that is there now."""
        names = self._names()
        if names:
            self._segment, self._offset = names[-1], 0

    def of_target(self, target: int) -> Iterator[Piece]:
        """All that is there of one target, by the index where there is one."""
        for name in self._names():
            for chunk in self._indexed(name, target):
                if chunk.target == target:
                    yield from self._fresh(chunk)

    def _names(self) -> list[OutputName]:
        try:
            names = self._files.names(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return []  # nothing was ever printed
        return sorted(name for name in map(OutputName.parse, names) if name is not None)

    def _fresh(self, chunk: Chunk) -> Iterator[Piece]:
        """Leave out what was seen: after a lost connection a worker sends output again."""
        key = (chunk.epoch, chunk.number, chunk.stream)
        seen = self._ends.get(key, 0)
        end = chunk.offset + len(chunk.data)
        if end <= seen:
            return
        self._ends[key] = end
        if chunk.offset < seen:
            chunk = chunk._replace(offset=seen, data=chunk.data[seen - chunk.offset :])
        yield Piece(chunk, chunk.offset - seen)

    def _rest(self, name: OutputName, *, sealed: bool) -> Iterator[Chunk]:
        """The chunks of a segment from here on; ``sealed``: it will not grow any more."""
        try:
            descriptor = self._files.open(f"{self._path}/{name}")
        except OSError:
            return
        seed = frames.seed_of(self._run_id, name.epoch)
        try:
            while window := self._files.read(descriptor, _WINDOW_BYTES, self._offset):
                end, found = _walk(window, seed, is_last=len(window) < _WINDOW_BYTES, sealed=sealed)
                self._offset += end
                yield from found
                if not end:
                    return
        finally:
            self._files.close(descriptor)

    def _indexed(self, name: OutputName, target: int) -> Iterator[Chunk]:
        path = f"{self._path}/{name}"
        try:
            size = self._files.status(path).bytes
            index = self._index(name, size)
        except OSError:
            index = None
        if index is None:
            self._offset = 0
            yield from self._rest(name, sealed=True)
            return
        wanted = index.frames_of(target)
        if not wanted:
            return
        seed = frames.seed_of(self._run_id, name.epoch)
        descriptor = self._files.open(path)
        try:
            for offset in wanted:
                try:
                    yield from logstore.chunks_in(logstore.parse(self._files.read(descriptor, _FRAME_BYTES, offset), 0, seed))
                except BadFrame:
                    continue  # lost in a power cut; the gap will be seen
        finally:
            self._files.close(descriptor)

    def _index(self, name: OutputName, segment_bytes: int) -> Index | None:
        descriptor = self._files.open(f"{self._path}/{name.index_name}")
        try:
            return Index.read(self._files.read(descriptor, self._files.size(descriptor), 0), segment_bytes)
        finally:
            self._files.close(descriptor)


def _walk(window: bytes, seed: int, *, is_last: bool, sealed: bool) -> tuple[int, list[Chunk]]:
    """The chunks of the frames that lie whole in a window, and how many bytes of it are done with."""
    at = 0
    chunks: list[Chunk] = []
    while at < len(window):
        try:
            found = logstore.parse(window, at, seed)
        except BadFrame:
            rest = len(window) - at
            if rest < _FRAME_BYTES and not (is_last and sealed):
                return at, chunks  # more may come, from the file or from the master
            further = logstore.search(window, at + 1, seed)
            if further is None:
                # Nothing sound in sight: all may be passed over but what may be the beginning of a frame.
                return (len(window) if is_last and sealed else max(at, len(window) - _FRAME_BYTES)), chunks
            at = further
            continue
        chunks += logstore.chunks_in(found)
        at = found.end
    return at, chunks
