"""Records to heads and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgpack
import pytest

from jobtree.errors import JournalDamaged
from jobtree.master import records as r

SAMPLES: dict[str, Any] = {
    "lengths": [1, 2], "data": b"abc", "at": 1.5, "about": {"a": 1}, "epoch": 3, "host": "h", "pid": 4, "options": {},
    "number": 5, "first": 6, "first_n": 1, "forms": [["t", None, {}]], "runs": [0, 2], "extras": {1: [[1, 1], [], None]},
    "records": 17,
    "sha": "abc", "worker": 7, "targets": [1, 2], "attempts": [[1, 2]], "rows": [[1, 2]], "verdicts": [None, 2.5],
    "reason": "why", "cause": "no-fit", "message": "m", "name": "b", "pool": "", "n": 2, "ids": ["x"], "id": "x", "uid": "u",
    "block": "b", "index": 0, "cpus": 1.5, "memory": 1 << 30, "gpus": 1.0, "state": "complete", "counts": {"t": [0] * 9},
    "last": 9, "bytes": 1000, "count": 3,
}  # fmt: skip


def sample(kind: type[r.Record]) -> r.Record:
    return kind(**{field.name: SAMPLES[field.name] for field in fields(kind)})


@pytest.mark.parametrize("kind", r.TYPES.values(), ids=lambda kind: kind.__name__)
def test_every_record_comes_back_as_it_was(kind: type[r.Record]) -> None:
    record = sample(kind)
    head, data = r.encode(record)
    head = msgpack.unpackb(msgpack.packb(head), strict_map_key=False)
    assert r.decode(head, data) == record


@pytest.mark.parametrize("kind", r.TYPES.values(), ids=lambda kind: kind.__name__)
def test_a_head_says_how_long_its_payloads_are(kind: type[r.Record]) -> None:
    head, data = r.encode(sample(kind))
    assert head[1] == ([1, 2] if issubclass(kind, r.WithPayloads) else 0)
    assert data == (b"abc" if head[1] else b"")


def test_codes_are_unique_and_never_change() -> None:
    """A journal is read by later versions."""
    assert {code: kind.__name__ for code, kind in r.TYPES.items()} == {
        1: "RunDescribed", 2: "EpochBegan", 3: "TargetsCreated", 4: "CodeAdded", 5: "AttemptsAssigned", 6: "AttemptsStarted",
        7: "AttemptsReturned", 8: "AttemptsAdopted", 9: "AttemptsCommitted", 10: "AttemptsFailed", 11: "AttemptsLost",
        12: "TargetsRetried", 13: "SubtreesCancelled", 14: "BlockPlanned", 15: "BlockKnown", 16: "BlockEnded", 17: "WorkerJoined",
        18: "WorkerLeft", 19: "RunEnded", 20: "Summary", 21: "TargetsRefused", 22: "SnapshotTaken", 30: "BlockNoted",
        40: "LossAccepted", 41: "DoorClosed",
    }  # fmt: skip


def test_a_record_of_a_newer_version_is_refused() -> None:
    with pytest.raises(JournalDamaged, match="newer jobtree"):
        r.decode([99, 0, 1.0])


def test_a_record_with_other_fields_is_refused() -> None:
    with pytest.raises(JournalDamaged, match="WorkerLeft has 2 fields"):
        r.decode([18, 0, 1.0, 2])
