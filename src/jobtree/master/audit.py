"""What must hold between two records: counts and counters of the tree, worked out anew from its nodes and compared."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .ledger import Ledger
from .nodes import Node, Phase, Slot, promised
from .tree import Tree

#: Phases of which every target is in memory.
_COUNTED = (Phase.HELD, Phase.READY, Phase.RUNNING, Phase.WAITING)
_STUCK = (Phase.FAILED, Phase.CANCELLED, Phase.BLOCKED)


def audit(tree: Tree) -> str:
    """What is wrong with a tree, in words; empty if nothing is. Takes time in proportion to the tree: for tests."""
    return _phases(tree) or _attempts(tree) or _counters(tree) or _waits(tree) or _outcome(tree)


def _phases(tree: Tree) -> str:
    found = Counter(node.phase for node in tree.nodes.values())
    for run in tree.runs:
        if run.count < 1:
            return f"an empty run at {run.first}"
        found[run.phase] += run.count
    found[Phase.PROVISIONAL] = sum(piece.size for node in tree.current.values() for piece in node.pieces or ())
    counts = tree.counts()
    for phase in (*_COUNTED, Phase.PROVISIONAL):
        if counts[phase] != found[phase]:
            return f"{found[phase]} targets are {phase.name}, and {counts[phase]} are counted so"
    for phase, count in counts.items():
        if count < found[phase]:
            return f"{found[phase]} targets are {phase.name}, and only {count} are counted so"
    if any(count < 0 for tally in tree.tallies.values() for count in tally):
        return "a tally is below zero"
    return "" if sum(counts.values()) < tree.next_id else "more targets are counted than were created"


def _attempts(tree: Tree) -> str:
    for attempt, node in tree.current.items():
        if node.phase is not Phase.RUNNING or node.attempt != attempt or tree.nodes.get(node.id) is not node:
            return f"{node} is not what runs as {attempt}"
        if node.created != sum(piece.size for piece in node.pieces or ()):
            return f"{node} has created {node.created} targets, and its pieces say otherwise"
    running = sum(node.phase is Phase.RUNNING for node in tree.nodes.values())
    return "" if running == len(tree.current) else f"{running} targets run, in {len(tree.current)} attempts"


def _counters(tree: Tree) -> str:
    """How many chains of its children each target waits for, and how many of them can't go on."""
    opened: Counter[int] = Counter()
    stuck: Counter[int] = Counter()
    follows = {node.follow.id for node in tree.nodes.values() if node.follow is not None}
    if tree.root is not None:
        opened[tree.root.id] += tree.door
    for run in tree.runs:
        opened[run.parent.id] += run.count
        stuck[run.parent.id] += run.count * run.withdrawn
    for node in tree.nodes.values():
        if node.id not in follows and node.parent is not None:
            opened[node.parent.id] += 1
            stuck[node.parent.id] += node.stuck_flag
    for node in tree.nodes.values():
        if (node.open, node.stuck) != (opened[node.id], stuck[node.id]):
            return f"{node} notes {node.open} open and {node.stuck} stuck, there are {opened[node.id]} and {stuck[node.id]}"
        if node.parent is not None and node.id not in follows and node.stuck_flag != _is_stuck(node):
            return f"{node} is noted as {'' if node.stuck_flag else 'not '}stuck, and it is not so"
        if node.phase is Phase.WAITING and not node.open:
            return f"{node} waits for nothing"
    return ""


def _is_stuck(node: Node) -> bool:
    return node.phase in _STUCK or (node.phase is Phase.WAITING and node.open == node.stuck)


