"""The door to TREE/logs: keeps what targets print, and never stands in the way of the run.

Output is not what a run is about: nothing here is synced, and where the disk refuses, output is dropped and counted, said once,
and tried again with the next chunk.
"""

from __future__ import annotations

from collections.abc import Callable

from . import logstore
from .effects import Output
from .journal import frames
from .journal.files import Files, write_all
from .logstore import Chunk, Index, OutputName

SEGMENT_BYTES = 64 << 20
#: All segments together; the oldest go first.
MOST_BYTES = 10 << 30
#: What gathers in memory before it is written without being asked.
BUFFER_BYTES = 256 * 1024


class Outputs:
    """The log store of one epoch, open for writing.

    ``write`` takes a chunk, ``flush`` lets readers see what was taken; call it some times a second. ``warn`` is told in words
    when output is being lost, and when it is kept again. No method raises OSError.
    """

    def __init__(
        self,
        files: Files,
        tree: str,
        run_id: bytes,
        epoch: int,
        warn: Callable[[str], None],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._files = files
        self._path = f"{tree}/{logstore.DIRECTORY}"
        self._run_id = run_id
        self._epoch = epoch
        self._seed = frames.seed_of(run_id, epoch)
        self._warn = warn
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._buffer: list[Chunk] = []
        self._buffered = 0
        self._segment: _Segment | None = None
        self._number = 0
        self._sizes: dict[OutputName, int] | None = None  # of all segments but the one that is open
        self.lost_bytes = 0
        self._losing = False

    def write(self, output: Output) -> None:
        """Keep one chunk."""
        chunk = Chunk(
            output.target, output.name, output.ordinal, output.epoch, output.number,
            output.stream, output.offset, output.at, output.data,
        )  # fmt: skip
        self._buffer += logstore.split(chunk)
        self._buffered += len(output.data)
        if self._buffered >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Let readers see what was written."""
        if not self._buffer:
            return
        chunks, size = self._buffer, self._buffered
        self._buffer, self._buffered = [], 0
        try:
            self._append(chunks)
        except OSError as error:
            self._lose(size, error)
        else:
            if self._losing:
                self._losing = False
                self._warn(f"output of targets is kept again; {self.lost_bytes:,} bytes were lost")

    def close(self) -> None:
        """Write what is left, and the last segment's index."""
        self.flush()
        self._abandon()

    def _append(self, chunks: list[Chunk]) -> None:
        segment = self._segment or self._begin()
        for chunk, offset in segment.append(chunks, self._seed):
            segment.index.add(chunk.target, offset)
        if segment.size >= self._segment_bytes:
            self._abandon()

    def _begin(self) -> _Segment:
        if self._sizes is None:
            self._sizes = self._found()
        self._make_room()
        self._number += 1
        name = OutputName(self._epoch, self._number)
        descriptor = self._files.create(f"{self._path}/{name}")
        opening, crc = logstore.opening(self._run_id, self._epoch)
        segment = self._segment = _Segment(self._files, name, descriptor, crc)
        segment.put(opening)
        return segment

    def _found(self) -> dict[OutputName, int]:
        """What earlier masters have left."""
        try:
            self._files.make_directory(self._path)
        except FileExistsError:
            pass  # not the first master of this tree
        names = [name for name in map(OutputName.parse, self._files.names(self._path)) if name is not None]
        self._number = max((name.number for name in names if name.epoch == self._epoch), default=0)
        return {name: self._files.status(f"{self._path}/{name}").bytes for name in sorted(names)}

    def _make_room(self) -> None:
        """Remove the oldest segments until one more fits under the bound."""
        assert self._sizes is not None
        total = sum(self._sizes.values()) + self._segment_bytes
        for name in sorted(self._sizes):
            if total <= self._most_bytes:
                return
            total -= self._sizes.pop(name)
            for path in (f"{self._path}/{name}", f"{self._path}/{name.index_name}"):
                try:
                    self._files.unlink(path)
                except FileNotFoundError:
                    pass  # a segment without an index, or one that somebody else has removed

    def _abandon(self) -> None:
        """End the segment that is open; its index is a help and no more."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        if self._sizes is not None:
            self._sizes[segment.name] = segment.size
        try:
            self._files.close(segment.descriptor)
            descriptor = self._files.create(f"{self._path}/{segment.name.index_name}")
            try:
                write_all(self._files, descriptor, segment.index.written(segment.size), 0)
            finally:
                self._files.close(descriptor)
        except OSError as error:
            self._lose(0, error)

    def _lose(self, size: int, error: OSError) -> None:
        self.lost_bytes += size
        if not self._losing and size:
            self._losing = True
            self._warn(f"output of targets cannot be kept in {self._path} ({error.strerror}); the run goes on without it")
        if size:
            self._abandon()  # half a frame may stand at its end


class _Segment:
    """One file that is being written."""

    def __init__(self, files: Files, name: OutputName, descriptor: int, crc: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.size = 0
        self.index = Index()
        self._files = files
        self._sequence = 1
        self._crc = crc

    def append(self, chunks: list[Chunk], seed: int) -> list[tuple[Chunk, int]]:
        """Write chunks; each with the offset of the frame that it is in."""
        encoded = logstore.encode(chunks, self._sequence, self._crc, seed)
        places: list[tuple[Chunk, int]] = []
        offset, at = self.size, 0
        for frame in encoded:
            places += [(chunk, offset) for chunk in chunks[at : at + frame.records]]
            offset += len(frame.frame)
            at += frame.records
        self.put(b"".join([frame.frame for frame in encoded]))
        self._sequence += len(encoded)
        self._crc = encoded[-1].crc
        return places

    def put(self, data: bytes) -> None:
        """Write at the end."""
        write_all(self._files, self.descriptor, data, self.size)
        self.size += len(data)
