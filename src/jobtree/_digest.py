"""Whether two roots are the same: a digest of pickled bytes that is the same in every process.

Sets are pickled in an order that changes from process to process, with the seed of the hashes; and the names of code pickled by
value are made of such bytes. So the instructions of the pickle are read (none is carried out) into a graph of what they would
make. The digest is that of the graph written down in full, the members of each set in the order of their own digests. So equal
digests mean equal graphs; where the order of members is a toss-up, because they differ only in what else they share, equal graphs
may have different digests.
"""

from __future__ import annotations

import hashlib
import pickletools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtree.protocol import calls

#: The opcodes that fill a set; in a pickle without these bytes there is none.
_SET_BYTES = (b"\x90", b"\x91")
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_SKIPPED = {"PROTO", "FRAME", "STOP"}
#: They change the object below what they take from the stack.
_FILLS = {"APPEND": 1, "SETITEM": 2, "BUILD": 1, "APPENDS": None, "SETITEMS": None, "ADDITEMS": None}
_UNORDERED = {"ADDITEMS", "FROZENSET"}
#: They take nothing from the stack, yet each makes an object that others may share, and that may be filled.
_EMPTY = {"EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BYTEARRAY8", "NEXT_BUFFER"}
#: Reading takes about two seconds for this many bytes; larger roots are compared as they are.
MOST_BYTES = 4 << 20


def digest_of(data: bytes, codes: Mapping[str, bytes]) -> str:
    """The digest of a payload; ``codes`` are the code blobs that it names."""
    data = data.removeprefix(calls.MARK)
    stable = {sha: digest_of(code, {}) for sha, code in codes.items()}
    changed = any(sha != other for sha, other in stable.items())
    if len(data) > MOST_BYTES or not (changed or any(byte in data for byte in _SET_BYTES)):
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(b"graph\n")
    for word in _written(_Reader(stable).read(data)):
        digest.update(b"%d:" % len(word))
        digest.update(word)
    return digest.hexdigest()


@dataclass(slots=True, eq=False)
class _Node:
    """What an opcode makes: of ``literal``, of what it takes from the stack, and of what later opcodes fill into it."""

    op: str
    literal: bytes
    atom: bool  # immutable and made of nothing else: who shares it makes no difference
    groups: list[tuple[str, list[_Node]]] = field(default_factory=list)
    key: bytes = b""

    def fill(self, op: str, parts: list[_Node]) -> None:
        """A large set is filled in several goes."""
        if op in _UNORDERED and self.groups and self.groups[-1][0] == op:
            self.groups[-1][1].extend(parts)
        elif parts:
            self.groups.append((op, parts))


class _Reader:
    """A machine for pickles that only notes what would be made."""

    def __init__(self, stable: Mapping[str, str]) -> None:
        self._stable = stable
        self._stack: list[_Node] = []
        self._marked: list[list[_Node]] = []  # the stacks below the marks
        self._memo: dict[int, _Node] = {}

    def read(self, data: bytes) -> _Node:
        """The root of the graph."""
        for op, argument, _ in pickletools.genops(data):
            if op.name not in _SKIPPED and not self._move(op.name, argument):
                self._make(op, argument)
        return self._stack[-1]

    def _move(self, name: str, argument: Any) -> bool:
        """Carry out what makes nothing new; whether it was that."""
        if name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _PUTS:
            self._memo[int(argument)] = self._stack[-1]
        elif name in _GETS:
            self._stack.append(self._memo[int(argument)])
        elif name == "MARK":
            self._marked.append(self._stack)
            self._stack = []
        elif name == "POP":
            self._stack.pop()
        elif name == "POP_MARK":
            self._above_mark()
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name in _FILLS:
            parts = self._taken(_FILLS[name])
            self._stack[-1].fill(name, parts)
        else:
            return False
        return True

    def _make(self, op: pickletools.OpcodeInfo, argument: Any) -> None:
        takes_mark = pickletools.markobject in op.stack_before
        parts = self._taken(None if takes_mark else len(op.stack_before))
        node = _Node(op.name, self._literal(argument), not op.stack_before and op.name not in _EMPTY)
        node.fill(op.name, parts)
        self._stack.append(node)

    def _taken(self, count: int | None) -> list[_Node]:
        """So many from the top of the stack; with None all above the last mark."""
        if count is None:
            return self._above_mark()
        at = len(self._stack) - count
        parts = self._stack[at:]
        del self._stack[at:]
        return parts

    def _above_mark(self) -> list[_Node]:
        parts, self._stack = self._stack, self._marked.pop()
        return parts

    def _literal(self, argument: Any) -> bytes:
        if isinstance(argument, str):
            return self._stable.get(argument, argument).encode("utf-8", "surrogatepass")
        if isinstance(argument, (bytes, bytearray)):
            return bytes(argument)
        if isinstance(argument, int):
            return b"%x" % argument  # in decimal, Python refuses long ones
        return repr(argument).encode()


def _written(root: _Node) -> Iterator[bytes]:
    """The graph in words, from which it could be made again, up to the order in sets."""
    numbers: dict[_Node, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node in numbers:
            yield b"again %d" % numbers[node]
            continue
        if not node.atom:
            numbers[node] = len(numbers)
        groups = [(op, _in_order(op, parts)) for op, parts in node.groups]
        yield " ".join([node.op, *(f"{op} {len(parts)}" for op, parts in groups)]).encode()
        yield node.literal
        for _, parts in reversed(groups):
            waiting.extend(reversed(parts))


def _in_order(op: str, parts: list[_Node]) -> list[_Node]:
    """Members of a set by their digests, which are those of what they unfold to, whatever they share."""
    if op not in _UNORDERED or len(parts) < 2:
        return parts
    for part in parts:
        _make_key(part)
    return sorted(parts, key=lambda part: part.key)


def _make_key(root: _Node) -> None:
    """Give it and all below it a key; what contains itself counts as a word where it is met again."""
    waiting = [(root, False)]
    while waiting:
        node, below_is_done = waiting.pop()
        if below_is_done:
            node.key = _key_of(node)
        elif not node.key:
            node.key = b"itself"
            waiting.append((node, True))
            waiting.extend((part, False) for _, parts in node.groups for part in parts)


def _key_of(node: _Node) -> bytes:
    digest = hashlib.sha256(f"{node.op} {len(node.literal)} ".encode() + node.literal)
    for op, parts in node.groups:
        keys = [part.key for part in parts]
        digest.update(f"{op} {len(keys)} ".encode() + b"".join(sorted(keys) if op in _UNORDERED else keys))
    return digest.digest()
