"""Writes the journal of a run that never was, with the real records and the real writer, in few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobtree.ids import NOBODY
from jobtree.master import records as r
from jobtree.master.effects import Output
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.master.journal.holder import Holder
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.writer import Journal
from jobtree.master.outputs import Outputs
from jobtree.protocol.messages import FLAG_FOLLOW_ON

RUN = bytes(range(16))
DEAD = Holder("elsewhere", "another boot", 4711, 1)
START = 1_000_000.0
RESULT = b"the pickled result"


class Scribe:
    """A master's pen on a tree: each method is one record, or the few that belong together; ``now`` is moved by hand."""

    def __init__(self, tree: Path, *, holder: Holder | None = None, segment_bytes: int = 64 << 20) -> None:
        self.path = str(tree)
        self.files = Files()
        self.directory = Directory.prepare(self.files, self.path, "jobtree test", RUN)
        self.lock = self.directory.lock()
        self.epoch = self.directory.claim_epoch(holder or Holder.ourselves()).epoch
        reader = Reader(self.files, self.directory)
        heads = [head for frame in reader for head in frame.heads]
        records = [r.decode(head) for head in heads]
        self.is_new = not records
        self.now = max([START, *(getattr(record, "at", 0.0) for record in records)])
        self.next_target = 1 + sum(len(record.lengths) for record in records if isinstance(record, r.TargetsCreated))
        self.next_number = 1
        self.next_n: dict[tuple[int, int], int] = {}
        self.has_follow: set[tuple[int, int]] = set()
        payloads = Payloads(self.files, self.directory)
        self.journal = Journal.open(self.files, self.directory, self.epoch, reader.tail, payloads, segment_bytes=segment_bytes)
        self.outputs = Outputs(self.files, self.path, RUN, self.epoch, lambda _: None)

    def put(self, *records: r.Record) -> None:
        """Any records, durable on return."""
        self.journal.append([r.encode(record) for record in records])

    def begin(self, name: str = "top") -> int:
        """A new run with its root; or the next epoch. Returns the root's id."""
        began = r.EpochBegan(self.now, self.epoch, "here", 42, {})
        if self.is_new:
            about = {"script": ["/home/me/run.py", None], "argv": ["run.py", "-n", "3"], "name": name}
            self.put(r.RunDescribed(self.now, about), began)
            self.put(r.TargetsCreated([1], b"x", self.now, *NOBODY, 1, 1, [[name, None, {}]], [0, 1], {}))
            self.next_target = 2
        else:
            self.put(began)
        return 1

    def join(self, worker: int, *, cpus: float = 1.0, block: str = "", host: str = "node1") -> None:
        """A worker comes."""
        self.put(r.WorkerJoined(self.now, worker, f"uid{worker}", host, 100 + worker, block, 0, cpus, 1 << 30))

    def assign(self, target: int, worker: int = 1, count: int = 1) -> tuple[int, int]:
        """Give targets to a worker; the first attempt."""
        first = self.next_number
        self.put(r.AttemptsAssigned(self.now, worker, first, [target, count]))
        self.next_number += count
        return self.epoch, first

    def create(self, attempt: tuple[int, int], *names: str, follow_on: bool = False, extras: Any = None) -> list[int]:
        """Targets by a running attempt; their ids."""
        first, count = self.next_target, len(names)
        self.next_target += count
        n = 0
        if follow_on:
            self.has_follow.add(attempt)
        else:
            n = self.next_n.get(attempt, 1)
            self.next_n[attempt] = n + count
        forms: list[list[Any]] = [[name, None, {}] for name in dict.fromkeys(names)]
        runs = [part for name in names for part in (list(dict.fromkeys(names)).index(name), 1)]
        self.put(r.TargetsCreated([1] * count, b"x" * count, self.now, *attempt, first, n, forms, runs, extras or {}))
        return list(range(first, first + count))

    def row(self, attempt: tuple[int, int], cause: str = "", **fields: Any) -> list[Any]:
        """The end of an attempt."""
        given = {"started": self.now, "wall": 0.0, "user": 0.0, "system": 0.0, "memory": 0, "messages": None, "failure": None}
        given |= {"result": None, **fields}
        created = self.next_n.get(attempt, 1) - 1
        flags = FLAG_FOLLOW_ON if attempt in self.has_follow else 0
        head = [*attempt, cause, created, flags, given["result"], None]
        return [*head, *(given[key] for key in ("started", "wall", "user", "system", "memory", "messages", "failure"))]

    def commit(self, attempt: tuple[int, int], worker: int = 1, *, data: bytes = b"", **fields: Any) -> None:
        """An attempt ends well."""
        if data:
            fields["result"] = True
        self.put(r.AttemptsCommitted([len(data)], data, self.now, worker, [self.row(attempt, **fields)]))

    def fail(
        self, attempt: tuple[int, int], cause: str = "exception", worker: int = 1, *, again: float | None = None,
        data: bytes = b"", failure: dict[str, Any] | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        """An attempt ends badly; its target is tried again at a time, or never."""
        if data:
            fields["result"] = True
        row = self.row(attempt, cause, failure=failure or {"message": "it went wrong"}, **fields)
        row[3] = row[4] = 0
        self.put(r.AttemptsFailed([len(data)], data, self.now, worker, [row], [again]))

    def print(self, target: int, name: str, attempt: tuple[int, int], data: bytes, offset: int = 0, stream: int = 1) -> None:
        """Output of an attempt, at once to be read."""
        self.outputs.write(Output(target, name, 1, *attempt, stream, offset, self.now, data))
        self.outputs.flush()

    def end(self, state: str, reason: str = "") -> None:
        """The master says that it is over."""
        self.put(r.RunEnded(self.now, state, reason))

    def close(self) -> None:
        """The master's process ends."""
        self.outputs.close()
        self.journal.close()
        self.lock.release()


def whole_run(tree: Path, leaves: int = 3) -> Scribe:
    """A complete run: a root with some leaves and a follow-on, each second one step; the scribe is closed."""
    scribe = Scribe(tree)
    scribe.begin()
    scribe.join(1)
    scribe.now += 1
    root = scribe.assign(1)
    children = scribe.create(root, *["leaf"] * leaves)
    (follow,) = scribe.create(root, "total", follow_on=True)
    scribe.commit(root, wall=1.0, user=0.5, memory=1000)
    for number, child in enumerate(children, 1):
        scribe.now += 1
        scribe.commit(scribe.assign(child), started=scribe.now, wall=number, user=0.25, system=0.25, memory=number * 1000)
    scribe.now += 1
    scribe.commit(scribe.assign(follow), wall=2.0, data=RESULT)
    scribe.end("complete", "all targets are done")
    scribe.close()
    return scribe
