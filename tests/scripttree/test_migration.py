"""What docs/migration.md says is tried: its scripts, its line of sed, and the names in its tables."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import jobtree
from jobtree.options import ROWS, add_options
from tests.support.scripts import Project

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OLD = """
import sys
from optparse import OptionParser
from jobTree.scriptTree.target import Target
from jobTree.scriptTree.stack import Stack
from jobTree.src.bioio import system, logger
from jobTree.src.common import gridEngineIsInstalled
from sonLib.bioio import getTempDirectory
import jobtree

class First(Target):
    def __init__(self):
        Target.__init__(self, memory=sys.maxsize)
    def run(self):
        self.addChildTarget(New("new"))
        self.addChildTarget(jobtree.call(note, "called"))
        self.setFollowOnTargetFn(last)

class New(jobtree.Target):
    def __init__(self, words): self.words = words
    def run(self): self.add_child(jobtree.call(note, self.words))

def note(words): system("echo %s >> ledger" % words)
def last(target): note("old")

if __name__ == "__main__":
    from script import *
    parser = OptionParser()
    Stack.addJobTreeOptions(parser)
    sys.exit(Stack(First()).startJobTree(parser.parse_args()[0]))
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_of_the_page_give_what_they_say(project: Project, script: str) -> None:
    assert project.script(script).lines == re.findall(r"print\(.*\)  # (.*)", script)


def test_the_line_of_sed_converts_a_script_which_may_have_targets_of_both_kinds(project: Project) -> None:
    project.write("script.py", OLD)
    (line,) = re.findall(r"^sed .*$", PAGE, re.MULTILINE)
    subprocess.run(shlex.split(line), cwd=project.directory, check=True)
    project.run("script.py")
    assert sorted(project.noted()[:2]) == ["called", "new"]
    assert project.noted()[2:] == ["old"]


def test_options_and_names_of_the_tables_are_there() -> None:
    right = "\n".join(re.findall(r"^\|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE))
    from argparse import ArgumentParser

    parser = ArgumentParser()
    add_options(parser)
    code = "\n".join(re.findall(r"`([^`]*)`", right))
    options = {word for word in re.findall(r"--[a-zA-Z-]+", code) if word.islower()} - {"--now"}
    assert len(options) >= 5
    assert options <= set(parser._option_string_actions)
    named = set(re.findall(r"\bjobtree\.([a-zA-Z_]+)", code)) - {"toml"}
    assert len(named) > 5
    assert named <= set(jobtree.__all__) | {"run"}
    methods = set(re.findall(r"\b(?:target|self)\.([a-z_]+)", code))
    assert {"add_child", "set_follow_on", "global_temp_dir"} <= methods
    assert all(hasattr(jobtree.Target, name) or name in jobtree.Target.__dict__ for name in methods)
    assert {"launcher", "retries", "workers"} <= ROWS.keys()
