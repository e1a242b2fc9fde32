"""What targets find around them is what the master's process has."""

from __future__ import annotations

from tests.support.scripts import Project

SCRIPT = """
import os, sys, jobtree

@jobtree.target
def look():
    mask = os.umask(0)
    os.umask(mask)
    return {
        "cwd": os.getcwd(), "argv": sys.argv, "mask": mask, "extra": "/somewhere/else" in sys.path, "env": os.environ.get("MINE"),
        "path0": sys.path[0], "gone": os.environ.get("GONE"),
    }

@jobtree.target
def change():
    os.chdir("/")
    os.umask(0o777)
    os.environ["MINE"] = "changed"
    sys.argv[:] = ["changed"]
    sys.path.clear()

@jobtree.target
def root(target):
    changed = target.add_child(change())
    return [target.add_child(look()), target.add_child(look(), after=[changed])]

if __name__ == "__main__":
    os.umask(0o027)
    sys.path.append("/somewhere/else")
    os.environ.pop("GONE", None)
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "run-dir"))
    for found in jobtree.run(root(), tree="../T", workers=1, worker_cpus=1): print(found)
"""


def test_targets_find_the_directory_arguments_umask_path_and_environment_of_the_master(project: Project) -> None:
    (project.directory / "run-dir").mkdir()
    script = project.write("script.py", SCRIPT)
    ended = project.run(script, "one", "two", MINE="is here", GONE="was here")
    expected = {
        "cwd": str(project.directory / "run-dir"), "argv": [str(script), "one", "two"], "mask": 0o027, "extra": True,
        "env": "is here", "path0": str(project.directory), "gone": None,
    }  # fmt: skip
    assert ended.lines == [str(expected)] * 2


def test_a_restart_brings_back_all_of_it_but_the_environment_which_is_the_caller_s(project: Project) -> None:
    project.write(
        "script.py",
        """
import os, sys, jobtree

@jobtree.target
def look():
    if not os.path.exists("go"): raise ValueError("not yet")
    return (os.getcwd(), sys.argv, os.environ["MINE"])

if __name__ == "__main__":
    jobtree.run(look(), tree="T")
""",
    )
    project.run("script.py", "one", status=1, MINE="first")
    project.write("go", "")
    (project.directory / "elsewhere").mkdir()
    code = f"import os, jobtree; os.chdir('elsewhere'); print(jobtree.restart({str(project.tree)!r}))"
    ended = project.run("-c", code, MINE="second")
    assert ended.lines == [str((str(project.directory), ["script.py", "one"], "second"))]
