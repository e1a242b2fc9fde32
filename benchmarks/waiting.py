"""`python -m benchmarks.waiting TREE COUNT`: a master whose root has so many children, none of which ever ends."""

from __future__ import annotations

import sys
from pathlib import Path

import jobtree
from benchmarks import zero
from benchmarks.targets import noop

if __name__ == "__main__":
    jobtree.run(noop(), tree=Path(sys.argv[1]), progress="none", **zero.use(int(sys.argv[2]), silent=True))
