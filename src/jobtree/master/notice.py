"""TREE/pause: what a master that cannot write its journal tells those who only look at its tree.

The file is made, with all its bytes, when the master starts: to write over bytes that are there needs no room on a full disk.
"""

from __future__ import annotations

import json

from ..errors import StorageFailed
from ..files import Files, write_all

NOTICE_NAME = "pause"
NOTICE_BYTES = 512


class Notice:
    """The notice of one epoch, open for writing. Raises StorageFailed where it can't be made."""

    def __init__(self, files: Files, tree: str, epoch: int) -> None:
        self._files = files
        self._epoch = epoch
        path = f"{tree}/{NOTICE_NAME}"
        temporary = f"{path}.tmp-{epoch}"
        try:
            self._descriptor = files.create(temporary)
            write_all(files, self._descriptor, self._written(None), 0)
            files.sync(self._descriptor)
            files.rename(temporary, path)
        except OSError as error:
            raise StorageFailed(f"{path} cannot be written: {error.strerror}; make room and start again") from error

    def put(self, reason: str | None) -> None:
        """Say why the run is paused, or (None) that it is not."""
        try:
            self._files.write(self._descriptor, self._written(reason), 0)
        except OSError:
            pass  # the console has said it, and the journal's own trouble is what counts

    def close(self) -> None:
        """Say that nobody waits any more."""
        self.put(None)
        try:
            self._files.close(self._descriptor)
        except OSError:
            pass  # nothing depends on it

    def _written(self, reason: str | None) -> bytes:
        text = json.dumps({"epoch": self._epoch, "paused": (reason or "")[:200]})
        return text.encode().ljust(NOTICE_BYTES - 1) + b"\n"


def read_notice(files: Files, tree: str, epoch: int) -> str:
    """Why the master of this epoch waits, in words; empty if it does not, or nothing is known."""
    try:
        descriptor = files.open(f"{tree}/{NOTICE_NAME}")
    except OSError:
        return ""
    try:
        found = json.loads(files.read(descriptor, NOTICE_BYTES, 0))
        return str(found["paused"]) if found["epoch"] == epoch else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it is being written, or somebody else's
    finally:
        files.close(descriptor)
