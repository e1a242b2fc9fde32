"""What old scripts see when they run: order, temp dirs, retries, failures, restarts, messages (each test is a real run)."""

from __future__ import annotations

import re

from tests.support.scripts import Project

HEAD = """
import os, random, sys, time
from optparse import OptionParser
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

def note(words):
    with open({ledger!r}, "a") as file:
        file.write(words + "\\n")
"""
TAIL = """
def main():
    parser = OptionParser()
    Stack.addJobTreeOptions(parser)
    options, args = parser.parse_args()
    i = Stack(First()).startJobTree(options)
    if i:
        raise RuntimeError("The jobtree contains %d failed jobs" % i)

if __name__ == "__main__":
    from script import *
    main()
"""


def write(project: Project, source: str) -> None:
    project.write("script.py", HEAD.format(ledger=str(project.ledger)) + source + TAIL)


def go(project: Project, source: str, *words: str, status: int = 0) -> str:
    """Run such a script; what it said on stderr."""
    write(project, source)
    return project.run("script.py", "--jobTree", "T", *words, status=status).err


def messages(err: str) -> list[str]:
    """What targets have told the master."""
    return re.findall(r"^Got message from job at time: [0-9.]+ : (.*)$", err, re.MULTILINE)


def test_a_follow_on_waits_for_the_whole_subtree_and_chains_go_on(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self, name="R", depth=2):
        Target.__init__(self)
        self.name, self.depth = name, depth
    def run(self):
        note(self.name)
        for i in range(2 if self.depth else 0):
            self.addChildTarget(First(self.name + str(i), self.depth - 1))
        self.setFollowOnTarget(Then(self.name, 2))

class Then(Target):
    def __init__(self, name, left):
        Target.__init__(self)
        self.name, self.left = name, left
    def run(self):
        note(self.name + "." + str(self.left))
        if self.left:
            self.addChildTargetFn(late, (self.name, self.left))
            self.setFollowOnTarget(Then(self.name, self.left - 1))

def late(target, name, left):
    time.sleep(0.05)
    note("late %s.%s" % (name, left))
""",
    )
    noted = project.noted()
    for name in ("R", "R0", "R1", "R00", "R01", "R10", "R11"):
        own = [name, f"{name}.2", f"late {name}.2", f"{name}.1", f"late {name}.1", f"{name}.0"]
        assert [line for line in noted if line in own] == own
    below = [place for place, line in enumerate(noted) if re.match(r"(late )?R[01]", line)]
    assert max(below) < noted.index("R.2")
    assert len(noted) == 7 * 6


def test_the_global_temp_dir_is_lazy_and_of_a_chain(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):                                     # never asks
        self.setFollowOnTarget(Second())

class Second(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        mine = self.getGlobalTempDir()
        assert isinstance(mine, str) and os.listdir(mine) == [], os.listdir(mine)
        assert self.getGlobalTempDir() == mine
        for i in range(3):
            self.addChildTarget(Child(mine, i))
        self.setFollowOnTarget(Third(mine))

class Child(Target):
    def __init__(self, shared, i):
        Target.__init__(self)
        self.shared, self.i = shared, i
    def run(self):
        assert self.getGlobalTempDir() != self.shared
        assert os.listdir(self.getGlobalTempDir()) == []
        assert os.listdir(self.getLocalTempDir()) == []
        open(os.path.join(self.getLocalTempDir(), ".hidden"), "w").close()
        open(os.path.join(self.shared, str(self.i)), "w").close()

class Third(Target):
    def __init__(self, path):
        Target.__init__(self)
        self.path = path
    def run(self):
        assert self.getGlobalTempDir() == self.path
        note(" ".join(sorted(os.listdir(self.path))))
""",
    )
    assert project.noted() == ["0 1 2"]


