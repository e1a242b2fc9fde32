"""Habits of real scripts: how they import themselves, what their targets hold, what they run inside them (each is a real run)."""

from __future__ import annotations

import pytest

from tests.support.scripts import Project

CLASSES = """
import os, sys
from optparse import OptionParser
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        self.addChildTargetFn(child, (1,))
        self.setFollowOnTarget(Last())

class Last(Target):
    def __init__(self): Target.__init__(self)
    def run(self): note("last")

def child(target, n): note("child %i" % n)

def note(words):
    with open("ledger", "a") as file: file.write(words + "\\n")

def parsed():
    parser = OptionParser()
    Stack.addJobTreeOptions(parser)
    return parser.parse_args()[0]

def main():
    sys.exit(Stack(First()).startJobTree(parsed()))
"""


@pytest.mark.parametrize(
    ("name", "below_main"),
    [
        ("script.py", "from script import *\n    main()"),
        ("package/src/module.py", "from package.src.module import *\n    main()"),
        ("package/src/module.py", "import package.src.module\n    package.src.module.main()"),
        ("script.py", "import script\n    sys.exit(Stack(script.First()).startJobTree(parsed()))"),
        ("script.py", "from script import First\n    main()"),
        ("a copy", "from script import *\n    main()"),
    ],
)
def test_ways_in_which_scripts_import_themselves(project: Project, name: str, below_main: str) -> None:
    for package in ("package", "package/src"):
        project.write(f"{package}/__init__.py", "")
    source = f"{CLASSES}\nif __name__ == '__main__':\n    {below_main}\n"
    project.write("script.py", source)
    project.write(name, source)
    project.run(name, "--jobTree", "T", PYTHONPATH=f"{project.environment['PYTHONPATH']}:{project.directory}")
    assert project.noted() == ["child 1", "last"]


def test_a_class_of_main_is_refused_with_words(project: Project) -> None:
    ended = project.script(CLASSES + "\nif __name__ == '__main__': main()\n", "--jobTree", "T", status=1)
    assert "RuntimeError: the target class First is defined in __main__" in ended.err
    assert "from script import *" in ended.err


def test_functions_of_main_run(project: Project) -> None:
    project.script(
        CLASSES
        + """
def root(target):
    target.addChildTargetFn(child, (1,))
    target.setFollowOnFn(note, ["function"])

if __name__ == "__main__":
    sys.exit(Stack(Target.makeTargetFn(root)).startJobTree(parsed()))
""",
        "--jobTree", "T",
    )  # fmt: skip
    assert project.noted() == ["child 1", "function"]


def test_targets_hold_options_generators_elements_functions_and_other_targets(project: Project) -> None:
    source = """
import bz2, os, random, sys
import xml.etree.ElementTree as ET
from argparse import ArgumentParser
from optparse import OptionParser
from jobtree.scripttree.bioio import TempFileTree
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

class First(Target):
    def __init__(self, options, args):
        Target.__init__(self, memory=options.defaultMemory, cpu=float(options.defaultCpu))
        self.options, self.args = options, args
        self.random = random.Random(1)
        self.element = ET.fromstring("<a b='1'><c/></a>")
        self.function = combine
        self.data = bz2.compress(os.urandom(1000000))
        self.targets = [Then(i) for i in range(3)]
        self.targets[0].other = self.targets[1]
    def run(self):
        assert self.options.jobTree == os.path.join(os.getcwd(), "T")
        assert self.options.defaultCpu == "1" and self.args.defaultCpu == 1 and self.options.maxThreads == 3
        self.random.random()
        assert self.element.find("c") is not None and len(bz2.decompress(self.data)) == 1000000
        files = TempFileTree(os.path.join(self.getGlobalTempDir(), "files"), filesPerDir=2, levels=3)
        made = [files.getTempFile() for i in range(8)]
        list(map(lambda target: self.addChildTarget(target), self.targets))
        self.setFollowOnTarget(Last(files, sorted(made), self.function))

class Then(Target):
    def __init__(self, i):
        Target.__init__(self)
        self.i, self.other = i, None
    def run(self):
        if self.other: self.addChildTarget(self.other)
        open("ledger", "a").write("%i\\n" % self.i)

class Last(Target):
    def __init__(self, files, made, function):
        Target.__init__(self)
        self.files, self.made, self.function = files, made, function
    def run(self):
        assert sorted(self.files.listFiles()) == self.made and self.function(1, 2) == 3
        self.files.destroyTempFiles()
        assert os.listdir(self.getGlobalTempDir()) == []

def combine(a, b): return a + b

if __name__ == "__main__":
    from script import *
    parser = OptionParser()
    Stack.addJobTreeOptions(parser)
    options, _ = parser.parse_args()
    options.maxThreads = 3
    other = ArgumentParser()
    Stack.addJobTreeOptions(other)
    sys.exit(Stack(First(options, other.parse_args([]))).startJobTree(options))
"""
    project.script(source, "--jobTree", "T", "--defaultCpu", "1")
    assert sorted(project.noted()) == ["0", "1", "1", "2"]


