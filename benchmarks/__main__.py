"""`python -m benchmarks [NAME...]`: runs workloads, prints a table or JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, peers, report, workloads
from benchmarks.measure import Measured, Setting, measure


def main() -> int:
    """Parse, measure, print."""
    arguments = _parser().parse_args()
    names = arguments.names or [name for name in workloads.TABLE if name not in workloads.LONG]
    with tempfile.TemporaryDirectory(prefix="jobtree-bench-", dir=arguments.directory) as directory:
        setting = Setting(Path(directory), arguments.scale, peers.installed(arguments.peers))
        about = machine.describe(Path(directory))
        measured: list[Measured] = []
        for name in names:
            workload = workloads.TABLE[name](setting)
            print(f"{workload.name}: {workload.what} ...", file=sys.stderr, flush=True)
            measured.append(measure(workload, arguments.repeat))
        about["load_at_the_end"] = machine.load()
    if arguments.json:
        print(json.dumps(report.as_json(about, measured), indent=1))
    else:
        report.print_tables(about, measured)
    return 0


def _parser() -> argparse.ArgumentParser:
    table = "\n".join(f"  {name:10} {(make.__doc__ or '').splitlines()[0]}" for name, make in workloads.TABLE.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure jobtree, and in the same run, in turn, what it is compared with.\n\nworkloads:\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everyday = f"all but {', '.join(workloads.LONG)}"
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*workloads.TABLE, []], help=f"default: {everyday}")
    parser.add_argument("--json", action="store_true", help="print every sample as JSON")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="samples of each; the table has medians (3)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F", help="multiply all sizes, to try things out (1)")
    known = ", ".join(peers.TABLE)
    parser.add_argument("--peers", type=peers.names, metavar="A,B", default=None, help=f"of {known}; default: the installed")
    parser.add_argument("--directory", type=Path, help="where trees are made (default: $TMPDIR); its disk is what is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
