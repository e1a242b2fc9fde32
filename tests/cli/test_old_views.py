"""The old commands show today's trees in the old layouts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from jobtree.cli.old_views import stats, status
from tests.views.scribe import DEAD, Scribe, whole_run


def test_the_status_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = whole_run(tmp_path / "T").path
    for words in ([tree], ["--jobTree", tree, "--logDebug", "--failIfNotComplete"]):
        assert status(words) == 0
        assert capsys.readouterr().out == (
            "There are 0 active jobs, 0 parent jobs with children, 0 totally failed jobs and 0 empty jobs "
            f"(i.e. finished but not cleaned up) currently in job tree: {tree}\n"
        )
    assert status(["--verbose", tree]) == 0
    assert capsys.readouterr().out.endswith("There are no failed jobs to report\n")


def test_failed_jobs_are_counted_however_they_died_and_their_logs_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scribe = Scribe(tmp_path / "T", holder=DEAD)
    scribe.begin()
    scribe.join(1)
    root = scribe.assign(1)
    child, _ = scribe.create(root, "leaf", "leaf")
    scribe.commit(root)
    scribe.fail(scribe.assign(child), "signal", failure={"message": "killed", "output": "its last\x1b words\n"})
    scribe.close()
    assert status([scribe.path, "--verbose", "--failIfNotComplete"]) == 1
    said = capsys.readouterr()
    assert "There are 2 active jobs, 1 parent jobs with children, 1 totally failed jobs" in said.out
    assert "Log of failed job: leaf:2 (signal on node1)" in said.out
    assert said.err == "its last\\x1b words\n"


def test_the_statistics_have_the_old_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = whole_run(tmp_path / "T").path
    assert stats([tree, "--outputFile", str(tmp_path / "report")]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "report").read_text() == said
    lines = said.splitlines()
    assert lines[0] == "Batch System: local"
    assert lines[4] == "Slave"
    assert lines[8:11] == [
        "Target",
        " Slave Jobs   |      min     med     ave     max",
        "              |        5       5       5       5",
    ]
    leaf = lines.index("leaf")
    assert re.sub(" +", " ", lines[leaf + 1]) == " Count | Time* | Clock | Wait | Memory |"
    assert re.sub(" +", " ", lines[leaf + 2]).startswith(" n | min med* ave max total | min med ave max total |")
    assert re.sub(" +", " ", lines[leaf + 3]) == (
        " 3 | 1.00 2.00 2.00 3.00 6.00 | 0.50 0.50 0.50 0.50 1.50 | 0.50 1.50 1.50 2.50 4.50 | 1K 2K 2K 3K 6K |"
    )
    assert len({len(line) for line in lines[leaf + 1 : leaf + 4]}) == 1
    blocks = [line for line in lines if line in ("top", "leaf", "total")]
    assert blocks == ["top", "leaf", "total"], "ascending by the median of time, then by name"


def test_the_statistics_are_sorted_cut_and_humane_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = whole_run(tmp_path / "T").path
    order = ["--sortCategory", "count", "--sortReverse", "--categories", "Memory", "--human"]
    assert stats([*order, tree]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in ("top", "leaf", "total")] == ["leaf", "total", "top"]
    assert "2.0K" in lines[lines.index("leaf") + 3]
    assert "Count* |" in lines[lines.index("leaf") + 1]
    for wrong in (["--sortField", "middle"], ["--categories", "size"], ["--sortCategory", "x"], ["--nonsense"], ["/nowhere"]):
        assert stats([tree, *wrong] if wrong[0].startswith("-") else wrong) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_raw_is_the_old_xml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scribe = Scribe(tmp_path / "T", holder=DEAD)
    scribe.begin("main.<locals>.f")
    scribe.join(1)
    scribe.commit(scribe.assign(1), wall=2.0, user=0.5, memory=2048)
    scribe.close()
    assert stats([scribe.path, "--raw"]) == 0
    root = ET.fromstring(capsys.readouterr().out)
    assert root.tag == "collated_stats"
    assert {"total_run_time", "total_clock", "batch_system", "default_memory", "max_threads"} <= set(root.keys())
    (kind,) = root.findall("target_types/*")
    assert (kind.tag, kind.get("name")) == ("main._locals_.f", "main.<locals>.f")
    assert (kind.get("total_number"), kind.get("max_memory"), kind.get("median_wait")) == ("1", "2", "1.5")
    target = root.find("target")
    assert target is not None
    assert target.get("median_number_per_slave") == "1"
