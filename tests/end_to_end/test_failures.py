"""Targets that fail: what users are told, what goes on, what is tried again, and what happens when the script has been mended."""

from __future__ import annotations

import os
import platform
import signal

import pytest

from tests.support.scripts import Project, counted, poll

HEAD = """
import os, sys, time, jobtree

def note(text):
    with open("ledger", "a") as file:
        file.write(f"{text}\\n")
"""


def test_the_report_shows_the_user_s_own_frames_the_host_and_the_last_output(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
def helper(values):
    return values["missing"]

@jobtree.target
def bad(i):
    print("my last words")
    try:
        helper({})
    except KeyError as error:
        raise RuntimeError(f"wrapped {i}") from error

@jobtree.target
def root(target):
    for i in range(3):
        target.add_child(bad(i))

if __name__ == "__main__":
    jobtree.run(root(), tree="T")
""",
        status=1,
    )
    for words in (
        "in helper", 'return values["missing"]', "KeyError: 'missing'", "RuntimeError: wrapped ", "my last words",
        platform.node(), "3 bad failed:", "jobtree.errors.TargetsFailed", f"jobtree restart {project.tree}",
    ):  # fmt: skip
        assert words in ended.err
    assert str(project.directory / "script.py") in ended.err
    assert "jobtree/worker" not in ended.err
    assert ended.err.count("jobtree/_run.py") <= 1


def test_failures_can_be_looked_at_one_by_one(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
class Mine(Exception):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b

@jobtree.target
def bad(how):
    if how == "mine": raise Mine(1, 2)
    if how == "exit": sys.exit(3)
    if how == "signal": os.kill(os.getpid(), 15)
    if how == "memory": raise MemoryError("no room")
    if how == "local":
        class Local(Exception):
            def __reduce__(self): raise TypeError("never")
        raise Local("gone")

@jobtree.target(retries=1)
def again(): raise ValueError("twice")

@jobtree.target
def root(target):
    for how in ("mine", "exit", "signal", "memory", "local"):
        target.add_child(bad(how))
    target.add_child(again())

if __name__ == "__main__":
    try:
        jobtree.run(root(), tree="T", workers=1, worker_cpus=1)
    except jobtree.TargetsFailed as failed:
        for f in sorted(failed.failures, key=lambda f: f.id):
            print(f.name, f.id, f.attempts, f.cause, type(f.exception).__name__, getattr(f.exception, "b", None), f.host != "")
        print(len(failed.failures), failed.exit_status)
"""
    )
    assert ended.lines == [
        "bad 2 1 exception Mine 2 True", "bad 3 1 exception SystemExit None True", "bad 4 1 signal NoneType None True",
        "bad 5 3 memory MemoryError None True", "bad 6 1 exception RemoteError None True",
        "again 7 2 exception ValueError None True",
        "6 1",
    ]  # fmt: skip


def test_retries_of_the_run_of_the_target_and_only_on_what_is_named(project: Project) -> None:
    project.script(
        HEAD
        + """
@jobtree.target
def twice(target): note("twice"); raise ValueError

@jobtree.target(retries=2)
def thrice(target): note(f"thrice {target.attempt}"); raise ValueError

@jobtree.target(retries=5, retry_on=["OSError"])
def once(): note("once"); raise ValueError

@jobtree.target(retries=0)
def never(): note("never"); raise ValueError

@jobtree.target
def root(target):
    target.add_children([twice(), thrice(), once(), never()])

if __name__ == "__main__":
    jobtree.run(root(), tree="T", retries=1)
""",
        status=1,
    )
    assert counted(project.noted()) == {"twice": 2, "thrice 1": 1, "thrice 2": 1, "thrice 3": 1, "once": 1, "never": 1}


def test_a_segfault_fails_its_target_only(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def crash():
    import ctypes
    ctypes.string_at(0)

@jobtree.target
def fine(i): return i

@jobtree.target
def root(target):
    crashed = target.add_child(crash(), allow_failure=True)
    return [crashed, *(target.add_child(fine(i)) for i in range(10))]

if __name__ == "__main__":
    result = jobtree.run(root(), tree="T")
    print(result[0].cause, result[1:])
"""
    )
    assert ended.lines == [f"signal {list(range(10))}"]


def test_a_time_limit_ends_a_target_and_all_that_it_has_started(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
import subprocess

@jobtree.target(time_limit=0.5)
def endless():
    subprocess.run(["sleep", "1000"])

if __name__ == "__main__":
    try:
        jobtree.run(endless(), tree="T")
    except jobtree.TargetsFailed as failed:
        print(failed.failures[0].cause)
"""
    )
    assert ended.lines == ["time"]


