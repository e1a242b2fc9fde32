"""The commands jobTreeRun and jobTreeKill of old, and jobTreeStatus beside them, on real runs."""

from __future__ import annotations

from tests.support.scripts import Ended, Project, poll

SCRIPT = """
import os, sys, time
from argparse import ArgumentParser
from jobtree.scripttree.target import Target
from jobtree.scripttree.stack import Stack

class First(Target):
    def __init__(self, args):
        Target.__init__(self)
        self.args = args
    def run(self):
        self.addChildTargetFn(child, (self.args,))
        self.setFollowOnTargetFn(end)

def child(target, args):
    open("begun", "w").close()
    while args.wait and not os.path.exists("go"): time.sleep(0.01)
    if not os.path.exists("go"): raise ValueError("not yet")

def end(target): open("ended", "a").write("end\\n")

if __name__ == "__main__":
    import sub.script
    parser = ArgumentParser()
    Stack.addJobTreeOptions(parser)
    parser.add_argument("--wait", action="store_true")
    args = parser.parse_args()
    sys.exit(3 if Stack(sub.script.First(args)).startJobTree(args) else 0)
"""


def command(project: Project, name: str, *words: str, status: int = 0) -> Ended:
    """Run an old command."""
    module, function = {
        "jobTreeRun": ("old_runs", "run"), "jobTreeKill": ("old_runs", "kill"), "jobTreeStatus": ("old_views", "status"),
    }[name]  # fmt: skip
    code = f"import sys; from jobtree.cli.{module} import {function}; sys.exit({function}())"
    return project.run("-c", code, *words, status=status)


def write(project: Project) -> None:
    project.write("sub/script.py", SCRIPT)
    project.write("sub/__init__.py", "")


def test_job_tree_run_goes_on_with_a_run_as_it_remembers_itself(project: Project) -> None:
    write(project)
    project.run("sub/script.py", "--jobTree", "T", status=3, PYTHONPATH=f"{project.environment['PYTHONPATH']}:.")
    assert "1 totally failed jobs" in command(project, "jobTreeStatus", "T", "--failIfNotComplete", status=1).out
    ended = command(project, "jobTreeRun", "--jobTree", "T", status=1)
    assert "ValueError: not yet" in ended.err
    project.write("go", "")
    command(project, "jobTreeRun", "T")
    assert (project.directory / "ended").read_text() == "end\n"
    command(project, "jobTreeStatus", "--jobTree", "T", "--failIfNotComplete")
    command(project, "jobTreeRun", "--jobTree", "T")
    assert (project.directory / "ended").read_text() == "end\n"


def test_job_tree_run_runs_a_command(project: Project) -> None:
    command(project, "jobTreeRun", "--jobTree", "T", "--command", "echo 'a b' > out && pwd >> out")
    assert (project.directory / "out").read_text() == f"a b\n{project.directory}\n"
    failed = command(project, "jobTreeRun", "--jobTree", "U", "--command", "exit 4", status=1)
    assert "exit status 4" in failed.err


def test_old_commands_without_arguments_print_their_help(project: Project) -> None:
    assert "--maxThreads" in command(project, "jobTreeRun").out
    assert "--jobTree" in command(project, "jobTreeKill").out
    assert command(project, "jobTreeRun", "nowhere", status=2).last_error.startswith("jobTreeRun: there is no jobTree ")


def test_job_tree_kill_stops_a_run_which_can_be_gone_on_with(project: Project) -> None:
    write(project)
    path = f"{project.environment['PYTHONPATH']}:."
    running = project.start("sub/script.py", "--jobTree", "T", "--wait", PYTHONPATH=path)
    poll(lambda: (project.directory / "begun").exists())
    command(project, "jobTreeKill", "--jobTree", "T")
    assert running.wait().status != 0
    project.write("go", "")
    project.run("sub/script.py", "--jobTree", "T", "--wait", PYTHONPATH=path)
    assert (project.directory / "ended").read_text() == "end\n"
