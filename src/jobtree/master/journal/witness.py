"""The witness: a small file beside the journal that says how far it had come, so that an end that is gone is missed.

A master writes it every few seconds, and when it ends. What it says was durable before, so it may be old but never too new; it is
not synced itself, and one that cannot be read proves nothing. On file systems without locks it shows that a master is alive, too.
"""

from __future__ import annotations

import json
import zlib
from typing import NamedTuple

from jobtree.errors import JournalDamaged
from jobtree.master.journal.files import Files, close, write_all

NAME = "witness"
_BYTES = 256  # within one sector, and always the same: it is written in place


class Witness(NamedTuple):
    """What the master of an epoch has seen: frames below `sequence` are synced, the last ones in `segment`.

    `at` is its clock's unix time, `ended` whether it let the tree go in good order.
    """

    epoch: int
    sequence: int
    segment: str
    at: float
    ended: bool = False

    def write(self, files: Files, directory: str) -> None:
        """Leave it in a journal's directory; raises OSError."""
        path = f"{directory}/{NAME}"
        words = json.dumps(self).encode()
        line = words + b" %08x" % zlib.crc32(words)
        descriptor = files.open_lock(path)
        try:
            write_all(files, descriptor, line.ljust(_BYTES - 1) + b"\n", 0)
        finally:
            close(files, descriptor, path)

    @classmethod
    def read(cls, files: Files, directory: str) -> Witness | None:
        """The one in a journal's directory; None where there is none, or it was not written whole."""
        try:
            descriptor = files.open(f"{directory}/{NAME}")
        except OSError:
            return None
        try:
            words, _, crc = files.read(descriptor, _BYTES, 0).rstrip().rpartition(b" ")
            epoch, sequence, segment, at, ended = json.loads(words)
            if int(crc, 16) != zlib.crc32(words):
                return None
            return cls(int(epoch), int(sequence), str(segment), float(at), bool(ended))
        except (OSError, ValueError, TypeError, OverflowError):
            return None
        finally:
            close(files, descriptor, NAME)


class EndMissing(JournalDamaged):
    """The journal is sound as far as it goes, but it once went further: files are gone, or the disk has forgotten them."""

    def __init__(self, directory: str, had: str, has: str) -> None:
        super().__init__(directory, had, has)
        self.directory = directory
        self.had = had
        self.has = has

    def __str__(self) -> str:
        tree = self.directory.rpartition("/")[0]
        return (
            f"the end of the journal is missing: {self.directory} had {self.had}, and {self.has}. "
            f"Bring the files back from a copy; or `jobtree restart --accept-loss {tree}` goes on from what is there, "
            "and runs again what is not known to be done"
        )
