"""The command line: its verbs, its errors, its exit status."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import jobtree
from jobtree.cli import main as cli
from jobtree.cli.main import ALIASES, VERBS, main
from tests.views.scribe import DEAD, Scribe, whole_run

#: Programs of ours find the package that the tests test.
OURS = {**os.environ, "PYTHONPATH": str(Path(jobtree.__file__).parents[1])}


def python(*words: str) -> str:
    """What a Python process prints."""
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=True, env=OURS)
    return ended.stdout


def test_every_verb_has_help_that_fits_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for verb in [*VERBS, *ALIASES]:
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
        said = capsys.readouterr().out
        assert said.startswith(f"usage: jobtree {ALIASES.get(verb, verb)}")
        assert verb == "worker" or max(map(len, said.splitlines())) <= 80


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert all(f"  {verb} " in said for verb in VERBS)
        assert max(map(len, said.splitlines())) <= 80


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from jobtree import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jobtree {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], "there is no verb 'statsu'; did you mean 'stats'?"),
        (["--tree", "x"], "--tree: options come behind a verb"),
        (["status", "--colour"], "unrecognized arguments: --colour; see `jobtree status --help`"),
        (["status", "/nowhere"], "/nowhere is not a jobtree tree"),
        (["stats", "/nowhere", "--sort", "x"], "/nowhere is not a jobtree tree"),
        (["logs", "/nowhere", "--level", "x"], "--level x"),
        (["journal", "mend"], "invalid choice: 'mend'"),
        (["clean", "/nowhere"], "/nowhere is not a jobtree tree"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jobtree: ")
    assert said in err
    assert err.count("\n") == 1


def test_the_tree_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(tmp_path / "jobTree")
    monkeypatch.delenv("JOBTREE_TREE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 0
    assert "complete" in capsys.readouterr().out
    monkeypatch.chdir("/")
    assert main(["status"]) == 2
    assert "which tree?" in capsys.readouterr().err
    monkeypatch.setenv("JOBTREE_TREE", str(tmp_path / "jobTree"))
    assert main(["status"]) == 0


def test_status_fails_if_not_complete_when_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(tmp_path / "done")
    scribe = Scribe(tmp_path / "open", holder=DEAD)
    scribe.begin()
    scribe.close()
    assert main(["status", str(tmp_path / "done"), "--fail-if-not-complete"]) == 0
    assert main(["status", str(tmp_path / "open"), "--fail-if-not-complete"]) == 1
    assert main(["status", str(tmp_path / "open")]) == 0


def test_a_damaged_journal_is_status_3_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_run(tmp_path / "tree")
    (segment,) = (tmp_path / "tree" / "journal").glob("seg-*")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    for words in (["status"], ["stats"], ["logs"], ["journal", "verify"], ["journal", "dump"]):
        assert main([*words, str(tmp_path / "tree")]) == 3
        out, err = capsys.readouterr()
        assert "offset" in (out if words[-1] == "verify" else err)


def test_an_interrupt_is_quiet_and_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree", leaves=3000)
    read, write = os.pipe()
    command = [sys.executable, "-m", "jobtree", "journal", "dump", str(tmp_path / "tree")]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, env=OURS) as process:
        os.close(write)
        os.read(read, 10)
        os.close(read)
        _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_the_module_is_the_command_line_and_a_verb_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    whole_run(tmp_path / "tree")
    assert python("-m", "jobtree", "--version").startswith("jobtree ")
    probe = """
import sys
from jobtree.cli.main import main
status = main(["status", sys.argv[1]])
print([name for name in ("zmq", "rich", "cloudpickle", "psutil", "pickle", "asyncio") if name in sys.modules])
sys.exit(status)
"""
    assert python("-c", probe, str(tmp_path / "tree")).splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", ["status", "stats"])
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, verb: str) -> None:
    words = [sys.executable, "-m", "jobtree", verb, whole_run(tmp_path / "T").path]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=OURS, check=False)
    assert (ended.returncode, ended.stderr) == (4, "jobtree: the output can't be written: No space left on device\n")
    line = f"exec >&-; exec {shlex.join(words)}"
    closed = subprocess.run(line, shell=True, stderr=subprocess.PIPE, timeout=60, env=OURS, check=False)
    assert (closed.returncode, closed.stderr) == (0, b"")
