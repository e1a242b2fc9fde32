"""Whether two roots are the same: a digest of pickled bytes that is the same in every process.

Sets are pickled in an order that changes from process to process, with the seed of the hashes; and the names of code pickled by
value are made of such bytes. So the instructions of the pickle are read (none is carried out), and what fills a set is sorted.
"""

from __future__ import annotations

import hashlib
import pickletools
from collections.abc import Mapping

#: The opcodes that fill a set; in a pickle without these bytes there is none.
_FILLS_SET = {"ADDITEMS", "FROZENSET"}
_SET_BYTES = (b"\x90", b"\x91")
_TAKES_MARK = {op.name for op in pickletools.opcodes if pickletools.markobject in op.stack_before}
_GETS = {"BINGET", "LONG_BINGET"}
_SKIPPED = {"PROTO", "FRAME"}
#: Reading takes about a second for this many bytes; larger roots are compared as they are.
MOST_BYTES = 4 << 20


def digest_of(data: bytes, codes: Mapping[str, bytes]) -> str:
    """The digest of a payload; ``codes`` are the code blobs that it names."""
    stable = {sha: digest_of(code, {}) for sha, code in codes.items()}
    changed = any(sha != other for sha, other in stable.items())
    if len(data) > MOST_BYTES or not (changed or any(byte in data for byte in _SET_BYTES)):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256("\n".join(_instructions(data, stable)).encode(errors="surrogatepass")).hexdigest()


def _instructions(data: bytes, stable: Mapping[str, str]) -> list[str]:
    """The opcodes with their arguments; those that fill a set sorted, and references to what was seen before replaced by it."""
    told: list[str] = []
    memo: list[str] = []
    marks: list[int] = []
    filled: dict[int, int] = {}  # where the filling of a set has ended: where it began, for a large one is filled in several goes
    for op, argument, _ in pickletools.genops(data):
        if op.name == "MEMOIZE":
            memo.append(told[-1])
            continue
        if op.name in _SKIPPED:
            continue
        if op.name == "MARK":
            marks.append(len(told))
        elif op.name in _TAKES_MARK:
            begun = marks.pop()
            if op.name in _FILLS_SET:
                begun = filled.pop(begun, begun)
                told[begun:] = sorted(told[begun:])
                filled[len(told) + 1] = begun
        if op.name in _GETS:
            told.append(memo[int(str(argument))])
        else:
            word = stable.get(argument, argument) if isinstance(argument, str) else argument
            told.append(f"{op.name} {word!r}")
    return told
