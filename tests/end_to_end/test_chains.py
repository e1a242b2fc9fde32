"""Chains and their temp dirs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.scripts import Project, poll

NOTE = """
import os, time, sys, jobtree
from pathlib import Path

def note(*words):
    with open("ledger", "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")
"""
MAIN = """
if __name__ == "__main__":
    jobtree.run(root(), tree="T", workers=1)
"""


def leftovers(project: Project) -> list[Path]:
    return list(project.tree.glob("tmp/*/*"))


def test_a_global_temp_dir_is_the_chain_s_own_empty_at_first_handed_on_and_removed_at_the_end(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target
def reader(path):
    note("child", Path(path).read_text())

@jobtree.target
def other(target):
    note("other", target.global_temp_dir, os.listdir(target.global_temp_dir))

@jobtree.target
def last(target):
    note("last", target.global_temp_dir, sorted(os.listdir(target.global_temp_dir)))

@jobtree.target
def middle(target):
    here = target.global_temp_dir
    note("middle", here, os.listdir(here))
    (here / "more").write_text("m")
    target.add_child(reader(here / "file"))
    target.set_follow_on(last())

@jobtree.target
def root(target):
    here = target.global_temp_dir
    note("root", here, os.listdir(here))
    (here / "file").write_text("text")
    target.add_child(reader(here / "file"))
    target.add_child(other())
    target.set_follow_on(middle())
"""
        + MAIN
    )
    words = {line.split()[0]: line.split(maxsplit=2)[1:] for line in project.noted() if not line.startswith("child")}
    assert [line for line in project.noted() if line.startswith("child")] == ["child text"] * 2
    assert words["root"][0] == words["middle"][0] == words["last"][0] != words["other"][0]
    assert words["root"][0].startswith(str(project.tree / "tmp"))
    assert [words[name][1] for name in ("root", "other", "middle", "last")] == ["[]", "[]", "['file']", "['file', 'more']"]
    assert leftovers(project) == []


def test_the_first_of_a_chain_to_ask_may_be_a_follow_on(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target
def link(target, n):
    if n >= 2:
        note(target.global_temp_dir)
    if n < 4:
        target.set_follow_on(link(n + 1))

@jobtree.target
def root(target):
    target.add_child(link(0))
"""
        + MAIN
    )
    assert len(project.noted()) == 3
    assert len(set(project.noted())) == 1
    assert leftovers(project) == []


def test_who_never_asks_gets_no_temp_dir(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target
def root(): note(os.path.exists("T/tmp") and os.listdir("T/tmp"))
"""
        + MAIN
    )
    assert project.noted() in (["False"], ["[]"])


def test_a_child_finds_its_parent_s_dir_until_the_chain_has_ended_and_then_it_goes(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target
def below(path):
    note("exists", Path(path).exists())

@jobtree.target
def chained(target):
    target.add_child(below(target.global_temp_dir))

@jobtree.target
def look():
    note("after", sum(len(files) for _, files, _ in os.walk("T/tmp")) >= 0, [p.name for p in Path("T/tmp").glob("*/*")])

@jobtree.target
def root(target):
    target.add_child(chained())
    target.set_follow_on(wait())

@jobtree.target
def wait(target):
    for _ in range(1000):
        if not list(Path("T/tmp").glob("*/*")):
            break
        time.sleep(0.02)
    note("gone", not list(Path("T/tmp").glob("*/*")))
"""
        + MAIN
    )
    assert project.noted() == ["exists True", "gone True"]


def test_a_founder_that_is_tried_again_gets_a_fresh_dir_and_a_follow_on_finds_what_is_there(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target(retries=1)
def follow(target):
    here = target.global_temp_dir
    note("follow", target.attempt, here, sorted(os.listdir(here)))
    (here / f"follow{target.attempt}").write_text("")
    if target.attempt == 1:
        raise ValueError("again")

@jobtree.target(retries=1)
def root(target):
    here = target.global_temp_dir
    note("root", target.attempt, here, os.listdir(here))
    (here / f"root{target.attempt}").write_text("")
    if target.attempt == 1:
        raise ValueError("again")
    target.set_follow_on(follow())
"""
        + MAIN
    )
    words = [line.split(maxsplit=3) for line in project.noted()]
    assert [(*line[:2], line[3]) for line in words] == [
        ("root", "1", "[]"), ("root", "2", "[]"), ("follow", "1", "['root2']"), ("follow", "2", "['follow1', 'root2']"),
    ]  # fmt: skip
    assert words[0][2] != words[1][2] == words[2][2] == words[3][2]
    assert leftovers(project) == []


def test_a_global_temp_dir_survives_a_restart(project: Project) -> None:
    project.write(
        "script.py",
        NOTE
        + """
@jobtree.target
def follow(target):
    note("follow", target.global_temp_dir, (target.global_temp_dir / "file").read_text())

@jobtree.target
def root(target):
    (target.global_temp_dir / "file").write_text("kept")
    note("root", target.global_temp_dir)
    target.add_child(wait())
    target.set_follow_on(follow())

@jobtree.target
def wait():
    note("waiting")
    while not os.path.exists("go"):
        time.sleep(0.02)
"""
        + MAIN,
    )
    run = project.start("script.py")
    poll(lambda: "waiting" in project.noted())
    run.kill()
    for worker in project.workers():
        os.kill(worker, signal.SIGKILL)
    poll(lambda: not project.processes())
    project.write("go", "")
    project.restart(adopt_grace=0.2)
    noted = project.noted()
    assert noted[-1] == f"follow {noted[0].split()[1]} kept"
    assert leftovers(project) == []


def test_a_local_temp_dir_is_empty_at_first_and_gone_when_the_attempt_has_ended_however_it_ends(project: Project) -> None:
    project.script(
        NOTE
        + """
@jobtree.target
def child(target, how):
    here = target.local_temp_dir
    assert here is target.local_temp_dir or here == target.local_temp_dir
    note(here, os.listdir(here))
    (here / "dir").mkdir()
    (here / "dir" / "file").write_text("x")
    if how == "raise": raise ValueError
    if how == "exit": os._exit(1)
    if how == "kill": os.kill(os.getpid(), 9)

@jobtree.target
def root(target):
    for how in ("return", "raise", "exit", "kill"):
        target.add_child(child(how), allow_failure=True)
"""
        + MAIN
    )
    noted = [line.split(maxsplit=1) for line in project.noted()]
    assert len({path for path, _ in noted}) == 4
    assert {content for _, content in noted} == {"[]"}
    assert not any(Path(path).exists() for path, _ in noted)
