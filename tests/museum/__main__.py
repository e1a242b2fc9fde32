"""``python -m tests.museum [NAME...]``: bring back each bug in a copy of the project, and see a test turn red."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.museum import Exhibit, copy_project, exhibits


def main() -> int:
    """Show the exhibits asked for, all of them otherwise; 1 if a bug goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.museum", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="exhibits (the files in patches/, without .patch)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at a time (2)")
    chosen = parser.parse_args()
    all_of_them = {exhibit.name: exhibit for exhibit in exhibits()}
    if unknown := [name for name in chosen.names if name not in all_of_them]:
        parser.error(f"no exhibit is called {', '.join(unknown)}; there are {', '.join(all_of_them)}")
    wanted = [all_of_them[name] for name in chosen.names] or list(all_of_them.values())
    begun = time.monotonic()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        good = [_show(exhibit, said) for exhibit, said in zip(wanted, pool.map(visit, wanted), strict=True)]
    print(f"{sum(good)} of {len(good)} bugs are noticed ({time.monotonic() - begun:.0f} s)")
    return 0 if all(good) else 1


def visit(exhibit: Exhibit) -> tuple[bool, str]:
    """Whether its bug is noticed, and by which test; or what is wrong with the exhibit."""
    with tempfile.TemporaryDirectory(prefix="jobtree-museum-") as place:
        root = copy_project(Path(place))
        if problem := exhibit.patch(root):
            return False, f"the patch does not fit any more: {problem}"
        try:
            red = exhibit.tests_fail(root)
        except RuntimeError as problem:
            return False, str(problem)
        return bool(red), red or "NOBODY NOTICES"


def _show(exhibit: Exhibit, said: tuple[bool, str]) -> bool:
    good, text = said
    print(f"{'red ' if good else 'GREEN'} {exhibit.name}: {exhibit.bug}\n      {text}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