def test_a_target_runs_whole_scripts_as_masters_of_their_own(project: Project) -> None:
    project.write("inner.py", CLASSES + "\nif __name__ == '__main__':\n    from inner import *\n    main()\n")
    project.script(
        """
import os, shutil, sys
from jobtree.scripttree.bioio import system, popenCatch, nameValue
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

class First(Target):
    def __init__(self): Target.__init__(self)
    def run(self):
        for i in range(2): self.addChildTargetFn(nested, (i, self.getGlobalTempDir()))

def nested(target, i, place):
    tree = os.path.join(place, "tree%i" % i)
    system("%s inner.py %s %s" % (sys.executable, nameValue("jobTree", tree), nameValue("maxThreads", 2, int)))
    status = "import sys; from jobtree.cli.old_views import status; sys.exit(status())"
    said = popenCatch("%s -c '%s' --failIfNotComplete %s" % (sys.executable, status, nameValue("jobTree", tree)))
    assert "There are 0 active jobs" in said, said
    shutil.rmtree(tree)

if __name__ == "__main__":
    from script import *
    options = Stack.getDefaultOptions()
    options.jobTree = "T"
    sys.exit(Stack(First()).startJobTree(options))
""",
    )
    assert sorted(project.noted()) == ["child 1", "child 1", "last", "last"]


def test_a_daemon_that_a_target_starts_holds_up_nothing_and_goes_on_after_it(project: Project) -> None:
    project.write(
        "daemon.py",
        """
        import os, time
        with open("pid.new", "w") as file: file.write(str(os.getpid()))
        os.rename("pid.new", "pid")
        time.sleep(1000)
        """,
    )
    project.script(
        """
import os, sys, time
from jobtree.scripttree.bioio import spawnDaemon
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

def root(target):
    spawnDaemon(sys.executable + " daemon.py")
    while not os.path.exists("pid"): time.sleep(0.01)
    target.setFollowOnFn(after)

def after():
    os.kill(int(open("pid").read()), 0)
    open("ledger", "w").write("alive")

if __name__ == "__main__":
    options = Stack.getDefaultOptions()
    sys.exit(Stack(Target.makeTargetFn(root)).startJobTree(options))
""",
    )
    assert project.noted() == ["alive"]


def test_a_directory_that_is_something_else_is_left_alone(project: Project) -> None:
    project.write("T/config.xml", "<config/>")
    script = CLASSES + "\nif __name__ == '__main__':\n    from script import *\n    main()\n"
    ended = project.script(script, "--jobTree", "T", status=2)
    assert "holds something else and is no jobtree tree" in ended.last_error
    assert [path.name for path in project.tree.iterdir()] == ["config.xml"]


def test_options_that_were_not_added_are_told(project: Project) -> None:
    ended = project.script(CLASSES + """
if __name__ == "__main__":
    from script import *
    Stack(First()).startJobTree(OptionParser().parse_args()[0])
""", status=1)  # fmt: skip
    assert "did you remember to call addJobTreeOptions" in ended.err
