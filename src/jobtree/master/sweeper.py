"""Removes what nobody needs any more, on a thread of its own: global temp dirs of ended chains, and blobs."""

from __future__ import annotations

import itertools
import logging
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from .effects import Prune, RemoveBlob, RemoveTemp

log = logging.getLogger("jobtree.master")


class Sweeper:
    """All removals of one tree; each may be repeated without harm, and none is waited for until ``close``."""

    def __init__(self, tree: Path, may_act: Callable[[], bool] = lambda: True) -> None:
        self._may_act = may_act  # whether the tree is still ours
        self._temp = tree / "tmp"
        self._blobs = tree / "blobs"
        self._journal = tree / "journal"
        self._requests: queue.SimpleQueue[RemoveTemp | RemoveBlob | Prune | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="jobtree-sweeper", daemon=True)
        self._thread.start()

    def post(self, request: RemoveTemp | RemoveBlob | Prune) -> None:
        """Have something removed."""
        self._requests.put(request)

    def sweep(self, is_live: Callable[[int], bool], unneeded: Iterable[tuple[int, int, str]]) -> None:
        """At a restart: what chains that are not live have left behind, and blobs, because the last master had no time for it."""
        for path in self._temp.glob("*/*"):
            chain = path.name.partition("-")[0]
            if chain.isdigit() and not is_live(int(chain)):
                self._requests.put(RemoveTemp(int(chain)))
        for epoch, number, name in unneeded:
            self._requests.put(RemoveBlob(epoch, number, name))

    def close(self) -> None:
        """Do what is still to be done, and stop."""
        self._requests.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                if not self._may_act():
                    continue
                match request:
                    case RemoveTemp(chain):
                        self._remove_temp(chain)
                    case RemoveBlob():
                        self._remove_blob(request)
                    case Prune():
                        self._prune(request.remove)
            except Exception as error:  # noqa: BLE001
                # Nothing depends on it; the next start tries again. But on this thread all later removals depend.
                log.warning("%s could not be removed: %s: %s", request, type(error).__name__, error)

    def _remove_temp(self, chain: int) -> None:
        for path in list((self._temp / f"{chain & 0xFF:02x}").glob(f"{chain}-*")):
            try:
                shutil.rmtree(path)
            except (OSError, RecursionError):  # too deep for Python's stack, for open files or for the length of a path?
                _remove_flat(path)

    def _remove_blob(self, blob: RemoveBlob) -> None:
        path = self._blobs / f"{blob.number & 0xFF:02x}" / f"{blob.epoch}-{blob.number}-{blob.name}"
        path.unlink(missing_ok=True)

    def _prune(self, names: Iterable[str]) -> None:
        """Files of the journal that a snapshot has made needless, the oldest first."""
        for name in names:
            (self._journal / name).unlink(missing_ok=True)


def _remove_flat(top: Path) -> None:
    """Remove a directory of any depth: what is below is moved up before it is emptied, so that no path gets long."""
    moved = itertools.count()
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as found:
            entries = list(found)
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            place = top.with_name(f"{top.name}.{next(moved)}")
            while os.path.lexists(place):  # left behind by an earlier try
                place = top.with_name(f"{top.name}.{next(moved)}")
            os.rename(entry.path, place)
            waiting.append(place)
        os.rmdir(directory)
