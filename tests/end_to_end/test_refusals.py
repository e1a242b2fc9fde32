"""What can't work is refused with one clear line and the right exit status, and nothing is lost by it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.scripts import Ended, Project, poll

SCRIPT = """
import os, sys, time, argparse, threading, jobtree

@jobtree.target
def leaf(x): return x

@jobtree.target
def wait():
    open("waiting", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    return "waited"

class Setup(jobtree.Target):
    def __init__(self, inner): self.inner = inner
    def run(self): return 1

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", default="leaf(1)")
    jobtree.add_options(parser)
    args = parser.parse_args()
    print(jobtree.run(eval(args.what), args))
"""


@pytest.fixture
def script(project: Project) -> Project:
    project.write("script.py", SCRIPT)
    return project


def refused(ended: Ended) -> str:
    """The one line that it said."""
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    return ended.last_error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "many"], "many"),
        (["--workers", "4:2"], "4:2"),
        (["--default-memory", "2Q"], "2Q"),
        (["--retries", "-1"], "-1"),
        (["--launcher", "gridengin"], "there is no launcher 'gridengin'"),
        (["--no-such-option"], "--no-such-option"),
        (["--time-limit", "soon"], "soon"),
        (["--port-range", "0:70000"], "0:70000"),
        (["--worker-cpus", "0"], "0"),
    ],
)
def test_unknown_options_and_bad_values_are_refused(script: Project, options: list[str], words: str) -> None:
    ended = script.run("script.py", "--tree", "T", *options, status=2)
    assert words in ended.last_error
    assert not script.tree.exists()


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ("worker=3", "there is no option 'worker'; did you mean 'workers'?"),
        ("default_memory='lots'", "default_memory: 'lots'"),
        ("retries=1.5", "retries: 1.5"),
        ("tree=''", "tree"),
    ],
)
def test_bad_keywords_are_refused(script: Project, keywords: str, words: str) -> None:
    code = f"import jobtree\nif __name__ == '__main__': jobtree.run(jobtree.call(int), **dict(tree='T', **dict({keywords})))"
    code = code.replace("**dict(tree='T', **dict(tree=''))", "tree=''")
    assert words in refused(script.run(script.write("other.py", code), status=2))
    assert not script.tree.exists()


def test_bad_variables_and_files_are_refused_with_their_place(script: Project) -> None:
    assert "JOBTREE_WORKERS" in refused(script.run("script.py", status=2, JOBTREE_WORKERS="x"))
    assert "did you mean JOBTREE_WORKERS?" in refused(script.run("script.py", status=2, JOBTREE_WORKER="1"))
    config = script.write("my.toml", "workrs = 3")
    words = refused(script.run("script.py", "--config", config, status=2))
    assert "my.toml: unknown key 'workrs'; did you mean 'workers'?" in words
    assert "no such file" in refused(script.run("script.py", "--config", "missing.toml", status=2))


def test_a_directory_that_holds_something_else_is_no_tree_and_is_left_alone(script: Project) -> None:
    script.write("T/precious", "data")
    assert "holds something else" in refused(script.run("script.py", "--tree", "T", status=2))
    assert "no journal/FORMAT" in refused(script.run("script.py", "--tree", "T", "--fresh", status=2))
    assert os.listdir(script.tree) == ["precious"]


def test_a_file_is_no_tree(script: Project) -> None:
    script.write("T", "data")
    assert "is a file" in refused(script.run("script.py", "--tree", "T", status=2))
    assert "T" in refused(script.run("script.py", "--tree", "T/below", status=2))
    assert "T" in refused(script.run("script.py", "--tree", "T", "--fresh", status=2))
    assert script.tree.read_text() == "data"


def test_a_place_that_can_t_be_written_to_is_refused(script: Project) -> None:
    assert "/proc/T" in refused(script.run("script.py", "--tree", "/proc/T", status=2))
    assert "/proc/no" in refused(script.run("script.py", "--tree", "/proc/no/T", status=2))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission_is_refused(script: Project) -> None:
    locked = script.directory / "locked"
    locked.mkdir(mode=0o500)
    assert "locked" in refused(script.run("script.py", "--tree", "locked/T", status=2))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_somebody_else_s_tree_is_refused(script: Project) -> None:
    script.run("script.py", "--tree", "T")
    for path in [script.tree, *script.tree.rglob("*")]:
        os.chown(path, 4321, 4321)
    assert "4321" in refused(script.run("script.py", "--tree", "T", status=2))
    assert "4321" in refused(script.run("-c", "import jobtree, sys; from jobtree.cli.main import main; sys.exit(main())",
                                        "restart", "T", status=2))  # fmt: skip


def test_a_tree_of_a_newer_version_is_refused(script: Project) -> None:
    script.run("script.py", "--tree", "T")
    form = script.tree / "journal" / "FORMAT"
    content = form.read_bytes()
    form.write_bytes(_newer(content))
    assert "newer" in refused(script.run("script.py", "--tree", "T", status=2))
    form.write_bytes(content)
    assert script.run("script.py", "--tree", "T").lines == ["1"]


def _newer(content: bytes) -> bytes:
    changed = content.replace(b"1", b"9", 1)
    assert changed != content
    return changed


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("Setup(threading.Lock())", "Setup.inner: cannot pickle '_thread.lock' object"),
        ("leaf({'deep': [threading.Lock()]})", "deep"),
        ("leaf(x for x in [])", "generator"),
        ("leaf", "jobtree.run takes a target: leaf is to be called: leaf(...)"),
        ("5", "jobtree.run takes a target: int is not a target"),
        ("[leaf(1), 5]", "takes a list of targets: int is not a target"),
        ("Setup", "Setup is a class; make a target of it: Setup(...)"),
    ],
)
def test_a_root_that_is_none_or_can_t_be_pickled_is_refused_before_anything_is_made(
    script: Project, what: str, words: str
) -> None:
    ended = script.run("script.py", what, "--tree", "T", status=2)
    assert words in refused(ended)
    assert not script.tree.exists()


def test_a_child_that_can_t_be_pickled_fails_its_parent_and_names_the_attribute(project: Project) -> None:
    ended = project.script("""
import jobtree, threading

class Child(jobtree.Target):
    def __init__(self): self.state = {"lock": threading.Lock()}
    def run(self): pass

@jobtree.target
def root(target):
    target.add_child(Child())

if __name__ == "__main__":
    try:
        jobtree.run(root(), tree="T")
    except jobtree.TargetsFailed as failed:
        print(failed.failures[0].cause, failed.failures[0].message)
""")
    assert ended.lines[0].startswith("unpicklable ")
    assert "Child.state['lock']" in ended.lines[0]


def test_a_result_that_can_t_be_pickled_fails_its_target(project: Project) -> None:
    ended = project.script("""
import jobtree

@jobtree.target
def bad(): return (x for x in [])

if __name__ == "__main__":
    try:
        jobtree.run(bad(), tree="T")
    except jobtree.TargetsFailed as failed:
        print(failed.failures[0].cause, failed.failures[0].message)
""")
    assert ended.lines[0].startswith("unpicklable ")
    assert "generator" in ended.lines[0]


@pytest.mark.parametrize("request_", ["cpus=1000", "memory='900T'", "gpus=3", "resources={'licence': 1}", "pool='big'"])
def test_what_no_worker_can_give_fails_with_no_fit(project: Project, request_: str) -> None:
    ended = project.script(f"""
import jobtree

@jobtree.target({request_})
def hungry(): pass

@jobtree.target
def fine(): open("ran", "w").close()

@jobtree.target
def root(target):
    target.add_child(hungry())
    target.add_child(fine())

if __name__ == "__main__":
    try:
        jobtree.run(root(), tree="T")
    except jobtree.TargetsFailed as failed:
        print(len(failed.failures), failed.failures[0].cause, failed.failures[0].attempts)
""")
    assert ended.lines == ["1 no-fit 0"]
    assert (project.directory / "ran").exists()


def test_too_little_memory_for_so_many_workers_is_refused(script: Project) -> None:
    ended = script.run("script.py", "--tree", "T", "--workers", "64", "--max-memory", "1G", status=2)
    assert "ask for fewer with --workers" in refused(ended)


def test_a_second_master_on_the_same_tree_is_refused_and_the_first_goes_on(script: Project) -> None:
    first = script.start("script.py", "wait()", "--tree", "T")
    poll((script.directory / "waiting").exists)
    for ended in (
        script.run("script.py", "wait()", "--tree", "T", status=5),
        script.run("script.py", "leaf(2)", "--tree", "T", status=5),
        script.run("script.py", "leaf(2)", "--tree", "T", "--fresh", status=5),
        script.restart(status=5),
    ):
        assert f"process {first.pid}" in refused(ended) or f" {first.pid}" in refused(ended)
    script.write("go", "")
    ended = first.wait()
    assert (ended.status, ended.lines) == (0, ["waited"]), ended.err


def test_another_root_is_a_mismatch_that_says_what_can_be_done(script: Project) -> None:
    assert script.run("script.py", "leaf(1)", "--tree", "T").lines == ["1"]
    words = refused(script.run("script.py", "leaf(2)", "--tree", "T", status=2))
    assert f"{script.tree} holds another run (script.py leaf(1) --tree T)" in words
    assert "use --tree NEW, --fresh, or jobtree restart" in words
    assert script.run("script.py", "leaf(2)", "--tree", "T", "--fresh").lines == ["2"]
    assert script.run("script.py", "leaf(3)", "--tree", "T", "--fresh").lines == ["3"]
    assert script.run("script.py", "leaf(1)", "--tree", "T.1").lines == ["1"]
    assert script.run("script.py", "leaf(2)", "--tree", "T.2").lines == ["2"]


def test_restarting_what_is_not_there_is_refused(script: Project) -> None:
    assert "is not there" in refused(script.restart(status=2))
    script.tree.mkdir()
    assert "no journal/FORMAT" in refused(script.restart(status=2))
    assert list(script.tree.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [("python='2.7'", "runs Python 2.7, the master"), ("version='0.0.1'", "has jobtree 0.0.1, the master"),
     ("run='ff' * 16", "belongs to another run")],
)  # fmt: skip
def test_a_worker_that_does_not_match_is_turned_away_with_words(script: Project, change: str, words: str) -> None:
    run = script.start("script.py", "wait()", "--tree", "T")
    poll((script.directory / "waiting").exists)
    worker = script.write(
        "worker.py",
        f"""
        import dataclasses, sys
        from jobtree.worker import main
        about = main._about
        main._about = lambda *arguments: dataclasses.replace(about(*arguments), {change})
        sys.exit(main.entry(["T"]))
        """,
    )
    ended = script.run(worker, status=None)
    assert ended.status != 0
    assert words in ended.err
    script.write("go", "")
    assert run.wait().lines == ["waited"]


def test_a_master_whose_workers_can_t_start_ends_and_says_why(project: Project) -> None:
    ended = project.script(
        """
import jobtree, sys
if __name__ == "__main__":
    sys.executable = "/bin/false"
    jobtree.run(jobtree.call(int), tree="T")
""",
        status=1,
    )
    assert "could not be started" in ended.err
    assert "exit status 1" in ended.err


def test_a_run_that_is_refused_takes_no_signal_handler_with_it(script: Project) -> None:
    code = """
import jobtree, signal
before = [signal.getsignal(n) for n in (2, 15, 1)]
if __name__ == "__main__":
    try: jobtree.run(5)
    except jobtree.UsageError: pass
    jobtree.run(jobtree.call(int), tree="T")
    assert before == [signal.getsignal(n) for n in (2, 15, 1)]
"""
    script.script(code, name="other.py")
    assert signal.getsignal(signal.SIGINT) is not None
