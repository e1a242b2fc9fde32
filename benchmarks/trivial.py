"""A script that runs one target, from start to finish: `python -m benchmarks.trivial TREE`."""

from __future__ import annotations

import sys

import jobtree
from benchmarks.targets import noop

if __name__ == "__main__":
    jobtree.run(noop(), tree=sys.argv[1], progress="none")
