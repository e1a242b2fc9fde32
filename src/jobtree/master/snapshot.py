"""The durable state as a list of plain items, and back: what a snapshot holds beside the payloads that are still needed.

An item is a list of a word and plain values. Objects are named by their number in the order of their items: forms, slots and
nodes each count from 0. A node's item stands behind its parent's; what else points from node to node follows after all nodes.
Nothing here is recursive, and items come one by one, so a large tree never has to stand in memory twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from ..errors import JournalDamaged
from ..ids import NOBODY, Attempt
from ..protocol.messages import VALUE_INLINE
from . import records as r
from .ledger import Block, Ledger
from .nodes import Form, Node, Phase, Piece, Run, Slot, Source
from .promises import watch_of
from .tree import Tree

Item: TypeAlias = list[Any]
#: Payloads that are still needed: a record, the first place in it, and how many.
Span: TypeAlias = tuple[int, int, int]

_TREE = ("about", "options", "epoch", "next_id", "next_number", "records", "keep_going", "outcome",
         "epochs", "forgiven", "intact", "door", "submitted")  # fmt: skip
_LINKED = frozenset({"parent", "form", "follow", "promises", "slot", "takes", "pieces"})
_NODE = tuple(name for name in Node.__slots__ if name not in _LINKED)
_RUN = tuple(name for name in Run.__slots__ if name not in ("parent", "form"))
_SLOT = ("kind", "argument", "source", "size", "attempt", "spilled", "uses")
_JOINED = tuple(field.name for field in fields(r.WorkerJoined))
_BLOCK = tuple(field.name for field in fields(Block))
#: What the values of an item are, for readers of another version.
_FIELDS = {"tree": _TREE, "slot": _SLOT, "node": _NODE, "run": _RUN, "block": _BLOCK, "joined": _JOINED}
_KNOWN = {kind: frozenset(names) for kind, names in _FIELDS.items()}
_NOTHING = -1


def items(tree: Tree, ledger: Ledger) -> Iterator[Item]:
    """All that a tree and its ledger hold between two records."""
    yield ["fields", _FIELDS]
    yield ["tree", *(getattr(tree, name) for name in _TREE)]
    yield from (["tally", name, tally] for name, tally in tree.tallies.items())
    yield from (["failed", target, why] for target, why in tree.failed.items())
    yield from (["why", target, why] for target, why in tree.whys.items())
    yield from (["spans", target, places] for target, places in tree.spans.items())
    yield from (["code", sha, source] for sha, source in tree.codes.items())
    yield from _Written(tree).items()
    yield ["ledger", ledger.planned, ledger.last_worker]
    for block in ledger.blocks.values():
        yield ["block", *(_plain(getattr(block, name)) for name in _BLOCK)]
    for joined in ledger.joined.values():
        yield ["joined", *(getattr(joined, name) for name in _JOINED)]


def restore(found: Iterable[Item], tree: Tree) -> Ledger:
    """Put what items tell of into an empty tree, and a ledger; raises JournalDamaged if they are not of this version."""
    reading = _Reading(tree)
    try:
        for kind, *values in found:
            reading.take[kind](*values)
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise JournalDamaged(f"a snapshot of the journal was written by another version of jobtree ({problem!r})") from problem
    return reading.ledger


def spans(tree: Tree) -> list[Span]:
    """The payloads that the tree may still ask for, in the order of the journal, each once."""
    found = [(run.record, run.index, run.count) for run in tree.runs]
    found += [(*source, 1) for source in tree.codes.values()]
    slots = {id(tree.result): tree.result}
    for node in tree.nodes.values():
        found.append((*node.source, 1))
        found += [(piece.record, 0, piece.size) for piece in node.pieces or ()]
        slots.update((id(slot), slot) for slot in _slots_at(node))
    for slot in _with_embedded(slots.values()):
        if slot.source is not None and slot.kind == VALUE_INLINE:
            found.append((*slot.source, 1))
    found.sort()
    return list(_merged(found))


def named_blobs(tree: Tree) -> set[tuple[int, int, str]]:
    """The blobs that the tree may still ask for: the attempt that wrote each, and its name there."""
    found: set[tuple[int, int, str]] = set()
    slots = {id(tree.result): tree.result}
    for node in tree.nodes.values():
        if node.blob is not None:
            found.add((*node.creator, str(node.n)))
        for piece in node.pieces or ():
            found.update((*node.attempt, str(piece.first_n + index)) for index, extra in piece.extras.items() if extra[2])
        slots.update((id(slot), slot) for slot in _slots_at(node))
    found.update((*slot.attempt, "r") for slot in _with_embedded(slots.values()))
    return found


class _Written:
    """The nodes, slots and runs of a tree as items, each object numbered when it is first met."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._forms: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._nodes: dict[int, int] = {}
        self._objects: list[Node] = []

    def items(self) -> Iterator[Item]:
        tree = self._tree
        yield from self._slot_items()
        for node in tree.nodes.values():
            yield from self._with_parents(node)
        if tree.root is not None:
            yield from self._with_parents(tree.root)
        for run in tree.runs:
            yield from self._with_parents(run.parent)
        yield from self._links()
        for run in tree.runs:
            yield from self._form(run.form)
            values = (getattr(run, name) for name in _RUN)
            yield ["run", self._nodes[id(run.parent)], self._forms[id(run.form)], *values]
        if tree.root is not None:
            yield ["root", self._nodes[id(tree.root)]]
        yield from (["place", founder, self._nodes[id(node)]] for founder, node in tree.places.items())

    def _slot_items(self) -> Iterator[Item]:
        """All slots that anything in the tree holds, the root's result first."""
        found = {id(self._tree.result): self._tree.result}
        for node in _reachable(self._tree):
            found.update((id(slot), slot) for slot in _slots_at(node))
        slots = list(_with_embedded(found.values()))
        for slot in slots:
            self._slots[id(slot)] = len(self._slots)
            yield ["slot", *(getattr(slot, name) for name in _SLOT)]
        for slot in slots:
            yield from (["embeds", self._slots[id(slot)], key, self._slots[id(inner)]] for key, inner in slot.embeds)

    def _with_parents(self, node: Node) -> Iterator[Item]:
        """A node behind all above it that have not been written; those may be in the tree no more."""
        path = []
        above: Node | None = node
        while above is not None and id(above) not in self._nodes:
            path.append(above)
            above = above.parent
        for one in reversed(path):
            yield from self._form(one.form)
            self._nodes[id(one)] = len(self._nodes)
            self._objects.append(one)
            parent = self._nodes[id(one.parent)] if one.parent is not None else _NOTHING
            slot = self._slots[id(one.slot)] if one.slot is not None else _NOTHING
            is_in = self._tree.nodes.get(one.id) is one
            yield ["node", is_in, parent, self._forms[id(one.form)], slot, *(getattr(one, name) for name in _NODE)]

    def _form(self, form: Form) -> Iterator[Item]:
        if id(form) not in self._forms:
            self._forms[id(form)] = len(self._forms)
            yield ["form", form.name, form.tolerant, form.requests]

    def _links(self) -> Iterator[Item]:
        """What points from node to node; a node that only such a link leads to is written when it is met."""
        for number, node in enumerate(self._objects):  # grows meanwhile
            if node.follow is not None:
                yield from self._with_parents(node.follow)
                yield ["follow", number, self._nodes[id(node.follow)]]
            for key, slot in node.takes or ():
                yield ["takes", number, key, self._slots[id(slot)]]
            for n, watch in (node.promises or {}).items():
                yield ["watch", number, n, self._slots[id(watch.slot)] if watch.slot is not None else _NOTHING]
                for taker in watch.takers:
                    yield from self._with_parents(taker)
                    yield ["taker", number, n, self._nodes[id(taker)]]
            for piece in node.pieces or ():
                for form in piece.forms:
                    yield from self._form(form)
                yield ["piece", number, [self._forms[id(form)] for form in piece.forms], *piece._replace(forms=[])]


