"""`make demo`: sort a real text file of 200 MB or more with jobtree, and prove the result equal to sort(1)'s.

The text is what every machine has: the lists of its packages, its manuals, its headers and sources. Where
that is less than 200 MB it is taken again with its lines' words in another order, and the demo says so.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "build" / "demo"
PLACES = [
    "/var/lib/dpkg/info",
    "/var/lib/apt/lists",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/perl",
    "/usr/share/perl5",
    "/usr/include",
    "/usr/lib/python3",
    *map(str, sorted(Path("/usr/lib").glob("python3.*"))),
    os.path.dirname(os.__file__),
    "/usr/lib/gcc",
    "/usr/src",
    "/usr/share",
    "/etc",
]
LARGEST_FILE = 8 << 20  # so that no single file makes up much of the text


def main() -> int:
    """Make the text, sort it twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200, help="least size of the text, in 10^6 bytes (200)")
    parser.add_argument("--workers", default="4", help="how many local workers (4)")
    parser.add_argument("--directory", type=Path, default=WORK, help="a new directory (build/demo)")
    args = parser.parse_args()
    work = args.directory.resolve()
    if work == WORK:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    text, ours, expected = work / "text", work / "sorted-by-jobtree", work / "sorted-by-sort"

    print(f"Gathering text in {work} ...", flush=True)
    print(describe(text, make_text(text, args.megabytes * 1_000_000)), flush=True)
    print("\nSorting it with examples/sort.py, a recursive parallel merge sort:", flush=True)
    our_seconds = sort_with_jobtree(text, ours, work / "tree", args.workers)
    print("\nSorting it with LC_ALL=C sort ...", flush=True)
    sort_seconds = sort_alone(text, expected)

    if not filecmp.cmp(ours, expected, shallow=False):
        print(f"THE RESULTS DIFFER: cmp {ours} {expected}")
        return 1
    print("The results are equal, byte for byte.\n")
    print(f"jobtree, {args.workers} workers, all started and stopped: {our_seconds:6.1f} s")
    print(f"LC_ALL=C sort alone:                        {sort_seconds:6.1f} s   ({os.cpu_count()} cpus)")
    return 0


def make_text(path: Path, wanted: int) -> int:
    """Write text of at least `wanted` bytes; how many of them are a repetition."""
    with path.open("wb") as file:
        for data in texts():
            file.write(data if data.endswith(b"\n") else data + b"\n")
            if file.tell() >= wanted:
                return 0
        original = file.tell()
    if not original:
        raise SystemExit("found no text under " + ", ".join(PLACES))
    chance = random.Random(1)
    with path.open("rb") as source, path.open("ab") as file:
        while file.tell() < wanted:
            line = source.readline()
            if source.tell() >= original:
                source.seek(0)
            words = line.split(b" ")
            chance.shuffle(words)
            file.write(b" ".join(words).replace(b"\n", b"") + b"\n")
        return file.tell() - original


def texts() -> Iterator[bytes]:
    """The text files of this machine, each once, manuals and documents unpacked."""
    seen: set[tuple[int, int]] = set()
    for place in PLACES:
        for folder, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if (data := read_text(path, seen)) is not None:
                    yield data


def read_text(path: str, seen: set[tuple[int, int]]) -> bytes | None:
    """The content of a text file that was not seen yet; None for anything else."""
    try:
        status = os.stat(path, follow_symlinks=False)
        identity = (status.st_dev, status.st_ino)
        if not os.path.isfile(path) or os.path.islink(path) or identity in seen or status.st_size > LARGEST_FILE:
            return None
        seen.add(identity)
        with open(path, "rb") as plain:
            data = plain.read()
        if path.endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError):
        return None  # not for us to read, or no gzip in spite of its name
    is_text = data and b"\0" not in data[:4096] and b"\n" in data[:4096]
    return data if is_text else None


def describe(path: Path, repeated: int) -> str:
    """Size and lines of the text, and honestly what of it is a repetition."""
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    size = path.stat().st_size
    said = f"{size:,} bytes, {lines:,} lines of text from this machine"
    if repeated:
        said += f"\n({repeated:,} of these bytes are a repetition with the words in another order:"
        said += " there was no more text here)"
    return said


def sort_with_jobtree(text: Path, out: Path, tree: Path, workers: str) -> float:
    """Seconds from the start of the script to its end."""
    script = [sys.executable, str(HERE / "sort.py"), str(text), "--output", str(out)]
    started = time.monotonic()
    subprocess.run([*script, "--tree", str(tree), "--workers", workers], check=True)
    return time.monotonic() - started


def sort_alone(text: Path, out: Path) -> float:
    """Seconds that sort(1) takes, with as many threads as it likes."""
    started = time.monotonic()
    subprocess.run(["sort", "-o", str(out), str(text)], check=True, env={**os.environ, "LC_ALL": "C"})
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
