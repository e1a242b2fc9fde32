"""Statistics agree with an independent count."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path

import pytest

from jobtree.errors import UsageError
from jobtree.master import records as r
from jobtree.views.history import History
from jobtree.views.schema import Spread, Stats, to_json
from jobtree.views.stats import CATEGORIES, FIELDS, categories_of, csv_rows, lines, ordered, spread, stats_of
from jobtree.views.words import Table, aligned
from tests.views.scribe import Scribe, whole_run


def stats(path: Path, now: float | None = None) -> Stats:
    made = History(str(path))
    made.poll()
    return stats_of(made, now)


def test_the_median_is_the_upper_one() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0]) == Spread(1.0, 3.0, 2.5, 4.0, 10.0)
    assert spread([3.0, 1.0, 2.0]).median == 2.0
    assert spread([]) == Spread()


def test_statistics_of_a_random_run_equal_an_independent_count(tmp_path: Path) -> None:
    rng = random.Random(7)
    expected: dict[str, list[tuple[float, float, float, int]]] = {}
    failed = retries = 0
    scribe = Scribe(tmp_path / "tree")
    scribe.begin("root")
    scribe.join(1)
    scribe.join(2)
    root = scribe.assign(1)
    names = [rng.choice("abc") for _ in range(60)]
    children = scribe.create(root, *names)
    scribe.commit(root, started=scribe.now, wall=1.0, memory=5)
    expected["root"] = [(1.0, 0.0, 0.0, 5)]
    for number, (name, child) in enumerate(zip(names, children, strict=True)):
        if number == 30:
            scribe.end("stopped", "interrupted")
            scribe.close()
            scribe = Scribe(tmp_path / "tree")
            scribe.begin()
            scribe.join(3)
        ready = 1_000_000.0
        while rng.random() < 0.2:
            scribe.now += 1
            scribe.fail(scribe.assign(child), again=scribe.now, wall=9.0, user=9.0, memory=10**9)
            ready = scribe.now
            failed += 1
            retries += 1
        scribe.now += rng.random()
        wall, user, system, memory = rng.random(), rng.random(), rng.random(), rng.randrange(10**6)
        attempt = scribe.assign(child)
        scribe.commit(attempt, started=scribe.now, wall=wall, user=user, system=system, memory=memory)
        expected.setdefault(name, []).append((wall, user + system, scribe.now - ready, memory))
    scribe.close()

    found = stats(tmp_path / "tree")
    assert {one.name for one in found.names} == set(expected)
    everything = [row for rows in expected.values() for row in rows]
    for one, rows in [(found.targets, everything), *((one, expected[one.name]) for one in found.names)]:
        assert one.count == len(rows)
        for category, numbers in zip(("time", "cpu", "wait", "memory"), zip(*rows, strict=True), strict=True):
            seen = getattr(one, category)
            assert seen.min == pytest.approx(min(numbers))
            assert seen.max == pytest.approx(max(numbers))
            assert seen.mean == pytest.approx(statistics.mean(numbers))
            assert seen.median == pytest.approx(statistics.median_high(numbers))
            assert seen.total == pytest.approx(sum(numbers))
    assert (found.targets.failed, found.targets.retries) == (failed, retries)
    assert found.targets.wasted == pytest.approx(9.0 * failed)
    assert found.workers.count == 3
    assert found.workers.targets.total == len(everything) + failed


def test_workers_are_idle_for_what_their_targets_do_not_fill(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1, cpus=2.0)
    attempt = scribe.assign(1)
    scribe.now += 10
    scribe.commit(attempt, wall=10.0, user=3.0)
    scribe.put(r.WorkerLeft(scribe.now, 1, "idle"))
    scribe.close()
    workers = stats(tmp_path / "tree").workers
    assert (workers.time.total, workers.wait.total, workers.cpu.total) == (10.0, 5.0, 3.0)
    assert workers.utilisation == 0.5


def test_a_worker_that_is_still_there_counts_until_now(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1)
    found = stats(tmp_path / "tree", scribe.now + 60)
    assert found.workers.time.total == 60
    assert found.elapsed == 60
    scribe.close()


def test_a_run_in_which_nothing_has_ended_has_zeros(tmp_path: Path) -> None:
    Scribe(tmp_path / "tree").close()
    found = stats(tmp_path / "tree")
    assert (found.targets.count, found.workers.count, found.names) == (0, 0, ())
    assert list(lines(found, [], human=True))


def test_names_are_sorted_by_any_field(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    found = stats(tmp_path / "tree")
    assert [one.name for one in ordered(found, "name")] == ["leaf", "top", "total"]
    assert ordered(found, "count")[0].name == "leaf"
    assert [one.name for one in ordered(found, "time.total")] == ["leaf", "total", "top"]
    assert [one.name for one in ordered(found, "time.total", descending=False)] == ["top", "total", "leaf"]
    for category in CATEGORIES:
        for part in ("", *(f".{field}" for field in FIELDS)):
            assert len(ordered(found, category + part)) == 3
    for wrong in ("size", "time.middle", "name.min", "count.max"):
        with pytest.raises(UsageError, match="--sort"):
            ordered(found, wrong)


def test_efficiency_is_what_was_used_of_what_was_asked_for(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    scribe.join(1, cpus=4.0)
    root = scribe.assign(1)
    first = scribe.next_target
    scribe.next_target += 2
    forms = [["big", None, {"memory": 1000, "cpus": 4}]]
    scribe.put(r.TargetsCreated([1, 1], b"xx", scribe.now, *root, first, 1, forms, [0, 2], {}))
    scribe.next_n[root] = 3
    scribe.commit(root)
    for child, memory in ((first, 250), (first + 1, 100)):
        attempt = scribe.assign(child)
        scribe.now += 10
        scribe.commit(attempt, wall=10.0, user=10.0, memory=memory)
    scribe.close()
    found = stats(tmp_path / "tree")
    big = next(one for one in found.names if one.name == "big")
    assert (big.asked_memory, big.memory_efficiency, big.cpu_efficiency) == (1000, 0.25, 0.25)
    assert found.workers.utilisation == 1.0, "four cpus were set aside for each of them"
    said = [part for part in lines(found, found.names, human=True) if isinstance(part, str)]
    assert "big (asked 1000, 25% of it used, cpus 25% busy)" in said
    assert next(one.name for one in ordered(found, "memory_efficiency")) == "big"


def test_categories_can_be_chosen(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    found = stats(tmp_path / "tree")
    assert categories_of("Memory, clock") == ("cpu", "memory")
    with pytest.raises(UsageError, match="--categories size"):
        categories_of("size")
    tables = [part for part in lines(found, found.names, human=False, categories=("memory",)) if isinstance(part, Table)]
    assert [column.title for column in tables[-1].columns] == ["count", "memory min", "median", "mean", "max", "total"]


def test_tables_show_the_same_numbers_wide_and_narrow(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    found = stats(tmp_path / "tree")
    for wide in (True, False):
        parts = lines(found, found.names, human=False, wide=wide)
        said = [line for part in parts for line in (aligned(part) if isinstance(part, Table) else [part])]
        for number in ("1.00", "2.00", "3.00", "6.00"):
            assert any(number in line for line in said)
        assert wide or max(map(len, said[1:])) <= 80


def test_the_document_and_the_csv_have_what_the_tables_have(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    found = stats(tmp_path / "tree")
    document = json.loads(json.dumps(to_json(found)))
    assert document["schema"] == 1
    leaf = next(one for one in document["names"] if one["name"] == "leaf")
    assert leaf["time"] == {"min": 1.0, "median": 2.0, "mean": 2.0, "max": 3.0, "total": 6.0}
    titles, *rows = csv_rows(found, found.names)
    assert all(len(row) == len(titles) for row in rows)
    row = next(dict(zip(titles, row, strict=True)) for row in rows if row[1] == "leaf")
    assert (row["time_total"], row["count"], row["memory_max"]) == (6.0, 3, 3000)
