"""A run in the format of Chrome's trace viewer, which Perfetto (ui.perfetto.dev) opens too: a process for each worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .history import History
from .timeline import packed_lanes


def trace_of(history: History) -> Iterator[str]:
    """The JSON document, piece by piece; the history must have been read with its attempts. Times are microseconds."""
    yield '{"displayTimeUnit": "ms", "traceEvents": [\n'
    yield ",\n".join(json.dumps(event) for event in _heads(history))
    for event in _events(history):
        yield f",\n{json.dumps(event)}"
    yield "\n]}\n"


def _heads(history: History) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": 0, "name": "process_name", "args": {"name": f"jobtree {history.path}"}}
    for number, worker in history.workers.items():
        yield {"ph": "M", "pid": number, "name": "process_name", "args": {"name": f"w{number}@{worker.joined.host}"}}


def _events(history: History) -> Iterator[dict[str, Any]]:
    attempts = history.attempts
    assert attempts is not None
    for worker, place, entries in packed_lanes(attempts):
        for entry in entries:
            started, cause = attempts.started[entry], attempts.causes[attempts.cause[entry]]
            told = {
                "target": attempts.target[entry],
                "wait": round(max(0.0, started - attempts.ready[entry]), 6),
                "cpu": round(attempts.cpu[entry], 6),
                "memory": attempts.memory[entry],
            }
            yield {
                "ph": "X",
                "name": attempts.names[attempts.name[entry]],
                "cat": cause or "done",
                "ts": round((started - history.started_at) * 1e6, 1),
                "dur": round(attempts.wall[entry] * 1e6, 1),
                "pid": worker,
                "tid": place,
                "args": {**told, "cause": cause} if cause else told,
                **({"cname": "terrible"} if cause else {}),
            }
