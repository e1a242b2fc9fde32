"""`python -m benchmarks.profile WORKLOAD`: where master, supervisor, nursery and runners spend their time.

It needs py-spy (`pip install py-spy`), and on most machines root or the right to trace one's own children. Figures are
microseconds of wall-clock time off the idle list, per target: waiting for the disk or for a cpu counts, so on a busy machine they
are more than the cpu time that `python -m benchmarks` shows. What one function takes beside the others is what they tell.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.workloads import chain, commands, fanout, tree

#: How many targets a workload has at scale 1, about.
TARGETS = {"fanout": fanout.COUNT, "tree": 3 * tree.LEAVES - 2, "chain": 2 * chain.STEPS, "commands": commands.COUNT}
#: By how many processes lie above one.
ROLES = ("master", "supervisor", "nursery", "runner")

_PROCESS = re.compile(r'process \d+:".*"$')
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(:(?P<line>\d+))?\)$")


def main() -> int:
    """Run the workload under py-spy, print what it saw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("workload", choices=TARGETS)
    parser.add_argument("--rate", type=int, default=250, help="samples a second (250)")
    parser.add_argument("--top", type=int, default=15, help="how many functions of each process to show (15)")
    parser.add_argument("--scale", type=float, default=2.0, help="multiply the size of the workload (2)")
    arguments = parser.parse_args()
    samples = list(_sample(arguments.workload, arguments.rate, arguments.scale))
    targets = TARGETS[arguments.workload] * arguments.scale
    for role in ROLES:
        _show(role, samples, 1e6 / arguments.rate / targets, arguments.top)
    return 0


def _sample(workload: str, rate: int, scale: float) -> Iterator[tuple[str, list[str], int]]:
    """Role, stack (outermost first) and number of samples."""
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "raw"
        spy = ["py-spy", "record", "--subprocesses", "--rate", str(rate), "--format", "raw", "--output", str(raw), "--"]
        program = [sys.executable, "-m", "benchmarks", workload, "--repeat", "1", "--peers", "", "--scale", str(scale)]
        subprocess.run([*_where(spy), *program], check=True, stderr=subprocess.DEVNULL)
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            frames = stack.split(";")
            above = sum(_PROCESS.match(frame) is not None for frame in frames)
            yield ROLES[min(above, len(ROLES)) - 1], [frame for frame in frames if not _PROCESS.match(frame)], int(count)


def _where(spy: list[str]) -> list[str]:
    """The py-spy beside this Python, if there is one."""
    beside = Path(sys.executable).with_name(spy[0])
    return [str(beside) if beside.exists() else spy[0], *spy[1:]]


def _show(role: str, samples: list[tuple[str, list[str], int]], microseconds: float, top: int) -> None:
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for found, stack, count in samples:
        names = [_name(frame) for frame in stack]
        if found == role and names:
            total += count
            own[names[-1]] += count
            for name in set(names):
                whole[name] += count
    print(f"\n{role}: {total * microseconds:.1f} us per target")
    print(f"  {'own':>6} {'with callees':>12}")
    shown = {name for name, _ in own.most_common(top)} | {name for name, _ in whole.most_common(top)}
    for name in sorted(shown, key=lambda name: -whole[name]):
        print(f"  {own[name] * microseconds:6.1f} {whole[name] * microseconds:12.1f}  {name}")


def _name(frame: str) -> str:
    match = _FRAME.match(frame)
    return f"{match['file']}:{match['function']}" if match else frame


if __name__ == "__main__":
    sys.exit(main())
