"""The benchmarks run, on a small scale, and say what they found; how fast anything was is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, peers, workloads
from benchmarks.measure import Figures, Measured, Workload, measure, percentile

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> Any:
    """`python -m benchmarks ... --json`"""
    command = [sys.executable, "-m", "benchmarks", *words, "--repeat", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_everyday_workload_runs_and_gives_its_figure(tmp_path: Path) -> None:
    found = run("--scale", "0.01", "--directory", str(tmp_path))
    assert found["machine"]["cpus"] >= 1
    assert [one["name"] for one in found["workloads"]] == [name for name in workloads.TABLE if name not in workloads.LONG]
    for one in found["workloads"]:
        assert next(iter(one["contenders"])) == "jobtree"
        assert one["ratios"].keys() == one["contenders"].keys() - {"jobtree"}
        for contender in one["contenders"].values():
            assert contender["median"][one["figure"]] > 0
    assert list(tmp_path.iterdir()) == [], "what a run has made is gone"


def test_contenders_take_turns_and_the_median_counts() -> None:
    order: list[str] = []
    values = {"jobtree": iter([4.0, 1.0, 2.0]), "other": iter([8.0, 8.0, 100.0])}

    def contender(name: str) -> Figures:
        order.append(name)
        return {"seconds": next(values[name])}

    workload = Workload("w", "", "seconds", False, {name: lambda name=name: contender(name) for name in values})  # type: ignore[misc]
    measured = measure(workload, 3)
    assert order == ["jobtree", "other"] * 3
    assert measured.median("jobtree") == {"seconds": 2.0}
    assert measured.spread("other", "seconds") == (8.0, 100.0)
    assert measured.ratios() == {"other": 4.0}


def test_where_more_is_better_the_ratio_is_the_other_way_round() -> None:
    workload = Workload("w", "", "per_s", True, {})
    assert Measured(workload, {"jobtree": [{"per_s": 10.0}], "other": [{"per_s": 5.0}]}).ratios() == {"other": 2.0}


def test_percentiles_are_samples() -> None:
    values = [float(value) for value in range(101)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([3.0], 99) == 3.0


def test_an_unknown_peer_is_refused_by_name() -> None:
    with pytest.raises(Exception, match="'nobody' is not one of pool"):
        peers.names("nobody")


def test_the_disk_is_measured_and_left_clean(tmp_path: Path) -> None:
    assert machine.fdatasync_microseconds(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
