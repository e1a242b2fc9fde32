"""`python -m benchmarks.plot RESULTS.json... --output FILE.svg`: jobtree and its peers, workload by workload.

It needs matplotlib (`pip install '.[bench]'`) and what `python -m benchmarks --json` has printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import number

#: What is drawn: peers do the same work there.
DRAWN = ("fanout", "chain", "sleep10ms")


def main() -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="what --json has printed")
    parser.add_argument("--output", type=Path, default=Path("docs/performance.svg"))
    arguments = parser.parse_args()
    workloads = [one for path in arguments.results for one in json.loads(path.read_text())["workloads"]]
    _draw([one for one in workloads if one["name"] in DRAWN and one["ratios"]], arguments.output)
    return 0


def _draw(workloads: list[dict[str, Any]], output: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "jobtree"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(workloads), figsize=(4 * len(workloads), 3.2), layout="constrained")
    for axis, workload in zip([axes] if len(workloads) == 1 else axes, workloads, strict=True):
        name = workload["figure"]
        values = {who: found["median"][name] for who, found in workload["contenders"].items() if name in found["median"]}
        bars = axis.barh(
            list(values), list(values.values()), color=["#2a6f97" if who[:7] == "jobtree" else "#adb5bd" for who in values]
        )
        axis.bar_label(bars, labels=[number(value) for value in values.values()], padding=3)
        low, high = min(values.values()), max(values.values())
        if high > 10 * low:
            axis.set_xscale("log")
            axis.set_xlim(low / 3, high * 6)
        else:
            axis.set_xlim(0, high * 1.2)
        axis.invert_yaxis()
        axis.set_title(f"{workload['name']}: {name.replace('_per_s', ' / s').replace('_', ' ')}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
