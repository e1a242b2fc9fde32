"""Variables, arguments, directories and texts that are no UTF-8 are nobody's end."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.scripts import Project
from tests.support.scripts import project as opened

STRANGE = os.fsdecode(b"a\xff\xfe")
SCRIPT = """
import os, sys, jobtree

@jobtree.target
def look(where):
    return where, os.environb[b"MINE"], [os.fsencode(word) for word in sys.argv[1:]], os.getcwdb()

@jobtree.target
def say(target, text):
    target.log("file " + text)
    print("file " + ascii(text))
    raise ValueError("bad file " + text)

@jobtree.target
def root(target):
    for text in (os.fsdecode(b"\\xff"), "\\ud800"):
        target.add_child(say(text), allow_failure=True)
    if not os.path.exists("go"): raise ValueError("not yet " + os.fsdecode(b"\\xff"))
    return target.add_child(look(os.fsdecode(b"\\xff")))

if __name__ == "__main__":
    print(ascii(jobtree.run(root(), tree="T", workers=1, worker_cpus=1)))
"""


def test_a_run_with_bytes_that_are_no_text_runs_fails_and_restarts(tmp_path: Path) -> None:
    directory = tmp_path / STRANGE
    directory.mkdir()
    with opened(directory) as made:
        made.write("script.py", SCRIPT)
        failed = made.run("script.py", STRANGE, status=1, MINE=STRANGE)
        assert "not yet \\udcff" in failed.err
        made.write("go", "")
        expected = ascii(("\udcff", b"a\xff\xfe", [b"a\xff\xfe"], os.fsencode(directory)))
        restarted = made.run("-c", "import jobtree; print(ascii(jobtree.restart('T')))", MINE=STRANGE)
        assert restarted.lines == [expected]


def test_a_script_finds_the_bytes_of_its_surroundings(project: Project) -> None:
    project.write("script.py", SCRIPT)
    project.write("go", "")
    ended = project.run("script.py", STRANGE, MINE=STRANGE)
    assert ended.lines == [ascii(("\udcff", b"a\xff\xfe", [b"a\xff\xfe"], os.fsencode(project.directory)))]
