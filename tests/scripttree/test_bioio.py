"""The helpers that old scripts import: what they return, what they refuse, what they leave behind."""

from __future__ import annotations

import io
import os
import random
import stat
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from jobtree.scripttree import bioio
from jobtree.scripttree.bioio import AlignmentOperation, PairwiseAlignment


def test_system_runs_a_shell_and_refuses_a_status_other_than_0(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    assert bioio.system("echo out; echo err >&2") == 0
    assert capfd.readouterr() == ("before\nout\n", "err\n")
    with pytest.raises(RuntimeError, match="Command: exit 3 exited with non-zero status 3"):
        bioio.system("exit 3")


def test_output_of_commands_is_caught_as_text(tmp_path: Path) -> None:
    assert bioio.popenCatch("echo a; echo b") == "a\nb\n"
    assert bioio.popenCatch("tr a b", stdinString="abc\n") == "bbc\n"
    bioio.popenPush(f"cat > {tmp_path}/pushed", stdinString="text")
    assert bioio.popen("echo written", str(tmp_path / "popen")) == 0
    assert ((tmp_path / "pushed").read_text(), (tmp_path / "popen").read_text()) == ("text", "written\n")
    for refused in (lambda: bioio.popenCatch("false"), lambda: bioio.popenPush("cat > /dev/null; false", "x")):
        with pytest.raises(RuntimeError, match="non-zero status 1"):
            refused()


def test_a_daemon_goes_on_by_itself(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert bioio.spawnDaemon(f"echo alive > {tmp_path}/pipe") == 0
    assert (tmp_path / "pipe").read_text() == "alive\n"  # it waited for us, though its parent had ended


def test_temporary_files_and_directories(tmp_path: Path) -> None:
    made = Path(bioio.getTempFile(suffix=".fa", rootDir=str(tmp_path)))
    assert made.parent == tmp_path
    assert made.name.startswith("tmp_")
    assert made.suffix == ".fa"
    assert (made.stat().st_size, stat.S_IMODE(made.stat().st_mode)) == (0, 0o777)
    directory = Path(bioio.getTempDirectory(str(tmp_path)))
    assert directory.is_dir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o777
    for path in (bioio.getTempFile(), bioio.getTempDirectory()):
        assert os.path.exists(path)
        (os.rmdir if os.path.isdir(path) else os.remove)(path)


def test_a_tree_of_temporary_files_fills_up_and_empties(tmp_path: Path) -> None:
    tree = bioio.TempFileTree(str(tmp_path / "tree"), filesPerDir=3, levels=2)
    made = [tree.getTempFile() for _ in range(8)] + [tree.getTempDirectory()]
    assert sorted(made) == sorted(tree.listFiles())
    with pytest.raises(RuntimeError, match="out of space"):
        tree.getTempFile()
    tree.destroyTempDir(made.pop())
    for path in made:
        tree.destroyTempFile(path)
    assert tree.listFiles() == []
    assert len(tree.getTempFile()) > 0
    tree.destroyTempFiles()
    assert not (tmp_path / "tree").exists()


def test_small_helpers_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    bioio.catFiles([str(tmp_path / name) for name in "aba"], str(tmp_path / "c"))
    assert (tmp_path / "c").read_text() == "aba"
    bioio.catFiles([], str(tmp_path / "none"))
    assert (tmp_path / "none").read_text() == ""
    while (tmp_path / "c").stat().st_ctime == (tmp_path / "a").stat().st_ctime:
        time.sleep(0.01)
        (tmp_path / "c").touch()
    assert bioio.isNewer(str(tmp_path / "c"), str(tmp_path / "a"))
    assert not bioio.isNewer(str(tmp_path / "a"), str(tmp_path / "c"))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "link")
    monkeypatch.setenv("PWD", str(tmp_path / "link"))
    assert bioio.absSymPath("x/../y") == str(tmp_path / "link" / "y")
    monkeypatch.setenv("PWD", "/somewhere/else")
    assert bioio.absSymPath("y") == str(tmp_path / "real" / "y")
    assert bioio.absSymPath("/y") == "/y"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("a", "b"), "--a b"),
        (("a", 3, int), "--a 3"),
        (("a", None), ""),
        (("a", True, bool), "--a"),
        (("a", False, bool), ""),
        (("a", "b c", str, True), "--a 'b c'"),
    ],
)
def test_name_value(arguments: tuple[str, object], wanted: str) -> None:
    assert bioio.nameValue(*arguments) == wanted


