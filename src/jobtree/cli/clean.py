"""`jobtree clean`: removes the directory of a run, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from ..errors import StorageFailed, UsageError
from .arguments import Parser, tree_of

#: What a run makes in its directory. The journal goes last: as long as it is there, this can be done again.
PARTS = ("connection", "server.key", "logs", "blocks", "tmp", "blobs", "journal")


def main(argv: Sequence[str]) -> int:
    """Exit status 0; 5 for a run that is going on, 2 for what is no tree."""
    parser = Parser("clean", "Remove the directory of a run that is not going on: its journal, results and output.")
    parser.add_tree()
    tree = tree_of(parser.parse_args(argv).tree)
    left = remove_tree(tree)
    if left:
        print(f"{tree} is kept for what is not jobtree's: {', '.join(left)}")
    return 0


def remove_tree(tree: str) -> list[str]:
    """Remove a tree; the names of what was in its directory and is nobody of ours.

    No link is followed. Raises UsageError for what is no tree, TreeLocked while a master holds it, StorageFailed for a disk that
    does not let go.
    """
    from ..master.journal.directory import Directory
    from ..master.journal.files import Files

    if os.path.islink(tree):
        raise UsageError(f"{tree} is a link to {os.path.realpath(tree)}; name the directory itself")
    lock = Directory.open(Files(), tree).lock()
    try:
        for name in _ours(tree):
            _remove(os.path.join(tree, name))
        left = sorted(os.listdir(tree))
        if not left:
            os.rmdir(tree)
    except OSError as error:
        raise StorageFailed(f"{tree} cannot be removed: {error.strerror} ({error.filename})") from error
    finally:
        lock.release()
    return left


def _ours(tree: str) -> list[str]:
    names = os.listdir(tree)
    unfinished = [name for name in names if name.endswith(".tmp") and name.partition(".")[0] in ("connection", "server")]
    return [*unfinished, *(name for name in PARTS if name in names)]


def _remove(path: str) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    if os.path.basename(path) == "journal":
        # FORMAT is what makes it a tree: a killed clean must leave one behind, or nothing.
        for name in os.listdir(path):
            if name not in ("FORMAT", "LOCK"):
                _remove(os.path.join(path, name))
    shutil.rmtree(path)
