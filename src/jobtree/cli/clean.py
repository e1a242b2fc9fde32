"""`jobtree clean`: removes the directory of a run, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from ..errors import StorageFailed, UsageError
from .arguments import Parser, tree_of

#: What a run makes in its directory. The journal goes last: as long as it is there, this can be done again.
PARTS = ("connection", "server.key", "logs", "blocks", "tmp", "blobs", "pause", "console", "journal")


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
    if _is_husk(tree):
        _remove_journal(os.path.join(tree, "journal"))
        os.rmdir(tree)
        return []
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


def _is_husk(tree: str) -> bool:
    """Whether a clean was killed here when it was all but done."""
    journal = os.path.join(tree, "journal")
    try:
        return os.listdir(tree) == ["journal"] and not os.path.islink(journal) and os.listdir(journal) in ([], ["LOCK"])
    except OSError:
        return False


def _remove(path: str) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
    elif os.path.basename(path) == "journal":
        _remove_journal(path)
    else:
        shutil.rmtree(path)


def _remove_journal(path: str) -> None:
    """FORMAT is what makes it a tree, so it goes when all else has gone; LOCK after it, so that nobody begins a new one."""
    last = ["FORMAT", "LOCK"]
    for name in [*(name for name in os.listdir(path) if name not in last), *last]:
        inside = os.path.join(path, name)
        if os.path.isdir(inside) and not os.path.islink(inside):
            shutil.rmtree(inside)
        elif os.path.lexists(inside):
            os.unlink(inside)
    os.rmdir(path)