def _waits(tree: Tree) -> str:
    """How many chains of siblings each taker waits for, and how many of them in vain."""
    waits: Counter[int] = Counter()
    vain: Counter[int] = Counter()
    stuck = {(node.parent.id, node.founder_n) for node in tree.nodes.values() if node.stuck_flag and node.parent is not None}
    stuck |= {(run.parent.id, n) for run in tree.runs if run.withdrawn for n in promised(run)}
    parents = {node.parent.id: node.parent for node in tree.nodes.values() if node.parent is not None}
    for parent in parents.values():  # some have failed softly and are in the tree no more, with what waits below them
        for n, watch in (parent.promises or {}).items():
            for taker in watch.takers:
                waits[taker.id] += 1
                vain[taker.id] += (parent.id, n) in stuck
    for node in tree.nodes.values():
        if node.phase not in (Phase.HELD, Phase.BLOCKED):
            continue
        if (node.waits, node.vain) != (waits[node.id], vain[node.id]):
            return f"{node} notes {node.waits} waits, {node.vain} in vain; there are {waits[node.id]} and {vain[node.id]}"
        if (node.vain > 0) != (node.phase is Phase.BLOCKED):
            return f"{node} waits for {node.vain} stuck chains"
    return ""


def _outcome(tree: Tree) -> str:
    if tree.outcome == "complete":
        return f"the run is complete, and {len(tree.nodes)} targets are not done" if tree.nodes else ""
    if tree.root is None:
        return ""
    failed = _is_stuck(tree.root)
    return "" if failed == (tree.outcome == "failed") else f"the root is {tree.root}, the outcome {tree.outcome}"


def dump(tree: Tree, ledger: Ledger) -> list[str]:
    """All that is durable, in one order: equal lists mean equal states."""
    lines = [f"epoch {tree.epoch} records {tree.records} next {tree.next_id}, {tree.next_number} keep_going {tree.keep_going}"]
    lines += [f"outcome {tree.outcome} root {tree.root} result {_slot(tree.result, {})}"]
    lines += [f"tally {name} {tally}" for name, tally in sorted(tree.tallies.items())]
    lines += [f"failed {target} {why}" for target, why in sorted(tree.failed.items())]
    lines += [f"code {sha} {source}" for sha, source in sorted(tree.codes.items())]
    for run in sorted(tree.runs, key=lambda run: run.first):
        values = {name: getattr(run, name) for name in run.__slots__ if name not in ("parent", "form")}
        lines.append(f"run of {run.parent} {run.form.name} {run.form.requests} {values}")
    lines += [f"spans {target} {places}" for target, places in sorted(tree.spans.items())]
    lines += [f"place {founder} {node}" for founder, node in sorted(tree.places.items())]
    lines += [_node(node) for _, node in sorted(tree.nodes.items())]
    lines += [f"runs as {attempt} {node}" for attempt, node in sorted(tree.current.items())]
    lines += [
        f"block {block.name} {block.n} {block.ids} {sorted(block.alive)} {sorted(block.came)} {block.known} {block.ended}"
        for _, block in sorted(ledger.blocks.items())
    ]
    lines += [f"worker {joined}" for _, joined in sorted(ledger.joined.items())]
    lines.append(f"planned {ledger.planned} last worker {ledger.last_worker}")
    return lines


_PLAIN = [
    name for name in Node.__slots__
    if name not in ("parent", "form", "follow", "promises", "slot", "takes", "pieces", "not_before")
]  # fmt: skip


def _node(node: Node) -> str:
    values = {name: getattr(node, name) for name in _PLAIN}
    pieces = [(piece.record, piece.first, piece.first_n, piece.size) for piece in node.pieces or ()]
    promises = [
        (n, _slot(watch.slot, {}), [taker.id for taker in watch.takers]) for n, watch in sorted((node.promises or {}).items())
    ]
    takes = [(key, _slot(slot, {})) for key, slot in node.takes or ()]
    above = node.parent.id if node.parent is not None else 0
    follow = node.follow.id if node.follow is not None else 0
    return (
        f"node {values} below {above} follow {follow} form {node.form.name} {node.form.tolerant} {node.form.requests} "
        f"slot {_slot(node.slot, {})} promises {promises} takes {takes} pieces {pieces}"
    )


def _slot(slot: Slot | None, seen: dict[int, int]) -> Any:
    if slot is None:
        return None
    if id(slot) in seen:
        return f"again {seen[id(slot)]}"
    seen[id(slot)] = len(seen)
    return (slot.kind, slot.argument, slot.source, slot.uses, [(key, _slot(embedded, seen)) for key, embedded in slot.embeds])