class _Reading:
    """The other way: each item makes its object, or ties two of them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.ledger = Ledger()
        self._forms: list[Form] = []
        self._slots: list[Slot] = []
        self._nodes: list[Node] = []
        self._fields: dict[str, list[str]] = {}
        self.take: dict[str, Callable[..., None]] = {
            "fields": self._fields.update,
            "tree": self._tree, "tally": self._tally, "failed": self._failed, "why": self._why,
            "spans": self._spans, "place": self._place, "code": self._code,
            "slot": self._slot, "embeds": self._embeds, "form": self._form, "node": self._node, "follow": self._follow,
            "takes": self._takes, "watch": self._watch, "taker": self._taker, "piece": self._piece, "run": self._run,
            "root": self._root, "ledger": self._ledger, "block": self._block, "joined": self._joined,
        }  # fmt: skip

    def _tree(self, *values: Any) -> None:
        self._fill("tree", self.tree, values)

    def _fill(self, kind: str, thing: object, values: Sequence[Any]) -> None:
        """Give an object its values, by the names that its writer had for them."""
        for name, value in zip(self._fields[kind], values, strict=True):
            if name in _KNOWN[kind]:
                setattr(thing, name, value)

    def _tally(self, name: str, tally: list[int]) -> None:
        self.tree.tallies[name] = tally

    def _failed(self, target: int, why: dict[str, Any]) -> None:
        self.tree.failed[target] = why

    def _why(self, target: int, why: dict[str, Any]) -> None:
        self.tree.whys[target] = why

    def _spans(self, target: int, places: list[list[int]]) -> None:
        self.tree.spans[target] = [(first_n, first, count) for first_n, first, count in places]

    def _place(self, founder: int, node: int) -> None:
        self.tree.places[founder] = self._nodes[node]

    def _code(self, sha: str, source: list[int]) -> None:
        self.tree.codes[sha] = Source(*source)

    def _slot(self, *values: Any) -> None:
        slot = Slot() if self._slots else self.tree.result
        self._fill("slot", slot, values)
        slot.attempt = Attempt(*slot.attempt)
        slot.source = Source(*slot.source) if slot.source is not None else None
        self._slots.append(slot)

    def _embeds(self, slot: int, key: list[int], inner: int) -> None:
        epoch, number, n = key
        self._slots[slot].embeds.append(((epoch, number, n), self._slots[inner]))

    def _form(self, *wire: Any) -> None:
        self._forms.append(self.tree.form(list(wire)))

    def _node(self, is_in: bool, parent: int, form: int, slot: int, *values: Any) -> None:
        above = self._nodes[parent] if parent != _NOTHING else None
        node = Node(0, above, self._forms[form], _NOWHERE, NOBODY, 0, 0)
        self._fill("node", node, values)
        node.slot = self._slots[slot] if slot != _NOTHING else None
        node.phase = Phase(node.phase)
        node.source, node.creator, node.attempt = Source(*node.source), Attempt(*node.creator), Attempt(*node.attempt)
        if node.over is not None:
            node.over = [(epoch, number) for epoch, number in node.over]
        self._nodes.append(node)
        if is_in:
            self.tree.nodes[node.id] = node
            if node.phase is Phase.RUNNING:
                self.tree.current[node.attempt.epoch, node.attempt.number] = node

    def _follow(self, node: int, follow: int) -> None:
        self._nodes[node].follow = self._nodes[follow]

    def _takes(self, node: int, key: list[int], slot: int) -> None:
        taker = self._nodes[node]
        epoch, number, n = key
        if taker.takes is None:
            taker.takes = []
        taker.takes.append(((epoch, number, n), self._slots[slot]))

    def _watch(self, node: int, n: int, slot: int) -> None:
        watch_of(self._nodes[node], n).slot = self._slots[slot] if slot != _NOTHING else None

    def _taker(self, node: int, n: int, taker: int) -> None:
        watch_of(self._nodes[node], n).takers.append(self._nodes[taker])

    def _piece(self, node: int, forms: list[int], *values: Any) -> None:
        creator, piece = self._nodes[node], Piece(*values)
        if creator.pieces is None:
            creator.pieces = []
        creator.pieces.append(piece._replace(forms=[self._forms[number] for number in forms]))

    def _run(self, parent: int, form: int, *values: Any) -> None:
        run = Run(self._nodes[parent], NOBODY, self._forms[form], 0, 0, 0, _NOWHERE, 0, 0.0)
        self._fill("run", run, values)
        run.creator = Attempt(*run.creator)
        self.tree.runs.add(run)

    def _root(self, node: int) -> None:
        self.tree.root = self._nodes[node]

    def _ledger(self, planned: int, last_worker: int) -> None:
        self.ledger.planned, self.ledger.last_worker = planned, last_worker

    def _block(self, *values: Any) -> None:
        block = Block("", 0)
        self._fill("block", block, values)
        block.alive, block.came = set(block.alive), set(block.came)
        block.note = (block.note[0], block.note[1], block.note[2]) if block.note is not None else None
        self.ledger.blocks[block.name] = block

    def _joined(self, *values: Any) -> None:
        joined = r.WorkerJoined(0.0, 0, "", "", 0, "", 0, 0.0, 0)
        self._fill("joined", joined, values)
        self.ledger.joined[joined.worker] = joined


_NOWHERE = Source(0, 0)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value


def _reachable(tree: Tree) -> Iterator[Node]:
    """Every node that something in the tree still points at, itself there or not."""
    seen: set[int] = set()
    todo = list(tree.nodes.values())
    todo += [tree.root] if tree.root is not None else []
    todo += [run.parent for run in tree.runs]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        todo += [near for near in (node.parent, node.follow) if near is not None]
        for watch in (node.promises or {}).values():
            todo += watch.takers


def _slots_at(node: Node) -> Iterator[Slot]:
    if node.slot is not None:
        yield node.slot
    for _, slot in node.takes or ():
        yield slot
    for watch in (node.promises or {}).values():
        if watch.slot is not None:
            yield watch.slot


def _with_embedded(slots: Iterable[Slot]) -> Iterator[Slot]:
    """These slots, and those inside them, each once."""
    seen: set[int] = set()
    todo = list(slots)
    todo.reverse()
    while todo:
        slot = todo.pop()
        if id(slot) not in seen:
            seen.add(id(slot))
            yield slot
            todo += [inner for _, inner in slot.embeds]


def _merged(found: list[Span]) -> Iterator[Span]:
    """Spans in order, those that touch or lie over each other made one."""
    last: Span | None = None
    for span in found:
        if last is not None and span[0] == last[0] and span[1] <= last[1] + last[2]:
            last = (last[0], last[1], max(last[2], span[1] + span[2] - last[1]))
        else:
            if last is not None:
                yield last
            last = span
    if last is not None:
        yield last
