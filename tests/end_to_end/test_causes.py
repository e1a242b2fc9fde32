"""Each cause of death, with real processes: the word, the sentence, and that a neighbour on the same worker is not harmed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.scripts import Project, poll

SCRIPT = """
    import ctypes, os, sys, threading, time, pathlib, jobtree

    def note(words):
        with open("ledger", "a") as file:
            print(words, file=file)

    class Stubborn(Exception):
        def __init__(self, a, b):
            super().__init__("it cannot be pickled")
            self.lock = threading.Lock()

    @jobtree.target(memory="100M")
    def dies(how):
        print("last words before", how, flush=True)
        while not pathlib.Path("neighbour").exists():
            time.sleep(0.01)
        if how == "exception":
            raise KeyError("chr9")
        if how == "unpicklable-exception":
            raise Stubborn(1, 2)
        if how == "exit":
            os._exit(3)
        if how == "sys-exit":
            sys.exit(4)
        if how == "signal":
            ctypes.string_at(0)
        if how == "killed":
            os.kill(os.getpid(), 9)
        if how == "memory":
            hog = [bytearray(1 << 20) for _ in range(600)]
            time.sleep(60)
        if how == "time":
            time.sleep(60)
        if how == "unpicklable":
            return threading.Lock()

    @jobtree.target(memory="100M")
    def neighbour():
        pathlib.Path("neighbour").touch()
        while not pathlib.Path("go on").exists():
            time.sleep(0.01)
        note("the neighbour has ended well")

    @jobtree.target(memory="10M")
    def root(target, how):
        target.add_child(neighbour())
        target.add_child(dies(how).needs(**({"time_limit": 0.3} if how == "time" else {})))

    if __name__ == "__main__":
        options = {"oom_retries": 0}
        print(jobtree.run(root(sys.argv[1]), tree="T", worker_cpus=2, worker_memory="2G", **options))
