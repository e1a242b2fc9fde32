"""``python -m tests.simulation --seeds A:B``: run the worlds of many seeds; a failing one prints its story."""

from __future__ import annotations

import argparse
import sys
import time

from . import simulate, story_of


def main() -> int:
    """Run them; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:100", help="A:B, the seeds from A to before B (default 0:100)")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure, and print less of it")
    parser.add_argument("--lines", type=int, default=60, help="turns of the story that are printed")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition(":")
    seeds = range(int(first), int(last or int(first) + 1))
    began = time.monotonic()
    failed = 0
    for seed in seeds:
        cluster, problem = simulate(seed)
        if problem is None:
            continue
        failed += 1
        print(f"seed {seed}: {type(problem).__name__}: {problem}", flush=True)
        if not arguments.keep_going:
            print(story_of(cluster, problem, arguments.lines))
            break
    print(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
