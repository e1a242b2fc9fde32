"""Sort a text file by a recursive parallel merge sort, as the classic example of the original jobTree did.

    python examples/sort.py FILE --output SORTED --tree /tmp/sort-tree --workers 4

It shows recursion (a target that splits its part of the file until it is small enough), follow-ons (which
merge what the children have sorted, when they all have ended), global temp dirs (each lives as long as its
chain), and a clean-up as the follow-on of the first target, which puts the result in place.

Lines are compared as bytes and without their newline: the order of `LC_ALL=C sort`, and the result is the
same byte for byte. Without --output the file is sorted in place: its old content is there until the new one
takes its place in one step. Every target can be run again at any time, for it reads what nobody changes, and
writes beside the place of its result and then renames.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import jobtree
from jobtree import Target

WAYS = 4  # parts that a target splits into, and files merged at a time: two levels are enough for 256 MiB
LEAF_BYTES = 16 << 20  # what one target sorts unless --lines-per-target says otherwise ...
LEAF_LINES = 500_000  # ... and no more lines than these: a line costs some 50 bytes of memory besides its own
BLOCK = 1 << 20


class Setup(Target, memory="64M"):
    """The first target: has the whole file sorted into its global temp dir, and then put where it belongs."""

    def __init__(self, path: Path, output: Path, lines: int | None) -> None:
        super().__init__()
        self.path = path
        self.output = output
        self.lines = lines

    def run(self) -> None:
        size = self.path.stat().st_size
        out = self.global_temp_dir / "sorted"
        self.log(f"sorting {self.path}, {size:,} bytes")
        self.add_child(Down(self.path, 0, size, self.lines, out))
        self.set_follow_on(Cleanup(out, self.output))


class Down(Target, memory="256M"):
    """Sorts the lines in bytes start to end of a file, itself if they are few, else through children."""

    def __init__(self, path: Path, start: int, end: int, lines: int | None, out: Path) -> None:
        super().__init__()
        self.path = path
        self.start = start
        self.end = end
        self.lines = lines
        self.out = out

    def run(self) -> None:
        with self.path.open("rb") as file:
            cuts = []
            if is_large(file, self.start, self.end, self.lines):
                cuts = line_starts(file, self.start, self.end)
            if not cuts:
                sort_part(file, self.start, self.end, self.out)
                return
        edges = [self.start, *cuts, self.end]
        parts = [self.global_temp_dir / str(n) for n in range(len(edges) - 1)]
        for part, start, end in zip(parts, edges, edges[1:], strict=False):
            self.add_child(Down(self.path, start, end, self.lines, part))
        self.set_follow_on(Up(parts, self.out))


class Up(Target, memory="256M"):
    """Merges what the children of its predecessor have sorted."""

    def __init__(self, parts: list[Path], out: Path) -> None:
        super().__init__()
        self.parts = parts
        self.out = out

    def run(self) -> None:
        merge(self.parts, self.out)


class Cleanup(Target, memory="64M"):
    """Puts the result in place; the temporary files go with the temp dirs, without our doing."""

    def __init__(self, result: Path, output: Path) -> None:
        super().__init__()
        self.result = result
        self.output = output

    def run(self) -> None:
        with new_file(self.output) as file:
            with self.result.open("rb") as result:
                shutil.copyfileobj(result, file, BLOCK)
            file.flush()
            os.fsync(file.fileno())  # it may take the place of the only other copy
            if self.output.exists():
                shutil.copymode(self.output, file.name)


def is_large(file: BinaryIO, start: int, end: int, lines: int | None) -> bool:
    """Whether the part holds more lines than one target is to sort; reads no further than it must to know."""
    if lines is None and end - start > LEAF_BYTES:
        return True
    left = LEAF_LINES if lines is None else lines
    file.seek(start)
    at, last = start, b"\n"
    while at < end and left >= 0:
        block = _read(file, min(BLOCK, end - at))
        left -= block.count(b"\n")
        at += len(block)
        last = block[-1:]
    return left < (0 if last == b"\n" else 1)


def line_starts(file: BinaryIO, start: int, end: int) -> list[int]:
    """Where lines begin that cut the part into up to WAYS parts of like size; none if it is a single line."""
    wanted = [start + (end - start) * n // WAYS for n in range(1, WAYS)]
    found = {_next_line(file, at, end) for at in wanted} - {end}
    if not found and (before := _last_line(file, start, wanted[0])) > start:
        found = {before}
    return sorted(found)


def _next_line(file: BinaryIO, at: int, end: int) -> int:
    """Where the first line begins behind `at`; `end` if none does."""
    file.seek(at)
    while at < end:
        block = _read(file, min(BLOCK, end - at))
        found = block.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(block)
    return end


def _last_line(file: BinaryIO, start: int, end: int) -> int:
    """Where the last line begins that begins before `end`; `start` if no other does."""
    while end > start:
        at = max(start, end - BLOCK)
        file.seek(at)
        found = _read(file, end - at).rfind(b"\n")
        if found >= 0:
            return at + found + 1
        end = at
    return start


def sort_part(file: BinaryIO, start: int, end: int, out: Path) -> None:
    """Sort a part in memory."""
    file.seek(start)
    lines = _read(file, end - start).split(b"\n")
    if lines[-1] == b"":
        lines.pop()  # behind the last newline there is no line
    lines.sort()
    with new_file(out) as sorted_file:
        _write(sorted_file, lines)


def merge(parts: list[Path], out: Path) -> None:
    """Merge sorted files, in blocks of many lines.

    All lines up to the least of the blocks' last lines can go out: nothing smaller is to come. They are put
    in order by list.sort, which finds the runs in them and merges them much faster than Python code could.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(part.open("rb")) for part in parts]
        merged = stack.enter_context(new_file(out))
        blocks: list[list[bytes]] = [_read_lines(file) for file in files]
        while any(blocks):
            bound = min(block[-1] for block in blocks if block)
            ready: list[bytes] = []
            for n, block in enumerate(blocks):
                count = bisect_right(block, bound)
                ready += block[:count]
                blocks[n] = block[count:] or _read_lines(files[n])
            ready.sort()
            _write(merged, ready)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError(f"{file.name} has become shorter while it was being sorted")
    return data


def _read_lines(file: BinaryIO) -> list[bytes]:
    """The next MiB of lines without their newlines; empty at the end of the file."""
    data = file.read(BLOCK)
    data += file.readline()
    return data[:-1].split(b"\n") if data else []


def _write(file: BinaryIO, lines: list[bytes]) -> None:
    if lines:
        lines.append(b"")  # so that the last line gets its newline, too
        file.write(b"\n".join(lines))


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` when it is complete, and not before."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Sort a text file as `LC_ALL=C sort` does, in parallel.")
    parser.add_argument("path", type=Path, metavar="FILE", help="the file to sort")
    parser.add_argument("--output", type=Path, metavar="OUT", help="where to put the result (default: in place)")
    parser.add_argument(
        "--lines-per-target",
        type=int,
        metavar="N",
        help="how many lines one target sorts (default: 16 MiB of them, at most 500,000)",
    )
    jobtree.add_options(parser)
    args = parser.parse_args()
    if not args.path.is_file():
        parser.error(f"{args.path} is not a file")
    if args.lines_per_target is not None and args.lines_per_target < 1:
        parser.error("--lines-per-target must be at least 1")
    path = args.path.resolve()
    output = args.output.resolve() if args.output else path  # in place means behind a symbolic link, too
    jobtree.run(Setup(path, output, args.lines_per_target), args)


if __name__ == "__main__":
    main()