def test_keep_going_runs_the_root_s_follow_on_though_children_failed(project: Project) -> None:
    project.script(
        HEAD
        + """
@jobtree.target
def bad(): raise ValueError

@jobtree.target
def end(part): note(f"end {bool(part)}")

@jobtree.target
def root(target):
    target.set_follow_on(end(target.add_child(bad())))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", keep_going=True)
"""
    )
    assert project.noted() == ["end False"]


def test_fail_fast_stops_at_the_first_failure_and_leaves_nothing_running(project: Project) -> None:
    ended = project.script(
        HEAD
        + """
@jobtree.target
def bad(): raise ValueError("first")

@jobtree.target
def slow():
    note("slow")
    time.sleep(1000)

@jobtree.target
def root(target):
    target.add_child(slow())
    target.add_child(bad())
    target.add_children(slow() for _ in range(10))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=2, worker_cpus=1, fail_fast=True)
""",
        status=1,
    )
    assert "ValueError: first" in ended.err
    assert len(project.noted()) <= 2


BROKEN = (
    HEAD
    + """
FIXED = False

@jobtree.target
def leaf(i):
    note(f"leaf {i}")
    if i == 2 and not FIXED: raise ValueError("a bug")
    return i

@jobtree.target
def slow():
    note("slow")
    while not os.path.exists("go"):
        time.sleep(0.02)
    note("slow has ended")

@jobtree.target
def total(parts):
    return (FIXED, sum(parts))

@jobtree.target
def root(target, wait):
    if wait:
        target.add_child(slow())
    return target.set_follow_on(total([target.add_child(leaf(i)) for i in range(4)]))

if __name__ == "__main__":
    print(jobtree.run(root(len(sys.argv) > 1), tree="T", workers=1, worker_cpus=2, adopt_grace=20))
"""
)


@pytest.mark.parametrize("how", ["the function", "the same command line"])
def test_after_the_script_is_mended_a_restart_completes_with_the_mended_code(project: Project, how: str) -> None:
    project.script(BROKEN, status=1)
    project.write("script.py", BROKEN.replace("FIXED = False", "FIXED = True"))
    again = project.restart() if how == "the function" else project.run("script.py")
    assert again.lines[-1] == "(True, 6)"
    assert counted(project.noted()) == {"leaf 0": 1, "leaf 1": 1, "leaf 2": 2, "leaf 3": 1}


def test_mended_code_reaches_workers_that_are_still_alive(project: Project) -> None:
    project.write("script.py", BROKEN)
    run = project.start("script.py", "wait")
    poll(lambda: len(project.noted()) == 5)
    run.signal(signal.SIGTERM)
    assert run.wait().status == 143
    workers = project.workers()
    project.write("script.py", BROKEN.replace("FIXED = False", "FIXED = True"))
    again = project.start("script.py", "wait")
    poll(lambda: project.noted().count("leaf 2") == 2)
    assert project.workers() == workers
    project.write("go", "")
    ended = again.wait()
    assert ended.lines == ["(True, 6)"], ended.err
    assert counted(project.noted()) == {
        "leaf 0": 1, "leaf 1": 1, "leaf 2": 2, "leaf 3": 1, "slow": 1, "slow has ended": 1,
    }  # fmt: skip


def test_a_script_that_can_no_longer_be_imported_is_said_so(project: Project) -> None:
    project.script(BROKEN, status=1)
    project.write("script.py", "import no_such_module_anywhere\n" + BROKEN)
    code = f"import jobtree._run, sys; sys.exit(jobtree._run.restart_tree({str(project.tree)!r}, {{}}))"
    ended = project.run("-c", code, status=1)
    assert "import" in ended.err
    assert "no_such_module_anywhere" in ended.err
    project.write("script.py", BROKEN.replace("FIXED = False", "FIXED = True"))
    assert project.restart().lines[-1] == "(True, 6)"


def test_a_failed_run_leaves_no_process_and_no_temp_dir_but_the_chain_s(project: Project) -> None:
    project.script(
        HEAD
        + """
@jobtree.target
def bad(target):
    (target.global_temp_dir / "x").touch()
    target.local_temp_dir.joinpath("y").touch()
    note(target.local_temp_dir)
    raise ValueError

if __name__ == "__main__":
    jobtree.run(bad(), tree="T")
""",
        status=1,
    )
    assert not os.path.exists(project.noted()[0])
    assert not project.processes()
