"""Cancelling and bringing back: what becomes of a target's subtree when people, or a target, say that it is not wanted.

Two ways, and one scan for what lies below (the nodes know their parents only):

* *Withdrawn*, by hand: all that is left of the subtree becomes CANCELLED and stays, so that it can be brought back as it was. For
  its ancestors it is as good as failed. What has been committed is kept; a target that waits for its children (``open`` of them)
  waits again when one of them comes back.
* *Dropped*, by ``target.cancel``, or by hand where failure is allowed: the chain ends at once, whoever was promised its result is
  told so, and nothing of it stays.
"""

from __future__ import annotations

from typing import Any

from .nodes import Form, Node, Phase, Run, is_in_place, promised, why_cancelled
from .promises import release
from .upward import Upward


class Withdrawal(Upward):
    """The part of the tree's state that cancelling and retrying change."""

    def __init__(self) -> None:
        super().__init__()
        # What a turn's records have led to, for the state to act on and clear.
        self.revoked: list[Node] = []  # an attempt of these was running, and is not wanted any more
        self.unqueued: list[tuple[Form, int]] = []  # so many targets of a form were ready in a run, and are not any more

    def _end_attempt(self, epoch: int, number: int) -> Node:
        raise NotImplementedError

    def _never_again(self, epoch: int, number: int) -> None:
        raise NotImplementedError

    def _make_ready(self, node: Node, at: float) -> None:
        raise NotImplementedError

    # -- cancelling -----------------------------------------------------------------------------------------------

    def withdraw(self, top: Node, at: float) -> None:
        """Cancel a target with all below it, by hand."""
        if top.phase is Phase.CANCELLED:
            return
        if is_in_place(top) and top.parent is not None and self.tolerates(top):
            self.drop(top, at)
        else:
            self._withdraw(top, at)

    def _withdraw(self, top: Node, at: float) -> None:
        why = why_cancelled(top)
        nodes, runs = self._below(top)
        for node in nodes:
            if is_in_place(node) and not node.stuck_flag:
                self._note_stuck(node, why)
        for run in runs:
            self._withdraw_run(run, why)
        for node in (top, *nodes):
            self._stop(node)
            self._move(node, Phase.CANCELLED)
        if top.follow is not None:
            self._move(top.follow, Phase.CANCELLED)
        self.failed[top.id] = why
        if is_in_place(top):
            self._go_up(top, why, at)

    def drop(self, top: Node, at: float) -> None:
        """End the chain that ``top`` is in at once, with all below it; its promise gives a ``Cancelled``."""
        if top.stuck_flag:
            self._free(top)
        nodes, runs = self._below(top) if top.open else ([], [])
        for run in runs:
            self._unqueue(run)
            run.form.tally[run.phase] -= run.count
            run.form.tally[Phase.CANCELLED] += run.count
            self.runs.remove(run)
        for node in (top, *nodes):
            self._stop(node)
            self._forget_needs(node)
            self._move(node, Phase.CANCELLED)
            if node.chain == node.id and (node.temp is not None or node.littered) and node is not top:
                self.ended_chains.append(node.chain)
            self.spans.pop(node.id, None)
            if node is not top:
                del self.nodes[node.id]
                self.whys.pop(node.id, None)
                self.places.pop(node.chain, None)
        if top.follow is not None:
            self._forget_needs(top.follow)
        top.tolerant, top.open, top.stuck = True, 0, 0
        self._go_up(top, why_cancelled(top), at)

    def _stop(self, node: Node) -> None:
        """Whatever it is at is over."""
        self.failed.pop(node.id, None)
        if node.phase is not Phase.RUNNING:
            return
        self._never_again(*node.attempt)
        self._end_attempt(*node.attempt)
        node.begun += 1
        node.littered = True
        self.revoked.append(node)

    def _forget_needs(self, node: Node) -> None:
        """Nobody will run it: what it would have needed can go."""
        if node.takes is not None:
            self.unneeded += release(node.takes)
            node.takes = None
        if node.blob is not None and not node.open:  # else it was committed, and its payload is gone
            self.unneeded.append((node.creator.epoch, node.creator.number, str(node.n)))

    def _note_stuck(self, node: Node, why: dict[str, Any]) -> None:
        parent = node.parent
        assert parent is not None
        node.stuck_flag = True
        parent.stuck += 1
        self.whys.setdefault(parent.id, why)
        self._block_takers(parent, node.founder_n)

    def _withdraw_run(self, run: Run, why: dict[str, Any]) -> None:
        if run.withdrawn:
            return
        self._unqueue(run)
        run.form.tally[Phase.READY] -= run.count
        run.form.tally[Phase.CANCELLED] += run.count
        run.parent.stuck += run.count
        self.whys.setdefault(run.parent.id, why)
        for n in promised(run):
            self._block_takers(run.parent, n)
        self.runs.replace(run, withdrawn=True)

    def _unqueue(self, run: Run) -> None:
        if not run.withdrawn and not any(what is run for what in self.fresh):
            self.unqueued.append((run.form, run.count))

    def _below(self, top: Node) -> tuple[list[Node], list[Run]]:
        """All that is left below ``top``; held follow-ons are among the nodes."""
        if not top.open:
            return [], []
        inside: dict[int, bool] = {top.id: True}
        nodes = [node for node in self.nodes.values() if node is not top and _is_inside(node.parent, inside)]
        return nodes, [run for run in self.runs if _is_inside(run.parent, inside)]

    # -- bringing back --------------------------------------------------------------------------------------------

    def revive(self, top: Node, at: float) -> None:
        """A target is wanted again, with all below it that is cancelled."""
        nodes, runs = self._below(top)
        for run in runs:
            if run.withdrawn:
                self._revive_run(run, at)
        for node in (*nodes, top):
            if node.phase is Phase.CANCELLED:
                self._revive_one(node, at)

    def _revive_run(self, run: Run, at: float) -> None:
        run = self.runs.replace(run, withdrawn=False)
        run.ready_at = at
        run.form.tally[Phase.CANCELLED] -= run.count
        run.form.tally[Phase.READY] += run.count
        self.fresh.append(run)
        for n in promised(run):
            for taker in self._unblock_takers(run.parent, n):
                self._free(taker)
        run.parent.stuck -= run.count
        self._free(run.parent)

    def _revive_one(self, node: Node, at: float) -> None:
        self.failed.pop(node.id, None)
        node.tries = node.losses = node.grown = 0
        if not is_in_place(node):
            self._move(node, Phase.HELD)
        elif node.open:
            self._wait_again(node)
        elif node.vain:
            self._move(node, Phase.BLOCKED)
        else:
            if node.waits:
                self._move(node, Phase.HELD)
            else:
                self._make_ready(node, at)
            self._free(node)


def _is_inside(node: Node | None, inside: dict[int, bool]) -> bool:
    """Whether a node is among, or below, those that are known to be inside; remembers it for the next one."""
    path = []
    while node is not None and node.id not in inside:
        path.append(node.id)
        node = node.parent
    answer = node is not None and inside[node.id]
    inside.update(dict.fromkeys(path, answer))
    return answer
