"""Pairwise alignments in exonerate's cigar lines, as old scripts read and write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

_LINE = re.compile(r"cigar:\s+(\S+)\s+(\d+)\s+(\d+)\s+([+\-.])\s+(\S+)\s+(\d+)\s+(\d+)\s+([+\-.])\s+(\S+)(?:\s+(.*?))?\s*$")


@dataclass(slots=True)
class AlignmentOperation:
    """A run of columns of one type, with a score."""

    type: int
    length: int
    score: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AlignmentOperation):
            return False
        same = self.type == other.type and self.length == other.length
        return same and math.isclose(self.score, other.score, rel_tol=0, abs_tol=0.0001)

    __hash__ = None  # type: ignore[assignment]  # mutable


class PairwiseAlignment:
    """Two segments and the operations that align them; strands are True for plus, and start > end on minus."""

    PAIRWISE_MATCH = 0
    PAIRWISE_INDEL_Y = 1  # a deletion in the query (the first sequence)
    PAIRWISE_INDEL_X = 2  # an insertion in the query
    PAIRWISE_PLUS = "+"
    PAIRWISE_MINUS = "-"

    def __init__(
        self,
        contig1: str, start1: int, end1: int, strand1: bool,
        contig2: str, start2: int, end2: int, strand2: bool,
        score: float, operationList: Sequence[AlignmentOperation],
    ) -> None:  # fmt: skip
        _check(start1, end1, strand1)
        _check(start2, end2, strand2)
        self.contig1, self.start1, self.end1, self.strand1 = contig1, start1, end1, strand1
        self.contig2, self.start2, self.end2, self.strand2 = contig2, start2, end2, strand2
        self.score = score
        self.operationList = list(operationList)
        for start, end, left_out in ((start1, end1, self.PAIRWISE_INDEL_Y), (start2, end2, self.PAIRWISE_INDEL_X)):
            length = sum(operation.length for operation in self.operationList if operation.type != left_out)
            assert length == abs(end - start), f"the operations cover {length}, the segment is {abs(end - start)} long"

    def sameCoordinates(self, pairwiseAlignment: PairwiseAlignment) -> bool:
        """Whether segments, strands and score are the same."""
        return self._coordinates() == pairwiseAlignment._coordinates() and math.isclose(
            self.score, pairwiseAlignment.score, rel_tol=0, abs_tol=0.001
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PairwiseAlignment) and self.sameCoordinates(other) and self.operationList == other.operationList

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _coordinates(self) -> tuple[object, ...]:
        first = (self.contig1, self.start1, self.end1, self.strand1)
        return (*first, self.contig2, self.start2, self.end2, self.strand2)


def cigarRead(fileHandleOrFile: IO[str] | str) -> Iterator[PairwiseAlignment]:
    """Each alignment of an open file or a path; lines that are none are passed over. Query and target change places."""
    if isinstance(fileHandleOrFile, str):
        with open(fileHandleOrFile) as opened:
            yield from cigarRead(opened)
        return
    for line in fileHandleOrFile:
        alignment = cigarReadFromString(line)
        if alignment is not None:
            yield alignment


def cigarReadFromString(line: str) -> PairwiseAlignment | None:
    """The alignment in a line, or None. Query and target change places."""
    match = _LINE.match(line)
    if match is None:
        return None
    name1, start1, end1, sign1, name2, start2, end2, sign2, score, operations = match.groups()
    assert sign1 in "+-" and sign2 in "+-", f"strands of proteins are not aligned here: {line!r}"  # noqa: PT018
    return PairwiseAlignment(
        name2, int(start2), int(end2), sign2 == "+", name1, int(start1), int(end1), sign1 == "+",
        float(score), list(_operations((operations or "").split())),
    )  # fmt: skip


def cigarWrite(fileHandle: IO[str], pairwiseAlignment: PairwiseAlignment, withProbs: bool = True) -> None:
    """Write an alignment as a line, with the scores of its operations or without. Query and target change places."""
    it = pairwiseAlignment
    letters = "XZY" if withProbs else "MID"  # by type
    words = [
        f"cigar: {it.contig2} {it.start2} {it.end2} {'-+'[it.strand2]} {it.contig1} {it.start1} {it.end1} {'-+'[it.strand1]}",
        f"{it.score:f}",
    ]
    for operation in it.operationList:
        words += [letters[operation.type], str(operation.length), *([f"{operation.score:f}"] if withProbs else [])]
    fileHandle.write(" ".join(words) + "\n")


def _operations(words: list[str]) -> Iterator[AlignmentOperation]:
    """Letters M, I, D have a length; X, Z, Y a length and a score."""
    rest = iter(words)
    for letter in rest:
        length = int(next(rest))
        score = float(next(rest)) if letter in "XYZ" else 0.0
        yield AlignmentOperation({"M": 0, "X": 0, "I": 1, "Z": 1, "D": 2, "Y": 2}[letter], length, score)


def _check(start: int, end: int, strand: bool) -> None:
    assert start >= 0, "segments begin at 0 or later"
    assert end >= 0, "segments end at 0 or later"
    assert start <= end if strand else end <= start, f"from {start} to {end} on the {'plus' if strand else 'minus'} strand"