def test_a_retried_founder_gets_a_fresh_temp_dir_and_a_retried_follow_on_what_it_left(project: Project) -> None:
    go(
        project,
        """
def times(name):
    with open("count-" + name, "a+") as file:
        file.write("x"); file.seek(0)
        return len(file.read())

class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        place = self.getGlobalTempDir()
        assert os.listdir(place) == []
        open(os.path.join(place, "first"), "w").close()
        self.setFollowOnTarget(Second())
        if times("first") < 3: raise ValueError("not yet")

class Second(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        place = self.getGlobalTempDir()
        n = times("second")
        note(" ".join(sorted(os.listdir(place))))
        open(os.path.join(place, str(n)), "w").close()
        if n < 2: sys.exit(0)
""",
        "--retryCount=2",
    )
    assert project.noted() == ["first", "1 first"]


def test_what_is_changed_after_adding_is_seen_and_children_do_not_share(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        shared = []
        children = [Child(shared), Child(shared)]
        for child in children: assert self.addChildTarget(child) is None
        follow = Child(shared)
        self.setFollowOnTarget(follow)
        assert self.getChildren() == children and self.getFollowOn() is follow
        shared.append("late")
        return 17

class Child(Target):
    def __init__(self, shared):
        Target.__init__(self)
        self.shared = shared
    def run(self):
        self.shared.append("mine")
        note(" ".join(self.shared))
""",
    )
    assert project.noted() == ["late mine"] * 3


def test_any_escape_is_a_failure_and_undoes_the_attempt(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self):
        Target.__init__(self)
        self.value = 1
    def run(self):
        note("run %i" % self.value)
        self.value = 2
        self.logToMaster("never heard")
        self.addChildTargetFn(child)
        self.setFollowOnTargetFn(child)
        sys.exit(0)

def child(target): note("child")
""",
        "--retryCount", "1", status=1,
    )  # fmt: skip
    assert project.noted() == ["run 1", "run 1"]
    assert messages(err) == []
    assert "RuntimeError: The jobtree contains 1 failed jobs" in err


def test_a_second_follow_on_fails_the_job(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        self.setFollowOnFn(note, ("a",))
        self.setFollowOnFn(note, ("b",))
""",
        status=1,
    )
    assert "AssertionError" in err
    assert project.noted() == []


def test_a_child_whose_constructor_was_not_called_fails_its_parent(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        note("ran")
        self.addChildFn(note, ("a child",))
        self.addChildTarget(Careless())

class Careless(Target):
    def __init__(self): self.x = 1
""",
        status=1,
    )
    assert "RuntimeError: the target class Careless does not call Target.__init__" in err
    assert project.noted() == ["ran"]


