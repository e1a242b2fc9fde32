"""The targets of the cluster tests: they sleep, and write down where and when they have run."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path

import jobtree
from jobtree import Target


def note(directory: Path, *words: object) -> None:
    """One line, whole, into the file that all hosts see."""
    with (directory / "notes").open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@jobtree.target(memory="64M")
def nap(target: Target[int], directory: Path, number: int, seconds: float) -> int:
    note(directory, "begun", number, socket.gethostname(), target.attempt, time.time())
    time.sleep(seconds)
    note(directory, "done", number, socket.gethostname(), target.attempt, time.time())
    return number


@jobtree.target(memory="64M")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@jobtree.target(memory="64M")
def naps(target: Target[int], directory: Path, n: int, seconds: float) -> jobtree.Promise[int]:
    note(directory, "root", socket.gethostname(), time.time())
    return target.set_follow_on(total([target.add_child(nap(directory, i, seconds)) for i in range(n)]))


@jobtree.target(memory="64M")
def waves(target: Target[int], directory: Path, widths: list[int], seconds: float) -> jobtree.Promise[int]:
    """Many at once, then few, then many: one wave is the follow-on of the other."""
    taken = [target.add_child(nap(directory, i, seconds)) for i in range(widths[0])]
    return target.set_follow_on(waves(directory, widths[1:], seconds) if widths[1:] else total(taken))


@jobtree.target(memory="64M")
def surroundings() -> dict[str, object]:
    """What a target finds around it."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "host": socket.gethostname(), "cwd": os.getcwd(), "umask": umask, "secret": os.environ.get("JT_SECRET"),
        "path": sys.path[0], "argv": sys.argv[1:2], "job": os.environ.get("SLURM_JOB_ID") or os.environ.get("JOB_ID"),
        "arena": os.environ.get("MALLOC_ARENA_MAX"),
    }  # fmt: skip


@jobtree.target(memory="64M")
def big(memory: str) -> str:
    return memory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("numbers", nargs="*", type=float)
    jobtree.add_options(parser)
    given = parser.parse_args()
    here, numbers = Path.cwd(), given.numbers
    if given.what == "naps":
        print(jobtree.run(naps(here, int(numbers[0]), numbers[1]), given))
    elif given.what == "waves":
        print(jobtree.run(waves(here, [int(n) for n in numbers[1:]], numbers[0]), given))
    else:
        os.umask(0o027)
        print(jobtree.run(surroundings(), given))


if __name__ == "__main__":
    main()
