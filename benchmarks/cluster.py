"""A cluster in numbers only: the master's real state and journal encoding, and nodes that take time by a clock of their own.

What is measured is the master's cpu time, turn by turn; sockets, the disk and the targets are not there.
"""

from __future__ import annotations

import gc
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.core import Settings
from jobtree.master.effects import Send, Step
from jobtree.master.journal import frames
from jobtree.master.ledger import Ledger
from jobtree.master.state import MasterState
from jobtree.master.tree import Tree
from jobtree.protocol.messages import Type

#: What one turn of the master takes in: all that happens within so many seconds of the cluster's time.
TURN_SECONDS = 0.005
#: ... but of no more ends of targets than this.
MOST_ENDS = 2000
PIECE = 1000
PAYLOAD = b"x" * 60

Attempt = tuple[int, int]


@dataclass(slots=True)
class Node:
    """One worker: what it runs, and what it was given beyond that."""

    peer: int
    slots: int
    running: int = 0
    queue: deque[tuple[Attempt, int]] = field(default_factory=deque)
    sent: int = 0


@dataclass
class Cluster:
    """``seconds`` says how long a target takes, by its id."""

    seconds: Callable[[int], float]
    target_time: float = 0.2
    turns: list[float] = field(default_factory=list)  # seconds of cpu of each
    done: int = 0
    records: int = 0
    bytes: int = 0  # of the journal
    now: float = 1000.0

    def __post_init__(self) -> None:
        settings = Settings(run="run", version="1", python="3", workers=0, target_time=self.target_time)
        self.nodes: dict[int, Node] = {}
        self._events: list[tuple[float, int, Node, Attempt]] = []
        self._order = 0
        self.state = MasterState(Tree(), Ledger(), settings, self.now)
        root = r.TargetsCreated([1], b"r", self.now, 0, 0, 1, 1, [["root", None, {}]], [0, 1], {})
        opening = [r.RunDescribed(self.now, {}), r.EpochBegan(self.now, 1, "host", 1, {}), root]
        self._perform(self.state.begin(opening, self.now))

    def join(self, count: int, slots: int, memory: int) -> None:
        """So many nodes say HELLO, a hundred in a turn."""
        for some in _batched(range(1, count + 1), 100):
            hellos: list[happened.Event] = []
            for peer in some:
                self.nodes[peer] = Node(peer, slots)
                about = {
                    "version": "1", "python": "3", "run": "run", "uid": f"u{peer}", "block": "", "index": 0, "host": f"h{peer}",
                    "pid": 1, "cpus": float(slots), "memory": memory, "gpus": 0.0, "left": 0.0, "seen": [0, 0], "held": [],
                }  # fmt: skip
                hellos.append(happened.Hello(peer, 0, 1, about))
            self.turn(hellos)

    def fan_out(self, forms: list[list[Any]], count: int) -> None:
        """The root creates so many children, in turn of the forms (stretches of them in each piece), and ends."""
        self.seconds, real = (lambda target: 1e9), self.seconds
        attempt, node = (1, 1), next(node for node in self.nodes.values() if node.running)
        for first in range(1, count + 1, PIECE):
            size = min(PIECE, count + 1 - first)
            runs = _runs(size, len(forms), first // PIECE)
            used = [forms[index] for index in runs[::2]]
            wire = [part for place, amount in enumerate(runs[1::2]) for part in (place, amount)]
            piece = [*attempt, first, used, wire, {}, [len(PAYLOAD)] * size]
            self.turn([self._said(node, Type.CHILDREN, [[], [piece]], PAYLOAD * size)])
        self._events = [event for event in self._events if event[3] != attempt]
        node.running -= 1
        self.seconds = real
        self.turn([self._said(node, Type.DONE, [[_row(attempt, count, 0.1)], [0]])])

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until nothing runs any more."""
        while self._events and not until():
            self.now = max(self.now + TURN_SECONDS, self._events[0][0])
            ended: dict[int, list[list[Any]]] = {}
            taken = 0
            while self._events and self._events[0][0] <= self.now and taken < MOST_ENDS:
                taken += 1
                _, _, node, attempt = heapq.heappop(self._events)
                node.running -= 1
                self.done += 1
                ended.setdefault(node.peer, []).append(_row(attempt, 0, self.seconds(0)))
                self._start(node)
            self.turn([self._said(self.nodes[peer], Type.DONE, [rows, [0] * len(rows)]) for peer, rows in ended.items()])

    def turn(self, events: list[happened.Event]) -> None:
        """One turn of the master, timed; then the nodes get what it sends."""
        begun = time.process_time()
        step = self.state.step(events, self.now)
        encoded = [r.encode(record) for record in step.records]
        written = frames.encode(encoded, 0, sequence=0, durable=0, previous=0, seed=0)
        self.turns.append(time.process_time() - begun)
        self.records += len(encoded)
        self.bytes += sum(len(frame.frame) for frame in written)
        self._perform(step)
        if self.state.core.scheduler.unsettled:  # the real loop goes on at once, too
            self.turn([])

    def _perform(self, step: Step) -> None:
        for effect in step.effects:
            if isinstance(effect, Send) and effect.type is Type.RUN:
                node = self.nodes[effect.peer]
                for number, target, count, *_ in effect.body[1]:
                    node.queue.extend(((1, number + at), target + at) for at in range(count))
                self._start(node)
            elif isinstance(effect, Send) and effect.type is Type.RECALL:
                node = self.nodes[effect.peer]
                wanted = {tuple(attempt) for attempt in effect.body[0]}
                back = [list(attempt) for attempt, _ in node.queue if attempt in wanted]
                node.queue = deque(item for item in node.queue if item[0] not in wanted)
                self.turn([self._said(node, Type.RETURNED, [back, False])])

    def _start(self, node: Node) -> None:
        while node.queue and node.running < node.slots:
            attempt, target = node.queue.popleft()
            node.running += 1
            self._order += 1
            heapq.heappush(self._events, (self.now + self.seconds(target), self._order, node, attempt))

    def _said(self, node: Node, kind: Type, body: list[Any], data: bytes = b"") -> happened.Received:
        node.sent += 1
        return happened.Received(node.peer, kind, node.sent, body, data)


@contextmanager
def quiet_gc() -> Iterator[None]:
    """As in the master's loop: no collections in the middle of a turn."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _row(attempt: Attempt, created: int, wall: float) -> list[Any]:
    return [*attempt, "", created, 0, None, None, 1000.0, wall, wall, 0.0, 30_000_000, None, None]


def _runs(size: int, forms: int, offset: int) -> list[int]:
    """``[form, count, ...]`` that cover a piece, beginning with another form in each piece."""
    each = max(1, size // forms)
    runs: list[int] = []
    left, index = size, offset * (size // each)
    while left:
        amount = min(each, left)
        runs += (index % forms, amount)
        index += 1
        left -= amount
    return runs


def _batched(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
