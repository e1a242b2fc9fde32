"""Start a worker by path, from wherever this package lies, installed or not: ``python -P .../worker/__main__.py TREE``."""

import sys
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobtree.worker.main import entry

if __name__ == "__main__":
    sys.exit(entry())
