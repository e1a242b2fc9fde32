"""What is sound in a damaged journal behind the first bad spot: frames found one by one, and the bytes between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jobtree.master.journal import frames
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files, close
from jobtree.master.journal.frames import BadFrame, Header, Incomprehensible, Kind
from jobtree.master.journal.reader import Frame
from jobtree.master.journal.segments import SegmentName


class Hole(NamedTuple):
    """Bytes of a segment that are no sound frames. `reason` is set where the whole file cannot be read."""

    segment: SegmentName
    offset: int
    bytes: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.segment}: {self.reason or f'{self.bytes:,} bytes from offset {self.offset} on are damaged'}"


class Without:
    """A directory's files but for some names: a journal as it was before the damaged part."""

    def __init__(self, files: Files, hidden: frozenset[str]) -> None:
        self._files = files
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def names(self, path: str) -> list[str]:
        """The names that are not hidden."""
        return [name for name in self._files.names(path) if name not in self._hidden]


def salvageable(files: Files, directory: Directory, name: SegmentName, offset: int, sequence: int) -> Iterator[Frame | Hole]:
    """The sound frames of a segment from an offset on whose numbers are not below `sequence`, and the holes between them."""
    try:
        data = _whole(files, f"{directory.path}/{name}")
    except OSError as error:
        yield Hole(name, offset, 0, f"it cannot be read ({error.strerror})")
        return
    seed = frames.seed_of(directory.run_id, name.epoch)
    good = offset
    while offset < len(data):
        try:
            header = frames.parse(data, offset, seed)
            found = _frame(header, data, offset, name) if header.sequence >= sequence else None
        except (BadFrame, Incomprehensible):
            following = data.find(frames.MAGIC_BYTES, offset + 1)
            offset = following if following >= 0 else len(data)
            continue
        if offset > good:
            yield Hole(name, good, offset - good)
        if header.sequence >= sequence:
            sequence = header.sequence + 1
            if found is not None:
                yield found
        offset += frames.HEADER_BYTES + header.length
        good = offset
    if len(data) > good:
        yield Hole(name, good, len(data) - good)


def _frame(header: Header, data: bytes, offset: int, name: SegmentName) -> Frame | None:
    if header.kind != Kind.RECORDS:
        return None
    start = offset + frames.HEADER_BYTES
    payload = data[start : start + header.length]
    content = frames.decode_records(payload)
    return Frame(header.sequence, content.first_record, content.heads, payload, content.data_offset, name, offset)


def _whole(files: Files, path: str) -> bytes:
    descriptor = files.open(path)
    try:
        return files.read(descriptor, files.size(descriptor), 0)
    finally:
        close(files, descriptor, path)
