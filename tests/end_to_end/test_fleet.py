"""Workers through a batch system that others have added: real processes, which wait in its queue as long as a test likes."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scripts import Project, poll
from tests.support.scripts import project as open_project

SCRIPT = """
    import sys, time
    import jobtree

    @jobtree.target(memory="8G")
    def large(): return "large"

    @jobtree.target(memory="300G")
    def giant(): return "giant"

    @jobtree.target
    def none(n): return n

    @jobtree.target
    def nap(n): time.sleep(0.05); return n

    @jobtree.target
    def fan_out(target, count, one):
        target.add_children(one(n) for n in range(count))

    if __name__ == "__main__":
        root, options = sys.argv[1], eval(sys.argv[2])
        roots = {"large": large(), "giant": giant(), "none": fan_out(10_000, none), "naps": fan_out(400, nap)}
        print(jobtree.run(roots[root], tree="T", launcher="queue", worker_time=3600, progress="plain", **options))
"""
NAME = "jobtree_queue_system"


class Queue(Project):
    """A project with a batch system of its own."""

    def __init__(self, project: Project) -> None:
        self.__dict__.update(project.__dict__)
        self.queue = self.directory / "queue"
        self.queue.mkdir()
        packages = self.directory / "packages"
        info = packages / "jobtree_queue-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jobtree-queue\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[jobtree.launchers]\nqueue = {NAME}:QueueLauncher\n")
        source = Path(__file__).parents[1] / "support" / "queue_system.py"
        (packages / f"{NAME}.py").write_text(source.read_text())
        self.environment |= {"QUEUE": str(self.queue), "PYTHONPATH": f"{self.environment['PYTHONPATH']}:{packages}"}
        self.write("script.py", SCRIPT)

    def close_queue(self) -> None:
        """Jobs wait from now on."""
        (self.queue / "closed").touch()

    def open_queue(self) -> None:
        """They start."""
        (self.queue / "closed").unlink()

    def jobs(self) -> dict[str, dict[str, float]]:
        """All that were ever submitted."""
        return {path.stem: json.loads(path.read_text()) for path in self.queue.glob("*.job")}

    def commands(self) -> Counter[str]:
        """How often each command of the batch system was used."""
        return Counter((self.queue / "commands").read_text().split())


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with open_project(tmp_path) as made:
        found = Queue(made)
        yield found
        if (found.queue / "closed").exists():
            found.open_queue()


def test_targets_that_ask_for_8_gib_run_without_a_word_about_workers(queue: Queue) -> None:
    assert queue.run("script.py", "large", "{}").lines == ["large"]
    (job,) = queue.jobs().values()
    assert (job["cpus"], job["memory"]) == (1.0, 8 << 30)


@pytest.mark.slow
def test_what_no_node_has_is_said_in_the_words_of_the_batch_system(queue: Queue) -> None:
    ended = queue.run("script.py", "giant", "{}", status=1)
    assert "no node has so much memory" in ended.err
    assert "jobtree restart" in ended.last_error


@pytest.mark.slow
def test_targets_go_to_the_pool_that_they_fit(queue: Queue) -> None:
    pools = 'dict(worker_memory="2G", workers="0:2", pool="name=big,memory=16G,max=1")'
    assert queue.run("script.py", "large", pools).lines == ["large"]
    assert [job["memory"] for job in queue.jobs().values()] == [16 << 30]


@pytest.mark.slow
def test_ten_thousand_targets_take_few_commands_of_the_batch_system(queue: Queue) -> None:
    queue.run("script.py", "none", 'dict(workers="0:4")')
    commands = queue.commands()
    assert sum(commands.values()) <= 20, commands
    assert 1 <= len(queue.jobs()) <= 4


def test_a_restart_adopts_what_waits_in_the_queue_and_brings_no_second_fleet(queue: Queue) -> None:
    queue.close_queue()
    options = 'dict(workers="20:20", adopt_grace=5)'
    first = queue.start("script.py", "naps", options)
    poll(lambda: len(queue.jobs()) == 20)
    first.kill()
    second = queue.start("script.py", "naps", options)
    poll(lambda: queue.commands()["poll"] >= 1)
    queue.open_queue()
    ended = second.wait()
    assert ended.status == 0, ended.err
    assert len(queue.jobs()) == 20


def test_stop_without_a_master_takes_this_runs_jobs_out_of_the_queue_and_nobody_elses(queue: Queue) -> None:
    queue.close_queue()
    first = queue.start("script.py", "naps", 'dict(workers="5:5")')
    poll(lambda: len(queue.jobs()) == 5)
    first.kill()
    other = next(iter(queue.jobs().values()))
    (queue.queue / "somebody-else.0.job").write_text(json.dumps(other))
    stopped = queue.run("-m", "jobtree", "stop", "T")
    assert "ended 5 of its workers" in stopped.err
    poll(lambda: not queue.processes(), lambda: str(queue.processes()))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_queue_to_the_next_master(queue: Queue, number: int) -> None:
    queue.close_queue()
    first = queue.start("script.py", "naps", 'dict(workers="3:3")')
    poll(lambda: len(queue.jobs()) == 3)
    first.signal(number)
    assert first.wait().status == 128 + number
    assert len([pid for pid, line in queue.processes().items() if line.startswith("sh -c")]) == 3
    queue.open_queue()
    assert queue.run("script.py", "naps", 'dict(workers="3:3")').status == 0
    assert len(queue.jobs()) == 3
