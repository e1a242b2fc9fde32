"""Runs that go on without who began them, and the list of my runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.scripts import Project, poll

SCRIPT = """
    import argparse, pathlib, sys, time
    import jobtree

    @jobtree.target
    def wait(path):
        print("it has begun", flush=True)
        while not path.exists():
            time.sleep(0.05)
        return "over"

    if __name__ == "__main__":
        parser = argparse.ArgumentParser()
        jobtree.add_options(parser)
        print(jobtree.run(wait(pathlib.Path("go").absolute()), parser.parse_args(), tree="T", workers=1))
"""


def runs(project: Project, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(project.run("-m", "jobtree", "ps", "--json", *words).out)["runs"]
    return found


def test_a_detached_run_outlives_its_terminal_and_is_found_and_attached_to(project: Project) -> None:
    script = project.write("script.py", SCRIPT)
    begun = project.run(script, "--detach")
    assert begun.out == ""
    assert f"jobtree attach {project.tree}" in begun.err
    pid = int(begun.err.split("process ")[1].split(";")[0])
    assert os.getsid(pid) == pid, "no terminal's hanging up reaches it"
    (run,) = runs(project)
    assert (run["tree"], run["state"], run["pid"]) == (str(project.tree), "running", pid)
    attached = project.start("-m", "jobtree", "attach", "T")
    (project.directory / "go").touch()
    ended = attached.wait()
    assert ended.status == 0
    assert ended.out.splitlines()[-1] == "over", "what the script itself printed"
    assert runs(project) == []
    assert [run["state"] for run in runs(project, "--all")] == ["complete"]


def test_what_keeps_a_run_from_beginning_is_said_where_it_was_asked_for(project: Project) -> None:
    script = project.write("script.py", SCRIPT)
    ended = project.run(script, "--detach", "--pool", "name=x,launcher=local,max=0,cpus=0", status=2)
    assert "cpus" in ended.last_error


def test_a_run_that_was_not_detached_has_no_console(project: Project) -> None:
    (project.directory / "go").touch()
    project.script(SCRIPT)
    ended = project.run("-m", "jobtree", "attach", "T", status=2)
    assert "was not begun with --detach" in ended.last_error


def test_a_stopped_run_is_listed_with_no_master_until_its_tree_is_gone(project: Project) -> None:
    running = project.start(project.write("script.py", SCRIPT))
    poll(lambda: runs(project) and runs(project)[0]["state"] == "running")
    running.signal(signal.SIGHUP)
    assert running.wait().status == 129
    (run,) = runs(project)
    assert (run["state"], run["pid"]) == ("stopped", None)
    project.run("-m", "jobtree", "stop", "T")
    project.run("-m", "jobtree", "clean", "T")
    assert runs(project, "--all") == []


@pytest.mark.parametrize("words", [["ps", "--json"], ["ps"]])
def test_without_runs_the_list_is_empty(project: Project, words: list[str]) -> None:
    assert project.run("-m", "jobtree", *words).status == 0
    assert not Path(project.directory, "data").exists(), "looking makes nothing"
