"""Whose output it was: markers in a stream of bytes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtree.ids import Attempt
from jobtree.worker.capture import LIVE_BYTES, Capture, marker
from jobtree.worker.events import Printed

SECRET = bytes(range(100, 116))
KEEP = 1000
A, B = Attempt(1, 1), Attempt(1, 2)


class Rig:
    """A capture whose pipes the test writes to, and what it has told."""

    def __init__(self) -> None:
        out, self.out = os.pipe()
        err, self.err = os.pipe()
        for descriptor in (out, err):
            os.set_blocking(descriptor, False)
        self.capture = Capture(out, err, SECRET, KEEP)
        self.running: Attempt | None = A
        self.told: list[Printed] = []

    def pump(self, stream: int = 1) -> None:
        self.told += self.capture.pump(stream, lambda: self.running, 0.0)

    def finish(self, attempt: Attempt, marked: int = 0) -> str:
        printed, tail = self.capture.finish(attempt, marked, 0.0)
        self.told += printed
        return tail

    def text(self, attempt: Attempt, stream: int = 1) -> bytes:
        return b"".join(piece.data for piece in self.told if (piece.attempt, piece.stream) == (attempt, stream))

    def close(self) -> None:
        self.capture.close()
        for descriptor in {self.out, self.err} - {-1}:
            os.close(descriptor)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_what_stands_before_a_marker_is_its_attempts(rig: Rig) -> None:
    os.write(rig.out, b"one" + marker(SECRET, A) + b"two" + marker(SECRET, B))
    rig.running = None
    rig.pump()
    assert (rig.text(A), rig.text(B)) == (b"one", b"two")


def test_what_no_marker_follows_is_that_of_the_running_attempt(rig: Rig) -> None:
    os.write(rig.out, b"so far")
    rig.pump()
    assert rig.text(A) == b"so far"


def test_what_was_read_while_attempts_changed_waits_until_it_is_known(rig: Rig) -> None:
    def running() -> Attempt:
        looks.append(None)
        if len(looks) == 2:  # it has just been read, and A ends
            os.write(rig.out, marker(SECRET, A))
        return A if len(looks) == 1 else B

    looks: list[None] = []
    os.write(rig.out, b"whose?")
    rig.told += rig.capture.pump(1, running, 0.0)
    assert (rig.text(A), rig.text(B)) == (b"whose?", b"")


def test_half_a_marker_is_not_output(rig: Rig) -> None:
    whole = marker(SECRET, A)
    for byte in b"text" + whole:
        os.write(rig.out, bytes([byte]))
        rig.pump()
    assert rig.text(A) == b"text"
    assert not rig.capture.unsettled


def test_what_only_looks_like_half_a_marker_is_output(rig: Rig) -> None:
    os.write(rig.out, SECRET[:5])
    rig.pump()
    assert rig.text(A) == b""
    os.write(rig.out, b"!")
    rig.pump()
    assert rig.text(A) == SECRET[:5] + b"!"


def test_finishing_reads_as_far_as_the_markers_and_no_further(rig: Rig) -> None:
    os.write(rig.out, b"out" + marker(SECRET, A) + b"next")
    os.write(rig.err, b"err" + marker(SECRET, A))
    assert rig.finish(A, marked=3) == "outerr"
    assert (rig.text(A, 1), rig.text(A, 2)) == (b"out", b"err")
    rig.running = B
    rig.pump()
    assert rig.text(B) == b"next"


def test_beyond_the_limit_the_last_bytes_come_at_the_end(rig: Rig) -> None:
    block = bytes(range(32, 96)) * 512
    for _ in range(40):
        os.write(rig.out, block)
        rig.pump()
    assert rig.text(A) == (block * 40)[:LIVE_BYTES]
    rig.finish(A)
    last = rig.told[-1]
    assert last.data == (block * 40)[-KEEP:]
    assert last.offset == 40 * len(block) - KEEP
    assert not rig.capture.knows(A)


def test_the_tail_is_the_last_fifty_lines_of_both_streams(rig: Rig) -> None:
    for n in range(100):
        os.write(rig.out if n % 2 else rig.err, b"line %d\n" % n)
        rig.pump(1 if n % 2 else 2)
    assert rig.finish(A).splitlines() == [f"line {n}" for n in range(50, 100)]


def test_a_line_without_end_does_not_make_a_tail_without_end(rig: Rig) -> None:
    for _ in range(30):
        os.write(rig.out, b"x" * 10_000)
        rig.pump()
    assert len(rig.finish(A)) == 64 * 1024


def test_the_rest_of_a_dead_runner_is_the_running_attempts(rig: Rig) -> None:
    os.write(rig.out, b"mine" + marker(SECRET, A) + b"yours" + SECRET[:3])
    os.write(rig.err, b"and this")
    os.close(rig.out)
    rig.out = -1
    rig.told += rig.capture.drain(B, 0.0)
    assert (rig.text(A), rig.text(B), rig.text(B, 2)) == (b"mine", b"yours" + SECRET[:3], b"and this")


def test_what_is_printed_while_nothing_runs_is_nobodys(rig: Rig) -> None:
    os.write(rig.out, b"a daemon")
    rig.running = None
    rig.pump()
    assert (rig.told, rig.capture.unsettled) == ([], False)


@given(
    outputs=st.lists(st.binary(max_size=300).filter(lambda data: SECRET not in data), max_size=8),
    cuts=st.lists(st.integers(1, 400), min_size=1),
)
def test_markers_are_found_however_the_bytes_are_cut(outputs: list[bytes], cuts: list[int]) -> None:
    rig = Rig()
    pieces = [data + marker(SECRET, Attempt(1, n)) for n, data in enumerate(outputs, 1)]
    ends = list(itertools.accumulate(map(len, pieces)))
    stream = b"".join(pieces)
    place = 0
    while place < len(stream):
        size = cuts[place % len(cuts)]
        os.write(rig.out, stream[place : place + size])
        place += size
        rig.running = next((Attempt(1, n) for n, end in enumerate(ends, 1) if end > place), None)
        rig.pump()
    rig.close()
    assert [rig.text(Attempt(1, n)) for n in range(1, len(outputs) + 1)] == outputs
