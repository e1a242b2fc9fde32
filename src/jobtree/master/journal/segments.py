"""The names of the journal's files, and what a segment's first frame must say to be believed."""

from __future__ import annotations

import re
from typing import NamedTuple

from jobtree.errors import JournalDamaged
from jobtree.master.journal.frames import SegmentHeader

FORMAT_NAME = "FORMAT"
LOCK_NAME = "LOCK"
_SEGMENT = re.compile(r"seg-(\d{8})-(\d{15})\.log")
_EPOCH = re.compile(r"epoch-(\d{8})")
_SNAPSHOT = re.compile(r"snap-(\d{15})\.snap")
_PART = re.compile(r"hist-(\d{15})-(\d{15})\.part")


class SegmentName(NamedTuple):
    """A segment by its epoch and the number of its first frame; a later one compares greater."""

    epoch: int
    first_sequence: int

    def __str__(self) -> str:
        return f"seg-{self.epoch:08}-{self.first_sequence:015}.log"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        """The segment that has this file name, or None: the file is something else."""
        match = _SEGMENT.fullmatch(name)
        return cls(int(match[1]), int(match[2])) if match else None


class Segment(NamedTuple):
    """A segment and its first frame; `start` is where the frame after it begins."""

    name: SegmentName
    header: SegmentHeader
    start: int
    crc: int


class DamageFound(JournalDamaged):
    """A spot in the journal that was written and cannot be read; nothing on disk has been changed.

    `segment` is the file's name, `offset` the place in it in bytes, `sequence` the number of the frame there.
    """

    def __init__(self, path: str, offset: int, sequence: int, reason: str) -> None:
        super().__init__(path, offset, sequence, reason)
        self.path = path
        self.offset = offset
        self.sequence = sequence
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the journal is damaged: {self.path}, offset {self.offset}, frame {self.sequence}: "
            f"{self.reason}. Nothing was changed; bring the file back from a copy, or see what can be saved with "
            "`jobtree journal salvage`"
        )


def snapshot_name(sequence: int) -> str:
    """The name of the snapshot of all frames below a number."""
    return f"snap-{sequence:015}.snap"


def snapshot_of(name: str) -> int | None:
    """The number below which a snapshot of this name has all frames, or None: the file is something else."""
    match = _SNAPSHOT.fullmatch(name)
    return int(match[1]) if match else None


def part_name(first: int, last: int) -> str:
    """The name of the part of the history that tells of the frames from ``first`` to before ``last``."""
    return f"hist-{first:015}-{last:015}.part"


def part_of(name: str) -> tuple[int, int] | None:
    """The frames that a part of this name tells of, or None: the file is something else."""
    match = _PART.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def epoch_name(epoch: int) -> str:
    """The name of the file by which a master claims an epoch."""
    return f"epoch-{epoch:08}"


def epoch_of(name: str) -> int | None:
    """The epoch that a file of this name claims, or None: the file is something else."""
    match = _EPOCH.fullmatch(name)
    return int(match[1]) if match else None
