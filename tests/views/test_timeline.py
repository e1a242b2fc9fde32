"""Pictures of a run: nothing overlaps, nothing is lost by putting things together, and the areas are the sums."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from jobtree.views import timeline as view
from jobtree.views.history import History
from jobtree.views.timeline import BUCKETS, Place, recursion_of, timeline_of, usage_of
from jobtree.views.trace import trace_of
from tests.views.scribe import Scribe


def random_run(path: Path, leaves: int = 200) -> History:
    """Leaves of random lengths on two workers with two cpus each, every tenth of which fails at first."""
    rng = random.Random(leaves)
    scribe = Scribe(path)
    scribe.begin()
    scribe.join(1, cpus=2.0)
    scribe.join(2, cpus=2.0)
    root = scribe.assign(1)
    children = scribe.create(root, *["ab"[n % 2] for n in range(leaves)])
    scribe.commit(root, started=scribe.now, wall=0.0)
    free = {(worker, slot): scribe.now for worker in (1, 2) for slot in (0, 1)}
    ends = []
    for n, child in enumerate(children):
        for last in (True,) if n % 10 else (False, True):
            slot = min(free, key=lambda key: free[key])
            wall = rng.random() * 3
            ends.append((free[slot] + wall, child, slot[0], free[slot], wall, last))
            free[slot] += wall
    for end, child, worker, started, wall, last in ends:
        scribe.now = max(scribe.now, end)
        attempt = scribe.assign(child, worker)
        if last:
            scribe.commit(attempt, worker, started=started, wall=wall, user=wall / 2)
        else:
            scribe.fail(attempt, worker=worker, again=scribe.now, started=started, wall=wall)
    scribe.close()
    history = History(str(path), detail=True)
    history.poll()
    return history


def test_no_two_bars_of_a_lane_overlap_and_every_attempt_is_in_one(tmp_path: Path) -> None:
    history = random_run(tmp_path / "tree")
    timeline = timeline_of(history)
    assert sum(bar.attempts for bar in timeline.bars) == 1 + 200 + 20
    assert sum(bar.failed for bar in timeline.bars) == 20
    assert Counter(lane.worker for lane in timeline.lanes) == {1: 2, 2: 2}
    last = dict.fromkeys(range(len(timeline.lanes)), 0.0)
    for bar in sorted(timeline.bars, key=lambda bar: bar.start):
        assert bar.start >= last[bar.lane] - 0.002
        last[bar.lane] = bar.end


def test_many_attempts_are_put_together_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = random_run(tmp_path / "tree")
    monkeypatch.setattr(view, "MOST_BARS", 40)
    timeline = timeline_of(history)
    assert len(timeline.bars) < 100
    assert sum(bar.attempts for bar in timeline.bars) == 221
    assert sum(bar.failed for bar in timeline.bars) == 20


def test_workers_without_room_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = random_run(tmp_path / "tree")
    monkeypatch.setattr(view, "MOST_LANES", 3)
    assert (len(timeline_of(history).lanes), timeline_of(history).left_out) == (2, 1)


def test_the_area_below_the_curves_is_the_time_that_was_spent(tmp_path: Path) -> None:
    history = random_run(tmp_path / "tree")
    usage = usage_of(history, history.last_at)
    attempts = history.attempts
    assert attempts is not None
    assert len(usage.running) == BUCKETS
    assert sum(usage.running) * usage.seconds == pytest.approx(sum(attempts.wall), rel=1e-3)
    waited = sum(max(0.0, start - ready) for start, ready in zip(attempts.started, attempts.ready, strict=True))
    assert sum(usage.ready) * usage.seconds == pytest.approx(waited, rel=1e-3)
    assert max(usage.running) <= 4.001


def test_the_recursion_adds_up(tmp_path: Path) -> None:
    history = random_run(tmp_path / "tree")
    attempts = history.attempts
    assert attempts is not None
    (top,) = recursion_of(attempts)
    assert (top.name, {place.name for place in top.below}) == ("top", {"a", "b"})
    assert top.total == pytest.approx(sum(attempts.wall))


def test_a_deep_recursion_is_drawn_to_some_depth_and_counted_whole(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    target = scribe.begin("deep")
    scribe.join(1)
    for _ in range(300):
        attempt = scribe.assign(target)
        (target,) = scribe.create(attempt, "deep")
        scribe.commit(attempt, wall=1.0)
    scribe.commit(scribe.assign(target), wall=1.0)
    scribe.close()
    history = History(str(tmp_path / "tree"), detail=True)
    history.poll()
    assert history.attempts is not None
    places: list[Place] = recursion_of(history.attempts)
    depth = seconds = 0
    while places:
        depth += 1
        seconds += round(places[0].seconds)
        places = places[0].below
    assert (depth, seconds) == (24, 301)


def test_a_trace_has_each_attempt_once_with_its_worker_and_its_end(tmp_path: Path) -> None:
    history = random_run(tmp_path / "tree")
    document = json.loads("".join(trace_of(history)))
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    attempts = history.attempts
    assert attempts is not None
    assert Counter(event["args"]["target"] for event in events) == Counter(attempts.target)
    assert sum(event["dur"] for event in events) == pytest.approx(sum(attempts.wall) * 1e6, rel=1e-3)
    assert sum("cause" in event["args"] for event in events) == 20
    assert {event["pid"] for event in events} == {1, 2}


def test_the_last_attempts_alone_can_be_drawn(tmp_path: Path) -> None:
    assert sum(bar.attempts for bar in timeline_of(random_run(tmp_path / "tree"), 50).bars) == 50