def test_fasta_goes_out_and_comes_back() -> None:
    random.seed(1)
    sequences = [("one two", "ACGT" * 60), ("empty", ""), ("x", "acgtn-N")]
    written = io.StringIO()
    for name, seq in sequences:
        bioio.fastaWrite(written, name, seq)
    assert max(map(len, written.getvalue().splitlines())) == 100
    written.seek(0)
    assert list(bioio.fastaRead(written)) == sequences


def test_fasta_with_comments_blanks_and_no_last_newline(tmp_path: Path) -> None:
    (tmp_path / "fa").write_text("# head\n>a b\nAC GT\n#comment\n\tTT\n\n>c\nG")
    with open(tmp_path / "fa") as opened:
        assert list(bioio.fastaRead(opened)) == [("a b", "ACGTTT"), ("c", "G")]
    assert list(bioio.fastaRead(str(tmp_path / "fa"))) == [("a b", "ACGTTT"), ("c", "G")]
    assert bioio.fastaReadHeaders(str(tmp_path / "fa")) == ["a b", "c"]
    with pytest.raises(RuntimeError, match="ASCII code = '42', found in input sequence a"):
        list(bioio.fastaRead(io.StringIO(">a\nAC*T\n")))
    assert bioio.fastaDecodeHeader(bioio.fastaEncodeHeader(["a", 1])) == ["a", "1"]
    assert (bioio.fastaNormaliseHeader(" a b "), bioio.fastaNormaliseHeader("")) == ("a", "")


def test_fastq_goes_out_and_comes_back() -> None:
    reads = [("one", "ACGT", [33, 64, 35, 126]), ("two", "AC", None), ("three", "", [])]
    written = io.StringIO()
    for name, seq, qualities in reads:
        bioio.fastqWrite(written, name, seq, qualities)
    written.seek(0)
    assert list(bioio.fastqRead(written)) == reads
    with pytest.raises(RuntimeError, match="2 characters and 1 qualities"):
        list(bioio.fastqRead(io.StringIO("@a\nAC\n+\n!\n")))


def test_the_other_strand() -> None:
    assert bioio.reverseComplement("AACGTNacgt-") == "-acgtNACGTT"


@pytest.mark.parametrize("with_probs", [True, False])
def test_cigars_go_out_and_come_back(with_probs: bool) -> None:
    score = 0.5 if with_probs else 0.0
    operations = [AlignmentOperation(kind, length, score) for kind, length in ((0, 5), (1, 2), (0, 1), (2, 4))]
    alignment = PairwiseAlignment("one", 10, 20, True, "two", 18, 10, False, 3.25, operations)
    written = io.StringIO()
    bioio.cigarWrite(written, alignment, with_probs)
    assert written.getvalue().startswith("cigar: two 18 10 - one 10 20 + 3.250000 " + ("X 5 0.5" if with_probs else "M 5"))
    read = list(bioio.cigarRead(io.StringIO(f"nothing\n{written.getvalue()}")))
    assert read == [alignment]
    assert bioio.cigarReadFromString("cigar: two 18 10 - one 10") is None
    with pytest.raises(AssertionError):
        bioio.cigarReadFromString("cigar: two 0 5 + one 0 4 + 3 M 5")


def test_xml_in_lines() -> None:
    assert bioio.prettyXml(ET.fromstring("<a><b c='1'/></a>")) == '<?xml version="1.0" ?>\n<a>\n  <b c="1"/>\n</a>\n'


def test_random_names() -> None:
    assert len(bioio.getRandomAlphaNumericString()) == 10
    assert bioio.getRandomAlphaNumericString(500).isalnum()


def test_a_basic_parser_has_logging_and_a_place_for_temporary_files() -> None:
    options, arguments = bioio.getBasicOptionParser().parse_args(["--logLevel", "info", "x"])
    assert (options.logLevel, options.tempDirRoot, options.logFile, arguments) == ("info", os.getcwd(), None, ["x"])


def test_the_level_is_one_of_four_in_any_case() -> None:
    before = bioio.getLogLevelString()
    level = bioio.logger.level
    try:
        bioio.setLogLevel("debug")
        assert bioio.getLogLevelString() == "DEBUG"
        with pytest.raises(AssertionError, match="OFF, CRITICAL, INFO, DEBUG"):
            bioio.setLogLevel("LOUD")
    finally:
        bioio.setLogLevel(before)
        bioio.logger.setLevel(level)
