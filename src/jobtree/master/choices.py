"""What people choose to be cancelled or tried again: which targets that means in a tree, and why it can't be others.

Nothing is changed here: a live master and the command line on a stopped tree ask, and then record what they were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Cause
from ..resources import format_size
from . import records as r
from .nodes import Form, Node, Phase, Run
from .tree import Tree


@dataclass(slots=True)
class Choice:
    """``targets`` are those that the records concern; ``refused`` says of others why they can't be meant."""

    records: list[r.Record] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """As a client is told."""
        return {"targets": self.targets, "refused": [[target, words] for target, words in self.refused.items()]}


def to_cancel(tree: Tree, targets: Iterable[int], at: float) -> Choice:
    """Cancel targets with all below them; a founder stands for its chain."""
    choice = Choice()
    for target in dict.fromkeys(targets):
        found = find(tree, target)
        if found is None:
            choice.refused[target] = absence(tree, target)
        elif found.phase is Phase.CANCELLED:
            choice.refused[target] = "it is cancelled already"
        else:
            choice.targets.append(target if isinstance(found, Run) else found.id)
    choice.records += [r.SubtreesCancelled(at, list(some)) for some in r.batched(choice.targets, r.MOST_LISTED)]
    return choice


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which targets are to be tried again: those named, else all that have failed, of a cause and a name.

    ``memory`` is what they are to ask for from then on, in bytes; ``factor`` multiplies what they have asked for.
    """

    targets: Sequence[int] = ()
    cause: str = ""
    name: str = ""
    memory: int | None = None
    factor: float | None = None


def to_retry(tree: Tree, wanted: Wanted, at: float, default_memory: int) -> Choice:
    """Try targets again: what has failed, or what was cancelled if it is named (or its cause is)."""
    choice = Choice()
    chosen = _named(tree, wanted, choice) if wanted.targets else _all(tree, wanted)
    groups: dict[int | None, list[int]] = {}
    for target, what in chosen.items():
        if not _can_go_on(what):
            choice.refused[target] = "what it belongs to has ended without it"
            continue
        groups.setdefault(_memory_of(what.form, wanted, default_memory), []).append(target)
    for memory, targets in groups.items():
        choice.targets += targets
        choice.records += [r.TargetsRetried(at, list(some), memory) for some in r.batched(targets, r.MOST_LISTED)]
    return choice


def find(tree: Tree, target: int) -> Node | Run | None:
    """Where a target stands, if it has not ended; for a founder that has, what its chain is at."""
    node = tree.nodes.get(target)
    if node is not None:
        return node
    run = tree.runs.find(target)
    if run is not None:
        return run
    return next((node for node in tree.nodes.values() if node.chain == target and node.id != target), None)


def absence(tree: Tree, target: int) -> str:
    """Why a target can't be found."""
    return "it is done" if 0 < target < tree.next_id else "there is no such target"


def _all(tree: Tree, wanted: Wanted) -> dict[int, Node | Run]:
    """By default not what was cancelled: that is only tried again when somebody says so."""
    found: dict[int, Node | Run] = {}
    if wanted.cause == Cause.CANCELLED:
        found = {node.id: node for node in tree.nodes.values() if node.phase is Phase.CANCELLED}
        found.update((run.parent.id, run.parent) for run in tree.runs if run.withdrawn and not wanted.name)
    else:
        nodes = [tree.nodes.get(target) for target, why in tree.failed.items() if wanted.cause in ("", why["cause"])]
        found = {node.id: node for node in nodes if node is not None and node.phase is Phase.FAILED}
    return {target: what for target, what in found.items() if wanted.name in ("", what.form.name)}


def _named(tree: Tree, wanted: Wanted, choice: Choice) -> dict[int, Node | Run]:
    """Those named, or what has failed below them."""
    found: dict[int, Node | Run] = {}
    for target in dict.fromkeys(wanted.targets):
        what = find(tree, target)
        if what is None:
            choice.refused[target] = absence(tree, target)
        elif what.phase in (Phase.FAILED, Phase.CANCELLED):
            found[target if isinstance(what, Run) else what.id] = what
        elif isinstance(what, Node) and (below := _lost_below(tree, what)):
            found.update(below)
        else:
            choice.refused[target] = f"it has not failed: it is {what.phase.name.lower()}"
    causes = {target: tree.failed.get(target, {}).get("cause", Cause.CANCELLED.value) for target in found}
    return {target: what for target, what in found.items() if wanted.cause in ("", causes[target])}


def _lost_below(tree: Tree, top: Node) -> dict[int, Node | Run]:
    """What has failed or was cancelled below a target, and is why it can't go on; itself for what it has many of."""
    lost: list[Node | Run] = [node for node in tree.nodes.values() if node.phase in (Phase.FAILED, Phase.CANCELLED)]
    lost += [run for run in tree.runs if run.withdrawn]
    found: dict[int, Node | Run] = {}
    for what in lost:
        above = what.parent
        while above is not None and above is not top:
            above = above.parent
        if above is top:
            found[top.id if isinstance(what, Run) else what.id] = top if isinstance(what, Run) else what
    return found


def _can_go_on(what: Node | Run) -> bool:
    """Whether nothing above it has ended without it."""
    above = what.parent
    while above is not None:
        if above.phase is Phase.DONE:
            return False
        above = above.parent
    return True


def _memory_of(form: Form, wanted: Wanted, default_memory: int) -> int | None:
    if wanted.memory is not None:
        return wanted.memory
    if wanted.factor is not None:
        return int((form.requests.get("memory") or default_memory) * wanted.factor)
    return None


def words_of(choice: Choice, verb: str) -> str:
    """What was chosen, for the log."""
    memory = {record.memory for record in choice.records if isinstance(record, r.TargetsRetried)} - {None}
    more = f", with {format_size(max(size for size in memory if size is not None))} of memory at most" if memory else ""
    count = len(choice.targets)
    return f"{count:,} {'target is' if count == 1 else 'targets are'} {verb}{more}, as a user has asked"
