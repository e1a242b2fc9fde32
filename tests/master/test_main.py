"""The loop's one promise: what leaves the master leaves after its cause is on disk."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from jobtree.master import records as r
from jobtree.master.effects import Effect, Send, Step
from jobtree.master.main import Clock, Master
from jobtree.master.state import MasterState, Outcome
from jobtree.protocol.messages import Type
from tests.support.journals import begin, new_disk
from tests.support.memory_files import MemoryFiles


class Diary(MemoryFiles):
    """A disk that notes when something is written and when it is synced."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        self.lines.append("written")
        return super().write(descriptor, data, offset)

    def sync_data(self, descriptor: int) -> None:
        self.lines.append("synced")
        super().sync_data(descriptor)


class Decided:
    """A state that has decided two things, one of which need not be on disk before it is told; then it ends."""

    outcome: Outcome | None = None
    deadline = None
    core = SimpleNamespace(settings=SimpleNamespace(lost_after=60.0))

    def begin(self, opening: list[r.Record], now: float) -> Step:
        return Step([r.RunDescribed(now, {})], _messages(Type.ACK), _messages(Type.BEAT), lazy=False)

    def step(self, events: list[Any], now: float) -> Step:
        self.outcome = Outcome("stopped", 143, "ended by a signal")
        return Step()


class Door:
    """All doors but the journal's: what passes is noted."""

    descriptors = ()
    heard_of = 0

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def send(self, peer: int, kind: Type, body: list[Any], data: bytes = b"") -> None:
        self.lines.append(kind.name)

    def poll(self, timeout: float) -> list[Any]:
        return []

    def news(self, now: float = 0.0) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def _messages(kind: Type) -> list[Effect]:
    return [Send(1, kind, [])]


def test_what_was_decided_leaves_when_it_is_synced_and_only_a_beat_before() -> None:
    files = Diary()
    new_disk(files)
    journal, _ = begin(files)
    files.lines.clear()
    door = cast(Any, Door(files.lines))
    doors = {
        name: door
        for name in Master.__dataclass_fields__
        if name not in ("state", "journal", "clock", "interrupts") and name[0] != "_"
    }
    master = Master(state=cast(MasterState, Decided()), journal=journal, clock=Clock(), **doors)
    master.run([])
    assert files.lines[: files.lines.index("ACK") + 1] == ["BEAT", "written", "synced", "ACK"]
