"""All kinds of targets, and all ways to run them, from a user's script."""

from __future__ import annotations

import pytest

from tests.support.scripts import Project

KINDS = """
import argparse, dataclasses, pathlib, sys, jobtree
from jobtree import Target

class Plain(Target, memory="100M"):
    def __init__(self, x):
        super().__init__(cpus=0.5)
        self.x = x
    def run(self): return (self.x, self.cpus, self.memory, self.name, self.attempt)

class Bare(Target):
    name = "not its name"
    def __init__(self, x):
        self.x, self.memory = x, "my own"
    def run(self): return (self.x, self.memory)

@dataclasses.dataclass
class Data(Target, cpus=1):
    x: int
    y: int = 2
    def run(self): return self.x + self.y

@dataclasses.dataclass(frozen=True, slots=True)
class Frozen(Target):
    x: int
    def run(self): return self.x

@jobtree.target
def without(x, *, y=1): return (x, y)

@jobtree.target(memory="200M", name="renamed")
def named(target, x): return (target.memory, target.name, x)

@jobtree.target
def annotated(t: Target, x): return t.name

@jobtree.target
def current(): return jobtree.current_target().name

@jobtree.target
def everything(target):
    made = [
        Plain(1), Bare(2), Data(3), Frozen(x=4), without(5, y=6), named(7), annotated(8), current(),
        jobtree.call(len, "abc").needs(memory="2M", cpus=1, name="len"),
        jobtree.call(lambda target: target.cpus).needs(cpus=0.25),
        named(9).needs(name="other"),
    ]
    target.log("a line")
    return target.add_children(t for t in made)
"""


def test_every_kind_of_target_runs(project: Project) -> None:
    ended = project.script(
        KINDS
        + """
if __name__ == "__main__":
    for result in jobtree.run(everything(), tree="T"): print(result)
"""
    )
    assert ended.lines == [
        str((1, 0.5, 100 << 20, "Plain", 1)), "(2, 'my own')", "5", "4", "(5, 6)", str((200 << 20, "renamed", 7)),
        "annotated", "current", "3", "0.25", str((200 << 20, "other", 9)),
    ]  # fmt: skip


def test_inline_gives_the_same(project: Project) -> None:
    project.write(
        "script.py",
        KINDS
        + """
if __name__ == "__main__":
    print(jobtree.run(everything(), tree="T", inline="inline" in sys.argv))
""",
    )
    assert project.run("script.py", "inline").lines == project.run("script.py").lines


def test_lists_and_map(project: Project) -> None:
    ended = project.script("""
import jobtree

@jobtree.target
def square(x): return x * x

if __name__ == "__main__":
    print(jobtree.run([square(i) for i in range(5)], tree="T"))
    print(jobtree.map(abs, range(-3, 3), tree="T2", workers=1))
    print(jobtree.map(lambda x: x + 1, [1, 2], tree="T3"))
    print(jobtree.run([], tree="T4"))
""")
    assert ended.lines == ["[0, 1, 4, 9, 16]", "[3, 2, 1, 0, 1, 2]", "[2, 3]", "[]"]


def test_options_of_a_script_and_of_jobtree_live_side_by_side(project: Project) -> None:
    project.write(
        "script.py",
        """
import argparse, jobtree

@jobtree.target
def show(target, workers): return (workers, target.memory)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", default="the script's")
    jobtree.add_options(parser)
    args = parser.parse_args()
    print(jobtree.run(show(args.workers), args))
""",
    )
    ended = project.run("script.py", "--workers", "mine", "--jobtree-workers", "2", "--tree", "T", "--default-memory", "256M")
    assert ended.lines == [str(("mine", 256 << 20))]


IMPORTS = "import jobtree, pathlib\nT = jobtree.Target"


