"""`python -m benchmarks.check`: has anything become much slower? It compares ratios with the committed ones, never times.

A ratio is between two figures of one sitting on one machine, so another machine, or a busy one, moves both. What is
left of noise is taken up by wide margins: only half of a committed ratio, or less, is an error (exit status 1).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import Setting, measure
from benchmarks.workloads import TABLE

BASELINE = Path(__file__).with_name("baseline.json")
#: A ratio may fall to this share of the committed one.
MARGIN = 0.5
#: Workload and contender: how many times better jobtree has to be than that.
RATIOS = (
    ("fanout", "ProcessPoolExecutor"),
    ("chain", "ProcessPoolExecutor"),
    ("sleep10ms", "ProcessPoolExecutor"),
    ("commands", "spawn loop"),
    ("start", "python -c pass"),
)


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit to what was measured now")
    parser.add_argument("--scale", type=float, default=0.5, help="multiply the sizes of the workloads (0.5)")
    parser.add_argument("--repeat", type=int, default=3, help="samples of each (3)")
    arguments = parser.parse_args()
    found = _measured(arguments.scale, arguments.repeat)
    if arguments.write:
        BASELINE.write_text(json.dumps({name: round(ratio, 3) for name, ratio in found.items()}, indent=2) + "\n")
        return 0
    return _compare(found, json.loads(BASELINE.read_text()))


def _measured(scale: float, repeat: int) -> dict[str, float]:
    found = {}
    rates = {}
    with tempfile.TemporaryDirectory(prefix="jobtree-bench-") as directory:
        setting = Setting(Path(directory), scale, peers.installed(["pool"]))
        for name, contender in RATIOS:
            measured = measure(TABLE[name](setting), repeat)
            found[f"{name} against {contender}"] = measured.ratios()[contender]
            rates[name] = measured.median("jobtree")
        alone = measure(TABLE["zero"](setting), repeat).median("jobtree")
    found["fanout against the master alone"] = rates["fanout"]["targets_per_s"] / alone["targets_per_s"]
    return found


def _compare(found: dict[str, float], committed: dict[str, float]) -> int:
    status = 0
    for name, ratio in found.items():
        low = committed[name] * MARGIN
        verdict = "ok" if ratio >= low else "SLOWER"
        status |= ratio < low
        print(f"{verdict:7} {name}: {ratio:.3g} (committed {committed[name]:.3g}, at least {low:.3g})")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
