"""The test clusters are brought up once for all tests here; without root, or off Debian, all are skipped with the reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clusters import hosts

SYSTEMS = ("gridengine", "slurm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.clusters)


@pytest.fixture(scope="session")
def clusters() -> Iterator[None]:
    """Both systems, taken down afterwards unless $JT_CLUSTER_KEEP says 1."""
    reason = hosts.reason_to_skip()
    if reason:
        pytest.skip(reason)
    for system in SYSTEMS:
        hosts.bring_up(system)
    hosts.prepare_user()
    yield
    if os.environ.get("JT_CLUSTER_KEEP") != "1":
        for system in SYSTEMS:
            hosts.take_down(system)


Start = Callable[..., hosts.Run]


@pytest.fixture
def make(clusters: None, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Makes runs, and ends what is left of them afterwards; their directories are kept if the test fails."""
    place = hosts.WORK / "runs" / request.node.name.replace("[", "-").rstrip("]")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in (place, place.parent):
        shutil.chown(path, "hpc", "hpc")
    runs: list[hosts.Run] = []

    def made(system: str, *words: str, name: str = "", **more: str) -> hosts.Run:
        run = hosts.new_run(system, place / (name or f"{system}{len(runs)}"), *words, **more)
        runs.append(run)
        return run

    yield made
    for run in runs:
        run.end()


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    """Each of the batch systems in turn."""
    return str(request.param)