@pytest.mark.parametrize(
    ("source", "arguments", "printed"),
    [
        ("@jobtree.target\ndef f(target, a: int, *, b: float = 1.5): return (a, b)\njobtree.main(f)", ["3", "--b", "2"],
         "(3, 2.0)"),
        ("def f(a: int, flag: bool = False): return (a, flag)\njobtree.main(f)", ["3", "--flag"], "(3, True)"),
        ("def f(*words): return words\njobtree.main(f)", ["x", "y"], "('x', 'y')"),
        ("class A(T):\n def __init__(self, p: pathlib.Path): self.p = p\n def run(self): return self.p\njobtree.main(A)", ["x/y"],
         "x/y"),
        ("def f(): return None\njobtree.main(jobtree.call(f))", [], ""),
    ],
)  # fmt: skip
def test_main_reads_arguments_from_annotations(project: Project, source: str, arguments: list[str], printed: str) -> None:
    body, last = source.rsplit("\n", 1)
    ended = project.script(f"{IMPORTS}\n{body}\nif __name__ == '__main__':\n    {last}\n", *arguments, "--tree", "T")
    assert ended.out.strip() == printed


def test_main_gives_the_exit_status_of_what_happened(project: Project) -> None:
    project.write(
        "script.py",
        """
import jobtree

@jobtree.target
def half(n: int):
    if n % 2: raise ValueError(f"{n} is odd")
    return n // 2

if __name__ == "__main__":
    jobtree.main(half)
""",
    )
    assert project.run("script.py", "4", "--tree", "T1").lines == ["2"]
    failed = project.run("script.py", "5", "--tree", "T2", status=1)
    assert "5 is odd" in failed.err
    assert project.run("script.py", "x", "--tree", "T3", status=2).last_error.endswith("invalid int value: 'x'")
    mismatch = project.run("script.py", "8", "--tree", "T1", status=2)
    assert "holds another run (script.py 4 --tree T1)" in mismatch.last_error
    assert project.run("script.py", "8", "--tree", "T1", "--fresh").lines == ["4"]
    assert (project.directory / "T1.1" / "journal").is_dir()


COMMANDS = """
import jobtree, pathlib

@jobtree.target
def name(): return "word"

@jobtree.target
def size(result):
    outputs = [p.name for p in result.outputs]
    return (result.argv[0], result.stdout and result.stdout.name, outputs, result.seconds >= 0)

@jobtree.target
def root(target):
    word = target.add_child(name())
    made = [
        target.add_child(jobtree.command("printf 'b\\na\\n' | sort > sorted", outputs=["sorted"])),
        target.add_child(jobtree.command(["echo", word, 3, pathlib.Path("p")], stdout="echoed")),
        target.add_child(jobtree.command("echo $WHO; pwd", env={"WHO": word}, cwd="sub", stdout="who", cpus=1)),
        target.add_child(jobtree.command(["cat"], stdin="given", stdout="copied")),
    ]
    return [target.add_child(size(one)) for one in made]

if __name__ == "__main__":
    for line in jobtree.run(root(), tree="T"): print(line)
"""


def test_programs_are_targets(project: Project) -> None:
    (project.directory / "sub").mkdir()
    project.write("given", "text\n")
    ended = project.script(COMMANDS)
    here = project.directory
    assert (here / "sorted").read_text() == "a\nb\n"
    assert (here / "echoed").read_text() == "word 3 p\n"
    assert (here / "sub" / "who").read_text() == f"word\n{here / 'sub'}\n"
    assert (here / "copied").read_text() == "text\n"
    assert ended.lines[:2] == ["('bash', None, ['sorted'], True)", "('echo', 'echoed', [], True)"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("'echo half > kept; false', stdout='out'", "exit: "),
        ("'false | true'", "exit status 1"),
        ("'kill -9 $$'", "signal"),
        ("['true'], outputs=['missing']", "did not make"),
        ("['no-such-program-here']", "no-such-program-here"),
        ("'echo $UNSET_VARIABLE'", "UNSET_VARIABLE"),
    ],
)
def test_a_failed_program_is_a_failed_target(project: Project, command: str, words: str) -> None:
    ended = project.script(
        f"""
import jobtree
if __name__ == "__main__":
    jobtree.run(jobtree.command({command}), tree="T")
""",
        status=1,
    )
    assert words in ended.err
    assert not (project.directory / "out").exists()


def test_what_targets_log_print_and_never_add_is_told(project: Project) -> None:
    ended = project.script("""
import jobtree, subprocess
@jobtree.target
def leaf(): pass
@jobtree.target
def root(target):
    target.log("said so")
    leaf()
    subprocess.run(["echo", "printed by a subprocess"])
if __name__ == "__main__":
    jobtree.run(root(), tree="T")
""")
    assert "said so" in ended.err
    assert "script.py:8: leaf was made and never added" in ended.err
    assert ended.out == ""
