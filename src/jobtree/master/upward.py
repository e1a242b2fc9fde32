"""What follows when a target has ended, upward and sideways: follow-ons, chains, siblings that wait, and what can't go on.

Three rules stand here: a follow-on takes its predecessor's place among the parent's open children, so a chain counts as one; a
chain that can't go on is *stuck*, and so is a target all of whose open children's chains are; a tolerant chain that is stuck ends
all the same. Nothing is recursive: what a step leads to is put on a list and worked off.
"""

from __future__ import annotations

from typing import Any

from .nodes import Node, Phase, Run, Slot, why_cancelled
from .promises import Blob, break_
from .runs import Runs


class Upward:
    """The part of the tree's state that ends of targets change; ``Tree`` adds how targets come to be and to their ends."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.result = Slot()
        self.outcome: str | None = None  # complete | failed, once the root's chain has ended or is stuck
        self.keep_going = False
        self.door = 0  # 1: this is a session, and clients may submit targets; it counts among the root's open children
        self.submitted = 0  # the n of the last target that was submitted
        self.nodes: dict[int, Node] = {}  # all targets that are more than one of many, and not done
        self.runs = Runs()  # the others that are ready
        self.failed: dict[int, dict[str, Any]] = {}  # by id: why
        self.spans: dict[int, list[tuple[int, int, int]]] = {}  # by id: (first n, first id, count) of children that may be named
        self.places: dict[int, Node] = {}  # by the founder's id: where such a child's chain is, if it has gone on
        # What a turn's records have led to, for the state to act on and clear.
        self.answers: list[tuple[int, int, Slot]] = []  # in a session: n, id and result of what was submitted and has ended
        self.fresh: list[Run | Node] = []  # ready from now on
        self.ended_chains: list[int] = []  # chains whose global temp dirs are to go
        self.unneeded: list[Blob] = []  # blobs that nobody will read any more
        self.whys: dict[int, dict[str, Any]] = {}  # by id: what failed first below it, and can't go on

    def tolerates(self, node: Node) -> bool:
        """Whether the chain of ``node`` ends all the same when it is stuck."""
        if node.tolerant is not None:
            return node.tolerant
        return self.keep_going and node.parent is not None and node.parent.chain == self._root_id()

    def _go_up(self, node: Node, why: dict[str, Any] | None, at: float) -> None:
        """``node`` has no open children left (``why`` is None), or its chain can't go on; settle that, and all it leads to."""
        todo = [(node, why)]
        while todo:
            node, why = todo.pop()
            if why is None:
                follow = self._finish(node, at)
                if follow is not None:
                    if follow.phase is Phase.CANCELLED:
                        todo.append((follow, why_cancelled(follow)))
                    continue
                parent = self._end_chain(node, at)
            elif node.parent is None:
                self._end_run("failed")
                continue
            elif node.stuck_flag:
                continue
            elif self.tolerates(node):
                self._fail_softly(node, why)
                parent = self._end_chain(node, at)
            else:
                parent = node.parent
                node.stuck_flag = True
                parent.stuck += 1
                self.whys.setdefault(parent.id, why)
                todo += [(taker, why) for taker in self._block_takers(parent, node.founder_n)]
            if parent is None or parent.phase is not Phase.WAITING or parent.open != parent.stuck:
                continue
            todo.append((parent, None) if not parent.open else (parent, why or self.whys.get(parent.id, _FAILED_BELOW)))

    def _finish(self, node: Node, at: float) -> Node | None:
        """``node`` is done; its follow-on, if it has one, takes its place."""
        tally = node.form.tally
        tally[node.phase] -= 1
        tally[Phase.DONE] += 1
        node.phase = Phase.DONE
        self.nodes.pop(node.id, None)
        if self.spans:
            self.spans.pop(node.id, None)
        follow = node.follow
        if follow is None:
            return None
        follow.chain = node.chain
        follow.founder_n = node.founder_n
        follow.tolerant = node.tolerant
        follow.temp = node.temp
        follow.littered = node.littered
        follow.ready_at = at
        if node is self.root:
            self.root = follow
        node.follow = None
        if self.spans and node.parent is not None and node.parent.id in self.spans:
            self.places[follow.chain] = follow
        if follow.phase is not Phase.CANCELLED:
            self._move(follow, Phase.READY)
            self.fresh.append(follow)
        return follow

    def _end_chain(self, node: Node, at: float) -> Node | None:
        """The chain that ``node`` closes has ended: siblings that waited for it go on; the parent has one open child less."""
        if node.temp is not None or node.littered:
            self.ended_chains.append(node.chain)
        if self.places:
            self.places.pop(node.chain, None)
        parent = node.parent
        if parent is None:
            self._end_run("complete")
            return None
        parent.open -= 1
        watch = parent.promises.pop(node.founder_n, None) if parent.promises is not None else None
        if watch is not None and watch.slot is not None and parent is self.root and self.submitted:
            self.answers.append((node.founder_n, node.chain, watch.slot))
        for taker in watch.takers if watch is not None else ():
            taker.waits -= 1
            if not taker.waits and taker.phase is Phase.HELD:
                taker.ready_at = at
                self._move(taker, Phase.READY)
                self.fresh.append(taker)
        return parent

    def _end_run(self, outcome: str) -> None:
        self.outcome = outcome
        if outcome == "failed":
            return
        # What is left lies in subtrees whose failure was allowed, or that were cancelled: nothing of it will ever run.
        for node in self.nodes.values():
            if node.phase not in (Phase.FAILED, Phase.CANCELLED):
                self._move(node, Phase.CANCELLED)
        for run in self.runs:
            run.form.tally[run.phase] -= run.count
            run.form.tally[Phase.CANCELLED] += run.count
        for rest in (self.nodes, self.runs, self.spans, self.places):
            rest.clear()

    def _fail_softly(self, node: Node, why: dict[str, Any]) -> None:
        """A tolerant chain is stuck: whoever was promised its result gets the failure instead."""
        parent = node.parent
        watch = parent.promises.get(node.founder_n) if parent is not None and parent.promises else None
        slot = watch.slot if watch is not None else None
        if slot is not None:
            self.unneeded += break_(slot, why)
        follow, node.follow = node.follow, None
        if follow is not None:
            self._move(follow, Phase.CANCELLED)
            self.nodes.pop(follow.id, None)
        if node.phase is Phase.WAITING:
            self._move(node, Phase.DONE)  # its own work is done; what failed lies below it
        self.nodes.pop(node.id, None)
        self.whys.pop(node.id, None)

    def _block_takers(self, parent: Node, founder_n: int) -> list[Node]:
        watch = parent.promises.get(founder_n) if parent.promises else None
        blocked = []
        for taker in watch.takers if watch is not None else ():
            taker.vain += 1
            if taker.phase is Phase.HELD:
                self._move(taker, Phase.BLOCKED)
                blocked.append(taker)
        return blocked

    def _free(self, node: Node) -> None:
        """The chain of ``node`` may go on again, and with it all that was stuck because of it."""
        if self.outcome == "failed":
            self.outcome = None
        todo = [node]
        while todo:
            node = todo.pop()
            if node.phase is Phase.CANCELLED and node.open:
                self._wait_again(node)
            parent = node.parent
            if parent is None or not node.stuck_flag:
                continue
            node.stuck_flag = False
            parent.stuck -= 1
            if not parent.stuck:
                self.whys.pop(parent.id, None)
            todo.append(parent)
            todo += self._unblock_takers(parent, node.founder_n)

    def _unblock_takers(self, parent: Node, founder_n: int) -> list[Node]:
        """A chain goes on: those of its takers that may hope again."""
        watch = parent.promises.get(founder_n) if parent.promises else None
        hopeful = []
        for taker in watch.takers if watch is not None else ():
            taker.vain -= 1
            if not taker.vain and taker.phase is Phase.BLOCKED and taker.id in self.nodes:
                self._move(taker, Phase.HELD)
                hopeful.append(taker)
        return hopeful

    def _wait_again(self, node: Node) -> None:
        """It was cancelled while it waited for its children, and one of them has been brought back."""
        self._move(node, Phase.WAITING)
        self.failed.pop(node.id, None)
        if node.follow is not None and node.follow.phase is Phase.CANCELLED:
            self._move(node.follow, Phase.HELD)
            self.failed.pop(node.follow.id, None)

    def _move(self, node: Node, phase: Phase) -> None:
        tally = node.form.tally
        tally[node.phase] -= 1
        tally[phase] += 1
        node.phase = phase

    def _root_id(self) -> int:
        return self.root.chain if self.root is not None else 0


_FAILED_BELOW: dict[str, Any] = {"name": "", "id": 0, "cause": "exception", "message": "all that was left to do had failed"}
