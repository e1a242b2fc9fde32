"""Where the code of targets may live: scripts of any name, modules run with -m, the command line, a REPL, closures."""

from __future__ import annotations

import subprocess
import sys

from tests.support.scripts import PATIENCE, Project

SCRIPT = """
import jobtree
from dataclasses import dataclass

@dataclass
class Box:
    content: int

class Down(jobtree.Target):
    def __init__(self, n): self.n = n
    def run(self):
        if not self.n: return Box(0)
        return self.set_follow_on(up([self.add_child(Down(self.n - 1)) for _ in range(2)]))

@jobtree.target
def up(boxes):
    assert all(type(box) is Box for box in boxes)
    return Box(1 + sum(box.content for box in boxes))

if __name__ == "__main__":
    result = jobtree.run(Down(3), tree="T")
    assert type(result) is Box
    print(result)
"""


def test_classes_of_main_in_a_script_without_a_suffix_and_with_odd_characters(project: Project) -> None:
    assert project.script(SCRIPT, name="a script-with.odd name").lines == ["Box(content=7)"]


def test_a_script_in_another_directory_finds_the_modules_beside_it(project: Project) -> None:
    project.write("sub/helper.py", "import jobtree\n@jobtree.target\ndef helped(x): return x + 1\n")
    ended = project.script(
        """
import jobtree, helper

if __name__ == "__main__":
    print(jobtree.run(helper.helped(1), tree="T"))
""",
        name="sub/script.py",
    )
    assert ended.lines == ["2"]


def test_a_module_of_a_package_run_with_m_and_its_relative_imports(project: Project) -> None:
    project.write("package/__init__.py", "")
    project.write("package/other.py", "offset = 10\n")
    project.write("package/module.py", SCRIPT.replace("import jobtree\n", "import jobtree\nfrom .other import offset\n", 1))
    project.write("package/__main__.py", SCRIPT.replace('tree="T"', 'tree="T2"'))
    assert project.run("-m", "package.module").lines == ["Box(content=7)"]
    assert project.run("-m", "package").lines == ["Box(content=7)"]
    assert project.restart().lines[-1] == "Box(content=7)"


def test_code_on_the_command_line(project: Project) -> None:
    code = """
import jobtree
@jobtree.target
def square(x): return x * helper(x)
def helper(x): return x
class Sum(jobtree.Target):
    def run(self): return self.set_follow_on(jobtree.call(sum, [self.add_child(square(i)) for i in range(4)]))
print(jobtree.run(Sum(), tree="T"))
"""
    assert project.run("-c", code).lines == ["14"]


def test_an_interactive_session_without_a_tree_gets_a_new_one_for_each_run(project: Project) -> None:
    typed = """
import jobtree
offset = 1
def plus(x):
    return x + offset

print(jobtree.run(jobtree.call(plus, 1)))
offset = 10
print(jobtree.run(jobtree.call(plus, 1)))
print(jobtree.run(jobtree.call(lambda: offset * 2)))
class T(jobtree.Target):
    def run(self):
        return self.add_child(jobtree.call(plus, 5))

print(jobtree.run(T()))
"""
    ended = subprocess.run(
        [sys.executable, "-i", "-q"], input=typed, text=True, capture_output=True, cwd=project.directory,
        env=project.environment, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["2", "11", "20", "15"], ended.stderr
    trees = [path for path in (project.directory / "data" / "jobtree").iterdir() if (path / "journal").exists()]
    assert len(trees) == 4
    assert not (project.directory / "jobTree").exists()


def test_an_error_in_an_interactive_session_leaves_it_usable(project: Project) -> None:
    typed = "import jobtree\njobtree.run(jobtree.call(int, 'x'))\njobtree.run(5)\nprint(jobtree.run(jobtree.call(int, '7')))\n"
    ended = subprocess.run(
        [sys.executable, "-i", "-q"], input=typed, text=True, capture_output=True, cwd=project.directory,
        env=project.environment, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["7"], ended.stderr
    assert "ValueError: invalid literal for int()" in ended.stderr
    assert "TargetsFailed" in ended.stderr
    assert "jobtree.run takes a target: int is not a target" in ended.stderr


def test_lambdas_closures_and_nested_classes(project: Project) -> None:
    ended = project.script("""
import jobtree

def make(offset):
    class Local(jobtree.Target):
        def run(self): return offset
    @jobtree.target
    def inner(x): return x + offset
    return [Local(), inner(1), jobtree.call(lambda x: x * offset, 3)]

class Outer:
    class Inner(jobtree.Target):
        def run(self): return type(self).__qualname__

    @staticmethod
    def static(x): return x

if __name__ == "__main__":
    print(jobtree.run([*make(10), Outer.Inner(), jobtree.call(Outer.static, 5)], tree="T"))
""")
    assert ended.lines == ["[10, 11, 30, 'Outer.Inner', 5]"]


def test_a_script_without_a_guard_is_told_so(project: Project) -> None:
    ended = project.script(
        """
import jobtree
@jobtree.target
def leaf(): return 1
print(jobtree.run(leaf(), tree="T"))
""",
        status=1,
    )
    assert 'put the call under: if __name__ == "__main__":' in ended.err


def test_run_inside_a_target_is_an_error(project: Project) -> None:
    ended = project.script(
        """
import jobtree
@jobtree.target
def leaf(): return jobtree.run(leaf(), tree="T2")
if __name__ == "__main__":
    jobtree.run(leaf(), tree="T")
""",
        status=1,
    )
    assert "jobtree.run was called" in ended.err
    assert not (project.directory / "T2").exists()


def test_a_master_in_a_subprocess_of_a_target_works(project: Project) -> None:
    ended = project.script("""
import jobtree, subprocess, sys

@jobtree.target
def leaf(x): return x * 2

@jobtree.target
def nest():
    return subprocess.run([sys.executable, sys.argv[0], "inner"], check=True, capture_output=True, text=True).stdout

if __name__ == "__main__":
    if sys.argv[1:] == ["inner"]:
        print(jobtree.run(leaf(21), tree="T2"))
    else:
        print(jobtree.run(nest(), tree="T").strip())
""")
    assert ended.lines == ["42"]


def test_two_runs_one_after_the_other_in_one_script(project: Project) -> None:
    ended = project.script("""
import jobtree
@jobtree.target
def leaf(x): return x * 2
if __name__ == "__main__":
    first = jobtree.run(leaf(1), tree="T")
    try:
        jobtree.run(leaf("x" if False else None), tree="T2")
    except jobtree.TargetsFailed as failed:
        print(failed.failures[0].cause, repr(failed.failures[0].exception))
    print(jobtree.run(leaf(first), tree="T3"))
""")
    assert ended.lines[0].startswith("exception TypeError(")
    assert ended.lines[1] == "4"