"""


def failure(project: Project) -> dict[str, Any]:
    document = json.loads(project.run("-m", "jobtree", "status", "T", "--json", "--verbose").out)
    (found,) = [one for one in document["failures"] if one["name"] == "dies"]
    return dict(found)


@pytest.mark.parametrize(
    ("how", "cause", "words"),
    [
        ("exception", "exception", "KeyError: 'chr9'"),
        ("unpicklable-exception", "exception", "it cannot be pickled"),
        ("exit", "exit", "exited with status 3"),
        ("sys-exit", "exception", "SystemExit: 4"),
        ("signal", "signal", "killed by SIGSEGV"),
        ("killed", "signal", "killed by SIGKILL"),
        ("memory", "memory", "asked for 100 MiB"),
        ("time", "time", "time limit of 0.3 s"),
        ("unpicklable", "unpicklable", "lock"),
    ],
)
def test_a_death_has_a_cause_a_sentence_its_last_words_and_harms_no_neighbour(
    project: Project, how: str, cause: str, words: str
) -> None:
    running = project.start(project.write("script.py", SCRIPT), how)
    found: dict[str, Any] = {}

    def has_failed() -> bool:
        if not (project.tree / "journal" / "FORMAT").exists():
            return False
        document = json.loads(project.run("-m", "jobtree", "status", "T", "--json").out)
        found.update({one["name"]: one for one in document["failures"]})
        return "dies" in found

    poll(has_failed)
    (project.directory / "go on").touch()
    ended = running.wait()
    assert ended.status == 1
    assert project.noted() == ["the neighbour has ended well"]
    dead = failure(project)
    assert "/jobtree/worker/" not in dead["output"]
    assert dead["cause"] == cause
    assert words in dead["message"]
    assert f"last words before {how}" in dead["output"]
    assert dead["memory_limit"] == 100 << 20
    assert dead["worker"] == 1
    assert dead["block"].startswith("jt-script-")
    assert dead["attempts"] == 1
    assert f"1 dies failed:\n  1 {cause}: " in ended.err
    assert f"last words before {how}" in ended.err


def test_what_no_worker_can_run_is_said_at_once(project: Project) -> None:
    source = """
        import jobtree
        if __name__ == "__main__":
            jobtree.run(jobtree.call(len, "abc").needs(cpus=99, name="huge"), tree="T", worker_cpus=1)
    """
    ended = project.script(source, status=1)
    assert "no-fit: it asks for 99 cpus" in ended.err


def test_a_script_that_cant_be_imported_on_the_node_is_named_with_its_path(project: Project) -> None:
    source = """
        import os, sys, jobtree
        if "worker" in " ".join(open("/proc/self/cmdline").read().split(chr(0))):
            import not_installed_there
        @jobtree.target
        def f(): ...
        if __name__ == "__main__":
            jobtree.run(f(), tree="T")
    """
    ended = project.script(source, status=1)
    assert "import: " in ended.err
    assert "not_installed_there" in ended.err
    assert "sys.path" in ended.err


def test_a_target_that_fails_can_be_run_again_here_under_the_debugger(project: Project) -> None:
    source = """
        import sys, jobtree

        @jobtree.target
        def number():
            return 41

        @jobtree.target
        def divide(target, value):
            (target.global_temp_dir / "seen").write_text("x")
            target.add_child(number())
            return value / 0

        @jobtree.target
        def root(target):
            return target.add_child(divide(target.add_child(number())))

        if __name__ == "__main__":
            print(jobtree.run(root(), tree="T"))
    """
    ended = project.script(source, status=1)
    assert "step through it: jobtree debug" in ended.err
    failed = json.loads(project.run("-m", "jobtree", "explain", "T", "--json").out)["groups"][0]["example"]["id"]
    before = project.run("-m", "jobtree", "status", "T", "--json").out
    again = project.run("-m", "jobtree", "debug", "--no-pdb", "T", failed, status=1)
    assert "ZeroDivisionError" in again.err
    argv = [sys.executable, "-m", "jobtree", "debug", "T", str(failed)]
    stepped = subprocess.run(
        argv, cwd=project.directory, env=project.environment, input="p 'the value is', value\nq\n", text=True, capture_output=True
    )
    assert "('the value is', 41)" in stepped.stdout
    project.write("script.py", source.replace("value / 0", "value + 1"))
    assert "it has succeeded, and would have created 1 targets" in project.run("-m", "jobtree", "debug", "T", failed).err
    assert project.run("-m", "jobtree", "status", "T", "--json").out == before
    assert project.restart().lines == ["42"]


def test_a_post_mortem_stands_in_the_remote_frames(project: Project) -> None:
    source = """
        import traceback, jobtree

        def deep():
            raise KeyError("chr9")

        @jobtree.target
        def load():
            deep()

        if __name__ == "__main__":
            try:
                jobtree.run(load(), tree="T")
            except jobtree.TargetsFailed as failed:
                try:
                    failed.reraise()
                except KeyError as error:
                    print([frame.name for frame in traceback.extract_tb(error.__traceback__)][-2:])
    """
    assert project.script(source).lines == ["['load', 'deep']"]


def test_pinned_targets_run_on_cores_of_their_own(project: Project) -> None:
    source = """
        import os, pathlib, time, jobtree

        @jobtree.target
        def where(name):
            pathlib.Path(name).touch()
            while not all(pathlib.Path(other).exists() for other in ("one", "two")):
                time.sleep(0.01)
            return sorted(os.sched_getaffinity(0))

        if __name__ == "__main__":
            one, two = jobtree.run([where("one"), where("two")], tree="T", worker_cpus=2, pin=True)
            cores = len(os.sched_getaffinity(0))
            print(len(one) == len(two) == 1 and (one != two) if cores >= 2 else "too few cores")
    """
    assert project.script(source).lines in (["True"], ["too few cores"])