def test_failures_are_counted_and_shown_each_time_and_stop_only_their_ancestors(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        for i in range(6): self.addChildTargetFn(child, [i])
        self.setFollowOnFn(note, ("the end",))

def child(target, i):
    target.addChildFn(note, args=["below %i" % i])
    if i in (1, 4):
        print("child %i fails" % i)
        raise ValueError(i)
""",
        "--retryCount=1", "--logInfo", status=1,
    )  # fmt: skip
    assert sorted(project.noted()) == ["below 0", "below 2", "below 3", "below 5"]
    assert "RuntimeError: The jobtree contains 2 failed jobs" in err
    assert err.count("The job seems to have left a log file, indicating failure: child:") == 4
    assert err.count("log.txt:\tchild 1 fails\n") == 2
    assert err.count("log.txt:\tValueError: 4\n") == 2
    assert len(re.findall(r"reducing the remaining retry count of job child:\d+ to 1$", err, re.MULTILINE)) == 2
    assert len(re.findall(r"^Job: child:\d+ is completely failed$", err, re.MULTILINE)) == 2
    assert "Only failed jobs and their dependents (2 total) are remaining" in err


def test_an_existing_directory_is_gone_on_with_whatever_root_and_options_are_given(project: Project) -> None:
    source = """
class First(Target):
    def __init__(self):
        Target.__init__(self)
        self.born = os.environ["BORN"]
    def run(self):
        self.addChildTargetFn(child, (self.born,))
        self.setFollowOnFn(note, ("the end of " + self.born,))

def child(target, born):
    note("child of %s, now %s" % (born, os.environ["BORN"]))
    if not os.path.exists("mended"): raise ValueError
"""
    write(project, source)
    for born, words, status in (("a", ["--retryCount=1"], 1), ("b", ["--retryCount=0"], 1)):
        project.run("script.py", "--jobTree", "T", *words, status=status, BORN=born)
    project.write("mended", "")
    project.run("script.py", "--jobTree", "T", BORN="c")
    before = project.noted()
    assert before == ["child of a, now a"] * 2 + ["child of a, now b"] * 2 + ["child of a, now c", "the end of a"]
    again = project.run("script.py", "--jobTree", "T", "--logInfo", BORN="d")
    assert project.noted() == before
    assert "there is nothing to do" in again.err


def test_an_empty_directory_is_begun_with(project: Project) -> None:
    (project.directory / "T").mkdir()
    go(project, "class First(Target):\n    def __init__(self): Target.__init__(self)\n    def run(self): note('ran')\n")
    assert project.noted() == ["ran"]


def test_messages_come_in_order_and_once_also_from_constructors_and_into_the_log_file(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self):
        Target.__init__(self)
        self.logToMaster("constructed")
    def run(self):
        for i in range(50): self.logToMaster(i)
        self.setFollowOnTargetFn(long)

def long(target):
    for i in range(3): target.logToMaster("%i %s" % (i, "x" * 20000))
""",
        "--logFile", "log",
    )  # fmt: skip
    heard = messages(err)
    assert heard[:51] == ["constructed", *map(str, range(50))]
    assert heard[51:] == [f"{i} {'x' * 20000}" for i in range(3)]
    assert messages((project.directory / "log").read_text()) == heard


def test_log_off_is_off(project: Project) -> None:
    source = "class First(Target):\n    def __init__(self): Target.__init__(self)\n    def run(self): self.logToMaster('psst')\n"
    assert go(project, source, "--logOff") == ""


def test_requests_that_mean_nothing_floats_and_fractions(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self, time=sys.maxsize, memory=sys.maxsize, cpu=sys.maxsize)
    def run(self):
        assert self.getMemory() == self.getCpu() == self.getRunTime() == sys.maxsize
        self.addChildTarget(Child(memory=3e9, cpu=0.5))
        self.addChildTarget(Child(memory=17.5, cpu=99))
        self.addChildTargetFn(child, memory=8*1024**3, cpu=2, time=5)

class Child(Target):
    def __init__(self, **requests):
        Target.__init__(self, **requests)
        self.requests = requests
    def run(self):
        assert (self.getMemory(), self.getCpu()) == (self.requests["memory"], self.requests["cpu"])
        note("%g %g" % (self.getMemory(), self.getCpu()))

def child(target): note("%g %g %g" % (target.getMemory(), target.getCpu(), target.getRunTime()))
""",
    )
    assert sorted(project.noted()) == ["17.5 99", "3e+09 0.5", "8.58993e+09 2 5"]


def test_a_request_above_the_limits_fails_that_job_alone(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        self.addChildFn(note, ("small",))
        self.addChildFn(note, ("large",), cpu=3)
""",
        "--maxCpus=2", "--retryCount=3", status=1,
    )  # fmt: skip
    assert project.noted() == ["small"]
    assert err.count("RuntimeError: more cpus requested than available: 3, and --maxCpus is 2") == 1
    assert "The jobtree contains 1 failed jobs" in err


def test_two_batch_systems_of_one_machine_are_two_pools_of_threads(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        for name, memory in (("a", 1000), ("b", 2000000)): self.addChildTargetFn(meet, (name,), memory=memory)
        self.setFollowOnFn(note, ["end"])

def meet(target, name):                  # with one thread of each system both run at once, and only then
    open(name, "w").close()
    while not (os.path.exists("a") and os.path.exists("b")): time.sleep(0.01)
""",
        "--maxThreads=1", "--bigBatchSystem=singleMachine", "--bigMemoryThreshold=1000000", "--defaultMemory=5000000",
    )  # fmt: skip
    assert project.noted() == ["end"]


def test_siblings_run_side_by_side_though_one_waits_for_the_other(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        place = self.getGlobalTempDir()
        self.addChildTarget(Launch(place))
        self.addChildTarget(Block(place))

class Launch(Target):
    def __init__(self, place):
        Target.__init__(self, memory=1000000)
        self.place = place
    def run(self):
        open(os.path.join(self.place, "up"), "w").close()
        while os.path.exists(os.path.join(self.place, "up")): time.sleep(0.01)
        note("server ended")

class Block(Target):
    def __init__(self, place):
        Target.__init__(self)
        self.place = place
    def run(self):
        while not os.path.exists(os.path.join(self.place, "up")): time.sleep(0.01)
        for i in range(5): self.addChildFn(note, ["work"])
        self.setFollowOnTarget(Kill(self.place))

class Kill(Target):
    def __init__(self, place):
        Target.__init__(self)
        self.place = place
    def run(self): os.remove(os.path.join(self.place, "up"))
""",
        "--maxThreads=2",
    )
    assert project.noted() == ["work"] * 5 + ["server ended"]


def test_commands_are_children_behind_the_targets(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        place = self.getGlobalTempDir()
        self.addChildCommand("echo 'two words' > '%s/x y' && exit 0" % place)
        self.addChildCommand("exit 7", runTime=1)
        assert [command for command, _ in self.getChildCommands()][1] == "exit 7"
        self.setFollowOnTarget(Then())

class Then(Target):
    def __init__(self): Target.__init__(self)
    def run(self): note(open(os.path.join(self.getGlobalTempDir(), "x y")).read())
""",
        status=1,
    )
    assert "The jobtree contains 1 failed jobs" in err
    assert "exit 7: exit status 7" in err
    assert project.noted() == []


def test_the_working_directory_and_the_environment_are_the_masters_for_each_target(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        os.chdir("/")
        for i in range(4): self.addChildTargetFn(child)

def child(target):
    note(os.path.basename(os.path.abspath("script.py")) + str(os.path.exists("script.py")))
    os.chdir("/")
    raise SystemExit(3) if random.random() < 0.5 else Exception("away")
""",
        "--retryCount=2", status=1,
    )  # fmt: skip
    assert project.noted() == ["script.pyTrue"] * 12


def test_what_kills_itself_uses_up_its_tries(project: Project) -> None:
    err = go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        note("try")
        os.kill(os.getpid(), 9) if os.path.exists("signal") else os._exit(0)
""",
        "--retryCount=2", status=1,
    )  # fmt: skip
    assert project.noted() == ["try"] * 3
    assert "The jobtree contains 1 failed jobs" in err


def test_long_chains_and_deep_recursion_in_one_thread(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self, left=60):
        Target.__init__(self)
        self.left = left
    def run(self):
        if not self.left: return note("end")
        if self.left % 3: self.setFollowOnTarget(First(self.left - 1))
        else: self.addChildTarget(First(self.left - 1))
""",
        "--maxThreads=1",
    )
    assert project.noted() == ["end"]


def test_combinators_that_add_to_targets_which_are_not_running(project: Project) -> None:
    go(
        project,
        """
class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        self.addChildTarget(Run([Note("a"), Note("b")]))
        self.setFollowOnTarget(Sequence([Note("1"), Note("2"), Note("3")]))

class Run(Target):                       # children from a list, given before it runs
    def __init__(self, targets):
        Target.__init__(self)
        for target in targets: self.addChildTarget(target)

class Sequence(Target):
    def __init__(self, targets):
        Target.__init__(self)
        self.targets = targets
    def run(self):
        self.addChildTarget(self.targets[0])
        if self.targets[1:]: self.setFollowOnTarget(Sequence(self.targets[1:]))

class Note(Target):
    def __init__(self, words):
        Target.__init__(self)
        self.words = words
    def run(self): note(self.words)
""",
    )
    noted = project.noted()
    assert sorted(noted[:2]) == ["a", "b"]
    assert noted[2:] == ["1", "2", "3"]
